"""Tools that the model does not wait for, over ADK's real runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from google.adk.agents.run_config import ToolThreadPoolConfig
from google.adk.events.event import Event
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.long_running_tool import LongRunningFunctionTool
from google.genai import types

from rtc_server.agent.live_events import (
    AgentFailed,
    AgentText,
    LiveEvent,
    ModelTurnComplete,
    ToolCalled,
    ToolProgressed,
    ToolReturned,
)
from rtc_server.agent.live_session import LiveSession

from ..conftest import agent_of, serve_agent
from ..scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    text_piece,
    tool_call,
    turn_complete,
    uses_tool,
)

TOOLS = (ToolCalled, ToolProgressed, ToolReturned)


async def until(live: LiveSession, last: Callable[[LiveEvent], bool]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if last(event):
            break
    return seen


def is_over(event: LiveEvent) -> bool:
    return isinstance(event, ModelTurnComplete | AgentFailed)


def about_tools(events: list[LiveEvent]) -> list[LiveEvent]:
    return [one for one in events if isinstance(one, (*TOOLS, AgentFailed))]


async def test_long_running_tool_says_what_it_has_begun(llm: ScriptedLlm) -> None:
    """That is no result: it comes later, if ever."""

    async def book() -> dict[str, str]:
        """Books."""
        return {"status": "asked"}

    llm.scripts = [uses_tool("book")]
    agent = agent_of(llm, tools=[LongRunningFunctionTool(book)])
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, is_over)
    assert about_tools(seen) == [
        ToolCalled("call-1", "book", {}, long_running=True),
        ToolProgressed("call-1", "book", {"status": "asked"}),
    ]


async def test_non_blocking_tool_returns_while_the_model_goes_on(llm: ScriptedLlm) -> None:
    """Its result is told and sent to the model when it is there."""
    release = asyncio.Event()

    async def search() -> dict[str, int]:
        """Searches."""
        await release.wait()
        return {"found": 3}

    async def talk(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("search"))
        connection.emit(text_piece("Wait."), text_piece("Wait.", partial=False), turn_complete())
        content = await connection.receive_content()
        (part,) = content.parts or []
        assert part.function_response is not None
        words = str(part.function_response.response)
        connection.emit(text_piece(words), text_piece(words, partial=False), turn_complete())

    llm.scripts = [talk]
    tool = FunctionTool(search)
    tool.behavior = types.Behavior.NON_BLOCKING
    async with serve_agent(agent_of(llm, tools=[tool])) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, is_over)
        release.set()
        seen += await until(live, is_over)
    assert about_tools(seen) == [
        ToolCalled("call-1", "search", {}, long_running=True),
        ToolReturned("call-1", "search", {"found": 3}),
    ]
    assert [one.text for one in seen if isinstance(one, AgentText)] == ["Wait.", "{'found': 3}"]


async def test_message_of_a_streaming_tool_is_text_and_no_progress(llm: ScriptedLlm) -> None:
    """An event that it yields is for the user, not for the model."""

    async def watch() -> Any:
        """Watches."""
        yield Event(author="tool", content=types.Content(parts=[types.Part(text="Half.")]))
        yield types.FunctionResponse(response={"at": 100})

    llm.scripts = [uses_tool("watch")]
    async with serve_agent(agent_of(llm, tools=[watch])) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, lambda one: isinstance(one, ToolReturned | AgentFailed))
    assert about_tools(seen)[1:] == [
        ToolProgressed("call-1", "watch", {"at": 100}),
        ToolReturned("call-1", "watch", {}),
    ]
    assert "Half." in [one.text for one in seen if isinstance(one, AgentText)]


async def test_two_calls_at_once_are_told_one_by_one(llm: ScriptedLlm) -> None:
    """Their results come in one event."""

    async def double(n: int) -> dict[str, int]:
        """Doubles."""
        return {"is": 2 * n}

    async def talk(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        both = tool_call("double", "call-1", n=1)
        assert both.content is not None
        assert both.content.parts is not None
        both.content.parts += (
            tool_call("double", "call-2", n=2).content or both.content
        ).parts or []
        connection.emit(both)
        await connection.receive_content()
        connection.emit(text_piece("Done."), text_piece("Done.", partial=False), turn_complete())

    llm.scripts = [talk]
    async with serve_agent(agent_of(llm, tools=[double])) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, is_over)
    assert about_tools(seen) == [
        ToolCalled("call-1", "double", {"n": 1}),
        ToolCalled("call-2", "double", {"n": 2}),
        ToolReturned("call-1", "double", {"is": 2}),
        ToolReturned("call-2", "double", {"is": 4}),
    ]


async def test_tools_run_in_adks_thread_pool_too(llm: ScriptedLlm) -> None:
    """There they have event loops of their own, and are not watched."""

    async def look() -> dict[str, str]:
        """Looks."""
        await asyncio.sleep(0)
        return {"seen": "a cat"}

    llm.scripts = [uses_tool("look")]
    pool = {"tool_thread_pool_config": ToolThreadPoolConfig(max_workers=1)}
    async with (
        serve_agent(agent_of(llm, tools=[look])) as server,
        server.call(run_config=pool) as live,
    ):
        live.send_text("go")
        seen = await until(live, is_over)
    assert about_tools(seen)[-1] == ToolReturned("call-1", "look", {"seen": "a cat"})
