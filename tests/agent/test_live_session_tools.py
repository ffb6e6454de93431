"""Tools of the agent in a live session that fail, are missing or block."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from google.adk.tools.tool_context import ToolContext

from rtc_server.agent.live_events import ToolCalled, ToolReturned

from .conftest import agent_of, serve_agent
from .listening import answer, failures, texts, until
from .scripted_llm import ScriptedLlm, uses_tool


async def test_tool_that_raises_is_answered_and_the_call_goes_on(llm: ScriptedLlm) -> None:
    """The model learns that it failed, not what the exception says."""

    def explode() -> dict[str, str]:
        raise RuntimeError("secret")

    llm.scripts = [uses_tool("explode")]
    async with serve_agent(agent_of(llm, tools=[explode])) as server, server.call() as live:
        for _ in range(2):
            live.send_text("go")
            events = await answer(live)
            assert (
                ToolReturned(
                    next(one.id for one in events if isinstance(one, ToolCalled)),
                    "explode",
                    {"error": "The tool explode failed."},
                )
                in events
            )
            assert failures(events) == []
        assert server.metric('rtc_agent_errors_total{code="tool_failed"}') == 2
    assert llm.connects == 1


async def test_tool_error_callback_of_the_agent_comes_first(llm: ScriptedLlm) -> None:
    """Ours answers only what nobody else does."""

    def explode() -> dict[str, str]:
        raise RuntimeError

    def mend(**_: Any) -> dict[str, str]:
        return {"mended": "yes"}

    llm.scripts = [uses_tool("explode")]
    agent = agent_of(llm, tools=[explode], on_tool_error_callback=mend)
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("go")
        events = await answer(live)
    assert [one.result for one in events if isinstance(one, ToolReturned)] == [{"mended": "yes"}]


async def test_tool_that_does_not_exist_is_answered(llm: ScriptedLlm) -> None:
    """A name that the model made up ends nothing."""
    llm.scripts = [uses_tool("no_such_tool")]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("go")
        assert "no tool with that name" in texts(await answer(live))


@pytest.mark.leaves_resources("the idle thread of the tools ends shortly after the runtime")
async def test_blocking_tool_blocks_neither_the_loop_nor_another_call(llm: ScriptedLlm) -> None:
    """A synchronous tool runs in a thread, an asynchronous one on the server's loop."""
    started, release = threading.Event(), threading.Event()
    loops: list[Any] = []

    def block(tool_context: ToolContext) -> dict[str, str]:
        started.set()
        assert release.wait(10)
        return {"session": tool_context.session.id, "thread": threading.current_thread().name}

    async def look() -> dict[str, str]:
        loops.append(asyncio.get_running_loop())
        return {}

    llm.scripts = [uses_tool("block"), uses_tool("look")]
    async with serve_agent(agent_of(llm, tools=[block, look])) as server:
        await server.runtime.sessions.open("user", "other")
        async with server.call() as live:
            live.send_text("go")
            called = await until(live, lambda event: isinstance(event, ToolCalled))
            await asyncio.to_thread(started.wait, 10)
            other = server.runtime.open_live_session(
                user_id="user", session_id="other", modality="text"
            )
            async with other:
                other.send_text("go")
                assert texts(await answer(other))
            release.set()
            events = called + await answer(live)
    (result,) = [one.result for one in events if isinstance(one, ToolReturned)]
    assert result["session"] == "session"
    assert str(result["thread"]).startswith("tool")
    assert loops == [asyncio.get_running_loop()]
