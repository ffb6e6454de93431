"""Recognition of the offline voice, of recorded people, and of what is no speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.adk.live import IngressEvent, PartialTranscript, UserSpeechStarted, UserTurnFinished
from google.genai import types

from rtc_server.local_agent.inference import SpeechModels
from rtc_server.local_agent.speech_to_text import SpeechToText, has_words, is_unfinished
from rtc_server.media.time_compression import LONGEST_CUT_S, shorten

from ..waiting import until
from .sounds import ALSA, POCKETSPHINX, noise, recorded, silence, spoken

BLOB = "audio/pcm;rate=16000"


async def microphone(pcm: bytes, piece: int = 640) -> AsyncIterator[types.Blob]:
    for start in range(0, len(pcm), piece):
        yield types.Blob(data=pcm[start : start + piece], mime_type=BLOB)


async def patient_microphone(models: SpeechModels, pcm: bytes) -> AsyncIterator[types.Blob]:
    """A microphone that waits for the recogniser, as real time would on a quick machine."""
    async for blob in microphone(pcm):
        await until(lambda: not models.recogniser.is_busy)
        yield blob


async def listen(models: SpeechModels, pcm: bytes, piece: int = 640) -> list[IngressEvent]:
    return [event async for event in SpeechToText(models)(microphone(pcm, piece))]


def finished(events: list[IngressEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, UserTurnFinished)]


async def test_question_in_the_offline_voice_is_recognised(models: SpeechModels) -> None:
    question = await spoken(models, "What is seventeen times four?")
    audio = patient_microphone(models, silence(0.3) + question + silence(1))
    events = [event async for event in SpeechToText(models)(audio)]
    (text,) = finished(events)
    assert text.lower().rstrip("?.") in {"what is 17 times 4", "what is seventeen times four"}
    assert isinstance(events[-1], UserTurnFinished)
    assert sum(isinstance(event, UserSpeechStarted) for event in events) == 1
    partials = [event.text for event in events if isinstance(event, PartialTranscript)]
    assert partials
    assert all("four" not in partial and "4" not in partial.split() for partial in partials)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (ALSA / "Side_Left.wav", "side left"),
        (ALSA / "Side_Right.wav", "side right"),
        (POCKETSPHINX / "goforward.raw", "go forward ten meters"),
        (POCKETSPHINX / "cards" / "001.wav", "ten of clubs"),
        (
            POCKETSPHINX / "librivox" / "sense_and_sensibility_01_austen_64kb-0930.wav",
            "he might even have been made amiable himself",
        ),
    ],
    ids=["side left", "side right", "go forward", "ten of clubs", "he might"],
)
async def test_person_is_recognised(models: SpeechModels, path: Path, words: str) -> None:
    pcm = recorded(path)
    text = " ".join(finished(await listen(models, silence(0.3) + pcm + silence(1))))
    heard = "".join(c for c in text.lower() if c.isalnum() or c == " ").replace("10", "ten")
    assert heard == words


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (POCKETSPHINX / "goforward.raw", "go forward ten meters"),
        (
            POCKETSPHINX / "librivox" / "sense_and_sensibility_01_austen_64kb-0930.wav",
            "he might even have been made amiable himself",
        ),
    ],
    ids=["go forward", "he might"],
)
async def test_person_made_to_speak_faster_is_recognised(
    models: SpeechModels, path: Path, words: str
) -> None:
    """What the playout buffer does to a stream that is late takes no word away."""
    pcm = recorded(path)
    faster, at = b"", 0
    for number in range(len(pcm) // 640):
        piece = pcm[at : at + 960]
        made = shorten(piece, 640, 16_000, LONGEST_CUT_S) if number % 4 == 0 else None
        faster += piece[:640] if made is None else made.pcm
        at += 640 if made is None else made.used_bytes
    assert len(faster) < len(pcm) * 0.99
    text = " ".join(finished(await listen(models, silence(0.3) + faster + silence(1))))
    heard = "".join(c for c in text.lower() if c.isalnum() or c == " ").replace("10", "ten")
    assert heard == words


@pytest.mark.parametrize("piece", [2, 639, 640, 100_000])
async def test_pieces_of_any_length_are_taken(models: SpeechModels, piece: int) -> None:
    pcm = await spoken(models, "Hello there.") + silence(0.7)
    assert finished(await listen(models, pcm, piece)) == ["Hello there."]


async def test_noise_and_recorded_noise_are_not_speech(models: SpeechModels) -> None:
    for pcm in (noise(1.0), noise(0.1, level=0.8), recorded(ALSA / "Noise.wav"), silence(2)):
        events = await listen(models, silence(0.3) + pcm + silence(1))
        assert [text for text in finished(events) if text] == []


async def test_end_of_the_audio_finishes_the_utterance(models: SpeechModels) -> None:
    pcm = await spoken(models, "What time is it?")
    assert finished(await listen(models, pcm[:-4800])) == ["What time is it?"]


async def test_pause_within_a_question_does_not_end_it(models: SpeechModels) -> None:
    first = await spoken(models, "What is seventeen times")
    second = await spoken(models, "four?")
    events = await listen(models, silence(0.3) + first + silence(0.35) + second + silence(1.2))
    assert len(finished(events)) == 1


async def test_two_utterances_are_two_turns(models: SpeechModels) -> None:
    pcm = await spoken(models, "Hello there.") + silence(0.6)
    assert len(finished(await listen(models, pcm + pcm))) == 2


async def test_several_calls_at_once_hear_each_their_own(models: SpeechModels) -> None:
    texts = ["What time is it?", "Tell me a story.", "Go on.", "Thank you very much."]
    questions = [await spoken(models, text) + silence(0.7) for text in texts]
    heard = await asyncio.gather(*(listen(models, pcm) for pcm in questions))
    assert [finished(events) for events in heard] == [[text] for text in texts]


class TestBrokenRecogniser:
    @pytest.fixture
    def broken(self, models: SpeechModels, monkeypatch: pytest.MonkeyPatch) -> SpeechModels:
        def fail(samples: object) -> str:
            raise RuntimeError("the model is broken")

        monkeypatch.setattr(models.recogniser, "_run", fail)
        return models

    async def test_nothing_is_raised_and_a_start_is_taken_back(
        self, broken: SpeechModels, caplog: pytest.LogCaptureFixture
    ) -> None:
        pcm = await spoken(broken, "What is seventeen times four?") + silence(1)
        events = await listen(broken, pcm)
        assert [type(event) for event in events] == [UserSpeechStarted, UserTurnFinished]
        assert finished(events) == [""]
        assert "recogniser failed" in caplog.text


async def test_broken_detector_raises_nothing(
    models: SpeechModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(detector: object, pcm: bytes) -> None:
        raise RuntimeError("the detector is broken")

    monkeypatch.setattr(models.detectors, "probability", fail)
    assert await listen(models, silence(0.2)) == []


def test_what_the_recogniser_makes_of_noise_is_no_words() -> None:
    assert not any(map(has_words, ["You", "you.", "", "Um, uh.", "...", "Oh!"]))
    assert all(map(has_words, ["Yes.", "Thank you.", "17", "no"]))


def test_sentence_that_asks_for_more_is_unfinished() -> None:
    assert all(map(is_unfinished, ["What is seventeen times", "My name is", "add 5 and"]))
    assert not any(map(is_unfinished, ["What is 17 times 4?", "Stop.", ""]))
