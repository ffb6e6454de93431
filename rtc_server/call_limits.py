"""When a call ends because it has lasted, or has been quiet, for too long: plain code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["CallLimits", "Ending"]

_NOTICE_S = 10.0
"""So long before the end the caller is told; half of a limit that is shorter than twice that."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The call is to end: now, or in ``seconds``, of which the caller is to be told."""

    reason: Literal["max_duration", "idle"]
    seconds: float = 0.0


@dataclass(slots=True)
class CallLimits:
    """Of one call; times are monotonic seconds."""

    max_call_s: float | None
    """How long a call may last; None: there is no such limit."""

    idle_s: float | None
    """How long a call may be idle; None: there is no such limit."""

    _max_duration_told: bool = False
    _idle_told: bool = False

    @property
    def is_ending(self) -> bool:
        """The caller has been told that the call will end."""
        return self._max_duration_told or self._idle_told

    def check(self, now: float, *, started_at: float, idle_since: float) -> Iterator[Ending]:
        """What limit has been reached, or will be soon; of each the caller is told once.

        Who is told of an idle call and says something takes the warning back.
        """
        if self.max_call_s is not None:
            left = started_at + self.max_call_s - now
            if left <= 0:
                yield Ending("max_duration")
            elif left <= _notice_s(self.max_call_s) and not self._max_duration_told:
                self._max_duration_told = True
                yield Ending("max_duration", left)
        if self.idle_s is not None:
            left = idle_since + self.idle_s - now
            if left > _notice_s(self.idle_s):
                self._idle_told = False
            elif left <= 0:
                yield Ending("idle")
            elif not self._idle_told:
                self._idle_told = True
                yield Ending("idle", left)


def _notice_s(limit_s: float) -> float:
    return min(_NOTICE_S, limit_s / 2)
