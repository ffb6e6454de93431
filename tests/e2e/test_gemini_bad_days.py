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
from tests.e2e.gemini import CALM, FAST, MODELS, PING, answers, ask, endings, gemini_server, of_type
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


def lost_by(code: int) -> Lost:
    """By a close code, of which ADK resumes the session after some."""
    if code in (1000, 1011):
        return lost(f"close {code}", RESUMED, Close(code))
    refuses = code in (1007, 1008)
    told = "agent_refused" if refuses else "agent_lost"
    return lost(f"close {code}", told, Close(code), or_resumed=True)


LOST_IN_AN_ANSWER = [
    lost("goAway", RESUMED, GoAway(0.2)),
    lost("drop", RESUMED, Abort()),
    *(lost_by(code) for code in CLOSE_CODES),
    lost("broken JSON", "agent_failed", BROKEN_JSON),
    lost("unknown message", "agent_failed", UNKNOWN_MESSAGE),
    lost("oversized frame", RESUMED, OVERSIZED),
    lost("network gone", RESUMED, StopReading()),
    lost("empty handle, then drop", "agent_lost", (EmptyHandle(), Abort())),
    lost("hangs up unasked", "agent_ended", (EmptyHandle(), Close(1000))),
    Lost("drop before the answer", RESUMED, (at(Moment.QUESTION, Abort(), nth=2),)),
    Lost("broken JSON before the answer", "agent_failed", (at(Moment.QUESTION, BROKEN_JSON, 2),)),
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

IN_VOICE = {"drop", "close 1000", "close 1008", "close 1011", "goAway", "hangs up unasked"} | {
    *("network gone", "broken JSON", "drop, then 503", "drop before the answer"),
}
"""Days of which a 3.x model has a voice call, too.  The others are of text calls there, which
are quicker: sound differs between the dialects by the names of its messages only."""

CASES = [
    pytest.param(
        model,
        "sendrecv" if dialect == "2.x" or case.name in IN_VOICE else None,
        case,
        id=f"{dialect}-{case}",
    )
    for dialect, model in MODELS.items()
    for case in LOST_IN_AN_ANSWER
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


@pytest.mark.parametrize(("model", "audio", "case"), CASES)
async def test_an_answer_that_is_lost_is_told_and_the_next_turn_is_answered(
    model: str, audio: str | None, case: Lost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = (Day(*case.deeds), *case.days)
    pings = PING if any(one.deed == StopReading() for one in case.deeds) else CALM
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            model=model,
            days=days,
            pace=QUICK,
            settings=SETTINGS,
            pings=pings,
        ) as (server, api),
        server.call(audio=audio) as caller,
    ):
        await assert_told(caller, case, case.codes(is_voice=audio is not None))
        assert len(api.connections) >= 2


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("deed", [Close(1000), Abort()], ids=["close 1000", "drop"])
async def test_without_resumption_the_history_is_told_anew(
    deed: Deed, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK ends the run then, on a close 1000 without a word; the next one goes on all the same."""
    settings = replace(SETTINGS, run_config={"session_resumption": None})
    days = (Day(at(Moment.MID_ANSWER, deed, nth=2)), Day())
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=days, pace=QUICK, settings=settings
        ) as (server, api),
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
    assert endings(caller)[1:3] == [("turn", 2, True), ("error", error["code"], True)]
    if case.asks == 1:
        assert len(of_type(caller, "error")) == 1
    else:
        assert {one["code"] for one in of_type(caller, "error")} <= {RESUMED, "agent_lost"}


def assert_nothing_secret(caller: Caller) -> None:
    """What the model's server says is no business of the caller."""
    assert "secret" not in str(caller.client.messages)


IMPATIENT_S = 2.0
"""How long a connection may take that is never there; the others have the time they need."""

FIRST = {
    "503": (at(Moment.CONNECT, HttpStatus(503)), "agent_lost"),
    "429": (at(Moment.CONNECT, HttpStatus(429)), "agent_busy"),
    "401": (at(Moment.CONNECT, HttpStatus(401)), "agent_refused"),
    "refused": (at(Moment.CONNECT, Refuse(0.1)), "agent_unreachable"),
    "set-up that is not completed": (at(Moment.SETUP, Stall()), "agent_unreachable"),
}


def connect_s(deed: At) -> float:
    """How long it is waited for a connection with that deed."""
    return IMPATIENT_S if deed.moment is Moment.SETUP and deed.deed == Stall() else 20.0


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(("deed", "code"), FIRST.values(), ids=FIRST)
async def test_a_first_connection_that_is_refused_is_tried_again(
    deed: At, code: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is there before the model is, and what was typed meanwhile is answered."""
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            model=model,
            days=[Day(deed), Day()],
            pace=QUICK,
            settings=SETTINGS,
            retry=replace(FAST, connect_s=connect_s(deed)),
        ) as (server, api),
        server.call() as caller,
    ):
        await caller.client.next_message("ready")
        await ask(caller, "hello")
        assert answers(caller) == {1: "You said: hello"}
        assert endings(caller) == [("error", code, True), ("turn", 1, False)]
        assert_nothing_secret(caller)
        assert api.attempts >= 2


GONE = ("agent_lost", "agent_unreachable")

NEVER_THERE = {
    "accepts and crashes": (at(Moment.READY, Abort()), GONE),
    "does not complete the set-up": (at(Moment.SETUP, Stall()), ("agent_unreachable",) * 2),
    "refuses the set-up, 1007": (at(Moment.SETUP, Close(1007)), ("agent_refused",) * 2),
    "refuses the set-up, 1008": (at(Moment.SETUP, Close(1008)), ("agent_refused",) * 2),
    "401": (at(Moment.CONNECT, HttpStatus(401)), ("agent_refused",) * 2),
    "503": (at(Moment.CONNECT, HttpStatus(503)), GONE),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(("deed", "codes"), NEVER_THERE.values(), ids=NEVER_THERE)
async def test_a_model_that_is_never_there_ends_the_call_with_a_word_and_without_a_storm(
    deed: At,
    codes: tuple[str, str],
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In bounded time; told at its beginning and at its end, which says that it is no use."""
    # Refusals end a call by their number, the rest by the time that it waits: several tries.
    patience_s = 60.0 if codes[1] == "agent_refused" else 2.5
    rules = replace(
        FAST,
        patience_s=patience_s,
        first_delay_s=0.3,
        max_delay_s=0.3,
        connect_s=connect_s(deed) / 2,
    )
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            model=model,
            days=[Day(deed)],
            pace=QUICK,
            settings=SETTINGS,
            retry=rules,
        ) as (server, api),
        server.call() as caller,
    ):
        await caller.client.wait_for(lambda: caller.client.pc.connectionState == "closed", 20)
        assert endings(caller) == [("error", codes[0], True), ("error", codes[1], False)]
        assert_nothing_secret(caller)
        assert api.attempts <= 24


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
