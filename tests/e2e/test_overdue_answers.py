"""A model whose connection stays open and that says nothing more: the watchdog's business.

In whole calls through real WebRTC.  The turn that is lost is told (``turn`` with
``interrupted``), and then why (``error`` with ``agent_timeout``); the history holds what was
heard of it, and the next turn is answered.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from rtc_harness.caller import CallPlan, TextTurn, place_call
from rtc_harness.signalling import CallRequest
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedConnection, ScriptedLlm, talker, tone
from tests.e2e.gemini import MODELS, answers, ask, endings, gemini_server, of_type
from tests.e2e.server import Caller, Server
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import CancelTools, Day, Stall, at
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

PACE = Pace(playback=0.0, word_s=0.1)
ANSWER_S = 2.5
"""The watchdog's time in these tests."""

IMPATIENT = Settings(port=0, limits=Limits(answer_s=ANSWER_S))
TIMED_OUT = ("error", "agent_timeout", True)

MIDDLE = Day(at(Moment.MID_ANSWER, Stall(), nth=2))
BEFORE = Day(at(Moment.QUESTION, Stall(), nth=2))


async def stored_answers(database: Path, caller: Caller) -> list[str]:
    """The agent's words in the session, one by one."""
    session = await SqliteSessionService(str(database)).get_session(
        app_name="scripted", user_id="user", session_id=caller.placed["session_id"]
    )
    assert session is not None
    said = []
    for event in session.events:
        if event.author == "user":
            continue
        if event.output_transcription is not None:
            said.append(event.output_transcription.text or "")
        elif event.content is not None:
            said.append("".join(part.text or "" for part in event.content.parts or []))
    return said


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(
    ("day", "audio", "heard"),
    [(MIDDLE, "sendrecv", "1"), (MIDDLE, None, "1"), (BEFORE, "sendrecv", "")],
    ids=["in the middle", "in the middle, text", "before the answer"],
)
async def test_a_turn_that_never_ends_is_told_to_be_lost_and_the_next_one_is_answered(
    day: Day,
    audio: str | None,
    heard: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What had been heard of it is what it is remembered by."""
    database = tmp_path / "s.db"
    settings = Settings(
        port=0, limits=Limits(answer_s=ANSWER_S), session_db=f"sqlite:///{database}"
    )
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=[day, Day()], pace=PACE, settings=settings
        ) as (server, _),
        server.call(audio=audio) as caller,
    ):
        await ask(caller, "I am Ada")
        lost = await ask(caller, "count to 30")
        assert (lost["interrupted"], lost["heard_text"]) == (True, heard)
        if audio is not None:
            assert lost["heard_ms"] == pytest.approx(100 if heard else 0, abs=20)
        await ask(caller, "What did I say?")
        assert endings(caller) == [
            ("turn", 1, False),
            ("turn", 2, True),
            TIMED_OUT,
            ("turn", 3, False),
        ]
        assert "I am Ada" in answers(caller)[3]
        expected = [answers(caller)[1], *([heard] if heard else []), answers(caller)[3]]

        async def is_stored() -> bool:
            return len(await stored_answers(database, caller)) >= len(expected)

        await until(is_stored)
        assert await stored_answers(database, caller) == expected


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_a_spoken_question_that_is_never_answered_is_told_to_be_lost(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model has understood it: its transcript comes, to its end, and then nothing."""
    days = [Day(at(Moment.QUESTION, Stall(), nth=2)), Day()]
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, days=days, pace=PACE, settings=IMPATIENT
        ) as (server, api),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await caller.ask_aloud(1.0)
        lost = await caller.client.next_message("turn")
        assert (lost["heard_ms"], lost["heard_text"]) == (0, "")
        await until(lambda: api.taken == 2)
        await ask(caller, "What did I say?")
        assert endings(caller) == [
            ("turn", 1, False),
            ("turn", 2, True),
            TIMED_OUT,
            ("turn", 3, False),
        ]
        heard = [one for one in of_type(caller, "transcript") if one["role"] == "user"]
        assert (heard[-1]["text"], heard[-1]["turn"]) == ("I asked aloud", 2)
        assert heard[-1]["final"]
        assert "I am Ada" in answers(caller)[3]


async def test_a_model_that_is_silent_after_the_setup_is_left_for_a_new_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [Day(at(Moment.READY, Stall())), Day()]
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=PACE, settings=IMPATIENT) as (
            server,
            _,
        ),
        server.call() as caller,
    ):
        lost = await ask(caller, "I am Ada")
        assert lost["interrupted"]
        await ask(caller, "hello")
        assert endings(caller) == [("turn", 1, True), TIMED_OUT, ("turn", 2, False)]
        assert answers(caller) == {2: "You said: hello"}


async def test_a_caller_who_speaks_to_a_model_that_is_silent_is_told_and_then_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transcript says that he has spoken: our own detector does, which may be wrong: no turn."""
    days = [Day(at(Moment.READY, Stall())), Day()]
    async with (
        gemini_server(tmp_path, monkeypatch, days=days, pace=PACE, settings=IMPATIENT) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        await until(lambda: bool(api.done))
        await caller.ask_aloud(1.0)
        error = await caller.client.next_message("error")
        assert (error["code"], error["retryable"]) == ("agent_timeout", True)
        await until(lambda: api.taken == 2)
        await caller.ask_aloud(1.0)
        await caller.client.next_message("turn")
        assert answers(caller) == {1: "You said: I asked aloud"}


async def slow() -> dict[str, str]:
    """A tool that takes its time."""
    await asyncio.sleep(30)
    return {}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_a_tool_that_is_cancelled_leaves_a_call_that_goes_on(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model takes it back and says nothing more; one of 2.x has ended that turn before."""
    day = Day(at(Moment.TOOL, Stall(0.3)), at(Moment.TOOL, CancelTools()))
    async with (
        gemini_server(
            tmp_path,
            monkeypatch,
            model=model,
            days=[day],
            pace=PACE,
            settings=IMPATIENT,
            tools=[slow],
        ) as (server, _),
        server.call() as caller,
    ):
        await ask(caller, "I am Ada")
        await ask(caller, "use slow")
        assert "cancelled" in {one["phase"] for one in of_type(caller, "tool")}
        await ask(caller, "What did I say?")
        is_lost = model == MODELS["3.x"]
        second = [("turn", 2, True), TIMED_OUT] if is_lost else [("turn", 2, False)]
        assert endings(caller) == [("turn", 1, False), *second, ("turn", 3, False)]
        assert "I am Ada" in answers(caller)[3]


async def test_the_harness_reports_an_answer_that_was_cut_and_why() -> None:
    """It was given, so that the turn is answered; but nobody takes it for the whole."""

    async def half(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        await connection.speak("Once upon a time", tone(0.5), complete=False)
        await connection.receive_text()

    llm = ScriptedLlm(scripts=[half, talker(seconds=0.2)])
    printed: list[str] = []
    async with Server.running(llm, IMPATIENT) as server:
        turns = [TextTurn("Tell."), TextTurn("And now?")]
        plan = CallPlan(server.url, turns, CallRequest(modality="audio"))
        result = await place_call(plan, printed.append)
    cut, whole = result.report["turns"]
    assert (cut["interrupted"], cut["heard_text"]) == (True, "Once upon a time")
    assert whole["interrupted"] is False
    assert [one["code"] for one in result.report["errors"]] == ["agent_timeout"]
    assert any("(interrupted after 0.50 s)" in line for line in printed)
