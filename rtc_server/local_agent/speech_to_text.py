"""Speech to text: the ``LiveIngress`` of the embedded agent.

What it avoids, measured with ``google.adk.live`` 2.13 and Moonshine:

* The recogniser answers "You" to anything that is not speech: it is asked only about 250 ms
  of voice or more, and such words alone count as none.
* ``UserSpeechStarted`` silences the agent for good if nothing follows: it is sent only after
  words, or after so much voice that it must be somebody, and it is always followed by a
  ``UserTurnFinished``, whose text is empty if nobody said anything.
* An exception ends the live run: nothing raises past this module.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator

from google.adk.live import (
    IngressEvent,
    LiveIngress,
    PartialTranscript,
    UserSpeechStarted,
    UserTurnFinished,
)
from google.genai import types
from typing_extensions import override

from .inference import DETECTOR_BYTES, SpeechModels, VoiceDetector
from .utterance import EndpointRules, Signal, Utterance

__all__ = ["SpeechToText", "has_words", "is_unfinished"]

logger = logging.getLogger(__name__)

_NOT_WORDS = frozenset(
    {"you", "uh", "um", "hmm", "hm", "mm", "mhm", "ah", "oh", "huh", "er", "eh", "ha", "the", "a"}
)
_UNFINISHED = frozenset(
    {"and", "or", "plus", "minus", "times", "by", "over", "the", "a", "an", "of", "to", "is", "are"}
    | {"my", "what", "what's", "than", "with", "multiplied", "divided", "in", "from", "into"}
    | {"called", "set", "because", "but", "convert", "add", "subtract", "that", "how", "many"}
)
_VOICE_THAT_INTERRUPTS_MS = 400  # without words yet: the recogniser is busy with other calls
_VOICE_WITHOUT_WORDS_MS = 700  # the recogniser heard none: laughter, singing, another language


def has_words(text: str) -> bool:
    """Whether ``text`` is more than what the recogniser makes of noise."""
    return any(word not in _NOT_WORDS for word in re.findall(r"[\w']+", text.lower()))


def is_unfinished(text: str) -> bool:
    """Whether somebody who said ``text`` is likely to go on after a pause."""
    words = re.findall(r"[\w']+", text.lower())
    return bool(words) and words[-1] in _UNFINISHED


class SpeechToText(LiveIngress):
    """Turns ``audio/pcm;rate=16000`` into partial and finished transcripts.

    One object serves all calls: each call of it is one segment of one call's audio and has
    its own memory.  ``UserTurnFinished`` with empty text takes a ``UserSpeechStarted`` back.
    """

    def __init__(self, models: SpeechModels, rules: EndpointRules | None = None) -> None:
        self._models = models
        self._rules = rules or EndpointRules()

    @override
    async def __call__(
        self, audio: AsyncIterator[types.Blob]
    ) -> AsyncGenerator[IngressEvent, None]:
        """Recognise one segment of audio; its end finishes what is being said."""
        detector = await self._models.detectors.borrow()
        segment = _Segment(self._models, detector, self._rules)
        try:
            async for blob in audio:
                for event in await segment.push(blob):
                    yield event
            for event in await segment.finish():
                yield event
        finally:
            segment.close()


class _Segment:
    """The memory of one segment."""

    def __init__(self, models: SpeechModels, detector: VoiceDetector, rules: EndpointRules) -> None:
        self._models = models
        self._detector = detector
        self._rules = rules
        self._utterance = Utterance(rules)
        self._rest = bytearray()  # less than a piece
        self._detection: asyncio.Future[float] | None = None
        self._partial: asyncio.Future[str] | None = None
        self._final: asyncio.Future[str] | None = None
        self._heard_none = False  # the last partial had no words
        self._started = False  # UserSpeechStarted is out, UserTurnFinished is not
        self._shown = ""
        self._skip_partials = 0

    async def push(self, blob: types.Blob) -> list[IngressEvent]:
        """Take a piece of audio of any length; never raises."""
        if not (blob.mime_type or "").startswith("audio/pcm"):
            return []
        self._rest += blob.data or b""
        events: list[IngressEvent] = []
        while len(self._rest) >= DETECTOR_BYTES:
            piece = bytes(self._rest[:DETECTOR_BYTES])
            del self._rest[:DETECTOR_BYTES]
            try:
                events += await self._take(piece)
            except Exception:  # an exception from speech recognition would end the live run
                logger.exception("speech recognition failed; the utterance is lost")
                events += self._finished("")
        return events

    async def finish(self) -> list[IngressEvent]:
        """Take the end of the segment: what was said so far is the utterance."""
        try:
            return await self._end() if self._utterance.has_enough_voice else self._finished("")
        except Exception:  # as above
            logger.exception("speech recognition failed; the utterance is lost")
            return self._finished("")

    def close(self) -> None:
        """Drop what is being recognised and give the detector back."""
        self._drop_recognition()
        if self._detection is None or self._detection.done():
            self._detector.reset()
            self._models.detectors.give_back(self._detector)
        else:
            self._detection.cancel()  # still running on its thread: the detector goes with it

    async def _take(self, piece: bytes) -> list[IngressEvent]:
        self._detection = self._models.detectors.probability(self._detector, piece)
        signal = self._utterance.push(piece, await self._detection)
        events = self._collect_partial()
        if Signal.RESUMED in signal and self._final is not None:
            self._final.cancel()
            self._final = None
        if Signal.GUESS in signal:
            self._final = self._models.recogniser.transcribe(self._utterance.audio)
        if Signal.ENDED in signal:
            events += await self._maybe_end()
        elif Signal.DISCARDED in signal:
            events += self._finished("")
        elif Signal.PARTIAL in signal:
            self._ask_for_partial()
        return events + self._started_by_voice()

    def _ask_for_partial(self) -> None:
        """Recognise the words so far, unless that would take more than a fifth of the time."""
        if self._skip_partials > 0:
            self._skip_partials -= 1
        elif self._partial is None:
            self._partial = self._models.recogniser.try_transcribe(self._utterance.audio)

    def _collect_partial(self) -> list[IngressEvent]:
        if self._partial is None or not self._partial.done():
            return []
        text = self._partial.result()
        self._partial = None
        took_ms = 1000 * self._models.recogniser.last_s
        self._skip_partials = int(5 * took_ms / self._rules.partial_ms)
        self._heard_none = not has_words(text)
        if self._heard_none:
            return []
        events = self._start()
        steady = text.rpartition(" ")[0]  # the last word still flickers
        if steady and steady != self._shown:
            self._shown = steady
            events.append(PartialTranscript(text=steady))
        return events

    def _started_by_voice(self) -> list[IngressEvent]:
        enough = _VOICE_WITHOUT_WORDS_MS if self._heard_none else _VOICE_THAT_INTERRUPTS_MS
        return self._start() if self._utterance.voice_ms >= enough else []

    def _start(self) -> list[IngressEvent]:
        if self._started:
            return []
        self._started = True
        return [UserSpeechStarted()]

    async def _maybe_end(self) -> list[IngressEvent]:
        """End the utterance, unless its words ask for more and the silence is short."""
        if self._final is None:
            self._final = self._models.recogniser.transcribe(self._utterance.audio)
        waiting = 0 < self._utterance.silence_ms < self._rules.unfinished_end_ms
        if waiting and is_unfinished(await self._final):
            return []
        return await self._end()

    async def _end(self) -> list[IngressEvent]:
        if self._final is None:
            self._final = self._models.recogniser.transcribe(self._utterance.audio)
        return self._finished(await self._final)

    def _finished(self, text: str) -> list[IngressEvent]:
        """Forget the utterance and say what it was, if anything."""
        self._drop_recognition()
        self._utterance.reset()
        self._shown = ""
        self._heard_none = False
        self._skip_partials = 0
        events: list[IngressEvent] = []
        if has_words(text):
            events = [*self._start(), UserTurnFinished(text=text)]
        elif self._started:
            events = [UserTurnFinished(text="")]
        self._started = False
        return events

    def _drop_recognition(self) -> None:
        for future in (self._partial, self._final):
            if future is not None:
                future.cancel()
        self._partial = self._final = None
