"""Clients that take small messages, or none, in whole calls: no tool waits for them in vain."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.function_tool import FunctionTool
from google.genai import types

from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedConnection, ScriptedLlm, tool_call, turn_complete
from tests.agent.test_answer_picture import png
from tests.e2e.gemini import of_type
from tests.e2e.server import Server
from tests.peer.rtc_client import RtcClient

BEEP = {
    "name": "beep",
    "description": "Beeps.",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
}
SLOW = Settings(port=0, limits=Limits(confirm_s=50.0, client_tool_s=50.0))
"""A wait for the caller would outlast the test."""


async def pay(euros: int) -> dict[str, Any]:
    """Pays."""
    return {"paid": euros}


TOOLS = [FunctionTool(pay, require_confirmation=True)]


def takes_64_kib(sdp: str) -> str:
    """Of a client that says nothing of larger messages."""
    assert "a=max-message-size:262144\r\n" in sdp
    return sdp.replace("a=max-message-size:262144\r\n", "")


class Asks:
    """A model that calls a tool when it is connected, and keeps what it is told."""

    def __init__(self, name: str, **args: Any) -> None:
        self.name, self.args = name, args
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def __call__(self, connection: ScriptedConnection) -> None:
        connection.emit(tool_call(self.name, "call-1", **self.args))
        content = await connection.receive_content()
        assert content.parts
        response = content.parts[0].function_response
        assert response is not None
        self.result.set_result(response.response)
        connection.emit(turn_complete())


async def test_tool_that_asks_in_a_call_without_a_data_channel_is_told_at_once() -> None:
    """Nobody can be asked, and the model can say so."""
    asks = Asks("pay", euros=5)
    async with (
        Server.running(ScriptedLlm(scripts=[asks]), SLOW, tools=TOOLS) as server,
        server.call(data=False),
    ):
        async with asyncio.timeout(20):
            assert "cannot be asked" in (await asks.result)["error"]


async def test_tool_that_asks_after_the_data_channel_has_closed_is_told_soon() -> None:
    """The call goes on by voice."""
    asks = Asks("pay", euros=5)
    async with (
        Server.running(ScriptedLlm(scripts=[asks]), SLOW, tools=TOOLS) as server,
        server.call() as caller,
    ):
        await caller.client.next_message("confirm")
        assert caller.client.channel is not None
        caller.client.channel.close()
        async with asyncio.timeout(20):
            assert "cannot be asked" in (await asks.result)["error"]
        assert (await caller.describe())["connected"]


async def test_offer_of_client_tools_without_a_data_channel_is_refused() -> None:
    """They could never be called."""
    async with Server.running(ScriptedLlm(scripts=[])) as server:
        got: list[tuple[int, Any]] = []

        async def place(sdp: str) -> str:
            got.append(await server.post_offer(sdp, client_tools=[BEEP]))
            raise ConnectionRefusedError

        with pytest.raises(ConnectionRefusedError):
            async with RtcClient(place, data=False):
                pass
        ((status, body),) = got
        assert status == 400
        assert "data channel" in body["detail"]


@pytest.mark.parametrize("characters", [60_000, 70_000])
async def test_arguments_that_the_client_cannot_take_are_refused_at_once(characters: int) -> None:
    """Those that fit it are brought to it."""
    asks = Asks("beep", text="a" * characters)
    async with (
        Server.running(ScriptedLlm(scripts=[asks]), SLOW) as server,
        server.call(audio=None, client_tools=[BEEP], change_offer=takes_64_kib) as caller,
    ):
        if characters < 65_536:
            called = await caller.client.next_message("client_tool")
            assert len(called["args"]["text"]) == characters
            return
        async with asyncio.timeout(20):
            assert "too large" in (await asks.result)["error"]


async def test_picture_is_made_as_small_as_the_client_wants_it() -> None:
    """It comes as a JPEG that fits its messages."""

    async def paint(connection: ScriptedConnection) -> None:
        picture = types.Part.from_bytes(data=png(400, 200), mime_type="image/png")
        connection.emit(
            LlmResponse(content=types.Content(role="model", parts=[picture])), turn_complete()
        )

    async with (
        Server.running(ScriptedLlm(scripts=[paint])) as server,
        server.call(audio=None, change_offer=takes_64_kib) as caller,
    ):
        await caller.client.next_message("turn")
        assert of_type(caller, "error") == []
        (picture,) = of_type(caller, "image")
        assert picture["mime_type"] == "image/jpeg"
        assert 20_000 < len(base64.b64decode(picture["data"])) < 49_152
