"""Live options in whole calls, against the stand-in for the Live API: what the caller sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtc_harness.caller import CallPlan, WavTurn, place_call
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedConnection, ScriptedLlm, SpeechEnded, heard
from tests.e2e.gemini import MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Server
from tests.harness.stand_in_server import silence, tone
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

both_dialects = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
OFF = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}


@both_dialects
async def test_push_to_talk_by_setting_ends_the_turn_and_times_it(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The button's release is the end of the turn, also without transcripts."""
    settings = Settings(port=0, run_config={**OFF, "input_audio_transcription": None})
    async with (
        gemini_server(tmp_path, monkeypatch, model=model, settings=settings) as (server, api),
        server.call() as caller,
    ):
        await until(lambda: bool(api.connections))
        caller.client.send({"type": "activity", "state": "start"})
        await caller.ask_aloud()
        caller.client.send({"type": "activity", "state": "end"})
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (1, False)
        (latency,) = of_type(caller, "latency")
        assert latency["response_ms"] >= latency["endpoint_ms"] >= 0
        assert "thinking" in [one["state"] for one in of_type(caller, "state")]
        assert of_type(caller, "error") == []
        # Interrupted by a message and not by the button, it still takes a typed text.
        caller.client.send({"type": "text", "data": "count to 40"})
        await caller.client.wait_for(lambda: len(of_type(caller, "latency")) == 2)
        caller.client.send({"type": "interrupt"})
        assert (await caller.client.next_message("turn"))["interrupted"]
        answered = await ask(caller, "Still there?")
        assert answers(caller)[answered["turn"]] == "You said: Still there?"


async def test_harness_talks_by_the_button(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two spoken turns, each pressed and released."""
    said = np.concatenate([tone(0.4), silence(0.1)])
    plan = CallPlan("", [WavTurn("a", said), WavTurn("b", said)], push_to_talk=True)
    async with gemini_server(tmp_path, monkeypatch, settings=Settings(port=0, run_config=OFF)) as (
        server,
        api,
    ):
        result = await place_call(replace(plan, url=server.url), lambda _: None)
        assert result.failure is None
        assert result.report["errors"] == []
        received = [one for one in api.connections[0].received if one == "Activity"]
        assert len(received) == 4


@both_dialects
async def test_turns_work_without_any_transcript(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no captions; answers, interruptions and timings are as ever."""
    fields = {"input_audio_transcription": None, "output_audio_transcription": None}
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, settings=Settings(port=0, run_config=fields)
        ) as (server, _),
        server.call() as caller,
    ):
        await caller.client.next_message("ready")
        await caller.ask_aloud()
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (1, False)
        assert of_type(caller, "latency")[0]["response_ms"] > 0
        caller.client.send({"type": "text", "data": "count to 40"})
        await caller.client.wait_for(lambda: len(of_type(caller, "latency")) == 2)
        await caller.ask_aloud()
        cut = await caller.client.next_message("turn")
        assert (cut["turn"], cut["interrupted"], cut["heard_text"]) == (2, True, "")
        assert cut["heard_ms"] > 0
        assert of_type(caller, "transcript") == []


async def test_proactive_model_that_does_not_answer_is_not_reported() -> None:
    """To be silent is its right; the agent listens again, and its connection is left alone."""

    async def ignore(connection: ScriptedConnection) -> None:
        while True:
            if isinstance(await connection.hear(), SpeechEnded):
                connection.emit(heard("So I said to her", finished=True))

    settings = Settings(
        port=0,
        run_config={"proactivity": {"proactive_audio": True}},
        limits=Limits(answer_s=0.5),
    )
    async with (
        Server.running(ScriptedLlm(scripts=[ignore]), settings) as server,
        server.call() as caller,
    ):
        await caller.client.next_message("ready")
        await caller.ask_aloud()
        await caller.client.wait_for(
            lambda: (
                [one["state"] for one in of_type(caller, "state")][-2:] == ["thinking", "listening"]
            )
        )
        assert of_type(caller, "error") == []
        assert len(server.llm.connections) == 1
