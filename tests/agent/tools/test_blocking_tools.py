"""Asynchronous tools that block: named in the log, and out of the way where that is asked for."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
from google.adk.sessions.in_memory_session_service import InMemorySessionService

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.live_events import AgentFailed, ModelTurnComplete, ToolCalled, ToolReturned
from rtc_server.agent.loader import LoadedAgent
from rtc_server.logs import call_id
from rtc_server.loop_watch import LoopWatch
from rtc_server.metrics import Metrics
from rtc_server.settings import Settings
from tests.agent.conftest import FAST, agent_of, serve_agent
from tests.agent.listening import answer, texts, until
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    echo_text,
    tool_call,
    turn_complete,
)
from tests.waiting import until as eventually


async def use_tool(connection: ScriptedConnection) -> None:
    await connection.receive_text()
    connection.emit(tool_call("look_up"))
    await connection.receive_content()
    connection.emit(turn_complete())


async def test_an_async_tool_that_blocks_the_loop_is_named_with_its_call(
    llm: ScriptedLlm, caplog: pytest.LogCaptureFixture
) -> None:
    """One that awaits stays on the server's loop, as what it uses does, and stalls every call."""

    async def look_up() -> dict[str, str]:
        await asyncio.sleep(0)
        time.sleep(1.0)  # noqa: ASYNC251  (that is the fault)
        return {}

    call_id.set("call-7")
    llm.scripts = [use_tool]
    with (
        LoopWatch(Metrics(), period_s=0.02, blocked_s=0.2),
        caplog.at_level(logging.WARNING, "rtc_server.loop_watch"),
    ):
        async with serve_agent(agent_of(llm, tools=[look_up])) as server, server.call() as live:
            live.send_text("go")
            await until(live, lambda event: isinstance(event, ToolReturned))
            told = "look_up, by the tool look_up of call call-7"
            await eventually(lambda: any(told in one.getMessage() for one in caplog.records))


@pytest.mark.leaves_resources("idle threads of tools end shortly after the runtime")
async def test_with_adks_thread_pool_an_async_tool_that_blocks_stalls_no_other_call(
    llm: ScriptedLlm,
) -> None:
    """``--run-config '{"tool_thread_pool_config": {}}'``; another call is answered meanwhile."""
    done = threading.Event()

    async def look_up() -> dict[str, bool]:
        await asyncio.sleep(0)
        return {"was_set": done.wait(20.0)}  # blocks whatever loop it runs on

    await two_calls(llm, look_up, done, {"tool_thread_pool_config": {}})


async def test_an_async_tool_that_awaits_nothing_stalls_no_other_call(llm: ScriptedLlm) -> None:
    """As a synchronous one, which it is in all but name."""
    done = threading.Event()

    async def look_up() -> dict[str, bool]:
        return {"was_set": done.wait(20.0)}

    await two_calls(llm, look_up, done, {})


async def two_calls(
    llm: ScriptedLlm, look_up: Any, done: threading.Event, run_config: dict[str, Any]
) -> None:
    """One waits for the tool, the other is answered meanwhile; then the tool is let go."""
    llm.scripts = [use_tool, echo_text]
    loaded = LoadedAgent.from_object("scripted", agent_of(llm, tools=[look_up]))
    settings = Settings(run_config=run_config)
    async with AgentRuntime(
        loaded, settings, Metrics(), session_service=InMemorySessionService(), retry=FAST
    ) as runtime:
        for name in ("one", "two"):
            await runtime.sessions.open("user", name)
        one = runtime.open_live_session(user_id="user", session_id="one", modality="text")
        async with one:
            one.send_text("go")
            await until(one, lambda event: isinstance(event, ToolCalled))
            two = runtime.open_live_session(user_id="user", session_id="two", modality="text")
            async with two:
                two.send_text("hello")
                assert texts(await answer(two)) == "You said: hello"
            done.set()
            seen = await until(
                one, lambda event: isinstance(event, ModelTurnComplete | AgentFailed)
            )
    assert [dict(event.result) for event in seen if isinstance(event, ToolReturned)] == [
        {"was_set": True}
    ]
