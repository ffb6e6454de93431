"""A model whose words are tones of known lengths, and a caller who knows what came of them."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from google.genai import types

from rtc_server.media.pcm import frame_bytes
from tests.agent.scripted_llm import (
    Script,
    ScriptedConnection,
    SpeechEnded,
    SpeechHeard,
    audio_piece,
    heard,
    interrupted,
    said,
    text_of,
    tone,
    turn_complete,
)
from tests.peer.rtc_client import RATE, ReceivedPacket, dominant_frequency

__all__ = ["WORDS", "Received", "reader"]

LENGTHS_MS = (180, 300, 240, 520, 200, 360, 180, 440, 280, 600, 220, 340, 260, 480, 200, 400)
WORDS = tuple(f"word{chr(ord('a') + n)}" for n in range(len(LENGTHS_MS)))
"""Spoken one after another without a pause, each as a tone of its own, 5.2 s in all."""

_FRAME_MS = 20
_LOUD = 500
_FADE_MS = 60
"""What of the end of a recording tells which tone was heard last."""


def _pitch(n: int) -> float:
    return 300.0 + 130.0 * n


def _sound(n: int) -> bytes:
    return tone(LENGTHS_MS[n] / 1000, hz=_pitch(n))


def reader(*, finishes: bool) -> Script:
    """Answers each text, and each speech, with all the words, much faster than real time.

    Args:
        finishes: the transcript is finished with the answer, as where Gemini has generated it
            all; else the answer stays open, and the transcript is finished when it is
            interrupted, and whole.
    """

    async def read(connection: ScriptedConnection) -> None:
        is_open = False
        while True:
            one = await connection.hear()
            if isinstance(one, SpeechHeard | types.Content) and is_open:
                connection.emit(said(" ".join(WORDS), finished=True))
                connection.emit(interrupted(), turn_complete())
                is_open = False
            elif isinstance(one, SpeechHeard):
                connection.emit(interrupted(), turn_complete())
            if isinstance(one, SpeechEnded):
                connection.emit(heard("go on", finished=True))
            elif not isinstance(one, types.Content) or not text_of(one):
                continue
            for n, word in enumerate(WORDS):
                connection.emit(audio_piece(_sound(n)), said(word if n == 0 else f" {word}"))
            if finishes:
                connection.emit(said(" ".join(WORDS), finished=True), turn_complete())
            is_open = not finishes

    return read


@dataclass(frozen=True)
class Received:
    """What of an answer arrived at the caller."""

    ms: int
    """Of audible sound."""
    last: int
    """Number of the word that was heard last, by its pitch; -1: none."""

    @classmethod
    def of(cls, packets: list[ReceivedPacket], first: int) -> Received:
        """By the packets from ``first`` on; the decoder hears those before, too."""
        decoder = av.CodecContext.create("libopus", "r")
        decoder.thread_count = 1
        decoder.sample_rate = RATE
        decoder.layout = "mono"
        loud = []
        for number, packet in enumerate(packets):
            for frame in decoder.decode(av.Packet(packet.payload)):
                assert isinstance(frame, av.AudioFrame)
                pcm = frame_bytes(frame)
                if number >= first and np.abs(np.frombuffer(pcm, "<i2")).max() > _LOUD:
                    loud.append(pcm)
        if not loud:
            return cls(0, -1)
        end = b"".join(loud[-_FADE_MS // _FRAME_MS :])
        pitch = dominant_frequency(end)
        nearest = min(range(len(WORDS)), key=lambda n: abs(_pitch(n) - pitch))
        return cls(_FRAME_MS * len(loud), nearest)

    @property
    def whole_words(self) -> int:
        """How many words had been heard to their end."""
        ends = np.cumsum(LENGTHS_MS)
        return int(np.searchsorted(ends, self.ms, side="right"))
