"""Questions that are asked aloud and that no model has heard, in a call through real WebRTC.

No transcript says of such a question that there was one: our own detector does.  The caller is
told once (``speech_not_heard``), the call lives, and the next question is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.adk.live import CascadeLive, IngressEvent, LiveIngress
from google.genai import types

from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedLlm, text_piece
from tests.agent.tone_cascade import LoudnessToText, TextLlm, TextToTone
from tests.e2e.gemini import MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Caller, Server
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import (
    Abort,
    Close,
    Day,
    Deed,
    GoAway,
    Refuse,
    Stall,
    StopReading,
    at,
)
from tests.waiting import until

pytestmark = [
    # ADK still uses it for typed text; as an error it kills ADK's sender.
    pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated"),
    pytest.mark.deadline(60),
]

QUICK = Pace(playback=0.0, word_s=0.06)
SETTINGS = Settings(port=0, limits=Limits(answer_s=20.0))
"""The watchdog is not what tells here."""

ALOUD_S = 1.2
"""Much longer than what counts as a question, though a busy machine may lose some of it."""

NOT_HEARD = ("speech_not_heard", True)

LOSSES: dict[str, Deed] = {"goAway": GoAway(0.3), "drop": Abort(), "1011": Close(1011)}

DEAF = Day(at(Moment.ANSWERED, Stall()))
"""From the first answer's end on it makes nothing of what it hears."""


def errors(caller: Caller) -> list[tuple[str, bool]]:
    return [(one["code"], one["retryable"]) for one in of_type(caller, "error")]


async def assert_told_and_then_heard(caller: Caller) -> None:
    """Once; the agent still knows what was said before."""
    error = await caller.client.next_message("error")
    assert (error["code"], error["retryable"]) == NOT_HEARD
    await caller.ask_aloud(ALOUD_S)
    heard = (await caller.client.next_message("turn"))["turn"]
    assert answers(caller)[heard] == "You said: I asked aloud"
    last = (await ask(caller, "What did I say?"))["turn"]
    assert "I am Ada" in answers(caller)[last]
    assert errors(caller) == [NOT_HEARD]
    assert not any(one["interrupted"] for one in of_type(caller, "turn"))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("name", LOSSES)
async def test_a_spoken_question_that_waits_for_its_transcript_is_told_to_be_lost(
    name: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = (DEAF, Day())
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=days, pace=QUICK, settings=SETTINGS
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await until(lambda: bool(api.done))
        await caller.ask_aloud(ALOUD_S)
        await api.connections[0].suffer(LOSSES[name])
        await assert_told_and_then_heard(caller)
        assert api.taken == 2


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_a_spoken_question_into_a_network_that_is_gone_is_told_to_be_lost(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the pings that the server sets: what is said meanwhile goes nowhere."""
    days = (Day(at(Moment.ANSWERED, StopReading())), Day())
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            model=model,
            days=days,
            pace=QUICK,
            settings=SETTINGS,
            pings=None,
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await until(lambda: bool(api.done))
        await caller.ask_aloud(ALOUD_S)
        await assert_told_and_then_heard(caller)


async def test_what_was_said_before_an_outage_is_told_when_the_model_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ``agent_unreachable``, which says nothing of a question."""
    days = (DEAF, Day())
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=QUICK, settings=SETTINGS) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await until(lambda: bool(api.done))
        await caller.ask_aloud(ALOUD_S)
        await api.connections[0].suffer(Refuse(2.0))
        await caller.client.wait_for(lambda: NOT_HEARD in errors(caller))
        assert [one["state"] for one in of_type(caller, "model")] == ["away", "back"]
        assert errors(caller) == [("agent_unreachable", True), NOT_HEARD]
        assert (await server.metrics())['rtc_agent_errors_total{code="speech_not_heard"}'] == 1
        told = await ask(caller, "What did I say?")
        assert "I am Ada" in answers(caller)[told["turn"]]


async def test_speech_over_an_answer_that_still_plays_is_told_when_the_network_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model has sent its answer to the end, and nothing interrupts it any more."""
    days = (Day(at(Moment.ANSWERED, StopReading())), Day())
    pace = Pace(playback=0.0, word_s=0.2)
    async with (
        gemini_server(
            tmp_path, monkeypatch, days=days, pace=pace, settings=SETTINGS, pings=None
        ) as (server, api),
        server.call() as caller,
    ):
        caller.client.send({"type": "text", "data": "count to 30"})
        await until(lambda: bool(api.done))
        # All of the answer has come: what of it came later would be a sign that speech was heard.
        await caller.client.wait_for(lambda: bool(of_type(caller, "usage")))
        await caller.ask_aloud(ALOUD_S)
        await caller.client.wait_for(lambda: NOT_HEARD in errors(caller))
        assert not (await caller.client.next_message("turn"))["interrupted"]
        turn = await ask(caller, "hello")
        assert answers(caller)[turn["turn"]] == "You said: hello"
        assert errors(caller) == [NOT_HEARD]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_a_speaker_who_goes_on_after_the_reconnect_is_answered_and_told_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what he says goes with the connection, the other half is a question."""
    days = (DEAF, Day())
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=days, pace=QUICK, settings=SETTINGS
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await until(lambda: bool(api.done))
        caller.client.microphone.tone(440, 0.7)
        await caller.client.wait_for(lambda: caller.client.microphone.is_silent)
        await api.connections[0].suffer(Abort())
        while api.taken < 2 or not caller.client.microphone.is_silent:
            if api.taken < 2 and caller.client.microphone.is_silent:
                caller.client.microphone.tone(440, 0.2)
            await asyncio.sleep(0.02)
        await caller.ask_aloud(ALOUD_S)
        await caller.client.wait_for(lambda: len(of_type(caller, "turn")) == 2)
        await asyncio.sleep(2.5)  # longer than it takes to be told
        assert errors(caller) == []
        assert answers(caller)[2] == "You said: I asked aloud"


async def test_a_question_of_a_held_button_is_told_as_a_turn_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the user's turn is over he has said himself."""
    off = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    settings = Settings(port=0, limits=Limits(answer_s=20.0), run_config=off)
    async with (
        gemini_server(tmp_path, monkeypatch, days=(DEAF, Day()), pace=QUICK, settings=settings) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await until(lambda: bool(api.done))
        await hold_and_say(caller)
        await api.connections[0].suffer(Abort())
        lost = await caller.client.next_message("turn")
        assert (lost["turn"], lost["interrupted"]) == (2, True)
        error = await caller.client.next_message("error")
        assert (error["code"], error["retryable"]) == NOT_HEARD
        await hold_and_say(caller)
        assert not (await caller.client.next_message("turn"))["interrupted"]
        assert answers(caller)[3] == "You said: I asked aloud"
        assert errors(caller) == [NOT_HEARD]


async def hold_and_say(caller: Caller) -> None:
    caller.client.send({"type": "activity", "state": "start"})
    await caller.ask_aloud(ALOUD_S)
    caller.client.send({"type": "activity", "state": "end"})


class _Deaf(LiveIngress):
    """Hears nothing in the first connection, and then like the others."""

    def __init__(self) -> None:
        self.connections = 0

    async def __call__(
        self, audio: AsyncIterator[types.Blob]
    ) -> AsyncGenerator[IngressEvent, None]:
        self.connections += 1
        if self.connections == 1:
            async for _ in audio:
                await asyncio.Event().wait()
        async for event in LoudnessToText()(audio):
            yield event


async def test_a_cascade_whose_recogniser_hangs_is_given_up_and_the_next_question_answered() -> (
    None
):
    """It has been told a question, and shows no sign of it."""

    def answer(request: Any) -> list[Any]:
        return [text_piece("Yes."), text_piece("Yes.", partial=False)]

    stt = _Deaf()
    model = CascadeLive(model=TextLlm(answer=answer), stt=stt, tts=TextToTone(0.2))
    settings = Settings(port=0, limits=Limits(answer_s=4.0))
    async with (
        Server.running(ScriptedLlm(), settings, model=model) as server,
        server.call() as caller,
    ):
        await caller.client.next_message("ready")
        await until(lambda: stt.connections == 1)
        for _ in range(2):  # to say something once may be a hum, of which it need say nothing
            await caller.ask_aloud(ALOUD_S)
            await asyncio.sleep(2.2)
        error = await caller.client.next_message("error")
        assert (error["code"], error["retryable"]) == ("agent_timeout", True)
        await until(lambda: stt.connections == 2)
        await caller.ask_aloud(ALOUD_S)
        await caller.client.next_message("turn")
        assert answers(caller) == {1: "Yes."}
        assert errors(caller) == [("agent_timeout", True)]


async def test_a_proactive_model_without_transcripts_may_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell one that has heard from one that has not."""
    settings = Settings(
        port=0,
        limits=Limits(answer_s=0.5),
        run_config={"input_audio_transcription": None, "proactivity": {"proactive_audio": True}},
    )
    days = (Day(at(Moment.READY, Stall())),)
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=QUICK, settings=settings) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        await until(lambda: bool(api.done))
        await caller.ask_aloud(1.0)
        await asyncio.sleep(3.5)  # a pause of 2 s, and the watchdog's time
        assert of_type(caller, "error") == []
        assert api.attempts == 1


@pytest.mark.parametrize("kind", ["steady noise", "cough", "muted"])
async def test_a_reconnect_after_what_was_no_question_is_not_told(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model made nothing of it; nor do we."""
    async with (
        gemini_server(tmp_path, monkeypatch, days=(DEAF, Day()), pace=QUICK, settings=SETTINGS) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        microphone = caller.client.microphone
        if kind == "steady noise":
            rng = np.random.default_rng(1)
            microphone.say((300 * rng.standard_normal(6 * 48_000)).astype("<i2").tobytes())
            await asyncio.sleep(2.0)  # its beginning might be a word
        await ask(caller, "I am Ada")
        await until(lambda: bool(api.done))
        if kind == "steady noise":
            await asyncio.sleep(1.0)
        elif kind == "cough":
            microphone.tone(300, 0.3)
        else:
            caller.client.send({"type": "mute", "muted": True})
            caller.client.send({"type": "ping", "t": 1})
            await caller.client.next_message("pong")
            microphone.tone(440, 1.0)
        await caller.client.wait_for(lambda: kind == "steady noise" or microphone.is_silent)
        await api.connections[0].suffer(GoAway(0.2))
        await until(lambda: api.taken == 2)
        await asyncio.sleep(3.0)  # longer than it takes to be told
        assert errors(caller) == []
        told = await ask(caller, "What did I say?")
        assert "I am Ada" in answers(caller)[told["turn"]]
