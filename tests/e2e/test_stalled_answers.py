"""Answers that the model leaves in the middle, and several texts at once, over real WebRTC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from google.adk.models.llm_response import LlmResponse
from google.genai import types

from rtc_harness.client import RtcClient
from rtc_harness.report import response_ms
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    SpeechEnded,
    audio_piece,
    heard,
    interrupted,
    said,
    text_of,
    text_piece,
    tone,
    turn_complete,
)
from tests.e2e.gemini import answers, of_type
from tests.e2e.server import Caller, Server
from tests.stolen_time import StolenTime

Words = Callable[[str], list[LlmResponse]]


def spoken(words: str) -> list[LlmResponse]:
    return [audio_piece(tone(0.2)), said(words), said(words, finished=True)]


def written(words: str) -> list[LlmResponse]:
    return [text_piece(words), text_piece(words, partial=False)]


def leaves_half(words: Words, *, ends: bool = False) -> ScriptedLlm:
    """Never ends its first answer; what it is asked then, typed or aloud, it answers at once."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(*words("half"))
        if ends:
            connection.end()
        while True:
            one = await connection.hear()
            if isinstance(one, SpeechEnded):
                connection.emit(heard("next?"), heard("next?", finished=True))
                connection.emit(*words("next"), turn_complete())
            elif isinstance(one, types.Content):
                connection.emit(*words(text_of(one)), turn_complete())

    async def answer(connection: ScriptedConnection) -> None:
        while True:
            connection.emit(*words(await connection.receive_text()), turn_complete())

    return ScriptedLlm(scripts=[script, answer])


async def hear_half(caller: Caller) -> None:
    """All of it, and then nothing for longer than between two sentences."""
    caller.client.send({"type": "text", "data": "first"})
    await caller.client.wait_for(lambda: "half" in answers(caller).get(1, ""))
    if of_type(caller, "ready")[0]["modality"] == "audio":
        await caller.client.wait_for(lambda: of_type(caller, "state")[-1]["state"] == "listening")
    await asyncio.sleep(1.3)  # the silence is what is tested


@pytest.mark.parametrize("modality", ["audio", "text"])
async def test_text_after_a_stalled_answer_is_answered(modality: str) -> None:
    """By what the model says next, which is not the rest of the answer before."""
    llm = leaves_half(spoken if modality == "audio" else written)
    audio = "sendrecv" if modality == "audio" else None
    async with Server.running(llm) as server, server.call(audio=audio) as caller:
        await hear_half(caller)
        caller.client.send({"type": "text", "data": "next"})
        await caller.client.wait_for(lambda: len(of_type(caller, "turn")) == 2)
        assert {n: words.strip() for n, words in answers(caller).items()} == {1: "half", 2: "next"}
        assert [one["interrupted"] for one in of_type(caller, "turn")] == [False, False]
        assert all("response_ms" in one for one in of_type(caller, "latency"))
        assert of_type(caller, "error") == []


async def test_rest_that_a_text_has_interrupted_is_not_its_answer() -> None:
    """It comes late, and the model says of the interruption after it, as Gemini does."""

    async def answer_late(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(*spoken("half"))
        text = await connection.receive_text()
        connection.emit(audio_piece(tone(3.0)), said(" the rest"))
        connection.emit(interrupted(), turn_complete())
        connection.emit(*spoken(text), turn_complete())

    settings = Settings(port=0, limits=Limits(answer_s=3.0))
    async with (
        Server.running(ScriptedLlm(scripts=[answer_late]), settings) as server,
        server.call() as caller,
    ):
        await hear_half(caller)
        caller.client.send({"type": "text", "data": "next"})
        await caller.client.wait_for(lambda: "next" in answers(caller).values())
        await caller.client.wait_for(lambda: of_type(caller, "turn")[-1]["interrupted"] is False)
        assert [one["interrupted"] for one in of_type(caller, "turn")] == [False, True, False]
        assert answers(caller)[3] == "next"
        assert of_type(caller, "latency")[-1]["response_ms"] > 0
        assert of_type(caller, "error") == []


async def test_text_after_a_model_hung_up_in_the_middle_of_an_answer_is_answered() -> None:
    """The caller is told of the half that is lost, and asks again."""
    async with (
        Server.running(leaves_half(spoken, ends=True)) as server,
        server.call() as caller,
    ):
        await hear_half(caller)
        caller.client.send({"type": "text", "data": "next"})
        await caller.client.wait_for(lambda: "next" in answers(caller).get(2, ""))


async def test_words_of_a_stalled_answer_are_not_in_the_answer_to_what_is_said_next() -> None:
    """The user speaks, and the model answers in the same breath, as it thinks."""
    async with Server.running(leaves_half(spoken)) as server, server.call() as caller:
        await hear_half(caller)
        await caller.ask_aloud()
        await caller.client.wait_for(lambda: len(of_type(caller, "turn")) == 2)
        words = {
            one["text"].strip()
            for one in of_type(caller, "transcript")
            if one["role"] == "agent" and one["turn"] == 2
        }
        assert words == {"next"}


@pytest.mark.parametrize("during_speech", ["interrupt", "queue"])
async def test_each_of_three_texts_at_once_has_the_time_that_the_user_waited(
    during_speech: str,
) -> None:
    """Whether they went to the model at once, or one after another."""
    llm = leaves_half(spoken)
    llm.scripts.pop(0)
    settings = Settings(port=0, text_during_speech=during_speech)  # type: ignore[arg-type]
    async with Server.running(llm, settings) as server, server.call() as caller:
        for text in ("one", "two", "three"):
            caller.client.send({"type": "text", "data": text})
        await caller.client.wait_for(lambda: len(of_type(caller, "turn")) == 3)
        assert answers(caller) == {1: "one", 2: "two", 3: "three"}
        times = [one["response_ms"] for one in of_type(caller, "latency")]
        # Each had to wait until the one before was played: 200 ms of sound, of which the pacer
        # makes good 60 where its beginning was late.
        assert times[1] - times[0] >= 120
        assert times[2] - times[1] >= 120
        assert not any(one["interrupted"] for one in of_type(caller, "turn"))
        counted = (await server.metrics())["rtc_response_seconds_sum"]
        assert counted == pytest.approx(sum(times) / 1000, abs=0.01)


@pytest.mark.parametrize("during_speech", ["interrupt", "queue"])
async def test_harness_finds_the_answer_to_each_of_three_texts_and_measures_the_same(
    during_speech: str, stolen: StolenTime
) -> None:
    """From outside, on its own clock; before the server said of two that nobody had asked."""
    llm = leaves_half(spoken)
    llm.scripts.pop(0)
    settings = Settings(port=0, text_during_speech=during_speech)  # type: ignore[arg-type]
    async with (
        Server.running(llm, settings) as server,
        RtcClient.connect(server.url) as client,
    ):
        questions = [client.send_text(text) for text in ("one", "two", "three")]
        found = [await client.answer_to(question) for question in questions]
        assert [answer.said for answer in found] == ["one", "two", "three"]
        for question, answer in zip(questions, found, strict=True):
            assert answer.latency is not None
            measured = response_ms(question, answer)
            server_ms = answer.latency["response_ms"]
            assert measured == pytest.approx(server_ms, abs=150 + stolen.total_ms)
