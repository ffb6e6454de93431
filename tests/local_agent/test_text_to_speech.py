"""From streamed text to audio, a sentence at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from google.adk.live import AgentSpokenOutput, AudioChunk, EgressEvent, LiveEgress

from rtc_server.local_agent.inference import SpeechModels
from rtc_server.local_agent.stories import STORIES
from rtc_server.local_agent.text_to_speech import SpeechSplitter, TextOnly, TextToSpeech

from .sounds import resample


async def stream(text: str, size: int = 7) -> AsyncIterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


async def speak(egress: LiveEgress, text: str) -> list[EgressEvent]:
    return [event async for event in egress(stream(text), cancel=asyncio.Event())]


@pytest.mark.parametrize("text", [*STORIES.values(), "Hi.", "", "  ", "No end", "A.\n\nB?  C!"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_pieces_joined_are_the_text(text: str, size: int) -> None:
    splitter = SpeechSplitter()
    pieces = [
        piece for at in range(0, len(text), size) for piece in splitter.push(text[at : at + size])
    ]
    assert "".join(piece.text for piece in [*pieces, *splitter.flush()]) == text


def test_sentence_is_ready_with_its_last_character() -> None:
    splitter = SpeechSplitter()
    assert splitter.push("It is 3.5") == []
    assert [piece.text for piece in splitter.push(" km. And")] == ["It is 3.5 km. "]


def test_long_first_sentence_begins_with_its_first_clause() -> None:
    long = "Well, once upon a time, in a house by the sea, there lived an old woman and her cat. "
    first, rest = SpeechSplitter().push(long)
    assert first.text == "Well, once upon a time, "
    assert not first.ends_sentence
    assert rest.ends_sentence


def test_endless_sentence_is_cut() -> None:
    splitter = SpeechSplitter()
    pieces = [*splitter.push("word " * 500), *splitter.flush()]
    assert max(len(piece.text) for piece in pieces) <= 320


async def test_audio_comes_before_its_text_and_is_24_khz(models: SpeechModels) -> None:
    events = await speak(TextToSpeech(models.voice), "Hello there. The sum is 68.")
    kinds = [type(event) for event in events]
    assert kinds[0] is AudioChunk
    spoken = [event.text for event in events if isinstance(event, AgentSpokenOutput)]
    assert spoken == ["Hello there. ", "The sum is 68."]
    assert kinds[kinds.index(AgentSpokenOutput) + 1] is AudioChunk
    chunks = [event.blob for event in events if isinstance(event, AudioChunk)]
    assert {chunk.mime_type for chunk in chunks} == {"audio/pcm;rate=24000"}
    audio = b"".join(chunk.data or b"" for chunk in chunks)
    assert len(audio) % 2 == 0
    text = await models.recogniser.transcribe(resample(audio, 24_000))
    assert "68" in text or "sixty eight" in text.lower().replace("-", " ")


async def test_speech_begins_at_once(models: SpeechModels) -> None:
    samples = np.frombuffer(await models.voice.speak("Hello there."), "<i2")
    assert np.flatnonzero(np.abs(samples) > 150)[0] < 24 * 40  # the model's own 300 ms are gone


async def test_set_cancel_ends_the_speech_within_the_sentence(models: SpeechModels) -> None:
    cancel = asyncio.Event()
    events: list[EgressEvent] = []
    async for event in TextToSpeech(models.voice)(
        stream(STORIES["The Lamp Keeper"]), cancel=cancel
    ):
        events.append(event)
        cancel.set()
    assert len(events) == 1


async def test_numbers_times_and_units_are_spoken_well(models: SpeechModels) -> None:
    for text, heard in (
        ("1,250 plus 1 is 1,251.", "1251"),
        ("5 miles are about 8.05 kilometres.", "805"),
        ("It is 3:45 PM.", "345"),
    ):
        pcm = resample(await models.voice.speak(text), 24_000)
        digits = "".join(c for c in await models.recogniser.transcribe(pcm) if c.isdigit())
        assert heard in digits


async def test_text_call_makes_no_audio() -> None:
    events = await speak(TextOnly(), "One. Two.")
    assert [event.text for event in events if isinstance(event, AgentSpokenOutput)] == [
        "One. ",
        "Two.",
    ]
    assert len(events) == 2
