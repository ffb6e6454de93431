"""Speech of the user at which the model showed no sign of life, as plain code.

A typed question is known to be one; of a spoken one only the model says so, by its transcript
or its answer.  A model whose connection is open and dead says nothing at all: then only our own
detector knows that somebody spoke.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UnheardSpeech"]


@dataclass(slots=True)
class UnheardSpeech:
    """What was said since the model's last sign of life; ``now`` is in monotonic seconds.

    Noise that is taken for speech has the same look, so that what is overdue is overdue twice
    as late the next time, until the model gives a sign.
    """

    LEAST_MS = 500
    """Less speech than this asks nothing."""

    PAUSE_S = 2.0
    """Silence after which any model would have taken the user's turn for over."""

    least_utterances: int = 1
    """Fewer, within the time for an answer, ask nothing."""

    _speech_ms: float = 0.0
    """Of the utterance that goes on, or was last."""
    _utterances: int = 0
    _last_at: float = 0.0
    _over_at: float | None = None
    """When the first of what was said was over."""
    _patience: float = 1.0

    def speech(self, at: float, duration_ms: float) -> None:
        """A piece of the uplink was judged to be speech."""
        if at - self._last_at > self.PAUSE_S:
            self._speech_ms = 0.0
        was_one = self._speech_ms >= self.LEAST_MS
        self._speech_ms += duration_ms
        self._utterances += not was_one and self._speech_ms >= self.LEAST_MS
        self._last_at = at

    def sign(self) -> None:
        """The model said or did something."""
        self.settle()
        self._patience = 1.0

    def settle(self) -> None:
        """Nothing more is awaited of what was said."""
        self._speech_ms = 0.0
        self._utterances = 0
        self._over_at = None

    def is_overdue(self, now: float, timeout_s: float, *, back_at: float = 0.0) -> bool:
        """Whether the model, there since ``back_at``, has had its time; once for what was said."""
        is_speaking = now - self._last_at <= self.PAUSE_S
        if self._over_at is None and self._utterances and not is_speaking:
            self._over_at = self._last_at
        if self._over_at is None or is_speaking:
            return False
        if now - max(self._over_at, back_at) <= timeout_s * self._patience:
            return False
        is_asked = self._utterances >= self.least_utterances
        self.settle()
        if is_asked:
            self._patience = min(16.0, 2.0 * self._patience)
        return is_asked
