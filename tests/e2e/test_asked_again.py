"""A question whose answer was lost, put to the model again, in whole calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rtc_server.settings import Settings
from tests.e2e.gemini import MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Caller
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import BROKEN_JSON, Abort, Day, EmptyHandle, at

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

QUICK = Pace(playback=0.0, word_s=0.06)
SETTINGS = Settings(port=0, ask_again=True)


def finals(caller: Caller, role: str) -> list[tuple[int, str]]:
    return [
        (one["turn"], one["text"])
        for one in of_type(caller, "transcript")
        if one["role"] == role and one["final"]
    ]


@pytest.mark.parametrize(
    ("model", "deed"),
    [(MODELS["2.x"], Abort()), (MODELS["3.x"], BROKEN_JSON)],
    ids=["2.x resumed", "3.x begun anew"],
)
async def test_a_typed_question_is_asked_again_and_answered_as_a_turn_of_its_own(
    deed: Any, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told that he need not do it, and once only."""
    days = [Day(at(Moment.MID_ANSWER, deed, nth=2)), Day()]
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=days, pace=QUICK, settings=SETTINGS
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        lost = await ask(caller, "count to 9")
        assert (lost["turn"], lost["interrupted"]) == (2, True)
        error = await caller.client.next_message("error")
        assert error["message"].endswith("Your question is put to it again.")
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (3, False)
        assert answers(caller)[3] == "1 2 3 4 5 6 7 8 9"
        turn = await ask(caller, "What did I say?")
        assert turn["turn"] == 4
        assert "I am Ada" in answers(caller)[4]
        assert of_type(caller, "error") == [error]
        assert (await server.metrics())["rtc_agent_asked_again_total"] == 1
        assert api.taken == 2


@pytest.mark.parametrize(
    ("model", "moment"),
    [(MODELS["2.x"], Moment.QUESTION), (MODELS["3.x"], Moment.MID_ANSWER)],
    ids=["2.x before the answer", "3.x in the answer"],
)
async def test_a_spoken_question_is_asked_again_as_it_was_understood(
    moment: Moment, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's connection goes after the transcript, before or in the answer."""
    days = [Day(at(moment, Abort())), Day()]
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=days, pace=QUICK, settings=SETTINGS
        ) as (server, api),
        server.call() as caller,
    ):
        await caller.client.next_message("ready")
        await caller.ask_aloud()
        lost = await caller.client.next_message("turn")
        assert (lost["turn"], lost["interrupted"]) == (1, True)
        error = await caller.client.next_message("error")
        assert error["message"].endswith("Your question is put to it again.")
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (2, False)
        assert answers(caller)[2] == "You said: I asked aloud"
        # It was said once, and is shown once.
        assert finals(caller, "user") == [(1, "I asked aloud")]
        await caller.ask_aloud()
        turn = await caller.client.next_message("turn")
        assert answers(caller)[turn["turn"]] == "You said: I asked aloud"
        assert of_type(caller, "error") == [error]
        assert api.taken == 2


async def test_a_question_that_is_lost_twice_is_not_asked_a_third_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be what kills the model; the caller is told to ask again himself."""
    days = [Day(at(Moment.MID_ANSWER, Abort())), Day(at(Moment.MID_ANSWER, Abort())), Day()]
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=QUICK, settings=SETTINGS) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        ends = [await ask(caller, "count to 9"), await caller.client.next_message("turn")]
        assert [(one["turn"], one["interrupted"]) for one in ends] == [(1, True), (2, True)]
        await caller.client.wait_for(lambda: len(of_type(caller, "error")) == 2)
        advice = [one["message"].partition(". ")[2] for one in of_type(caller, "error")]
        assert advice == ["Your question is put to it again.", "Please ask again."]
        turn = await ask(caller, "hello")
        assert (turn["turn"], answers(caller)[3]) == (3, "You said: hello")
        assert api.taken == 3


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_a_question_for_which_a_tool_ran_is_not_asked_again_by_the_history_either(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK leaves out a call that has not returned: the history would end with the question."""
    runs = 0

    async def transfer_money() -> dict[str, str]:
        """Moves it."""
        nonlocal runs
        runs += 1
        await asyncio.Event().wait()
        return {}

    days = [Day(at(Moment.TOOL, EmptyHandle()), at(Moment.TOOL, Abort())), Day()]
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            model=model,
            days=days,
            pace=QUICK,
            settings=SETTINGS,
            tools=[transfer_money],
        ) as (server, api),
        server.call() as caller,
    ):
        lost = await ask(caller, "use transfer_money")
        assert (lost["turn"], lost["interrupted"]) == (1, True)
        error = await caller.client.next_message("error")
        assert error["message"].endswith("Please ask again.")
        turn = await ask(caller, "hello")
        assert (turn["turn"], answers(caller)[2]) == (2, "You said: hello")
        assert runs == 1
        assert [one["phase"] for one in of_type(caller, "tool")] == ["call", "cancelled"]
        assert api.taken == 2
