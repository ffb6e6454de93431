"""Keeps the garbage collector out of the calls: what it looks through, and when.

A collection stops everything.  How long depends on what it looks through: the 200,000 objects of
ADK and its libraries took a quarter of a second, and those of a hundred ended calls, which Python
lets pile up by default, some 50 ms.
"""

from __future__ import annotations

import gc

__all__ = ["ENDED_CALLS", "HeapSweeper", "settle_heap"]

ENDED_CALLS = 4
"""After so many calls that ended, what they left in circles is freed: some 3,000 objects, together
with the live calls' a few milliseconds."""


def settle_heap() -> None:
    """Take what was made at start out of the garbage collector's sight, for good."""
    gc.collect()
    gc.freeze()


class HeapSweeper:
    """Frees what ended calls leave, a few calls at a time, so that it is never long.

    It does nothing before :func:`settle_heap`: a collection would look through everything.
    """

    def __init__(self) -> None:
        self._ended = 0

    def call_ended(self) -> None:
        """To be called when a call is closed."""
        self._ended += 1
        if self._ended >= ENDED_CALLS and gc.get_freeze_count():
            self._ended = 0
            gc.collect()
