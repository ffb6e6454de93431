"""The fallback model in whole calls: it answers while the agent's own is away, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtc_server.settings import Settings
from tests.e2e.gemini import MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Caller
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import Abort, Day, HttpStatus, at
from tests.gemini.server import StandIn

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

QUICK = Pace(playback=0.0, word_s=0.06)
AWAY = Day(at(Moment.CONNECT, HttpStatus(503)))

each_way = pytest.mark.parametrize(
    ("own", "fallback"),
    [(MODELS["2.x"], MODELS["3.x"]), (MODELS["3.x"], MODELS["2.x"])],
    ids=["to 3.x", "to 2.x"],
)


def asked(api: StandIn) -> list[str]:
    """The model of each connection that was taken."""
    return [one.setup.model.rpartition("/")[2] for one in api.connections if one.setup]


def changes(caller: Caller) -> list[tuple[str, str | None]]:
    """What the caller was told of the model."""
    return [(one["state"], one.get("name")) for one in of_type(caller, "model")]


@each_way
async def test_the_fallback_takes_over_and_the_call_returns_to_its_own_model(
    own: str, fallback: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each knows what was said to the other; another call finds out that the first is back."""
    days = [Day(at(Moment.ANSWERED, Abort())), AWAY, AWAY, Day()]
    settings = Settings(port=0, fallback_model=fallback)
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=own, days=days, pace=QUICK, settings=settings
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await caller.client.wait_for(lambda: ("back", fallback) in changes(caller))
        turn = await ask(caller, "What did I say?")
        assert answers(caller)[turn["turn"]] == "You said: I am Ada"
        await caller.ask_aloud()
        turn = await caller.client.next_message("turn")
        assert answers(caller)[turn["turn"]] == "You said: I asked aloud"
        assert asked(api) == [own, fallback]
        assert (await server.metrics())["rtc_agent_fallbacks_total"] == 1

        async with server.call() as other:
            await ask(other, "hello")
        assert asked(api)[2:] == [own]
        await ask(caller, "I like tea")  # after this answer its own model is asked again
        await caller.client.wait_for(lambda: changes(caller)[-1] == ("back", own))
        turn = await ask(caller, "What did I say?")
        said = answers(caller)[turn["turn"]]
        assert all(one in said for one in ("I am Ada", "I asked aloud", "I like tea"))
        assert asked(api) == [own, fallback, own, own]
        # A handle is good for its own model only, and what was said since is not in it.
        assert [one.setup.handle for one in api.connections if one.setup] == [None] * 4
        assert all(one["retryable"] for one in of_type(caller, "error"))
        assert len(of_type(caller, "error")) <= 1


async def test_a_fallback_that_only_speaks_answers_a_text_call_by_its_transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name says so; the agent's own model is asked for text again afterwards."""
    own, fallback = MODELS["3.x"], MODELS["2.x"]
    days = [Day(at(Moment.ANSWERED, Abort())), AWAY, AWAY, Day()]
    settings = Settings(port=0, fallback_model=fallback)
    async with gemini_server(
        tmp_path, monkeypatch, model=own, days=days, pace=QUICK, settings=settings
    ) as (server, api):
        async with server.call(audio=None) as caller:
            await ask(caller, "I am Ada")
            await caller.client.wait_for(lambda: ("back", fallback) in changes(caller))
            turn = await ask(caller, "What did I say?")
            assert answers(caller)[turn["turn"]] == "You said: I am Ada"
        async with server.call(audio=None) as caller:
            await ask(caller, "hello")
        modalities = [one.setup.modality for one in api.connections if one.setup]
        assert list(zip(asked(api), modalities, strict=True)) == [
            (own, "TEXT"),
            (fallback, "AUDIO"),
            (own, "TEXT"),
        ]


async def test_a_question_whose_answer_is_lost_is_answered_by_the_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where lost questions are asked again, once the model cannot be reached."""
    own, fallback = MODELS.values()
    days = [Day(at(Moment.MID_ANSWER, Abort())), AWAY, AWAY, Day()]
    settings = Settings(port=0, fallback_model=fallback, ask_again=True)
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=own, days=days, pace=QUICK, settings=settings
        ) as (server, api),
        server.call() as caller,
    ):
        lost = await ask(caller, "count to 9")
        assert lost["interrupted"]
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (2, False)
        assert answers(caller)[2] == "1 2 3 4 5 6 7 8 9"
        assert asked(api) == [own, fallback]
        (error,) = of_type(caller, "error")
        assert error["retryable"]
        # The next call is no fallback's: it begins with the model of the agent.
        async with server.call() as other:
            turn = await ask(other, "hello")
            assert answers(other)[turn["turn"]] == "You said: hello"
        assert asked(api)[2:] == [own]
