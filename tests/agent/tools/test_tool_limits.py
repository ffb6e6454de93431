"""Whatever a tool, a callback or a plugin of the agent does, the call goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.apps.app import App
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.tools.base_toolset import BaseToolset

from rtc_server.agent.live_events import (
    AgentFailed,
    AgentText,
    LiveEvent,
    ModelTurnComplete,
    ToolReturned,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.tools.tool_results import MAX_RESULT_DEPTH
from rtc_server.settings import Limits, Settings

from ..conftest import agent_of, serve_agent
from ..scripted_llm import ScriptedLlm, echo_text, uses_tool

IMPATIENT = Settings(limits=Limits(tool_s=0.1))


async def until(live: LiveSession, *kinds: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


def results(events: list[LiveEvent]) -> list[Any]:
    return [one.result for one in events if isinstance(one, ToolReturned)]


def failures(events: list[LiveEvent]) -> list[tuple[str, bool]]:
    return [(one.code, one.retryable) for one in events if isinstance(one, AgentFailed)]


# Tools ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        asyncio.CancelledError("secret"),
        TimeoutError("secret"),
        SystemExit("secret"),
        KeyboardInterrupt("secret"),
        ExceptionGroup("secret", [ValueError("secret")]),
        BaseExceptionGroup("secret", [SystemExit("secret")]),
        StopAsyncIteration("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.leaves_resources("the idle thread of the tools ends shortly after the runtime")
async def test_tool_may_raise_what_it_wants(
    llm: ScriptedLlm, error: BaseException, kind: str
) -> None:
    """The model is told that it failed and nothing of why; the next turn is answered."""

    async def later() -> None:
        raise error

    def now() -> None:
        raise error

    tool = later if kind == "async" else now
    llm.scripts = [uses_tool(tool.__name__)]
    async with serve_agent(agent_of(llm, tools=[tool])) as server, server.call() as live:
        for _ in range(2):
            live.send_text("go")
            seen = await until(live, ModelTurnComplete, AgentFailed)
            assert results(seen) == [{"error": f"The tool {tool.__name__} failed."}]
            assert failures(seen) == []
        assert server.metric('rtc_agent_errors_total{code="tool_failed"}') == 2
    assert llm.connects == 1


async def test_tool_at_work_has_one_task_of_its_own(llm: ScriptedLlm) -> None:
    """For its time limit and for its cancellation."""

    async def dig() -> list[str]:
        names = [one.get_name() for one in asyncio.all_tasks()]
        return [name for name in names if name.startswith("the tool")]

    llm.scripts = [uses_tool("dig")]
    async with serve_agent(agent_of(llm, tools=[dig])) as server, server.call() as live:
        live.send_text("go")
        assert results(await until(live, ModelTurnComplete)) == [
            {"result": ["the tool dig of call unknown"]}
        ]


@pytest.mark.parametrize("depth", [MAX_RESULT_DEPTH, 900, 2000])
async def test_result_that_could_not_be_sent_is_a_failure_of_the_tool(
    llm: ScriptedLlm, depth: int
) -> None:
    """In the history it would keep the model's client from every later connection."""

    async def dig() -> dict[str, Any]:
        deep: Any = 1
        for _ in range(depth):
            deep = [deep]
        return {"a": deep}

    llm.scripts = [uses_tool("dig")]
    async with serve_agent(agent_of(llm, tools=[dig])) as server, server.call() as live:
        for _ in range(2):
            live.send_text("go")
            seen = await until(live, ModelTurnComplete, AgentFailed)
            assert results(seen) == [{"error": "The tool dig failed."}]
            assert failures(seen) == []


async def test_tool_that_never_returns_is_given_up_and_the_model_told(llm: ScriptedLlm) -> None:
    """After the time limit; the tool is cancelled."""
    stopped = asyncio.Event()

    async def dig() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    llm.scripts = [uses_tool("dig")]
    agent = agent_of(llm, tools=[dig])
    async with serve_agent(agent, settings=IMPATIENT) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, ModelTurnComplete, AgentFailed)
        assert results(seen) == [{"error": "The tool dig took too long and was given up."}]
        assert stopped.is_set()
        assert server.metric('rtc_agent_errors_total{code="tool_timeout"}') == 1
        live.send_text("again")
        assert failures(await until(live, ModelTurnComplete, AgentFailed)) == []


@pytest.mark.leaves_resources("the idle thread of the tools ends shortly after the runtime")
async def test_tool_that_blocks_its_thread_is_given_up(llm: ScriptedLlm) -> None:
    """The thread is left to itself."""
    release = threading.Event()

    def block() -> None:
        release.wait(10)

    llm.scripts = [uses_tool("block")]
    agent = agent_of(llm, tools=[block])
    async with serve_agent(agent, settings=IMPATIENT) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, ModelTurnComplete, AgentFailed)
        release.set()
    assert results(seen) == [{"error": "The tool block took too long and was given up."}]


@pytest.mark.leaves_resources("the idle threads of the tools end shortly after the runtime")
async def test_call_whose_tools_block_one_thread_after_another_is_refused_more(
    llm: ScriptedLlm,
) -> None:
    """At once and in words; the tools of the next call run, and it all is counted."""
    release = threading.Event()

    def block() -> None:
        release.wait(60)

    agent = agent_of(llm, tools=[block, noop])
    patient = Settings(limits=Limits(tool_s=0.5))  # with one that only waits for a slow machine
    async with serve_agent(agent, settings=patient) as server:
        try:
            llm.scripts = [uses_tool("block")]
            async with server.call() as live:
                for _ in range(8):
                    live.send_text("go")
                    seen = await until(live, ModelTurnComplete, AgentFailed)
                    assert "took too long" in results(seen)[0]["error"]
                assert server.metric('rtc_sync_tools{state="given_up"}') == 8
                live.send_text("go")
                seen = await until(live, ModelTurnComplete, AgentFailed)
                assert results(seen) == [
                    {"error": "The tool block cannot run now: others have not returned."}
                ]
                assert server.metric('rtc_agent_errors_total{code="tool_refused"}') == 1
            llm.scripts = [uses_tool("noop")]
            async with server.call() as live:
                live.send_text("go")
                assert results(await until(live, ModelTurnComplete)) == [{}]
        finally:
            release.set()


async def test_tool_that_ignores_its_cancellation_is_left_to_itself(llm: ScriptedLlm) -> None:
    """The call goes on without it."""
    release = asyncio.Event()
    ended = asyncio.Event()

    async def insist() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    llm.scripts = [uses_tool("insist")]
    agent = agent_of(llm, tools=[insist])
    async with serve_agent(agent, settings=IMPATIENT) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, ModelTurnComplete, AgentFailed)
        release.set()
        await ended.wait()
    assert results(seen) == [{"error": "The tool insist took too long and was given up."}]


async def test_call_that_ends_stops_the_tool_at_work(llm: ScriptedLlm) -> None:
    """No task is left (the leak check sees to it)."""
    started, stopped = asyncio.Event(), asyncio.Event()

    async def dig() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    llm.scripts = [uses_tool("dig")]
    async with serve_agent(agent_of(llm, tools=[dig])) as server:
        async with server.call() as live:
            live.send_text("go")
            await started.wait()
        assert stopped.is_set()


# Toolsets, callbacks, plugins -------------------------------------------------------


class BrokenToolset(BaseToolset):
    """Has tools that nobody ever sees."""

    async def get_tools(self, readonly_context: Any = None) -> list[Any]:
        raise RuntimeError("secret")

    async def close(self) -> None:
        """There is nothing to close."""


@pytest.mark.leaves_resources("the idle thread of the tools ends shortly after the runtime")
async def test_toolset_that_fails_costs_its_tools_alone(llm: ScriptedLlm) -> None:
    """ADK leaves it out; those beside it work."""
    llm.scripts = [uses_tool("noop")]
    agent = agent_of(llm, tools=[BrokenToolset(), noop])
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("hello")
        seen = await until(live, ModelTurnComplete, AgentFailed)
    assert failures(seen) == []
    assert results(seen) == [{}]


class RaisesOnce:
    """A callback, of any kind, that raises the first time."""

    def __init__(self) -> None:
        self.raised = False

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        if not self.raised:
            self.raised = True
            raise RuntimeError("secret")


def noop() -> dict[str, str]:
    return {}


@pytest.mark.parametrize(
    "where",
    [
        "before_agent_callback",
        "before_model_callback",
        "after_model_callback",
        "before_tool_callback",
        "after_tool_callback",
    ],
)
@pytest.mark.leaves_resources("the idle thread of the tools ends shortly after the runtime")
async def test_callback_that_raises_costs_a_run_at_most(llm: ScriptedLlm, where: str) -> None:
    """The caller is told, and his next question is answered."""

    def callback(raises: RaisesOnce) -> Callable[..., None]:
        def call(*args: Any, **kwargs: Any) -> None:
            raises()

        return call

    raises = RaisesOnce()
    llm.scripts = [uses_tool("noop")] if "tool" in where else [echo_text]
    agent = agent_of(llm, tools=[noop], **{where: callback(raises)})
    async with serve_agent(agent) as server, server.call("text") as live:
        if where == "after_model_callback":
            llm.scripts = [speaks_once, echo_text]
        live.send_text("one")
        seen = await until(live, ModelTurnComplete, AgentFailed)
        assert raises.raised
        assert failures(seen) in ([("agent_failed", True)], [])
        if failures(seen):
            live.send_text("two")
            seen += await until(live, ModelTurnComplete)
    assert any(isinstance(one, AgentText) for one in seen)
    assert "secret" not in str(seen)


async def speaks_once(connection: Any) -> None:
    """An answer with a transcript, which ADK shows to ``after_model_callback``."""
    from ..scripted_llm import said, turn_complete

    await connection.receive_text()
    connection.emit(said("Yes."), turn_complete())


class RaisingPlugin(BasePlugin):
    """Raises the first time that it is asked about an event."""

    def __init__(self) -> None:
        super().__init__(name="raising")
        self.raised = False

    async def on_event_callback(self, *, invocation_context: Any, event: Any) -> None:
        if not self.raised:
            self.raised = True
            raise RuntimeError("secret")


async def test_plugin_that_raises_costs_a_run(llm: ScriptedLlm) -> None:
    """As a callback of the agent does."""
    llm.scripts = [echo_text]
    plugin = RaisingPlugin()
    app = App(name="plugged", root_agent=LlmAgent(name="a", model=llm), plugins=[plugin])
    async with serve_agent(app) as server, server.call() as live:
        live.send_text("one")
        seen = await until(live, AgentFailed)
        assert plugin.raised
        live.send_text("two")
        seen += await until(live, ModelTurnComplete)
    assert failures(seen) == [("agent_failed", True)]
    assert "secret" not in str(seen)
