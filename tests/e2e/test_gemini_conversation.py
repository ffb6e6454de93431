"""A conversation with Gemini: real WebRTC, ADK, Google's client, TLS, in both dialects."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtc_server.settings import Settings
from tests.agent.held_tools import slow
from tests.e2e.gemini import MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Caller
from tests.gemini.live_model import Pace
from tests.gemini.server import StandIn
from tests.peer.rtc_client import dominant_frequency
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

both_dialects = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def weather(city: str) -> dict[str, str]:
    """The weather in a city."""
    return {"city": city, "sky": "clear"}


async def hears(api: StandIn) -> None:
    """The model is there; until then sound is kept for two seconds at most."""
    await until(lambda: bool(api.connections) and "Audio" in api.connections[0].received)


def finals(caller: Caller, role: str) -> list[tuple[int, str]]:
    """The final transcripts of one side."""
    return [
        (one["turn"], one["text"])
        for one in of_type(caller, "transcript")
        if one["role"] == role and one["final"]
    ]


@both_dialects
async def test_a_question_spoken_is_transcribed_and_answered_aloud(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in hears it by its loudness; its words come back as tones."""
    async with (
        gemini_server(tmp_path, monkeypatch, model=model) as (server, api),
        server.call() as caller,
    ):
        await hears(api)
        await caller.ask_aloud()
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (1, False)
        assert finals(caller, "user") == [(1, "I asked aloud")]
        assert finals(caller, "agent") == [(1, "You said: I asked aloud")]
        assert dominant_frequency(caller.client.pcm()[: 2 * 4800]) == pytest.approx(330, abs=20)
        assert "Audio" in api.connections[0].received


@both_dialects
async def test_speaking_over_an_answer_interrupts_it_and_is_answered(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        gemini_server(tmp_path, monkeypatch, model=model) as (server, _),
        server.call() as caller,
    ):
        caller.client.send({"type": "text", "data": "count to 40"})
        await caller.client.wait_for(lambda: len(caller.client.packets) > 20)
        await caller.ask_aloud()
        cut = await caller.client.next_message("turn")
        assert cut["interrupted"]
        assert "40" not in cut["heard_text"]
        turn = await caller.client.next_message("turn")
        assert not turn["interrupted"]
        assert answers(caller)[turn["turn"]] == "You said: I asked aloud"


@both_dialects
async def test_typed_text_is_answered_and_the_agent_knows_what_was_said(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.x gets client content, 3.x realtime text."""
    async with (
        gemini_server(tmp_path, monkeypatch, model=model, pace=Pace(playback=0)) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        turn = await ask(caller, "What did I say?")
        assert answers(caller)[turn["turn"]] == "You said: I am Ada"
        used = set(api.connections[0].received) & {"Content", "RealtimeText"}
        assert used == {"Content" if model == MODELS["2.x"] else "RealtimeText"}
        (usage, *_) = of_type(caller, "usage")
        assert usage["response_tokens"] > 0


@both_dialects
async def test_a_tool_is_used_and_its_result_spoken_of(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.x ends the turn of the call, 3.x waits for the tool: it is one turn for the caller."""
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, tools=[weather], pace=Pace(playback=0)
        ) as (server, api),
        server.call() as caller,
    ):
        turn = await ask(caller, 'use weather {"city": "Rome"}')
        assert turn["turn"] == 1
        assert [one["phase"] for one in of_type(caller, "tool")] == ["call", "result"]
        assert answers(caller)[1] == 'weather says {"city": "Rome", "sky": "clear"}'
        assert api.connections[0].setup is not None
        assert api.connections[0].setup.tools == ("weather",)


@pytest.mark.leaves_resources("the idle thread of the tools ends shortly after")
@both_dialects
async def test_a_text_while_a_tool_works_is_answered_by_the_next_turn(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.x has ended the turn of the call: that is no answer to the text."""
    tool = slow()
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, tools=[tool.look], pace=Pace(playback=0)
        ) as (server, _),
        server.call() as caller,
    ):
        caller.client.send({"type": "text", "data": "use look"})
        await tool.started()
        cut = await ask(caller, "never mind")
        turn = await caller.client.next_message("turn")
        assert [(one["turn"], one["interrupted"]) for one in (cut, turn)] == [(1, True), (2, False)]
        assert answers(caller) == {2: "You said: never mind"}
        assert [one["turn"] for one in of_type(caller, "latency") if one["response_ms"]] == [2]
        assert [one["phase"] for one in of_type(caller, "tool")] == ["call", "cancelled"]


@both_dialects
async def test_push_to_talk_is_answered_when_the_button_is_released(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's own voice detection is off; pressing the button again interrupts it."""
    settings = Settings(port=0, allow_run_config=("realtime_input_config",))
    off = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, settings=settings, pace=Pace(word_s=0.8)
        ) as (server, api),
        server.call(run_config=off) as caller,
    ):
        await hears(api)
        caller.client.send({"type": "activity", "state": "start"})
        await caller.ask_aloud()
        caller.client.send({"type": "activity", "state": "end"})
        await caller.client.wait_for(lambda: len(caller.client.packets) > 10)
        caller.client.send({"type": "activity", "state": "start"})
        cut = await caller.client.next_message("turn")
        assert cut["interrupted"]
        await caller.ask_aloud()
        caller.client.send({"type": "activity", "state": "end"})
        turn = await caller.client.next_message("turn")
        assert not turn["interrupted"]
        assert answers(caller)[turn["turn"]].startswith("You said: I asked aloud")


async def test_a_text_call_of_a_model_that_only_speaks_is_answered_in_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        gemini_server(tmp_path, monkeypatch, pace=Pace(playback=0)) as (server, _),
        server.call(audio=None) as caller,
    ):
        turn = await ask(caller, "hello")
        assert answers(caller)[turn["turn"]] == "You said: hello"
