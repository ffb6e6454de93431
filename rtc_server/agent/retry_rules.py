"""How often and how soon a failed live run is started again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["RetryCount", "RetryRules"]


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


class RetryCount:
    """Failures in a row without progress, of one live session; ``now`` in monotonic seconds.

    Progress is an answer that was given to its end, or a connection that held.
    """

    def __init__(self, rules: RetryRules) -> None:
        self.failures = 0
        self._rules = rules
        self._connected_at = 0.0
        self._has_output = False

    @property
    def is_exhausted(self) -> bool:
        """Whether there were as many as a call may have."""
        return self.failures >= self._rules.attempts

    def connected(self, now: float) -> None:
        """The model took a connection."""
        self._connected_at = now

    def output(self) -> None:
        """The model says something, or calls a tool."""
        self._has_output = True

    def answer_is_over(self) -> bool:
        """An answer is at its end; whether there was one, which is progress."""
        had_output, self._has_output = self._has_output, False
        if had_output:
            self.failures = 0
        return had_output

    def nothing_came(self) -> None:
        """What the model had begun to say has no end, or failed."""
        self._has_output = False

    def failed(self, now: float) -> None:
        """A run failed, or ADK connects once more within it."""
        if self._connected_at and now - self._connected_at > self._rules.stable_s:
            self.failures = 0
        self._connected_at = 0.0
        self._has_output = False
        self.failures += 1

    def spare(self) -> None:
        """The last failure was everybody's: it exhausts no call."""
        self.failures = min(self.failures, self._rules.attempts - 1)
