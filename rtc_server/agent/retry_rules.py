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
    """So many failures in a row without progress end the call, if the agent is to blame for them,
    or a refusal of the model.

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
    """A call waits no longer than this for a model that cannot be reached, is lost again and
    again, or has too much to do, whether or not other calls fare the same."""

    close_s: float = 2.0
    """A run has this long to end by itself, and again to be cancelled."""

    hang_up_s: float = 0.2
    """Of it a run has this much once its model was told to close: many just go on receiving."""

    random: Callable[[], float] = random.random
    """From 0 to 1; a delay is shortened by up to half of it, so that calls do not retry at once."""

    def delay_s(self, failures: int) -> float:
        """The delay after so many failures in a row."""
        longest = min(self.max_delay_s, self.first_delay_s * 2.0 ** min(failures - 1, 16))
        return longest * (0.5 + 0.5 * self.random())


class RetryCount:
    """Failures in a row without progress, of one live session; ``now`` in monotonic seconds.

    Progress is an answer that was given to its end, or a connection that held.
    """

    def __init__(self, rules: RetryRules) -> None:
        self.failures = 0
        self.is_told = False
        """Whether the caller was told of one in this row."""
        self._rules = rules
        self._refusals = 0
        self._since: float | None = None
        """Since when the session wants a connection that is of use."""
        self._connected_at = 0.0
        self._has_output = False

    @property
    def is_exhausted(self) -> bool:
        """Whether there were as many refusals, or faults of the agent, as a call may have."""
        return self._refusals >= self._rules.attempts

    @property
    def is_long(self) -> bool:
        """Whether what connects by itself has done so often enough."""
        return self.failures >= self._rules.attempts

    def patience_s(self, now: float) -> float:
        """How long the session still waits for a model that is away."""
        return self._rules.patience_s - (0.0 if self._since is None else now - self._since)

    def connects(self, now: float) -> None:
        """A connection is wanted."""
        if self._connected_at and now - self._connected_at > self._rules.stable_s:
            self._progress()
        if self._since is None:
            self._since = now

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
            self._progress()
        return had_output

    def nothing_came(self) -> None:
        """What the model had begun to say has no end, or failed."""
        self._has_output = False

    def failed(self, now: float, *, waits: bool) -> None:
        """A run failed, or ADK connects once more within it.

        Args:
            waits: the model is away, which is waited for; else it is one of a few attempts.
        """
        self.connects(now)
        self._connected_at = 0.0
        self._has_output = False
        self.failures += 1
        self._refusals += not waits

    def _progress(self) -> None:
        self.failures = self._refusals = 0
        self.is_told = False
        self._since = None
