"""A token bucket: so much at once, so much a second; pure, time is an argument."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Lets ``rate`` tokens a second pass, and ``burst`` at once after a quiet time."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, now: float, tokens: float = 1.0) -> bool:
        """Take tokens if they are there; False leaves all as it was.

        Args:
            now: seconds of a monotonic clock.
        """
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True
