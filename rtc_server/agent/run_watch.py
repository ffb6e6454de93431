"""One live run in a task of its own, watched for deafness; it ends in bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

from .failures import AgentStalled
from .live_request_queue import BoundedLiveRequestQueue
from .retry_rules import RetryRules

__all__ = ["RunWatch"]


class RunWatch:
    """Runs what it is given, one run at a time.

    The run has a task of its own, because ADK's generators are to be iterated in one task, and
    because a run must be given up that takes nothing, or whose sender has died: it would go on
    speaking, deaf.

    Args:
        queue: what the run is to take from.
        is_connected: whether the run has a connection to a model.
        closing: set when the session closes; then nothing is given up any more.
    """

    def __init__(
        self,
        queue: BoundedLiveRequestQueue,
        retry: RetryRules,
        *,
        is_connected: Callable[[], bool],
        closing: asyncio.Event,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._queue = queue
        self._retry = retry
        self._is_connected = is_connected
        self._closing = closing
        self._log = log
        self._run: asyncio.Task[None] | None = None
        self._ended_by: Exception | None = None
        self._is_cancelled = False

    @property
    def is_ending(self) -> bool:
        """Whether the run was told to end; what it still says is of no interest."""
        return self._ended_by is not None

    @property
    def is_cancelled(self) -> bool:
        """Whether the run that goes on, or was last, was cancelled, for whatever reason."""
        return self.is_ending or self._is_cancelled

    def end(self, why: Exception) -> None:
        """End the run that goes on; :meth:`run` then returns ``why``."""
        if self._run is not None and not self._run.done() and self._ended_by is None:
            self._ended_by = why
            self._queue.hold()
            self._run.cancel()

    async def run(self, serve: Callable[[], Coroutine[None, None, None]]) -> BaseException | None:
        """One run; returns what it raised, None if it just ended."""
        self._is_cancelled = False
        run = self._run = asyncio.create_task(serve(), name="agent-run")
        run.add_done_callback(_read)  # it may end by itself while it is given up
        deaf: BaseException | None = None
        try:
            while not run.done() and not self.is_ending:
                await asyncio.wait({run}, timeout=min(1.0, self._retry.stall_s / 4))
                if run.done() or self._closing.is_set() or not self._is_connected():
                    continue
                before, deaf = deaf, self._queue.taker_error or self._stall()
                # A dead connection kills the sender a moment before ADK renews both: what is seen
                # next may be the death of another.
                if deaf is not None and (deaf is before or _are_stalls(before, deaf)):
                    return deaf
        finally:
            await self._cancel(run)
            ended_by, self._ended_by = self._ended_by, None
        if ended_by is not None:
            return ended_by
        if not run.done():
            return AgentStalled()
        if run.cancelled():
            return asyncio.CancelledError()
        return run.exception()

    def _stall(self) -> AgentStalled | None:
        return AgentStalled() if self._queue.waited_s() > self._retry.stall_s else None

    async def _cancel(self, run: asyncio.Task[None]) -> None:
        """Cancel the run, whose generator then closes itself; bounded in time."""
        if run.done():
            return
        self._is_cancelled = True
        run.cancel()
        await asyncio.wait({run}, timeout=self._retry.close_s)
        if not run.done():
            self._log.error("the agent's run does not end; it is left to itself")


def _are_stalls(*seen: BaseException | None) -> bool:
    return all(isinstance(one, AgentStalled) for one in seen)


def _read(run: asyncio.Task[None]) -> None:
    """Reads what a run raised, so that asyncio does not log that nobody did."""
    if not run.cancelled():
        run.exception()
