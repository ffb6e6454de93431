"""Speech of the user that went with a connection to the model, as plain code.

What is said into a connection is heard when the model gives a sign: its words for it, or
an answer.  What had none when the connection was lost, and what is said while there is none,
has reached nobody, unless the user goes on speaking and is heard then.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LostSpeech"]


@dataclass(slots=True)
class LostSpeech:
    """Of one call; times are monotonic seconds.

    Args:
        kept_s: so much sound waits for the first connection of a call; for no other does any.
    """

    LEAST_MS = 500
    """Less was no sentence."""

    PAUSE_S = 2.0
    """Silence after which the user has ended his turn."""

    FRESH_S = 10.0
    """What is older when a connection is lost was noise, as it seems: the model was there."""

    SETTLE_S = 1.0
    """The next connection has this long to give a sign, in case that it knows all the same."""

    kept_s: float = 2.0

    _is_first: bool = True
    """There was no connection yet."""
    _is_away: bool = False
    _is_lost: bool = False
    """A connection has gone since the last sign."""
    _back_at: float = 0.0
    _last_at: float = 0.0
    _owes: bool = False
    _said_ms: float = 0.0
    """Without a sign, but for what was said over the agent's voice."""
    _over_ms: float = 0.0
    """Over the agent's voice."""
    _sound_ms: float = 0.0
    """Of the agent's voice, since the last sign."""
    _new_ms: float = 0.0
    """Since the model is back."""

    def speech(self, at: float, duration_ms: float, *, owes: bool, over_sound: bool) -> None:
        """A piece of the uplink was judged to be speech.

        Args:
            owes: a model that hears it gives a sign.
            over_sound: the agent's voice is on the wire: this may be its echo.
        """
        if at - self._last_at > self.PAUSE_S and self._said_ms < self.LEAST_MS:
            self._said_ms = 0.0  # a cough
        self._last_at, self._owes = at, owes
        if self._is_lost and not self._is_away:
            self._new_ms += duration_ms
            if self._new_ms >= self.LEAST_MS:
                self._begin_anew()  # the user goes on, and the model has that
        elif (owes or self._is_away) and over_sound:
            self._over_ms += duration_ms
        elif owes or self._is_away:
            self._said_ms += duration_ms

    def sound(self, duration_ms: float) -> None:
        """So much of the agent's voice left."""
        self._sound_ms += duration_ms

    def interrupted(self) -> None:
        """The model was interrupted by what it heard: that was the user, and no echo."""
        self._said_ms += self._over_ms
        self._over_ms = self._sound_ms = 0.0

    def settle(self) -> None:
        """The model has heard the user, or the user was told to ask again."""
        self._is_lost = self._is_away
        self._is_first &= self._is_away
        self._said_ms = self._over_ms = self._sound_ms = self._new_ms = 0.0

    def away(self, now: float) -> None:
        """There is no connection."""
        if self._is_away:
            return
        self._is_away = True
        self._said_ms += self._new_ms
        self._new_ms = 0.0
        if not self._is_lost and now - self._last_at > self.FRESH_S:
            self._said_ms = self._over_ms = 0.0
        self._is_lost = not self._is_first

    def failed(self) -> None:
        """A connection came to nothing: what waited for the first one is dropped."""
        if self._is_away:
            self._is_first, self._is_lost = False, True

    def back(self, now: float) -> None:
        """There is a connection."""
        if self._is_first and now - self._last_at > self.kept_s:
            self._is_lost = True
        self._is_away = self._is_first = False
        self._back_at = now
        if not self._is_lost and not self._owes:
            self._said_ms = self._over_ms = 0.0  # it was kept, and is heard now

    @property
    def is_any(self) -> bool:
        """Whether there is a sentence that has reached nobody, as far as is known."""
        # An echo is there for most of the agent's voice; who speaks over it is not.
        is_echo = 2 * self._over_ms > self._sound_ms
        said_ms = self._said_ms + (0.0 if is_echo else self._over_ms)
        return self._is_lost and said_ms >= self.LEAST_MS

    def is_due(self, now: float) -> bool:
        """Whether the caller is to be told now; once."""
        if not self._is_lost or self._is_away:
            return False
        if now - self._last_at <= self.PAUSE_S or now - self._back_at <= self.SETTLE_S:
            return False
        is_any = self.is_any
        self._begin_anew()
        return is_any

    def _begin_anew(self) -> None:
        self._is_lost = False
        self._said_ms = self._new_ms if self._owes else 0.0
        self._over_ms = self._sound_ms = self._new_ms = 0.0
