"""A tool has a time limit, and nothing it raises can end more than its own call.

ADK waits for a tool inside of its receive loop, for ever, and takes only an ``Exception`` for a
failure of the tool: a ``SystemExit`` would end the server, a ``CancelledError`` the run.  So each
call of a tool has a task of its own (:mod:`~rtc_server.agent.tools.tool_watch` sees to it).  The
model is told that the tool failed, and the call goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from google.adk.agents.llm_agent import LlmAgent
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext

from ...logs import call_id
from ...untrusted_json import is_deeper_than
from .tool_results import MAX_RESULT_DEPTH, carried
from .tool_threads import NoToolThread

__all__ = [
    "ToolFailed",
    "ToolRun",
    "ToolTakenBack",
    "ToolTookTooLong",
    "answer_tool_errors",
    "task_name",
]

logger = logging.getLogger(__name__)

_STOP_S = 1.0
"""A tool that ignores its cancellation is waited for that long, and then left to itself."""


class ToolFailed(Exception):
    """The tool raised what is no :exc:`Exception`; that is the cause."""


class ToolResultTooDeep(Exception):
    """What the tool returned could be neither copied nor sent."""


class ToolTookTooLong(Exception):
    """The tool was given up."""


class ToolTakenBack(Exception):
    """Nobody wants the result any more."""


class ToolRun:
    """One call of a tool, from now on at work in a task of its own.

    Args:
        start: calls the tool.
    """

    def __init__(self, name: str, start: Callable[[], Awaitable[Any]]) -> None:
        self._name = name
        self._task = asyncio.create_task(_contained(start), name=task_name(name))
        self._taken_back: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take_back(self) -> None:
        """Let it be stopped; may be called twice."""
        if not self._taken_back.done():
            self._taken_back.set_result(None)

    async def result(self, seconds: float) -> Any:
        """What the tool returns, as :func:`~.tool_results.carried` makes it.

        The tool is cancelled where nobody waits for that any more; one that ignores its
        cancellation, or blocks a thread, is left to itself.

        Raises:
            ToolTookTooLong: there was none within ``seconds``.
            ToolTakenBack: it was taken back before there was one.
            ToolFailed: see there.
            ToolResultTooDeep: it is of no use to anybody.
            Exception: what the tool raises.
        """
        task = self._task
        try:
            both = {task, self._taken_back}
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_STOP_S)
        if task.done() and not task.cancelled():
            result = task.result()
            if is_deeper_than(MAX_RESULT_DEPTH, result):
                raise ToolResultTooDeep(f"more than {MAX_RESULT_DEPTH} lists and dicts")
            return carried(result)
        if not task.done():
            logger.error("the tool %s does not end; it is left to itself", self._name)
            task.add_done_callback(_forget)
        raise ToolTakenBack if self._taken_back.done() else ToolTookTooLong


def answer_tool_errors(agent: LlmAgent, on_error: Callable[[str], None]) -> None:
    """Answer for a tool of ``agent`` that raises, after the agent's and the app's own callbacks.

    What the exception says stays in the log: the model would speak it.

    Args:
        agent: gets one more ``on_tool_error_callback``, at the end.
        on_error: is given a code for every error answered here.
    """

    def answer(
        tool: BaseTool, args: dict[str, Any], tool_context: ToolContext, error: Exception
    ) -> dict[str, Any] | None:
        if isinstance(error, asyncio.CancelledError):
            return None
        if type(tool) is BaseTool:
            return None  # the model made the name up: ADK tells it which tools there are
        if isinstance(error, ToolTookTooLong):
            logger.error("the tool %s took too long", tool.name)
            on_error("tool_timeout")
            return {"error": f"The tool {tool.name} took too long and was given up."}
        if isinstance(error, NoToolThread):
            on_error("tool_refused")  # the threads log it
            return {"error": f"The tool {tool.name} cannot run now: others have not returned."}
        logger.error("the tool %s failed", tool.name, exc_info=error)
        on_error("tool_failed")
        return {"error": f"The tool {tool.name} failed."}

    agent.on_tool_error_callback = [*agent.canonical_on_tool_error_callbacks, answer]


def task_name(tool: str) -> str:
    """Of the task that a tool runs in, as the log names what blocks the event loop."""
    return f"the tool {tool} of call {call_id.get() or 'unknown'}"


async def _contained(start: Callable[[], Awaitable[Any]]) -> Any:
    """What a tool gives; what it raises ends its own call and nothing else.

    ``SystemExit`` and ``KeyboardInterrupt`` of a task end the whole event loop.
    """
    try:
        return await start()
    except (Exception, GeneratorExit):
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ToolFailed from None  # of its own making: nobody has cancelled it
    except BaseException as error:
        raise ToolFailed from error


def _forget(task: asyncio.Task[Any]) -> None:
    """Reads the outcome that nobody waits for any more."""
    with contextlib.suppress(BaseException):
        task.result()
