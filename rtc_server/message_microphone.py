"""The microphone of a call without an audio section: its samples come in messages."""

from __future__ import annotations

from .media.pcm import Framer
from .media.speech_detector import SpeechDetector
from .metrics import Metrics
from .peer.token_bucket import TokenBucket
from .peer.uplink import BURST_S, OVERRATE, UplinkAudio

__all__ = ["MessageMicrophone"]

_BYTES_PER_S = 16000 * 2
_PIECE_BYTES = _BYTES_PER_S // 50


class MessageMicrophone:
    """Cuts samples into the pieces that an uplink has; faster than life they are dropped."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._framer = Framer(_PIECE_BYTES)
        self._detector = SpeechDetector()
        self._budget = TokenBucket(OVERRATE, BURST_S)

    def push(self, pcm: bytes, now: float) -> list[UplinkAudio]:
        """The pieces of 20 ms that a message's samples, 16 kHz 16-bit mono, complete."""
        seconds = len(pcm) / _BYTES_PER_S
        if not self._budget.take(now, seconds):
            self._metrics.audio_dropped.labels("uplink", "flood").inc(seconds)
            return []
        return [
            UplinkAudio(piece, now, self._detector.push(piece), self._detector.is_quiet)
            for piece in self._framer.push(pcm)
        ]
