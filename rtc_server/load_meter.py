"""Measures the load of the event loop's thread, and says when it begins and ends to matter."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .headroom import Headroom, Pressure
from .metrics import Metrics

__all__ = ["LoadMeter", "ThreadTime"]

logger = logging.getLogger(__name__)

_SCHEDSTAT = "/proc/thread-self/schedstat"


class ThreadTime:
    """How long the thread that made it has wanted to run; closed by whoever made it.

    On Linux that is the time on a core and the time in the queue for one, so that it is right
    also where other processes use the core.  Elsewhere it is the time on a core alone.
    """

    def __init__(self) -> None:
        self._file = _open_schedstat()

    def __call__(self) -> float:
        """Seconds; to be asked by that thread."""
        if self._file is None:
            return time.thread_time()
        return _wanted_s(self._file)

    def close(self) -> None:
        """May be called twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open_schedstat() -> int | None:
    """The file of this thread, kept open: to read it takes a microsecond then."""
    try:
        file = os.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    if _wanted_s(file) > 0:
        return file
    os.close(file)  # a kernel that keeps no account of it
    return None


def _wanted_s(file: int) -> float:
    on_cpu_ns, waiting_ns, *_ = os.pread(file, 64, 0).split()
    return (int(on_cpu_ns) + int(waiting_ns)) / 1e9


class LoadMeter:
    """Tells a :class:`~rtc_server.headroom.Headroom` at each beat what the loop's thread wanted.

    Entered in the event loop's thread; leaving it closes what it reads.

    Args:
        headroom: is told, and judges.
        metrics: ``rtc_load_ratio`` is set at each beat.
        calls: how many there are.
        thread_time: seconds that the thread has wanted to run, and all that is judged by: not how
            late the beats are.  None: a :class:`ThreadTime`, and both.
    """

    def __init__(
        self,
        headroom: Headroom,
        metrics: Metrics,
        *,
        calls: Callable[[], int],
        thread_time: Callable[[], float] | None = None,
    ) -> None:
        self._headroom = headroom
        self._gauge = metrics.load
        self._calls = calls
        self._given_time = thread_time

    def __enter__(self) -> Self:
        self._own_time = ThreadTime() if self._given_time is None else None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._own_time is not None:
            self._own_time.close()

    def beat(self, now: float, lag_s: float) -> None:
        """A beat of the loop came, so late."""
        read = self._given_time or self._own_time
        assert read is not None
        before = self._headroom.pressure
        calls = self._calls()
        if self._given_time is not None:
            lag_s = 0.0
        self._headroom.beat(now, wanted_s=read(), lag_s=lag_s, calls=calls)
        self._gauge.set(self._headroom.load)
        if self._headroom.pressure is not before:
            self._tell(before, calls)

    def _tell(self, before: Pressure, calls: int) -> None:
        now, load = self._headroom.pressure, self._headroom.load
        if before is Pressure.NONE:
            logger.info("load %.2f with %d calls: they are encoded at less CPU", load, calls)
        if now is Pressure.FULL:
            logger.warning("load %.2f with %d calls: new ones are refused", load, calls)
        if before is Pressure.FULL:
            logger.info("load %.2f with %d calls: new ones are taken again", load, calls)
        if now is Pressure.NONE:
            logger.info("load %.2f with %d calls: they are encoded as ever again", load, calls)
