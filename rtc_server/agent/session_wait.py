"""How long a call waits for its session, which is no failure of its model; plain code."""

from __future__ import annotations

from .retry_rules import RetryRules

__all__ = ["SessionWait"]


class SessionWait:
    """How long the session of a call has not been there; ``now`` in monotonic seconds.

    That is no failure of the model: it counts towards no ``RetryRules.attempts``.
    """

    def __init__(self, rules: RetryRules) -> None:
        self._rules = rules
        self._since: float | None = None
        self._failures = 0

    @property
    def has_failed_before(self) -> bool:
        """Whether the last failure was not the first, of which the caller is told."""
        return self._failures > 1

    def failed(self, now: float) -> bool:
        """It was not there once more; whether to wait for it any longer."""
        if self._since is None:
            self._since = now
        self._failures += 1
        return now - self._since < self._rules.patience_s

    def delay_s(self) -> float:
        """Before it is tried again."""
        return self._rules.delay_s(self._failures)

    def over(self) -> None:
        """It is there."""
        self._since, self._failures = None, 0
