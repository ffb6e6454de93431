"""When speech is recognised and what of it is told, with a scripted detector and recogniser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import pytest
from google.adk.live import IngressEvent, PartialTranscript, UserSpeechStarted, UserTurnFinished
from google.genai import types
from typing_extensions import override

from rtc_server.local_agent.inference import (
    DETECTOR_BYTES,
    Recogniser,
    SpeechModels,
    VoiceDetector,
    VoiceDetectors,
)
from rtc_server.local_agent.speech_to_text import SpeechToText
from rtc_server.local_agent.utterance import EndpointRules

PIECE_MS = 32

T = TypeVar("T")


def done(value: T) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


class ScriptedDetectors(VoiceDetectors):
    """Voice is whatever is not zero."""

    def __init__(self) -> None:
        super().__init__()
        self.heard_ms = 0

    @override
    def probability(self, detector: VoiceDetector, pcm: bytes) -> asyncio.Future[float]:
        self.heard_ms += PIECE_MS
        return done(float(any(pcm)))


class ScriptedRecogniser(Recogniser):
    """Says what the test has written down, one text for each time that it is asked."""

    def __init__(self, detectors: ScriptedDetectors) -> None:
        super().__init__()
        self.texts: list[str] = []
        """The last one is said again."""
        self.asked_at_ms: list[int] = []
        """How much had been heard then."""
        self.has_time = True
        """Whether it is asked for hypotheses: no other call keeps it busy."""
        self._detectors = detectors

    @override
    def transcribe(self, pcm: bytes) -> asyncio.Future[str]:
        self.asked_at_ms.append(self._detectors.heard_ms)
        return done(self.texts.pop(0) if len(self.texts) > 1 else self.texts[0])

    @override
    def try_transcribe(self, pcm: bytes) -> asyncio.Future[str] | None:
        return self.transcribe(pcm) if self.has_time else None


class Ears(SpeechModels):
    """The models that recognition needs, and what it made of a segment."""

    recogniser: ScriptedRecogniser
    detectors: ScriptedDetectors

    def __init__(self) -> None:
        super().__init__()
        self.detectors = ScriptedDetectors()
        self.recogniser = ScriptedRecogniser(self.detectors)
        self.at_ms: list[int] = []
        """How much had been heard when each event came."""

    async def listen(self, *ms: int, rules: EndpointRules | None = None) -> list[IngressEvent]:
        """What comes of so much voice, so much silence, and so on by turns, and the end."""
        events: list[IngressEvent] = []
        async for event in SpeechToText(self, rules)(_sound(ms)):
            events.append(event)
            self.at_ms.append(self.detectors.heard_ms)
        return events


async def _sound(ms: tuple[int, ...]) -> AsyncIterator[types.Blob]:
    for number, length_ms in enumerate(ms):
        piece = bytes([1 - number % 2]) * DETECTOR_BYTES
        for _ in range(length_ms // PIECE_MS):
            yield types.Blob(data=piece, mime_type="audio/pcm;rate=16000")


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears = Ears()
    yield ears
    ears.close()


def partials(events: list[IngressEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, PartialTranscript)]


# Hypotheses -----------------------------------------------------------------


async def test_a_hypothesis_is_told_without_its_last_word_which_still_flickers(ears: Ears) -> None:
    ears.recogniser.texts = [
        "What",
        "What is seven",
        "What is seventeen",
        "What is seventeen times for",
        "What is seventeen times four?",
    ]
    events = await ears.listen(1600, 320)
    assert partials(events) == ["What is", "What is seventeen times"]
    assert events[-1] == UserTurnFinished(text="What is seventeen times four?")


# The recognition ahead of the end ---------------------------------------------


async def test_words_are_recognised_once_before_the_silence_is_long_enough(ears: Ears) -> None:
    """At 190 ms of silence, so that they are there when 280 ms are over."""
    ears.recogniser.has_time = False
    ears.recogniser.texts = ["Hello."]
    events = await ears.listen(640, 640)
    assert ears.recogniser.asked_at_ms == [640 + 192]
    assert events == [UserSpeechStarted(), UserTurnFinished(text="Hello.")]
    assert ears.at_ms[-1] == 640 + 288


@pytest.mark.parametrize("after", [(320,), ()], ids=["a silence", "the end of the audio"])
async def test_what_was_recognised_is_void_when_speech_goes_on(
    ears: Ears, after: tuple[int, ...]
) -> None:
    ears.recogniser.has_time = False
    ears.recogniser.texts = ["Hello", "Hello, who are you?"]
    events = await ears.listen(640, 224, 640, *after)
    assert len(ears.recogniser.asked_at_ms) == 2
    assert events == [UserSpeechStarted(), UserTurnFinished(text="Hello, who are you?")]


async def test_what_was_recognised_is_void_when_speech_goes_on_until_it_is_cut_off(
    ears: Ears,
) -> None:
    ears.recogniser.has_time = False
    ears.recogniser.texts = ["Once", "Once upon a time"]
    rules = EndpointRules(longest_ms=1600)
    events = await ears.listen(640, 224, 1600 - 640 - 224, rules=rules)
    assert events == [UserSpeechStarted(), UserTurnFinished(text="Once upon a time")]


# What interrupts ----------------------------------------------------------------


async def test_a_cough_is_not_told(ears: Ears) -> None:
    """300 ms of voice without words: it must not silence an answer."""
    ears.recogniser.texts = ["You"]
    assert await ears.listen(288, 640) == []
    assert ears.recogniser.asked_at_ms


async def test_a_click_is_not_even_recognised(ears: Ears) -> None:
    ears.recogniser.texts = ["You"]
    assert await ears.listen(224, 640) == []
    assert ears.recogniser.asked_at_ms == []


@pytest.mark.parametrize(
    ("has_time", "interrupts_at_ms"),
    [(True, 704), (False, 416)],
    ids=["heard none", "heard nothing yet"],
)
async def test_long_voice_without_words_interrupts_and_is_taken_back(
    ears: Ears, has_time: bool, interrupts_at_ms: int
) -> None:
    """700 ms of it, where no words were recognised; 400 ms, where the recogniser is busy."""
    ears.recogniser.has_time = has_time
    ears.recogniser.texts = [""]
    assert await ears.listen(960, 640) == [UserSpeechStarted(), UserTurnFinished(text="")]
    assert ears.at_ms[0] == interrupts_at_ms


async def test_words_interrupt_at_once(ears: Ears) -> None:
    ears.recogniser.texts = ["Stop."]
    events = await ears.listen(640, 640)
    assert events == [UserSpeechStarted(), UserTurnFinished(text="Stop.")]
    assert ears.at_ms[0] == 288
