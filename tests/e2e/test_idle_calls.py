"""A call ends when nobody does anything any more, and not while somebody is waited for."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.tools.function_tool import FunctionTool

from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedLlm, never_answer, uses_tool
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
