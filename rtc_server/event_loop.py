"""The event loop of a server: asyncio's own, which with many calls wakes a little less often.

A loop that wakes for each packet finds its caches cold each time, and goes to sleep again for a
fraction of a millisecond.  From some calls on at least 2 ms lie between two wakes, and it finds
several packets: what network cards do with their interrupts.  With few calls nothing is held back.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["ModeratedSelector", "new_event_loop", "run"]

LEAST_SLEEP_S = 0.002
"""What a packet or a timer may wait for; a tenth of a frame."""

BUSY_EVENTS_PER_S = 400.0
"""From so many on the loop is moderated: the packets of eight calls."""

_SPAN_S = 0.5

ResultT = TypeVar("ResultT")

_Ready = list[tuple[selectors.SelectorKey, int]]


class ModeratedSelector(selectors.DefaultSelector):
    """Wakes every 2 ms at most while many events come; work that is ready never waits.

    Args:
        clock: monotonic seconds.
        sleep: of this thread, without the GIL.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._sleep = sleep
        self._woke_at = 0.0
        self._span_began_at = 0.0
        self._events = 0
        self.is_moderating = False

    def select(self, timeout: float | None = None) -> _Ready:
        """As the base class; a ``timeout`` of 0, with which the loop has work, is kept."""
        if timeout is not None and timeout <= 0:
            ready = super().select(timeout)
            self._events += len(ready)
            return ready
        if self.is_moderating:
            left_s = self._woke_at + LEAST_SLEEP_S - self._clock()
            if left_s > 0:
                self._sleep(left_s)
                timeout = None if timeout is None else max(0.0, timeout - left_s)
        ready = super().select(timeout)
        self._woke_at = now = self._clock()
        self._events += len(ready)
        if now - self._span_began_at >= _SPAN_S:
            self.is_moderating = self._events / (now - self._span_began_at) >= BUSY_EVENTS_PER_S
            self._span_began_at = now
            self._events = 0
        return ready


def run(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """As ``asyncio.run``, on such a loop."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop that is moderated while it is busy."""
    return asyncio.SelectorEventLoop(ModeratedSelector())
