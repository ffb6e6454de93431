"""A connection that goes between two answers: nothing is lost, and nobody is told.

Whole calls through real WebRTC, in each of which the connection goes again and again, each time
in another way.  The model answers with the first words that it remembers, so that each answer
shows that nothing was forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rtc_server.settings import Settings
from tests.e2e.gemini import FAST, MODELS, PING, answers, ask, endings, gemini_server, of_type
from tests.gemini.live_model import Moment, Pace
from tests.gemini.mind import Memory, Reply
from tests.gemini.misbehaviour import (
    BROKEN_JSON,
    CLOSE_CODES,
    OVERSIZED,
    UNKNOWN_MESSAGE,
    Abort,
    Close,
    Day,
    Deed,
    EmptyHandle,
    GoAway,
    Refuse,
    RefuseHandle,
    Stall,
    StopReading,
    at,
)
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

QUICK = Pace(playback=0.0, word_s=0.06)
SETTINGS = Settings(port=0)


@dataclass(frozen=True, slots=True)
class FirstAndLast:
    """Answers with the first words of the user that it remembers, and the last."""

    def reply(self, memory: Memory, tools: Sequence[str]) -> Reply:
        said = [text for role, text in memory if role == "user"]
        return Reply(f"{said[0]}: {said[-1]}")

    def after_tool(self, memory: Memory, name: str, result: Any) -> Reply:
        raise NotImplementedError


def after(*deeds: Deed) -> Day:
    """They are done when an answer is complete."""
    return Day(*(at(Moment.ANSWERED, one) for one in deeds))


WAYS: dict[str, tuple[Day, ...]] = {
    "goAway": (after(GoAway(0.2)),),
    "drop": (after(Abort()),),
    "broken JSON": (after(BROKEN_JSON),),
    "unknown message": (after(UNKNOWN_MESSAGE),),
    "oversized frame": (after(OVERSIZED),),
    "hangs up unasked": (after(EmptyHandle(), Close(1000)),),
    "empty handle, then drop": (after(EmptyHandle(), Abort()),),
    "the handle is refused": (after(Abort()), Day(at(Moment.SETUP, RefuseHandle()))),
    **{f"close {code}": (after(Close(code)),) for code in CLOSE_CODES},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("audio", ["sendrecv", None], ids=["voice", "text"])
async def test_a_connection_that_is_lost_between_two_answers_is_not_told(
    audio: str | None, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it goes, one time after another."""
    days = [day for way in WAYS.values() for day in way]
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            model=model,
            days=[*days, Day()],
            mind=FirstAndLast(),
            pace=QUICK,
            settings=SETTINGS,
        ) as (server, api),
        server.call(audio=audio) as caller,
    ):
        await ask(caller, "Ada")
        connections = 1
        for n, (way, days_of_it) in enumerate(WAYS.items(), 2):
            connections += len(days_of_it)
            await until(lambda count=connections: api.taken >= count)  # type: ignore[misc]
            turn = await ask(caller, f"after {way}")
            assert (turn["turn"], turn["interrupted"], way) == (n, False, way)
            assert answers(caller)[n] == f"Ada: after {way}"
            assert of_type(caller, "error") == [], way
        assert api.taken == connections


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("audio", ["sendrecv", None], ids=["voice", "text"])
async def test_a_network_that_goes_between_two_answers_is_not_told(
    audio: str | None, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the pings find it out."""
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            model=model,
            days=[after(StopReading()), Day()],
            mind=FirstAndLast(),
            pace=QUICK,
            settings=SETTINGS,
            pings=PING,
        ) as (server, api),
        server.call(audio=audio) as caller,
    ):
        await ask(caller, "Ada")
        await until(lambda: api.taken == 2)
        turn = await ask(caller, "after it")
        assert (turn["turn"], turn["interrupted"]) == (2, False)
        assert answers(caller)[2] == "Ada: after it"
        assert of_type(caller, "error") == []


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_a_lone_call_outlasts_an_outage_and_what_was_interrupted_in_it_is_not_answered(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tries, one error, and the model's ``away`` and ``back``."""
    days = [after(Refuse(4.0)), Day()]
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=days, pace=QUICK, settings=SETTINGS
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await caller.client.next_message("model")
        caller.client.send({"type": "text", "data": "one"})
        caller.client.send({"type": "interrupt"})
        assert (await caller.client.next_message("turn"))["interrupted"]
        told = await ask(caller, "two")
        assert not told["interrupted"]
        assert answers(caller)[told["turn"]] == "You said: two"
        assert [one["code"] for one in of_type(caller, "error")] == ["agent_unreachable"]
        assert [one["state"] for one in of_type(caller, "model")] == ["away", "back"]
        errors = (await server.metrics())['rtc_agent_errors_total{code="agent_unreachable"}']
        assert errors > FAST.attempts
        assert api.taken == 2


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_what_is_late_or_cannot_be_resumed_loses_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is delayed, and an empty handle, after which the connection goes on."""
    day = Day(at(Moment.QUESTION, Stall(0.4), nth=2), at(Moment.ANSWERED, EmptyHandle(), nth=2))
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=[day, Day()], pace=QUICK, settings=SETTINGS
        ) as (server, api),
        server.call() as caller,
    ):
        for text in ("I am Ada", "and late", "What did I say?"):
            await ask(caller, text)
        assert "I am Ada" in answers(caller)[3]
        assert endings(caller) == [("turn", n, False) for n in (1, 2, 3)]
        assert (len(api.done), api.taken) == (2, 1)
