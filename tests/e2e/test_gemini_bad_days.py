"""Every way in which the model's day can go wrong, in a call through real WebRTC.

In each the caller is told what was lost (``turn`` with ``interrupted``, then ``error``), or
nothing where nothing was; the next turn is answered, and the agent still knows what was said
before.  What is promised is in ``docs/bad-days.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rtc_server.settings import Settings
from tests.e2e.gemini import FAST, MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Caller
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import (
    BROKEN_JSON,
    CLOSE_CODES,
    OVERSIZED,
    UNKNOWN_MESSAGE,
    Abort,
    At,
    Close,
    Day,
    Deed,
    EmptyHandle,
    GoAway,
    HttpStatus,
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


@dataclass(frozen=True)
class Lost:
    """A day on which the second answer is lost, and how the caller is told."""

    name: str
    code: str
    deeds: tuple[At, ...]
    days: tuple[Day, ...] = (Day(),)
    """Of the connections after it."""
    or_resumed: bool = False
    """In a voice call it is not determined which of ADK's tasks finds the connection closed: its
    receiver has the close code and gives up, its sender, which always has sound to send, resumes.
    """
    asks: int = 1
    """So often at most the caller asks until there is an answer, told each time that it is lost."""

    def __str__(self) -> str:
        return self.name

    def codes(self, *, is_voice: bool) -> set[str]:
        """Those of which one is told."""
        return {self.code, RESUMED} if self.or_resumed and is_voice else {self.code}


RESUMED = "agent_reconnected"


def lost(name: str, code: str, deeds: Any, *days: Day, **more: Any) -> Lost:
    found = deeds if isinstance(deeds, tuple) else (deeds,)
    placed = tuple(at(Moment.MID_ANSWER, one, nth=2) for one in found)
    return Lost(name, code, placed, days or (Day(),), **more)


LOST_IN_AN_ANSWER = [
    lost("goAway", RESUMED, GoAway(0.2)),
    lost("drop", RESUMED, Abort()),
    lost("close 1000", RESUMED, Close(1000)),
    lost("close 1001", "agent_lost", Close(1001), or_resumed=True),
    lost("close 1007", "agent_refused", Close(1007), or_resumed=True),
    lost("close 1008", "agent_refused", Close(1008), or_resumed=True),
    lost("close 1011", RESUMED, Close(1011)),
    lost("close 1012", "agent_lost", Close(1012), or_resumed=True),
    lost("close 1013", "agent_lost", Close(1013), or_resumed=True),
    lost("close 4000", "agent_lost", Close(4000), or_resumed=True),
    lost("broken JSON", "agent_failed", BROKEN_JSON),
    lost("unknown message", "agent_failed", UNKNOWN_MESSAGE),
    lost("oversized frame", RESUMED, OVERSIZED),
    lost("network gone", RESUMED, StopReading()),
    lost("empty handle, then drop", "agent_lost", (EmptyHandle(), Abort())),
    # What comes after the drop loses nothing more, and is not told.
    lost(
        "drop, and the handle is refused",
        RESUMED,
        Abort(),
        Day(at(Moment.SETUP, RefuseHandle())),
        Day(at(Moment.SETUP, RefuseHandle())),
    ),
    lost("drop, then 503", RESUMED, Abort(), Day(at(Moment.CONNECT, HttpStatus(503))), Day()),
    lost("drop, then 429", RESUMED, Abort(), Day(at(Moment.CONNECT, HttpStatus(429))), Day()),
    lost("drop, then 401", RESUMED, Abort(), Day(at(Moment.CONNECT, HttpStatus(401))), Day()),
    lost("drop, then refused", RESUMED, Refuse(0.1)),
    lost(
        "drop, then accepts and crashes",
        RESUMED,
        Abort(),
        Day(at(Moment.READY, Abort())),
        Day(at(Moment.READY, Abort())),
        Day(),
        asks=3,
    ),
]

BOTH = {"drop", "close 1011", "close 1008", "goAway", "broken JSON", "drop, then 503"}
"""On these days what the client did before, in each dialect, matters for what comes after."""

CASES = [
    pytest.param(model, case, id=f"{dialect}-{case}")
    for dialect, model in MODELS.items()
    for case in LOST_IN_AN_ANSWER
    if dialect == "2.x" or case.name in BOTH
]

UNDETERMINED = [one for one in LOST_IN_AN_ANSWER if one.or_resumed]


async def assert_goes_on(caller: Caller, after: int, asks: int = 1) -> None:
    """The next turn is answered, by the agent that knows what was said, and no other was."""
    for n in range(1, asks + 1):
        turn = await ask(caller, "What did I say?")
        assert turn["turn"] == after + n
        if not turn["interrupted"]:
            break
        assert n < asks
        await caller.client.next_message("error")
    assert "I am Ada" in answers(caller)[turn["turn"]]


@pytest.mark.parametrize(("model", "case"), CASES)
async def test_an_answer_that_is_lost_is_told_and_the_next_turn_is_answered(
    model: str, case: Lost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = (Day(*case.deeds), *case.days)
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=days, pace=QUICK, settings=SETTINGS
        ) as (server, api),
        server.call() as caller,
    ):
        await assert_told(caller, case, case.codes(is_voice=True))
        assert len(api.connections) >= 2


@pytest.mark.parametrize("deed", [Close(1000), Abort()], ids=["close 1000", "drop"])
async def test_without_resumption_the_history_is_told_anew(
    deed: Deed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK ends the run then, on a close 1000 without a word; the next one goes on all the same."""
    settings = replace(SETTINGS, run_config={"session_resumption": None})
    days = (Day(at(Moment.MID_ANSWER, deed, nth=2)), Day())
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=QUICK, settings=settings) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        told = await ask(caller, "count to 30")
        assert told["interrupted"]
        assert (await caller.client.next_message("error"))["retryable"]
        await assert_goes_on(caller, after=2)
        assert [one.setup and one.setup.handle for one in api.connections] == [None, None]


@pytest.mark.parametrize("case", UNDETERMINED, ids=str)
async def test_an_answer_that_is_lost_in_a_text_call_is_told_by_its_close_code(
    case: Lost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent meanwhile, so that it is the receiver that finds the connection closed."""
    days = (Day(*case.deeds), *case.days)
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=QUICK, settings=SETTINGS) as (
            server,
            _,
        ),
        server.call(audio=None) as caller,
    ):
        await assert_told(caller, case, case.codes(is_voice=False))


async def assert_told(caller: Caller, case: Lost, codes: set[str]) -> None:
    await ask(caller, "I am Ada")
    told = await ask(caller, "count to 30")
    assert (told["turn"], told["interrupted"]) == (2, True)
    error = await caller.client.next_message("error")
    assert error["retryable"]
    assert error["code"] in codes
    assert_nothing_secret(caller)
    await assert_goes_on(caller, after=2, asks=case.asks)
    if case.asks == 1:
        assert len(of_type(caller, "error")) == 1
    else:
        assert {one["code"] for one in of_type(caller, "error")} <= {RESUMED, "agent_lost"}


def assert_nothing_secret(caller: Caller) -> None:
    """What the model's server says is no business of the caller."""
    assert "secret" not in str(caller.client.messages)


RECONNECTS: dict[str, Deed] = {
    "goAway": GoAway(0.2),
    "drop": Abort(),
    "network gone": StopReading(),
    **{f"close {code}": Close(code) for code in CLOSE_CODES},
}


@pytest.mark.parametrize("audio", ["sendrecv", None], ids=["voice", "text"])
@pytest.mark.parametrize("deed", RECONNECTS.values(), ids=RECONNECTS)
async def test_a_connection_that_is_lost_between_two_answers_is_not_told(
    deed: Deed, audio: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [Day(at(Moment.ANSWERED, deed)), Day()]
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=QUICK, settings=SETTINGS) as (
            server,
            api,
        ),
        server.call(audio=audio) as caller,
    ):
        await ask(caller, "I am Ada")
        await until(lambda: api.taken == 2)
        await assert_goes_on(caller, after=1)
        assert of_type(caller, "error") == []


async def test_a_lone_call_outlasts_an_outage_and_what_was_interrupted_in_it_is_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tries, one error, and the model's ``away`` and ``back``."""
    days = [Day(at(Moment.ANSWERED, Refuse(2.5))), Day()]
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=QUICK, settings=SETTINGS) as (
            server,
            api,
        ),
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
@pytest.mark.parametrize(
    "day",
    [Day(at(Moment.QUESTION, Stall(0.4), nth=2)), Day(at(Moment.ANSWERED, EmptyHandle()))],
    ids=["delayed answer", "empty handle"],
)
async def test_what_loses_nothing_is_not_told(
    model: str, day: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=[day, Day()], pace=QUICK, settings=SETTINGS
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await assert_goes_on(caller, after=1)
        assert len(api.done) == 1
        assert api.taken == 1
        assert of_type(caller, "error") == []


@pytest.mark.parametrize(
    "deed",
    [HttpStatus(503), HttpStatus(429), HttpStatus(401), Refuse(0.1)],
    ids=["503", "429", "401", "refused"],
)
async def test_a_first_connection_that_is_refused_is_tried_again(
    deed: Deed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is there before the model is, and what was typed meanwhile is answered."""
    days = [Day(at(Moment.CONNECT, deed)), Day()]
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=QUICK, settings=SETTINGS) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        await caller.client.next_message("ready")
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.wait_for(lambda: "You said: hello" in answers(caller).values())
        assert all(one["retryable"] for one in of_type(caller, "error"))
        assert_nothing_secret(caller)
        assert api.attempts >= 2


@pytest.mark.parametrize(
    "day",
    [
        Day(at(Moment.READY, Abort())),
        Day(at(Moment.SETUP, Close(1008))),
        Day(at(Moment.CONNECT, HttpStatus(401))),
        Day(at(Moment.CONNECT, HttpStatus(503))),
    ],
    ids=["accepts and crashes", "refuses the setup", "401", "503"],
)
async def test_a_model_that_is_never_there_ends_the_call_with_a_word_and_without_a_storm(
    day: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bounded time; told at its beginning and at its end, which says that it is no use."""
    rules = replace(FAST, patience_s=1.0, first_delay_s=0.1)
    async with (
        gemini_server(
            tmp_path, monkeypatch, days=[day], pace=QUICK, settings=SETTINGS, retry=rules
        ) as (server, api),
        server.call() as caller,
    ):
        await caller.client.wait_for(lambda: caller.client.pc.connectionState == "closed", 20)
        assert [one["retryable"] for one in of_type(caller, "error")] == [True, False]
        assert_nothing_secret(caller)
        assert api.attempts <= 24


async def test_after_every_bad_day_nothing_of_the_calls_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller who hangs up at the worst moment; what is left fails the test, see conftest."""
    for day in (
        Day(at(Moment.MID_ANSWER, Stall())),
        Day(at(Moment.MID_ANSWER, StopReading())),
        Day(at(Moment.READY, Abort())),
        Day(at(Moment.CONNECT, HttpStatus(503))),
        Day(at(Moment.MID_ANSWER, Refuse(0.2))),
    ):
        async with gemini_server(
            tmp_path, monkeypatch, days=[day], pace=QUICK, settings=SETTINGS
        ) as (server, api):
            async with server.call() as caller:
                caller.client.send({"type": "text", "data": "count to 30"})
                await until(lambda api=api: bool(api.done))  # type: ignore[misc]
            await until(lambda server=server: server.calls.active == 0)  # type: ignore[misc]


async def test_the_next_call_of_a_session_knows_what_was_said_in_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the history, or the handle; the model answers nothing unasked."""
    async with gemini_server(tmp_path, monkeypatch, pace=QUICK, settings=SETTINGS) as (server, _):
        async with server.call(session_id="s") as caller:
            await ask(caller, "I am Ada")
        async with server.call(session_id="s") as caller:
            turn = await ask(caller, "What did I say?")
            assert turn["turn"] == 1
            assert "I am Ada" in answers(caller)[1]
