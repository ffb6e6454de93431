"""The stand-in's voice and ears: words as tones of known length, and loudness as speech."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["LOWEST_HZ", "RATE", "VOICED", "WORD_S", "Ears", "pitch_hz", "say_word"]

RATE = 24_000
"""Samples a second of the voice."""

WORD_S = 0.2
"""How long a word is, with the pause after it, where nothing else is asked for."""

VOICED = 0.8
"""What share of a word is sound, where nothing else is asked for; the pause follows."""

_FRAME_S = 0.02


LOWEST_HZ = {"": 330.0, "Puck": 1100.0}
"""The first word of each voice; any other has that of the first."""


def pitch_hz(place: int, voice: str = "") -> float:
    """Of the word at this place of an answer."""
    return LOWEST_HZ.get(voice, LOWEST_HZ[""]) + 55.0 * (place % 8)


def say_word(place: int, word_s: float = WORD_S, voiced: float = VOICED, voice: str = "") -> bytes:
    """The word at this place of an answer: a tone and a short pause, s16 mono."""
    return _word(pitch_hz(place, voice), word_s, voiced)


@functools.lru_cache(maxsize=64)
def _word(hz: float, word_s: float, voiced: float) -> bytes:
    t = np.arange(round(voiced * word_s * RATE)) / RATE
    fade = np.minimum(1.0, np.minimum(t, t[::-1]) / 0.005)
    tone = (9000 * fade * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()
    return tone.ljust(2 * round(word_s * RATE), b"\0")


@dataclass(slots=True)
class Ears:
    """Voice detection by loudness, in the time of the audio itself.

    Speech has begun after ``start_ms`` of it, and is over after ``silence_ms`` without.
    """

    silence_ms: int = 300
    start_ms: int = 60
    loud: float = 400.0
    """Root mean square of a frame of speech, of 32768."""

    is_speech: bool = False
    speech_ms: float = 0.0
    """Of the speech that is going on, or was last."""

    _loud_ms: float = 0.0
    _quiet_ms: float = 0.0
    _rest: bytes = b""

    def hear(self, pcm: bytes, rate: int) -> list[Literal["start", "end"]]:
        """What began or ended in this piece."""
        events: list[Literal["start", "end"]] = []
        size = 2 * round(_FRAME_S * rate)
        data = self._rest + pcm
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        for begin in range(0, whole, size):
            frame = np.frombuffer(data[begin : begin + size], "<i2").astype(np.float64)
            self._frame(bool(np.sqrt(np.mean(frame**2)) > self.loud), events)
        return events

    def stream_ended(self) -> bool:
        """The microphone is off; returns whether that ends speech."""
        was, self.is_speech = self.is_speech, False
        self._loud_ms = self._quiet_ms = 0.0
        return was

    def _frame(self, is_loud: bool, events: list[Literal["start", "end"]]) -> None:
        ms = 1000 * _FRAME_S
        if is_loud:
            self._loud_ms += ms
            self._quiet_ms = 0.0
            if self.is_speech:
                self.speech_ms += ms
            elif self._loud_ms >= self.start_ms:
                self.is_speech = True
                self.speech_ms = self._loud_ms
                events.append("start")
            return
        self._loud_ms = 0.0
        self._quiet_ms += ms
        if self.is_speech and self._quiet_ms >= self.silence_ms:
            self.is_speech = False
            events.append("end")
