"""A call ends when nobody does anything any more, and not while somebody is waited for."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.tools.function_tool import FunctionTool
from google.genai import types

from rtc_server.settings import Limits, Settings
from tests.agent.held_tools import slow
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    interrupted,
    never_answer,
    text_of,
    tool_call,
    turn_complete,
    uses_tool,
)
from tests.e2e.gemini import of_type
from tests.e2e.server import Server
from tests.waiting import until

THINKING = {"type": "state", "state": "thinking"}
BEEP = {"name": "beep", "description": "Beeps."}
LIMITS = Limits(idle_s=2.0, confirm_s=3.0, client_tool_s=3.0, answer_s=3.0)


async def pay(euros: int) -> dict[str, Any]:
    """Pays."""
    return {"paid": euros}


@pytest.mark.parametrize("what", ["pay", "beep", "thinks"])
async def test_who_is_asked_or_waits_for_the_agent_is_not_idle(what: str) -> None:
    """The call ends only after the time for the answer has passed, and is told of it before."""
    script = never_answer if what == "thinks" else uses_tool(what)
    if what == "pay":
        script = uses_tool("pay", euros=5)
    async with (
        Server.running(
            ScriptedLlm(scripts=[script]),
            Settings(port=0, limits=LIMITS),
            tools=[FunctionTool(pay, require_confirmation=True)],
        ) as server,
        server.call(audio=None, client_tools=[BEEP]) as caller,
    ):
        caller.client.send({"type": "text", "data": "go on"})
        # A machine that stands still may let the silence before it count as idle.
        await caller.client.wait_for(lambda: of_type(caller, "state")[-1:] == [THINKING])
        await caller.client.next_message("goaway")
        seen = [one["type"] for one in caller.client.messages]
        # What ended the wait came first: the tool's answer, or the error.
        assert {"thinks": "error", "pay": "turn", "beep": "turn"}[what] in seen
        await until(lambda: server.calls.active == 0)
        assert {one["reason"] for one in of_type(caller, "goaway")} == {"idle"}


async def test_agent_speaks_up_in_no_silence_in_which_its_tool_works_on() -> None:
    """Although it listens: the tool's answer was interrupted."""
    tool = slow()
    got: list[types.Content] = []

    async def script(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("look"))
        await tool.started()
        connection.emit(interrupted(), turn_complete())
        while True:
            got.append(await connection.receive_content())

    settings = Settings(port=0, idle_prompt="Still there?", limits=Limits(idle_prompt_s=1.5))
    async with (
        Server.running(ScriptedLlm(scripts=[script]), settings, tools=[tool.look]) as server,
        server.call(audio=None) as caller,
    ):
        caller.client.send({"type": "text", "data": "Look!"})
        await caller.client.next_message("turn")
        with pytest.raises(TimeoutError):
            await until(lambda: bool(got), timeout_s=2.5)
        tool.release()
        await until(lambda: len(got) == 2)
    assert (got[0].parts or [])[0].function_response is not None
    assert text_of(got[1]) == "Still there?"
