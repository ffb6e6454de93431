"""The tool calls that ADK's receive loop waits for, until the model has something else to say.

ADK 2.13 awaits the calls of one response in the loop that reads the model.  That is right
while the model waits for them, too.  One that was interrupted, or that goes on speaking, does not:
then the calls go on beside the loop, as ADK's own ``NON_BLOCKING`` tools do, and their
results are told, stored and sent to the model when they are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from google.adk.agents.invocation_context import InvocationContext
from google.adk.events.event import Event

from ..adk_internals import LiveCalls, run_beside, wrap_live_calls

__all__ = ["HeldCalls"]

logger = logging.getLogger(__name__)

_HANDOVERS = {"transfer_to_agent", "task_completed", "finish_task"}
"""ADK's own tools, whose results its loop acts upon."""

_held: ContextVar[HeldCalls | None] = ContextVar("held_calls", default=None)


class HeldCalls:
    """Of one live session.

    Args:
        abandoned: is given the id of each call that was let go and ends without a result.
    """

    def __init__(self, abandoned: Callable[[str], None]) -> None:
        self._abandoned = abandoned
        self._waited_for: set[asyncio.Future[None]] = set()
        self._is_ahead = False
        """The calls that ADK is about to make are let go already."""

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Calls of runs that are started in this context can be let go."""
        wrap_live_calls(_handle)
        token = _held.set(self)
        try:
            yield
        finally:
            _held.reset(token)

    def let_go(self) -> None:
        """ADK's loop waits no longer for the calls at work, or about to be."""
        self._is_ahead = not self._waited_for
        for one in self._waited_for:
            if not one.done():
                one.set_result(None)

    def received(self) -> None:
        """ADK's loop goes on: what is called from now on is held."""
        self._is_ahead = False

    async def handle(
        self, calls: asyncio.Task[Event | None], context: InvocationContext, called: Event
    ) -> Event | None:
        """What comes of ``calls``; None where they go on beside the loop."""
        let_go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._is_ahead:
            let_go.set_result(None)
        self._waited_for.add(let_go)
        both: set[asyncio.Future[Any]] = {calls, let_go}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            calls.cancel()
            await asyncio.wait({calls})
            raise
        finally:
            self._waited_for.discard(let_go)
        if calls.done():
            return calls.result()
        run_beside(context, called, calls)
        calls.add_done_callback(lambda ended: self._on_end(ended, called))
        return None

    def _on_end(self, calls: asyncio.Task[Event | None], called: Event) -> None:
        if not calls.cancelled():
            error = calls.exception()
            if error is None:
                return
            logger.error("a callback of the agent failed, beside its run", exc_info=error)
        for call in called.get_function_calls():
            if call.id not in (called.long_running_tool_ids or ()):
                self._abandoned(call.id or "")


async def _handle(
    handle: LiveCalls, context: InvocationContext, called: Event, tools: dict[str, Any]
) -> Event | None:
    held = _held.get()
    names = {call.name for call in called.get_function_calls()}
    if held is None or names & _HANDOVERS:
        return await handle(context, called, tools)
    calls = asyncio.create_task(handle(context, called, tools), name="tool-calls")
    return await held.handle(calls, context, called)
