"""Tells delay that a real-time stream carries along for nothing; pure, time is an argument.

Most agents speak faster than real time: what waits then is speech still to be heard, and not
delay.  An agent that speaks in real time (a translator, a person, an echo) is another thing:
after a stall everything it says waits behind what piled up, until the turn ends.  The two are
told apart by what waits: in a real-time stream it neither grows nor shrinks.
"""

from __future__ import annotations

import math

__all__ = ["SurplusDelay"]

WINDOW_S = 1.0
"""The least that waited is looked at over windows as long as this."""

STEADY_S = 0.012
"""Two windows in which the least differs by no more are of a real-time stream."""

STALL_S = 0.06
"""Nothing was read for so long: the server itself stood still."""

MOST_S = 3.0
"""A stream with more than this ahead is not taken for a real-time one."""

LEAST_WRITES = 4
"""Nor is one that was written to less often in a window."""

SMALLEST_S = 0.005
"""A smaller surplus is let be."""

DRY_RUN_S, MOST_KEPT_S, FORGOTTEN_S = 0.004, 0.008, 0.0002
"""Each time that the stream ran dry so much more is kept, at most so much in all, and so much less
with each window."""


class SurplusDelay:
    """What of one turn's backlog could be taken out without its running dry.

    The measure is the *slack*: what is left when a frame was read.  The least slack of a window
    is what nobody needed in it.  The stream's own slack is what it had before a stall, its own or
    the server's; what is above it afterwards, in two windows in a row, is surplus.  Without a
    stall there is none.
    """

    def __init__(self) -> None:
        self.surplus_s = 0.0
        """What may be taken out now."""

        self._own_s = math.inf  # the stream's own slack
        self._kept_s = 0.0  # beyond it, because it ran dry
        self._has_stalled = False
        self._read_at: float | None = None
        self._before_s = math.inf  # the least slack of the window before
        self._begin_window(None)

    def _begin_window(self, now: float | None) -> None:
        self._ends_at = None if now is None else now + WINDOW_S
        self._least_s = math.inf
        self._most_s = 0.0
        self._writes = 0

    def wrote(self) -> None:
        """There was more of the stream."""
        self._writes += 1

    def read(self, left_s: float, now: float) -> None:
        """A frame was read and ``left_s`` of the stream are left."""
        if self._ends_at is None:
            self._begin_window(now)
        if self._read_at is not None and now - self._read_at >= STALL_S:
            self._has_stalled = True
        self._read_at = now
        if left_s < self._least_s:
            self._least_s = left_s
        if left_s > self._most_s:
            self._most_s = left_s
        if self._ends_at is not None and now >= self._ends_at:
            self._judge()
            self._begin_window(now)

    def ran_dry(self) -> None:
        """There was nothing to read although the turn goes on: more has to be kept."""
        self.surplus_s = 0.0
        self._kept_s = min(MOST_KEPT_S, self._kept_s + DRY_RUN_S)
        self._own_s = 0.0  # it has just had none
        self._has_stalled = True
        self._before_s = math.inf
        self._begin_window(None)

    def took(self, seconds: float) -> None:
        """So much was taken out."""
        self.surplus_s = max(0.0, self.surplus_s - seconds)
        self._before_s = math.inf  # what is left has to prove steady again
        self._least_s = max(0.0, self._least_s - seconds)

    def _judge(self) -> None:
        is_real_time = self._most_s <= MOST_S and self._writes >= LEAST_WRITES
        if not is_real_time:
            self._before_s = math.inf
            self.surplus_s = 0.0
            return
        # Until there was a stall what waits is the agent's own lead, whatever it is.
        self._own_s = min(self._own_s, self._least_s) if self._has_stalled else self._least_s
        is_steady = abs(self._least_s - self._before_s) <= STEADY_S
        surplus_s = min(self._least_s, self._before_s) - self._own_s - self._kept_s
        self.surplus_s = surplus_s if is_steady and surplus_s >= SMALLEST_S else 0.0
        self._before_s = self._least_s
        self._kept_s = max(0.0, self._kept_s - FORGOTTEN_S)
