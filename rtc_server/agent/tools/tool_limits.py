"""A tool has a time limit, and nothing it raises can end more than its own call.

ADK waits for a tool inside of its receive loop, for ever, and takes only an ``Exception`` for a
failure of the tool: a ``SystemExit`` would end the server, a ``CancelledError`` the run.  So a
tool's ``run_async`` is wrapped, by a callback that comes after the agent's own, once for each tool.
The model is told that the tool failed, and the call goes on.
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

from .tool_threads import NoToolThread

__all__ = ["ToolFailed", "ToolTookTooLong", "answer_tool_errors", "bound_tools"]

logger = logging.getLogger(__name__)

_BOUNDED = "_rtc_server_bounded"

_STOP_S = 1.0
"""A tool that ignores its cancellation is waited for that long, and then left to itself."""


class ToolFailed(Exception):
    """The tool raised what is no :exc:`Exception`; that is the cause."""


class ToolTookTooLong(Exception):
    """The tool was given up."""


def bound_tools(agent: LlmAgent, seconds: float) -> None:
    """Let no tool of ``agent``, those of toolsets included, take longer than ``seconds``.

    A synchronous tool that blocks is given up too; its thread is left to itself.

    Args:
        agent: gets one more ``before_tool_callback``, at the end.
    """

    def before(tool: BaseTool, args: dict[str, Any], tool_context: ToolContext) -> None:
        if type(tool) is not BaseTool:  # that is a name that the model made up
            _bound(tool, seconds)

    agent.before_tool_callback = [*agent.canonical_before_tool_callbacks, before]


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


def _bound(tool: BaseTool, seconds: float) -> None:
    """Wraps ``run_async`` of this one instance; a second time changes nothing."""
    if _BOUNDED in vars(tool):
        return
    run: Callable[..., Awaitable[Any]] = tool.run_async

    async def bounded(*, args: dict[str, Any], tool_context: ToolContext) -> Any:
        task = asyncio.create_task(_contained(run, args, tool_context), name=f"tool-{tool.name}")
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_STOP_S)
        if task.done() and not task.cancelled():
            return task.result()
        if not task.done():
            logger.error("the tool %s does not end; it is left to itself", tool.name)
            task.add_done_callback(_forget)
        raise ToolTookTooLong

    setattr(tool, _BOUNDED, True)
    setattr(tool, "run_async", bounded)  # noqa: B010  (mypy takes no assignment to a method)


async def _contained(
    run: Callable[..., Awaitable[Any]], args: dict[str, Any], tool_context: ToolContext
) -> Any:
    try:
        return await run(args=args, tool_context=tool_context)
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
