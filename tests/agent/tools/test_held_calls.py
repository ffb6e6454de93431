"""Tool calls that ADK's receive loop no longer waits for: before they begin, and at their end."""

from __future__ import annotations

import asyncio
from typing import Any

from google.adk.agents.llm_agent import LlmAgent
from google.adk.apps import App
from google.adk.events.event import Event
from google.adk.plugins.base_plugin import BasePlugin

from rtc_server.agent.live_events import (
    AgentText,
    LiveEvent,
    ModelInterrupted,
    ToolCancelled,
    ToolReturned,
)
from tests.agent.conftest import agent_of, serve_agent
from tests.agent.held_tools import slow
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    interrupted,
    text_piece,
    tool_call,
    turn_complete,
)


async def changes_its_mind(connection: ScriptedConnection) -> None:
    """The user interrupts a tool that was called that moment."""
    await connection.receive_text()
    connection.emit(tool_call("look"), interrupted())
    connection.emit(text_piece("Yes?"), turn_complete())


class Late(BasePlugin):
    """Keeps a tool's call back until ``may_go`` is set."""

    def __init__(self) -> None:
        super().__init__(name="late")
        self.may_go = asyncio.Event()

    async def on_event_callback(self, *, invocation_context: Any, event: Event) -> None:
        if event.get_function_calls():
            await self.may_go.wait()


async def test_tool_that_was_interrupted_before_it_began_is_waited_for_by_nobody(
    llm: ScriptedLlm,
) -> None:
    """The next answer is heard while it works."""
    llm.scripts = [changes_its_mind]
    tool, late = slow(), Late()
    root = LlmAgent(name="scripted", model=llm, tools=[tool.look])
    app = App(name="late", root_agent=root, plugins=[late])
    seen: list[LiveEvent] = []
    async with serve_agent(app) as server, server.call() as live:
        live.send_text("Look!")
        async for event in live.events():
            seen.append(event)
            if event == ModelInterrupted(ahead=True):
                late.may_go.set()
            elif isinstance(event, AgentText):
                tool.release()
            elif isinstance(event, ToolReturned):
                break
    kinds = (AgentText, ToolReturned)
    assert [type(one) for one in seen if isinstance(one, kinds)] == [AgentText, ToolReturned]


async def test_tool_that_fails_beside_the_run_is_told_to_be_at_its_end(llm: ScriptedLlm) -> None:
    """By a callback of the agent's: ADK has nobody there who would hear of it."""
    llm.scripts = [changes_its_mind]
    tool = slow()

    def fails(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("secret")

    agent = agent_of(llm, tools=[tool.look], after_tool_callback=fails)
    seen: list[LiveEvent] = []
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("Look!")
        async for event in live.events():
            seen.append(event)
            if isinstance(event, AgentText):
                tool.release()
            elif isinstance(event, ToolCancelled | ToolReturned):
                break
    assert seen[-1] == ToolCancelled("call-1", "look")
