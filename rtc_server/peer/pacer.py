"""When the next frame is due, and with which RTP timestamp; pure, time is an argument."""

from __future__ import annotations

__all__ = ["CLOCK_RATE", "Pacer"]

CLOCK_RATE = 48_000
"""RTP clock of Opus in Hz (RFC 7587 section 4.1)."""


class Pacer:
    """Paces the frames of talk spurts, one every ``interval_s``, on one monotonic clock.

    The first frame of a spurt is due at once, though never sooner than an interval after
    the last frame of the spurt before.  Within a spurt a frame is due an interval after
    the one before was *due*, so that lateness does not add up.  A frame that comes more
    than an interval late moves the rhythm: the next one is due now, one frame of catching
    up, and what was missed beyond is not made up for by a burst.  One that comes more than
    ``stall_s`` late begins a spurt of its own: what the listener's jitter buffer held has
    been played by then.

    The timestamp follows the due time.  Over a silence or a stall it jumps by the time
    that passed, so that no packet looks late to the listener's jitter buffer, which would
    hold back all that follow; else it advances by one frame.  It never goes backwards.
    """

    def __init__(self, interval_s: float = 0.02, *, stall_s: float = 0.06) -> None:
        self._interval_s = interval_s
        self._stall_s = stall_s
        self._ticks = round(interval_s * CLOCK_RATE)
        self._origin: float | None = None
        self._due: float | None = None
        self._earliest: float | None = None
        self._timestamp = -self._ticks
        self._is_continuous = False

    @property
    def due(self) -> float | None:
        """When the next frame is due; None between talk spurts."""
        return self._due

    def begin(self, now: float) -> float:
        """Begin a talk spurt, unless one goes on; returns when its next frame is due."""
        if self._due is None:
            if self._origin is None:
                self._origin = now
            self._due = now if self._earliest is None else max(now, self._earliest)
            self._is_continuous = self._earliest is not None and self._due <= self._earliest
        return self._due

    def sent(self, now: float) -> tuple[int, float]:
        """Note that the frame that was due leaves now.

        Returns:
            Its RTP timestamp counted from 0, in 1/48000 s, and how late it is in seconds.
        """
        due = self.begin(now)
        late_s = now - due
        if late_s > self._stall_s:
            due = now
            self._is_continuous = False
        assert self._origin is not None
        by_frames = self._timestamp + self._ticks
        by_clock = round((due - self._origin) * CLOCK_RATE)
        self._timestamp = by_frames if self._is_continuous else max(by_frames, by_clock)
        following = due + self._interval_s
        self._is_continuous = now <= following
        self._due = following if self._is_continuous else now
        self._earliest = self._due
        return self._timestamp, late_s

    def end(self) -> None:
        """End the talk spurt: there is nothing to send."""
        self._due = None
