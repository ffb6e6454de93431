"""Whatever a tool returns, ADK's ``Gemini`` and Google's client carry it, and the call goes on."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.long_running_tool import LongRunningFunctionTool
from google.genai import types
from pydantic import BaseModel

from rtc_server.agent.live_events import (
    AgentAudio,
    AgentFailed,
    LiveEvent,
    ModelTurnComplete,
    ToolProgressed,
    ToolReturned,
)
from rtc_server.agent.live_session import LiveSession

from .conftest import ServeGemini
from .gemini_stand_in import Connection

TWO, THREE = "gemini-2.5-flash-live-stand-in", "gemini-3.1-flash-live-preview"

PIXEL = b"\x89PNG\0\xff"
NOON = datetime.datetime(2026, 1, 2, 12, 0)


class Place(BaseModel):
    name: str
    near: set[str] = set()


@dataclasses.dataclass
class Point:
    x: float


ODD = [
    ({"a": "a\0b\ud800"}, {"a": "a\ufffdb\ufffd"}),
    ({"\ud800": 1}, {"\ufffd": 1}),
    ("\ud800", {"result": "\ufffd"}),
    ({1: {2}}, {"1": [2]}),
    ({1}, {"result": [1]}),
    (float("nan"), {"result": None}),
    ({"a": [float("inf")]}, {"a": [None]}),
    (b"\0\xff", {"result": "AP8="}),
    ((b"\0",), {"result": ["AA=="]}),
    ({"at": (NOON, NOON.date())}, {"at": ["2026-01-02T12:00:00", "2026-01-02"]}),
    (Point(float("nan")), {"result": {"x": None}}),
    (Place(name="here", near={"\0"}), {"result": {"name": "here", "near": ["\ufffd"]}}),
    (complex(1, 2), {"result": "(1+2j)"}),
]
"""What a tool returns, and what the model and the caller are given."""


async def until(live: LiveSession, *kinds: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


def of(events: list[LiveEvent], *kinds: type[Any]) -> list[LiveEvent]:
    return [one for one in events if isinstance(one, kinds)]


class Model:
    """Asks for a tool, and keeps each response of it; then it answers."""

    def __init__(self, responses: int = 1) -> None:
        self.given: list[dict[str, Any]] = []
        self.connects = 0
        self._responses = responses

    async def __call__(self, connection: Connection) -> None:
        self.connects += 1
        await connection.accept()
        call = {"id": "1", "name": "look", "args": {}}
        await connection.send({"toolCall": {"functionCalls": [call]}})
        if "2.5" in connection.setup["model"]:
            await connection.send({"serverContent": {"turnComplete": True}})
        for _ in range(self._responses):
            sent = await connection.receive("tool_response")
            (response,) = sent.get("functionResponses") or sent["function_responses"]
            self.given.append(response)
        await connection.speech("Yes.")

    @property
    def response(self) -> Any:
        return self.given[-1]["response"]


@pytest.mark.parametrize(("returned", "carried"), ODD)
async def test_what_json_lacks_is_written_out_for_the_model_and_the_caller(
    serve: ServeGemini, returned: Any, carried: dict[str, Any]
) -> None:
    """Google's client would end ADK's sender with it, or send what is no JSON."""
    model = Model()

    async def look() -> Any:
        return returned

    async with serve(model, look) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
    assert of(seen, ToolReturned, AgentFailed) == [ToolReturned("1", "look", carried)]
    assert model.response == carried
    assert model.connects == 1


@pytest.mark.parametrize("model_name", [TWO, THREE])
@pytest.mark.parametrize(
    ("returned", "on_the_wire"),
    [
        ({"a": [1, "Grüße"], "b": None}, {"a": [1, "Grüße"], "b": None}),
        ([1, 2], {"result": [1, 2]}),
        ("yes", {"result": "yes"}),
        (None, {"result": None}),
        (Place(name="here"), {"result": {"name": "here", "near": []}}),
        (types.Blob(data=PIXEL, mime_type="image/png"), None),
        (types.Part(text="words"), {"result": {"text": "words"}}),
        (NOON, {"result": "2026-01-02T12:00:00"}),
    ],
)
async def test_what_adk_carries_is_given_as_ever(
    serve: ServeGemini, model_name: str, returned: Any, on_the_wire: Any
) -> None:
    model = Model()

    async def look() -> Any:
        return returned

    async with serve(model, look, model=model_name) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
    assert of(seen, AgentFailed) == []
    if on_the_wire is None:
        data = base64.urlsafe_b64encode(PIXEL).decode()
        assert model.response["result"]["data"] == data
    else:
        assert model.response == on_the_wire


@pytest.mark.parametrize("odd", [False, True])
async def test_media_in_a_result_goes_as_media(serve: ServeGemini, odd: bool) -> None:
    """ADK takes parts out of a result and of the lists in it, whatever else is in it."""
    model = Model()
    part = types.Part(inline_data=types.Blob(data=PIXEL, mime_type="image/png"))

    async def look() -> Any:
        return {"pictures": [part], "tags": {"cat"} if odd else ["cat"]}

    async with serve(model, look) as server, server.call("audio") as live:
        await until(live, AgentAudio, AgentFailed)
    assert model.response == {"tags": ["cat"]}
    (sent,) = model.given[-1]["parts"]
    assert base64.urlsafe_b64decode(sent["inline_data"]["data"]) == PIXEL


async def test_yields_of_a_streaming_tool_are_carried(serve: ServeGemini) -> None:
    """Each of them, one that asks for a scheduling of its own too."""
    model = Model(responses=4)

    async def look() -> AsyncGenerator[Any, None]:
        yield {"at": {1}}
        yield types.FunctionResponse(
            response={"half": "\ud800"}, scheduling=types.FunctionResponseScheduling.SILENT
        )
        yield float("nan")

    async with serve(model, look) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
    told: list[Any] = [one.result for one in seen if isinstance(one, ToolProgressed)]
    assert told == [{"at": [1]}, {"half": "\ufffd"}, {"result": None}]
    assert [one["response"] for one in model.given[1:]] == told
    assert model.given[2]["scheduling"] == "SILENT"


async def test_what_a_long_running_tool_says_at_once_is_carried(serve: ServeGemini) -> None:
    model = Model()

    async def look() -> Any:
        return {"ticket": {"\0"}}

    tool = LongRunningFunctionTool(look)
    async with serve(model, tool) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
    assert of(seen, ToolProgressed) == [ToolProgressed("1", "look", {"ticket": ["\ufffd"]})]
    assert model.response == {"ticket": ["\ufffd"]}


async def test_the_result_of_a_tool_in_the_background_is_carried(serve: ServeGemini) -> None:
    model = Model()

    async def look() -> Any:
        return {1: {2}}

    tool = FunctionTool(look)
    tool.behavior = types.Behavior.NON_BLOCKING
    async with serve(model, tool) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
    assert of(seen, ToolReturned) == [ToolReturned("1", "look", {"1": [2]})]
    assert model.response == {"1": [2]}


async def test_what_a_callback_gives_in_place_of_a_result_is_carried(serve: ServeGemini) -> None:
    """Its own callbacks see what the tool gave as it is."""
    model = Model()

    async def look() -> dict[str, int]:
        return {"plain": 1}

    def after(
        tool: BaseTool, args: dict[str, Any], tool_context: Any, tool_response: Any
    ) -> dict[str, Any]:
        return {**tool_response, "odd": {float("nan")}}

    more: dict[str, Any] = {"after_tool_callback": after}
    async with serve(model, look, **more) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
    assert of(seen, AgentFailed) == []
    assert model.response == {"plain": 1, "odd": [None]}


async def test_a_later_connection_is_told_an_odd_result_with_the_history(
    serve: ServeGemini,
) -> None:
    """In the history an odd result would keep every later connection from being made."""
    told: list[Any] = []
    release = asyncio.Event()

    async def script(connection: Connection) -> None:
        if not told:
            await connection.accept()
            call = {"id": "1", "name": "look", "args": {}}
            await connection.send({"toolCall": {"functionCalls": [call]}})
            told.append(await connection.receive("tool_response"))
            await connection.speech("Yes.")
            await release.wait()
            await connection.refuse(1011)
        else:
            await connection.accept()
            told.append(await connection.receive("client_content"))
            await connection.speech("Again.")

    async def look() -> Any:
        return {"a": {"\0"}, "b": float("nan")}

    async with serve(script, look) as server, server.call("audio") as live:
        await until(live, ModelTurnComplete)
        release.set()
        seen = await until(live, AgentAudio)
    assert '{"a": ["\ufffd"], "b": null}' in json.dumps(told[1], ensure_ascii=False)
    assert of(seen, AgentAudio)
