"""How often and how soon a failed live run is started again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["RetryRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """When a failed run is started again; times in seconds."""

    first_delay_s: float = 0.25
    """Before the first retry; doubled for each one that follows without progress."""

    max_delay_s: float = 8.0
    """No delay is longer."""

    attempts: int = 6
    """So many failures in a row without progress end the call.

    Progress is an answer given to its end.  The beginning of one is none: a model that
    fails in the middle of every answer would be asked again, and paid, for ever.
    """

    stable_s: float = 10.0
    """A connection that held this long counts as progress, whatever the model said."""

    stall_s: float = 15.0
    """A run that takes nothing of what waits for it for this long is given up."""

    connect_s: float = 10.0
    """A model that has not taken a connection after this long is not there."""

    patience_s: float = 300.0
    """A call waits no longer than this for a model that is down for everybody."""

    close_s: float = 2.0
    """A run has this long to end by itself, and again to be cancelled."""

    random: Callable[[], float] = random.random
    """From 0 to 1; a delay is shortened by up to half of it, so that calls do not retry at once."""

    def delay_s(self, failures: int) -> float:
        """The delay after so many failures in a row."""
        longest = min(self.max_delay_s, self.first_delay_s * 2.0 ** (failures - 1))
        return longest * (0.5 + 0.5 * self.random())
