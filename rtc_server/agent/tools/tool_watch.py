"""Tools at work in a live session: each in a task that can be cancelled, each yield told.

ADK runs a tool inside of its receive loop or in a background task of its own, and has no way to
stop a single call.  So a tool's ``run_async`` is wrapped: by a callback that comes after
the agent's own, once for each tool; where no session watches it has its time limit alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Any

from google.adk.agents.llm_agent import LlmAgent
from google.adk.events.event import Event
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from ..live_events import CallsTakenBack, LiveEvent
from .background_tools import is_streaming
from .held_calls import HeldCalls
from .tool_calls import StreamEnd, ToolCalls
from .tool_coroutines import in_threads, never_suspends
from .tool_limits import ToolRun, ToolTakenBack
from .tool_results import carried
from .transfers import refused_transfer

__all__ = ["CANCELLED", "ToolWatch", "watch_tools"]

_WATCHED = "_rtc_server_watched"
CANCELLED = {"status": "cancelled"}
"""The response of a call that was taken back, for the session's history alone."""

Run = Callable[..., Any]

_watch: ContextVar[ToolWatch | None] = ContextVar("tool_watch", default=None)


class ToolWatch:
    """The tools at work in one live session.

    Args:
        calls: what is known of each call.
        tell: is given what there is to be told.
        threads: where a tool runs that never suspends.
    """

    def __init__(
        self, calls: ToolCalls, tell: Callable[[LiveEvent], None], threads: Executor
    ) -> None:
        self.threads = threads
        self._calls = calls
        self._tell = tell
        self._runs: dict[str, ToolRun] = {}
        self._streams: dict[str, asyncio.Task[Any]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held = HeldCalls(self.abandoned)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Tools that are started in this context, and in tasks started from it, are watched."""
        self._loop = asyncio.get_running_loop()
        token = _watch.set(self)
        try:
            with self._held.holding():
                yield
        finally:
            _watch.reset(token)

    def cancel(self, ids: Sequence[str]) -> None:
        """The model takes these calls back: they are told of, and stopped."""
        for told in self._calls.cancel(ids):
            self._tell(told)
        self._tell(CallsTakenBack(tuple(ids)))
        for id in ids:
            if id in self._runs:
                self._runs[id].take_back()
            elif id in self._streams:
                self._streams[id].cancel()

    def let_go(self) -> None:
        """ADK is to wait no longer for the tools at work, which go on."""
        self._held.let_go()

    def received(self) -> None:
        """ADK receives again."""
        self._held.received()

    def abandoned(self, id: str) -> None:
        """Nothing will answer this call, whose task is gone."""
        told = self._calls.abandoned(id)
        if told is not None:
            self._tell(told)

    # What the wrapped tools say ------------------------------------------------

    @property
    def is_here(self) -> bool:
        """ADK's thread pool for tools has event loops of its own, where nothing is watched."""
        return asyncio.get_running_loop() is self._loop

    def is_cancelled(self, id: str | None) -> bool:
        """Whether the model has taken this call back."""
        return self._calls.is_cancelled(id)

    async def run(self, id: str, run: ToolRun, seconds: float) -> Any:
        """The result of a tool, or that it was cancelled."""
        self._runs[id] = run
        try:
            return await run.result(seconds)
        except ToolTakenBack:
            return dict(CANCELLED)
        finally:
            self._runs.pop(id, None)

    async def stream(self, id: str, run: ToolRun, seconds: float) -> Any:
        """The generator of a streaming tool, or what it gives in place of one.

        Args:
            seconds: within which it is to be there.
        """
        self._streams[id] = asyncio.current_task()  # type: ignore[assignment]
        try:
            results: Any = await run.result(seconds)
        except BaseException as error:
            self._end_stream(id, _end_of(error))
            raise
        if isinstance(results, AsyncGenerator):
            return self._yields(id, results)
        self._progress(id, results)
        self._end_stream(id, StreamEnd.DONE)
        return results

    async def _yields(self, id: str, results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any]:
        how = StreamEnd.DONE
        try:
            async with contextlib.aclosing(results):
                async for yielded in results:
                    one = carried(yielded)
                    if not isinstance(one, Event):  # that is a message to the user
                        self._progress(id, one)
                    yield one
        except BaseException as error:
            how = _end_of(error)
            raise
        finally:
            self._end_stream(id, how)

    def _progress(self, id: str, value: object) -> None:
        if isinstance(value, types.FunctionResponse):
            value = value.response
        told = self._calls.progressed(id, value, asyncio.get_running_loop().time())
        if told is not None:
            self._tell(told)

    def _end_stream(self, id: str, how: StreamEnd) -> None:
        self._streams.pop(id, None)
        for told in self._calls.stream_ended(id, how):
            self._tell(told)

    def stream_began(self, id: str) -> None:
        """Before a streaming tool is started."""
        self._calls.stream_began(id)


def watch_tools(agent: LlmAgent, seconds: float) -> None:
    """Have the tools of ``agent`` watched, those of toolsets too.

    Args:
        agent: gets one more ``before_tool_callback``, at the end.
        seconds: longer no call of a tool may take.
    """

    async def before(
        tool: BaseTool, args: dict[str, Any], tool_context: ToolContext
    ) -> dict[str, Any] | None:
        if type(tool) is BaseTool:
            return None  # that is a name that the model made up
        watch, id = _watch_of(tool_context)
        if watch is not None:
            if watch.is_cancelled(id):
                return dict(CANCELLED)
            if is_streaming(tool):
                watch.stream_began(id)
        _wrap(tool, seconds, agent)
        return None

    agent.before_tool_callback = [*agent.canonical_before_tool_callbacks, before]


def _watch_of(tool_context: ToolContext) -> tuple[ToolWatch | None, str]:
    """The session that watches this call, and the call's id."""
    watch, id = _watch.get(), tool_context.function_call_id
    if watch is None or id is None or not watch.is_here:
        return None, ""
    return watch, id


def _threads() -> Executor | None:
    """Those of the session that runs this tool; None where there is none on this loop."""
    watch = _watch.get()
    return watch.threads if watch is not None and watch.is_here else None


def _wrap(tool: BaseTool, seconds: float, agent: LlmAgent) -> None:
    """Wraps ``run_async`` of this one instance; a second time changes nothing.

    Args:
        agent: one of the tree whose agents use the tool.
    """
    if _WATCHED in tool.__dict__:
        return
    if isinstance(tool, FunctionTool) and never_suspends(tool.func):
        tool.func = in_threads(tool.func, _threads)
    run: Run = tool.run_async

    async def watched(*, args: dict[str, Any], tool_context: ToolContext) -> Any:
        watch, id = _watch_of(tool_context)
        call = ToolRun(tool.name, lambda: run(args=args, tool_context=tool_context))
        if watch is not None and is_streaming(tool):
            return await watch.stream(id, call, seconds)
        result = await (call.result(seconds) if watch is None else watch.run(id, call, seconds))
        return refused_transfer(agent, tool_context) or result

    # Past pydantic, which some tools are made with.
    object.__setattr__(tool, "run_async", watched)
    object.__setattr__(tool, _WATCHED, True)


def _end_of(error: BaseException) -> StreamEnd:
    stopped = isinstance(error, asyncio.CancelledError | GeneratorExit)
    return StreamEnd.CANCELLED if stopped else StreamEnd.FAILED
