"""A model whose words are tones of known lengths."""

from __future__ import annotations

import asyncio
from itertools import accumulate

from google.genai import types

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
from tests.e2e.heard import Voice

__all__ = ["THINK_S", "VOICE", "reader"]

THINK_S = 0.1
"""Before an answer: what is still on its way of the one before is that one's."""

LENGTHS_MS = (180, 300, 240, 520, 200, 360, 180, 440, 280, 600, 220, 340, 260, 480, 200, 400)
WORDS = tuple(f"word{chr(ord('a') + n)}" for n in range(len(LENGTHS_MS)))
"""Spoken one after another without a pause, each as a tone of its own, 5.2 s in all."""

VOICE = Voice(
    words=WORDS,
    ends_ms=tuple(accumulate(LENGTHS_MS)),
    pitches_hz=tuple(300.0 + 130.0 * n for n in range(len(WORDS))),
)


def _sound(n: int) -> bytes:
    return tone(LENGTHS_MS[n] / 1000, hz=VOICE.pitches_hz[n])


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
            await asyncio.sleep(THINK_S)
            for n, word in enumerate(WORDS):
                connection.emit(audio_piece(_sound(n)), said(word if n == 0 else f" {word}"))
            if finishes:
                connection.emit(said(" ".join(WORDS), finished=True), turn_complete())
            is_open = not finishes

    return read
