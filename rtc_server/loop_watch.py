"""Watches the event loop: measures how late it wakes and names what blocks it.

One blocking call delays every call of the process.  The loop beats ten times a second; a
thread looks whether it did, and if not, at the stack of the thread that the loop runs in.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from .metrics import Metrics

__all__ = ["LoopWatch", "culprit_in"]

logger = logging.getLogger(__name__)

_LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


class LoopWatch:
    """Entered in the event loop that it watches; leaving it ends its thread.

    Args:
        metrics: ``rtc_event_loop_lag_seconds`` gets each beat's delay.
        period_s: between two beats.
        blocked_s: a longer delay is logged, with the place in the code that caused it, and the name
            of the task: that of a tool names the tool and its call.
        on_beat: is given the time of each beat, in monotonic seconds, and its delay.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        period_s: float = 0.1,
        blocked_s: float = 0.25,
        on_beat: Callable[[float, float], None] | None = None,
    ) -> None:
        self._metrics = metrics
        self._on_beat = on_beat
        self._period_s = period_s
        self._blocked_s = blocked_s
        self._due = 0.0
        self._worked_s = 0.0
        """The processor's time of the loop's thread, at the last beat."""
        self._culprit: str | None = None
        self._stop = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._schedule()
        self._thread = threading.Thread(
            target=self._look, args=(threading.get_ident(),), name="loop-watch", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()

    def _schedule(self) -> None:
        self._due = time.monotonic() + self._period_s
        self._worked_s = time.thread_time()
        self._timer = self._loop.call_later(self._period_s, self._beat)

    def _beat(self) -> None:
        now = time.monotonic()
        lag_s = max(0.0, now - self._due)
        self._metrics.event_loop_lag.observe(lag_s)
        if self._on_beat is not None:
            self._on_beat(now, lag_s)
        if lag_s > self._blocked_s:
            place, self._culprit = self._culprit or "an unknown place", None
            # Where it did not work it waited: for a file, a lock, or a processor that others have.
            worked_s = min(lag_s, time.thread_time() - self._worked_s)
            logger.warning(
                "the event loop was blocked for %.2f s (%.2f s of work), and every call with it: "
                "%s",
                lag_s,
                worked_s,
                place,
            )
        self._schedule()

    def _look(self, ident: int) -> None:
        """The thread: notes where the loop stands when a beat is overdue."""
        while not self._stop.wait(self._period_s):
            overdue_s = time.monotonic() - self._due
            if overdue_s > self._blocked_s and self._culprit is None:
                frame = sys._current_frames().get(ident)
                if frame is not None:
                    task = asyncio.current_task(self._loop)
                    place = culprit_in(traceback.extract_stack(frame))
                    self._culprit = place if task is None else f"{place}, by {task.get_name()}"
                del frame  # a frame kept here would keep all that its locals hold


def culprit_in(stack: Iterable[traceback.FrameSummary]) -> str:
    """The innermost place of a stack (outermost first) that is in no library.

    A tool that waits for a socket stands in the standard library: whose call it was is of
    interest.
    """
    frames = list(stack)
    own = [one for one in frames if not one.filename.startswith((*_LIBRARIES, "<"))]
    place = (own or frames)[-1]
    return f"{place.filename}:{place.lineno} in {place.name}"
