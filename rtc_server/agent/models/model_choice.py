"""Which model a call's next run asks: the agent's own, or the fallback while that is away.

Plain code with the time as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["ModelChoice"]


@dataclass(slots=True)
class ModelChoice:
    """Of one call; ``now`` is in monotonic seconds."""

    has_fallback: bool = False

    on_fallback: bool = False
    """Whether the run that goes on, or the next one, asks the fallback."""

    AFTER_FAILURES: ClassVar[int] = 2
    """So many failures in a row without progress lead from one model to the other."""

    HOLD_S: ClassVar[float] = 60.0
    """The first model is tried again after this long, if no other call has found it well."""

    _failures: int = 0
    _since: float = 0.0
    _on_trial: bool = False
    """The first model is tried again and has not answered yet."""

    def failed(self, now: float, *, is_down: bool = False) -> bool:
        """A run failed; whether the next one asks another model than this.

        Args:
            is_down: the first model counts as down for everybody.
        """
        self._failures += 1
        if not self.has_fallback:
            return False
        if self.on_fallback:
            if self._failures < self.AFTER_FAILURES or is_down:
                return False
            self._go(False, now)
            return True
        if self._failures < self.AFTER_FAILURES and not is_down and not self._on_trial:
            return False
        self._go(True, now)
        return True

    def turned_away(self, now: float, *, is_own_there: bool) -> bool:
        """The model may not be connected to now; whether the other one is asked instead.

        Args:
            is_own_there: the first model may be connected to.
        """
        if not self.has_fallback or (self.on_fallback and not is_own_there):
            return False
        self._go(not self.on_fallback, now)
        return True

    def progressed(self) -> None:
        """The model that was asked gave an answer to its end."""
        self._failures = 0
        self._on_trial = False

    def returns(
        self, now: float, *, is_down: bool, well_at: float | None, is_due: bool = False
    ) -> bool:
        """Between two answers: whether the next run asks the first model again.

        Args:
            is_down: it counts as down, and is not to be tried now.
            well_at: when a connection to it was last found to be good.
            is_due: it counts as down, and somebody is to try it now.
        """
        if not self.on_fallback or is_down:
            return False
        is_well = well_at is not None and well_at > self._since
        if not is_well and not is_due and now - self._since < self.HOLD_S:
            return False
        self._go(False, now)
        self._on_trial = True
        return True

    def _go(self, to_fallback: bool, now: float) -> None:
        self.on_fallback = to_fallback
        self._since = now
        self._failures = 0
        self._on_trial = False
