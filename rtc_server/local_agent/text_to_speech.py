"""Text to speech: the ``LiveEgress`` of the embedded agent, and the one that stays silent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from google.adk.live import AgentSpokenOutput, AudioChunk, EgressEvent, LiveEgress
from google.genai import types
from typing_extensions import override

from .inference import OUTPUT_RATE, Voice

__all__ = ["Piece", "SpeechSplitter", "TextOnly", "TextToSpeech"]

_CHUNK_BYTES = OUTPUT_RATE  # half a second: fewer events than in 20 ms, nothing comes later
_MIME_TYPE = f"audio/pcm;rate={OUTPUT_RATE}"

_SENTENCE_END = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]]*\s+|\n+")
_CLAUSE_END = re.compile(r"[,;:\u2014][\"'\u201d\u2019)\]]*\s+")
_FIRST_LONG = 60  # a first sentence longer than this is begun at its first clause
_FIRST_SHORTEST = 12
_LONG = 160
_SHORTEST = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to be spoken in one breath, with the whitespace that followed it."""

    text: str
    ends_sentence: bool


class SpeechSplitter:
    """Cuts streamed text into pieces to be spoken, each as soon as it is whole.

    Joined, the pieces are the text.  A sentence is one piece; a long one is cut at a clause,
    the first of a reply early, so that speech begins sooner.
    """

    def __init__(self) -> None:
        self._text = ""
        self._is_first = True

    def push(self, delta: str) -> list[Piece]:
        """Take the next characters, return the pieces they complete."""
        self._text += delta
        return list(iter(self._next, None))

    def flush(self) -> list[Piece]:
        """Return what is left when the text has ended."""
        pieces = list(iter(lambda: self._next(at_end=True), None))
        if self._text:
            pieces.append(Piece(self._text, ends_sentence=True))
        self._text = ""
        return pieces

    def _next(self, *, at_end: bool = False) -> Piece | None:
        end = _SENTENCE_END.search(self._text)
        length = end.end() if end else len(self._text)
        longest, shortest = (_FIRST_LONG, _FIRST_SHORTEST) if self._is_first else (_LONG, _SHORTEST)
        if length > longest:
            for clause in _CLAUSE_END.finditer(self._text, 0, length):
                if clause.end() >= shortest and length - clause.end() >= _FIRST_SHORTEST:
                    return self._cut(clause.end(), ends_sentence=False)
            if length > 2 * _LONG and (space := self._text.rfind(" ", _SHORTEST, 2 * _LONG)) > 0:
                return self._cut(space + 1, ends_sentence=False)
        if end is None or (at_end and length == len(self._text)):
            return None
        return self._cut(length, ends_sentence=True)

    def _cut(self, length: int, *, ends_sentence: bool) -> Piece:
        piece = Piece(self._text[:length], ends_sentence)
        self._text = self._text[length:]
        self._is_first = False
        return piece


async def _pieces(text: AsyncIterator[str]) -> AsyncGenerator[Piece, None]:
    splitter = SpeechSplitter()
    async for delta in text:
        for piece in splitter.push(delta):
            yield piece
    for piece in splitter.flush():
        yield piece


class TextToSpeech(LiveEgress):
    """Speaks a sentence at a time as s16 mono at 24 kHz; one object serves all calls.

    A set ``cancel`` or a cancelled task ends it at once; at most the sentence in hand is still
    synthesised, for nothing.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    @override
    async def __call__(
        self, text: AsyncIterator[str], *, cancel: asyncio.Event
    ) -> AsyncGenerator[EgressEvent, None]:
        """Yield each piece's audio and then its text."""
        async for piece in _pieces(text):
            pause = "sentence" if piece.ends_sentence else "clause"
            pcm = (
                await self._voice.speak(piece.text.strip(), pause=pause)
                if piece.text.strip()
                else b""
            )
            for start in range(0, len(pcm), _CHUNK_BYTES):
                if cancel.is_set():
                    return
                chunk = pcm[start : start + _CHUNK_BYTES]
                yield AudioChunk(blob=types.Blob(data=chunk, mime_type=_MIME_TYPE))
            if cancel.is_set():
                return
            yield AgentSpokenOutput(text=piece.text)


class TextOnly(LiveEgress):
    """Passes the text on without speaking it, for text calls."""

    @override
    async def __call__(
        self, text: AsyncIterator[str], *, cancel: asyncio.Event
    ) -> AsyncGenerator[EgressEvent, None]:
        """Yield each sentence as soon as it is whole."""
        async for piece in _pieces(text):
            if cancel.is_set():
                return
            yield AgentSpokenOutput(text=piece.text)
