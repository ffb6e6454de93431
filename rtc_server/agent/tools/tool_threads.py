"""The threads of synchronous tools: shared by all calls, and no call can use them up.

A thread cannot be stopped.  A tool that was given up keeps its own until it returns: it counts no
longer among those that may run at once, and another thread takes its place.  Of that kind there
may be a number, of one call and of all, and beyond it a tool is refused at once.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

__all__ = ["NoToolThread", "SyncTools", "ToolShare", "ToolThreads"]

logger = logging.getLogger(__name__)


class NoToolThread(Exception):
    """Too many tools that were given up have not returned."""


class SyncTools(NamedTuple):
    """How many synchronous tools there are."""

    at_work: int
    waiting: int
    given_up: int
    """Nobody waits for them any more, and they have not returned."""


class ToolThreads:
    """Starts what the shares are given, in the order in which it comes.

    Args:
        at_once: tools that may be at work, those given up not counted; of ``per_call`` in one
            call, behind which those of other calls do not wait.
        given_up: tools that may have been given up and not have returned.
        given_up_per_call: likewise, of one call.
        tell: is given the numbers whenever they change, in any thread.
    """

    def __init__(
        self,
        tell: Callable[[SyncTools], None],
        *,
        at_once: int = 16,
        per_call: int = 4,
        given_up: int = 48,
        given_up_per_call: int = 8,
    ) -> None:
        self._tell = tell
        self._at_once, self._per_call = at_once, per_call
        self._most_given_up, self._most_given_up_per_call = given_up, given_up_per_call
        self._pool = ThreadPoolExecutor(at_once + given_up, thread_name_prefix="tool")
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._at_work: set[_Job] = set()
        self._given_up: set[_Job] = set()
        self._is_said = False

    def share(self) -> ToolShare:
        """For one call."""
        return ToolShare(self)

    def close(self) -> None:
        """End the threads; a tool that blocks is left to itself, and nobody waits for it."""
        with self._lock:
            waiting = list(self._waiting)
        for job in waiting:
            job.cancel()
        self._pool.shutdown(wait=False)

    def start(self, share: ToolShare, work: Callable[[], Any]) -> Future[Any]:
        """Have ``work`` done in a thread, as soon as there is one for this share.

        Raises:
            NoToolThread: there may never be one.
        """
        job = _Job(self, share, work)
        with self._lock:
            if (
                len(self._given_up) >= self._most_given_up
                or share.given_up >= self._most_given_up_per_call
            ):
                self._say("tools that were given up do not return: a tool is refused")
                raise NoToolThread
            self._waiting.append(job)
            self._start_waiting()
            if len(self._at_work) >= self._at_once and self._waiting:
                self._say("all threads for tools are at work: a tool has to wait")
        return job

    # What the jobs say ----------------------------------------------------------

    def withdrawn(self, job: _Job) -> None:
        """It was cancelled before it began."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            self._count()

    def given_up(self, job: _Job) -> None:
        """It was cancelled, and goes on; nothing where it has ended meanwhile."""
        with self._lock:
            if job not in self._at_work:
                return
            self._at_work.remove(job)
            self._given_up.add(job)
            job.share.at_work -= 1
            job.share.given_up += 1
            self._start_waiting()

    def ended(self, job: _Job) -> None:
        """Its thread is free; said in that thread."""
        with self._lock:
            if job in self._at_work:
                self._at_work.remove(job)
                job.share.at_work -= 1
            else:
                self._given_up.remove(job)
                job.share.given_up -= 1
            self._start_waiting()
            if not self._waiting and len(self._given_up) < self._most_given_up:
                self._is_said = False

    # With the lock held -----------------------------------------------------------

    def _start_waiting(self) -> None:
        for job in list(self._waiting):
            if len(self._at_work) >= self._at_once:
                break
            if job.share.at_work >= self._per_call:
                continue
            self._waiting.remove(job)
            self._pool.submit(job.run)
            self._at_work.add(job)
            job.share.at_work += 1
        self._count()

    def _count(self) -> None:
        self._tell(SyncTools(len(self._at_work), len(self._waiting), len(self._given_up)))

    def _say(self, words: str) -> None:
        """Once, until there is room again."""
        if self._is_said:
            return
        self._is_said = True
        logger.error("%s (%d at work, %d given up)", words, len(self._at_work), len(self._given_up))


class ToolShare(Executor):
    """What one call has of the threads."""

    def __init__(self, threads: ToolThreads) -> None:
        self._threads = threads
        self.at_work = 0
        self.given_up = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As :meth:`concurrent.futures.Executor.submit`.

        Raises:
            NoToolThread: there may never be a thread for it.
        """
        return self._threads.start(self, functools.partial(fn, *args, **kwargs))


class _Job(Future[Any]):
    """One tool's call; its cancellation says whether it was still in time."""

    def __init__(self, threads: ToolThreads, share: ToolShare, work: Callable[[], Any]) -> None:
        super().__init__()
        self._threads = threads
        self.share = share
        self._work: Callable[[], Any] | None = work

    def cancel(self) -> bool:
        """As :meth:`concurrent.futures.Future.cancel`."""
        if super().cancel():
            self._threads.withdrawn(self)
            return True
        self._threads.given_up(self)
        return False

    def run(self) -> None:
        """In a thread of the pool."""
        work, self._work = self._work, None
        if work is None or not self.set_running_or_notify_cancel():
            self._threads.ended(self)
            return
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # whatever a tool raises belongs to who waits for it
            failure = error
        del work
        self._threads.ended(self)
        if failure is None:
            self.set_result(result)
        else:
            self.set_exception(failure)
            del failure
