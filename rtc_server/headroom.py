"""How much of its time the event loop needs, and whether it has room for one more call.

Pure: whoever watches the loop says ten times a second, by :meth:`Headroom.beat`, what it saw.
Why it is judged like this is in ``docs/decisions/0014-overload.md``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

__all__ = ["CALL_LOAD", "Headroom", "Pressure"]

WINDOW_S = 4.0
"""What is judged is the mean over this long.  A single stall, such as a garbage collection or an
agent that warms up, is a small part of it; an overload fills it."""

FULL_LOAD = 0.85
"""No call is taken that would bring the load above this.  Calls were on time up to here and
late above 0.9; what is between is for callers who were silent when they were taken."""

ROOM_LOAD = 0.80
"""Once full, calls are taken again below this, so that it does not change with every beat."""

RELIEF_LOAD = 0.70
"""Above this encoders go to the lowest complexity: before the server is full, not after."""

EASE_LOAD = 0.60
"""Below this they go back.  The relief itself takes a few per cent off the load, which must not
end it."""

CALL_LOAD = 0.025
"""Load of a call where nothing is known of it yet: one with ADK in the path that speaks most of the
time.  It decides how many calls are taken within the first seconds."""

_PRIOR_CALLS = 4
"""So many calls of ``CALL_LOAD`` are added to those measured, for one or two tell little."""

_STEADY_SHARE = 0.25
"""Nothing is learned of what a call costs while their number changes by more than this: calls that
are being set up cost what calls that go on do not."""

_MOST_CALL_LOAD = 0.1
"""What one call is expected to add at most: a call that costs more shows in the measure."""

_LAG_FULL = 0.2
"""Seconds of lag, summed over the ten beats of a second, that count as a load of 1: the loop
wakes a frame (20 ms) late on average, also where it is not its own CPU that delays it."""

_LONGEST_LAG_S = 0.3
"""A stall counts as this at most: two in the window leave room for calls, three do not."""


class Pressure(Enum):
    """What the load asks for."""

    NONE = "none"
    RELIEF = "relief"  # encoders save CPU
    FULL = "full"  # and no call is taken


@dataclass(frozen=True, slots=True)
class _Totals:
    """All that was seen from the start up to a moment."""

    at: float
    wanted_s: float
    lag_s: float
    call_s: float
    """The time that all calls have gone on, added up."""


class Headroom:
    """Judges the load of the loop; before the first beat it is idle.

    Args:
        refuses: whether it may say that a call is not to be taken.
    """

    def __init__(self, *, refuses: bool = True) -> None:
        self._refuses = refuses
        self._window: deque[_Totals] = deque()
        self._calls = 0
        self._mean_calls = 0.0
        self._call_load = CALL_LOAD
        self._load = 0.0
        self._pressure = Pressure.NONE

    @property
    def load(self) -> float:
        """Of late, as a share of the time: what the loop wanted, or how late it woke, if more."""
        return self._load

    @property
    def call_load(self) -> float:
        """What one more call is expected to add to the load."""
        return self._call_load

    @property
    def pressure(self) -> Pressure:
        """What the load asked for at the last beat."""
        return self._pressure

    @property
    def complexity_limit(self) -> int | None:
        """Of Opus encoders; None: whatever sounds best."""
        return None if self._pressure is Pressure.NONE else 0

    def beat(self, now: float, *, wanted_s: float, lag_s: float, calls: int) -> None:
        """Take what was seen of the loop.

        Args:
            wanted_s: how long its thread has run or waited for a core, since any moment.
            lag_s: how late this beat is.
            calls: going on or being placed.
        """
        last = self._window[-1] if self._window else _Totals(now, wanted_s, 0.0, 0.0)
        lag_total_s = last.lag_s + min(lag_s, _LONGEST_LAG_S)
        call_total_s = last.call_s + self._calls * (now - last.at)
        self._window.append(_Totals(now, wanted_s, lag_total_s, call_total_s))
        while len(self._window) > 2 and self._window[1].at <= now - WINDOW_S:
            self._window.popleft()
        self._calls = calls
        self._measure()
        self._pressure = self._judge()

    def load_of(self, calls: int) -> float:
        """The load that so many calls come to once the measure shows them all."""
        return max(0.0, self._load + self._call_load * (calls - self._mean_calls))

    def takes(self, calls: int) -> bool:
        """Whether there is room for one more; an idle server always has it.

        Args:
            calls: going on or being placed already.
        """
        if calls == 0 or not self._refuses:
            return True
        most = ROOM_LOAD if self._pressure is Pressure.FULL else FULL_LOAD
        return self.load_of(calls + 1) <= most

    def _measure(self) -> None:
        first, last = self._window[0], self._window[-1]
        # Before the start there was nothing: the first second alone tells little.
        span_s = max(WINDOW_S, last.at - first.at)
        wanted = (last.wanted_s - first.wanted_s) / span_s
        late = (last.lag_s - first.lag_s) / span_s / _LAG_FULL
        self._load = max(wanted, late)
        self._mean_calls = (last.call_s - first.call_s) / span_s
        if abs(self._calls - self._mean_calls) <= _STEADY_SHARE * self._calls:
            call_load = (wanted + _PRIOR_CALLS * CALL_LOAD) / (self._mean_calls + _PRIOR_CALLS)
            self._call_load = min(call_load, _MOST_CALL_LOAD)

    def _judge(self) -> Pressure:
        if self._calls == 0:
            return Pressure.NONE
        if not self.takes(self._calls):
            return Pressure.FULL
        least = RELIEF_LOAD if self._pressure is Pressure.NONE else EASE_LOAD
        return Pressure.RELIEF if self.load_of(self._calls) > least else Pressure.NONE
