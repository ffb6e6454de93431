"""Keeps the garbage collector out of the calls: what it looks through, and when.

A collection stops everything.  How long depends on what it looks through: the 200,000 objects of
ADK and its libraries took a quarter of a second, and those of a hundred ended calls, which Python
lets pile up by default, some 50 ms.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

__all__ = ["ENDED_CALLS", "HeapSweeper", "settle_heap"]

_LONGEST_S = 0.01
"""After a sweep that took more of the processor's time the rest is left to Python, which sweeps
ever less often as the heap grows: the histories of conversations in memory are looked through as
well."""

ENDED_CALLS = 4
"""After so many calls that ended, what they left in circles is freed: some 3,000 objects, together
with the live calls' a few milliseconds."""


_state = {"is_settled": False}


def settle_heap() -> None:
    """Take what was made at start out of the garbage collector's sight, for good."""
    gc.collect()
    gc.freeze()
    _state["is_settled"] = True


class HeapSweeper:
    """Frees what ended calls leave, a few calls at a time, for as long as that is quick.

    It does nothing before :func:`settle_heap`: a collection would look through everything.  And
    none any more once a sweep took over 10 ms.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._ended = 0
        self._is_quick = True

    def call_ended(self) -> None:
        """To be called when a call is closed."""
        self._ended += 1
        if self._ended >= ENDED_CALLS and self._is_quick and _state["is_settled"]:
            self._ended = 0
            begun_at = self._clock()
            gc.collect()
            self._is_quick = self._clock() - begun_at <= _LONGEST_S
