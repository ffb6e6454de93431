"""Several agents in one call: a transfer with another voice, a sequence, and a workflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.sequential_agent import SequentialAgent
from google.adk.models.google_llm import Gemini
from google.adk.workflow import START, Workflow

from rtc_server.settings import Settings
from tests.e2e.colleagues import Colleague, voice
from tests.e2e.gemini import MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Caller
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import BROKEN_JSON, Abort, Close, Day, at
from tests.gemini.server import StandIn
from tests.gemini.speech import LOWEST_HZ
from tests.peer.rtc_client import dominant_frequency

pytestmark = [
    # ADK still uses it for typed text; as an error it kills ADK's sender.
    pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated"),
    # ADK wants workflows in its place.
    pytest.mark.filterwarnings("ignore:SequentialAgent is deprecated"),
]

both_dialects = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)

QUICK = Pace(playback=0.0, word_s=0.06)
SETTINGS = Settings(port=0, voice="Kore")
TO_EXPERT = 'use transfer_to_agent {"agent_name": "expert"}'
TO_ROOT = 'use transfer_to_agent {"agent_name": "root"}'


def experts(model: str) -> LlmAgent:
    """An agent that may give the word to an expert, who has a voice of its own, and back."""
    own = Gemini(model=model, speech_config=voice("Puck"))
    expert = LlmAgent(name="expert", model=own, description="Knows it.")
    return LlmAgent(name="root", model=model, sub_agents=[expert])


def sequence(model: str) -> SequentialAgent:
    agents = [LlmAgent(name=name, model=model) for name in ("one", "two")]
    return SequentialAgent(name="root", sub_agents=list(agents))


def workflow(model: str) -> Workflow:
    one, two = (LlmAgent(name=name, model=model, mode="task") for name in ("one", "two"))
    return Workflow(name="root", edges=[(START, one), (one, two)])


FLOWS: dict[str, tuple[Callable[[str], Any], str]] = {
    "sequence": (sequence, "use task_completed"),
    "workflow": (workflow, 'use finish_task {"result": "x"}'),
}
both_flows = pytest.mark.parametrize(
    ("flow", "model"), list(zip(FLOWS, MODELS.values(), strict=True)), ids=FLOWS
)


def voices(api: StandIn) -> list[str]:
    """What each connection's setup asked for."""
    return [one.setup.voice for one in api.connections if one.setup is not None]


def agents_told(caller: Caller) -> list[str]:
    return [one["name"] for one in of_type(caller, "agent")]


async def pitch(caller: Caller, text: str) -> float:
    """The frequency of the first word of the answer, as it is heard."""
    before = len(caller.client.pcm())
    turn = await ask(caller, text)
    assert not turn["interrupted"]
    heard = caller.client.pcm()[before:]
    return dominant_frequency(heard[: 2 * 48 * 50])


@both_dialects
async def test_the_agent_that_takes_over_is_told_and_heard_in_its_own_voice(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed or spoken, what the caller says goes to whoever has the word, and back again."""
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            root=experts(model),
            settings=SETTINGS,
            pace=QUICK,
            mind=Colleague(),
        ) as (server, api),
        server.call() as caller,
    ):
        assert await pitch(caller, "I am Ada") == pytest.approx(LOWEST_HZ[""], abs=40)
        assert await pitch(caller, TO_EXPERT) == pytest.approx(LOWEST_HZ["Puck"], abs=40)
        assert answers(caller)[2] == "I take over"
        assert agents_told(caller) == ["expert"]
        assert voices(api) == ["Kore", "Puck"]
        await caller.ask_aloud()
        await caller.client.next_message("turn")
        assert answers(caller)[3] == "You said: I asked aloud"
        await ask(caller, "What did I say?")
        assert answers(caller)[4] == "I am Ada; I asked aloud"
        assert await pitch(caller, TO_ROOT) == pytest.approx(LOWEST_HZ[""], abs=40)
        assert agents_told(caller) == ["expert", "root"]
        assert voices(api) == ["Kore", "Puck", "Kore"]
        assert of_type(caller, "error") == []


@pytest.mark.parametrize(
    ("deed", "model"),
    list(zip([Abort(), Close(1012)], MODELS.values(), strict=True)),
    ids=["resumed", "begun anew"],
)
async def test_the_agent_that_has_the_word_keeps_it_when_its_connection_is_lost(
    deed: Any, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its voice and what it knows, and so in the next call of the session."""
    days = [Day(), Day(at(Moment.MID_ANSWER, deed, nth=2)), Day()]
    async with gemini_server(
        tmp_path,
        monkeypatch,
        root=experts(model),
        settings=SETTINGS,
        pace=QUICK,
        mind=Colleague(),
        days=days,
    ) as (server, api):
        async with server.call(session_id="s") as caller:
            await ask(caller, "I am Ada")
            await ask(caller, TO_EXPERT)
            lost = await ask(caller, "count to 30")
            assert lost["interrupted"]
            assert (await caller.client.next_message("error"))["retryable"]
            turn = await ask(caller, "What did I say?")
            assert "I am Ada" in answers(caller)[turn["turn"]]
            assert agents_told(caller) == ["expert"]
            assert voices(api) == ["Kore", "Puck", "Puck"]
        async with server.call(session_id="s") as caller:
            turn = await ask(caller, "What did I say?")
            assert "I am Ada" in answers(caller)[turn["turn"]]
            assert agents_told(caller) == ["expert"]
            assert voices(api)[3:] == ["Puck"]


@both_flows
async def test_agents_of_a_flow_have_the_word_one_after_the_other_and_then_the_first_again(
    flow: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each over a connection of its own, and no end of one is an error."""
    make, done = FLOWS[flow]
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            root=make(model),
            settings=SETTINGS,
            pace=QUICK,
            mind=Colleague(),
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await ask(caller, done)
        assert agents_told(caller) == ["two"]
        await caller.ask_aloud()
        turn = await caller.client.next_message("turn")
        assert answers(caller)[turn["turn"]] == "You said: I asked aloud"
        await ask(caller, done)
        assert agents_told(caller) == ["two", "one"]
        turn = await ask(caller, "hello")
        assert answers(caller)[turn["turn"]] == "You said: hello"
        assert of_type(caller, "error") == []
        assert len(api.connections) == 3


@both_flows
async def test_what_an_agent_of_a_flow_was_saying_when_its_connection_was_lost_is_told_once(
    flow: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on by itself, and the next answer has nothing of the lost one."""
    make, done = FLOWS[flow]
    days = [Day(), Day(at(Moment.MID_ANSWER, Abort(), nth=2)), Day()]
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            root=make(model),
            settings=SETTINGS,
            pace=QUICK,
            mind=Colleague(),
            days=days,
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await ask(caller, done)
        lost = await ask(caller, "count to 30")
        assert lost["interrupted"]
        error = await caller.client.next_message("error")
        assert error["retryable"]
        turn = await ask(caller, "hello")
        assert (turn["turn"], turn["interrupted"]) == (4, False)
        assert answers(caller)[4] == "You said: hello"
        assert of_type(caller, "error") == [error]
        assert agents_told(caller) == ["two"]
        assert len(api.connections) == 3


async def test_a_workflow_whose_run_fails_is_told_of_once_and_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK says so as an event, and then by an exception."""
    days = [Day(at(Moment.MID_ANSWER, BROKEN_JSON, nth=2)), Day()]
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            root=workflow(MODELS["2.x"]),
            settings=SETTINGS,
            pace=QUICK,
            mind=Colleague(),
            days=days,
        ) as (server, _),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        lost = await ask(caller, "count to 30")
        assert lost["interrupted"]
        assert (await caller.client.next_message("error"))["code"] == "agent_failed"
        turn = await ask(caller, "hello")
        assert (turn["turn"], answers(caller)[3]) == (3, "You said: hello")
        assert len(of_type(caller, "error")) == 1
