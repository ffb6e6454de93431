"""Sessions whose service is away, slow, or not to be written to for a while."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types
from google.genai.errors import ClientError
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, StatementError

from rtc_server.agent.failures import SessionUnavailable
from rtc_server.agent.sessions.write_errors import blames_the_event
from rtc_server.agent.sessions.written_behind_sessions import WriteRules
from tests.agent.sessions.desk import (
    FAST,
    KEY,
    NAMES,
    Desk,
    Gate,
    desk_over,
    sqlite,
    texts,
)
from tests.waiting import until

HANDLE = "rtc:live_session"


class Hanging(Gate):
    """A service that takes nothing and answers nothing while it is ``away``."""

    async def get_session(self, **names: Any) -> Session | None:
        if self.away:
            await asyncio.Event().wait()
        return await super().get_session(**names)


class Call:
    """A call of the desk's session."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.history = desk.service.open_history(KEY, modality="audio", agent="agent")

    async def connect(self) -> None:
        self._desk.session = await self._desk.get()


# Reading ----------------------------------------------------------------------


async def test_a_reload_while_the_service_is_away_goes_on_with_all_that_was_said() -> None:
    """The call that ends has the session in memory, and what it said waits there."""
    gate = Gate()
    async with desk_over(gate) as desk:
        call = Call(desk)
        await call.connect()
        await desk.say("one")
        await desk.until_stored("one")
        gate.away = True
        await desk.say("two")
        call.history.close()
        assert texts(await desk.get()) == ["one", "two"]
        call = Call(desk)
        await call.connect()
        await desk.say("three")
        assert texts(await desk.get()) == ["one", "two", "three"]
        gate.away = False
        await desk.until_stored("one", "two", "three")
        call.history.close()
        assert desk.errors["session_write_lost"] == 0


async def test_a_session_that_is_stored_is_kept_for_a_while_after_its_call() -> None:
    gate = Gate()
    now = [0.0]
    async with desk_over(gate, clock=lambda: now[0]) as desk:
        call = Call(desk)
        await call.connect()
        await desk.say("one")
        call.history.close()
        await desk.until_stored("one")
        await desk.service.flush()
        gate.away = True
        now[0] = FAST.keep_s - 1
        again = Call(desk)
        await again.connect()
        assert texts(desk.session) == ["one"]
        assert desk.errors["session_read_failed"] == 1
        again.history.close()
        await desk.service.flush()
        now[0] += FAST.keep_s + 1
        with pytest.raises(SessionUnavailable):
            await desk.get()


async def test_few_sessions_are_kept_after_their_calls() -> None:
    gate = Gate()
    async with desk_over(gate, rules=WriteRules(kept=1)) as desk:
        for session_id in ("a", "b"):
            names = {**NAMES, "session_id": session_id}
            await desk.service.create_session(**names)
            key = ("app", "user", session_id)
            history = desk.service.open_history(key, modality="audio", agent="agent")
            await desk.service.get_session(**names)
            history.close()
            await desk.service.flush()
        gate.away = True
        assert await desk.service.get_session(**{**NAMES, "session_id": "b"}) is not None
        with pytest.raises(SessionUnavailable):
            await desk.service.get_session(**{**NAMES, "session_id": "a"})


async def test_what_another_server_wrote_is_read_again_though_memory_has_the_session(
    tmp_path: Path,
) -> None:
    """The call was here, then there, and is here again."""
    async with desk_over(sqlite(tmp_path)) as here:
        call = Call(here)
        await call.connect()
        await here.say("one")
        call.history.close()
        await here.until_stored("one")
        there = Desk(SqliteSessionService(str(tmp_path / "s.db")))
        there.session = await there.get()
        await there.say("two")
        await there.until_stored("one", "two")
        await there.service.close()
        again = Call(here)
        await again.connect()
        assert texts(here.session) == ["one", "two"]
        again.history.close()


async def test_a_call_that_cannot_read_what_another_server_wrote_goes_on_with_what_it_knows() -> (
    None
):
    gate = Gate()
    async with desk_over(gate) as desk:
        call = Call(desk)
        await call.connect()
        await desk.say("one")
        await desk.until_stored("one")
        desk.service._writers[KEY].others_wrote = True
        gate.away = True
        assert texts(await desk.get()) == ["one"]
        assert desk.errors == {"session_read_failed": 1}
        gate.away = False
        call.history.close()


async def test_a_session_that_only_the_service_has_is_not_there_while_it_is_away() -> None:
    gate = Gate()
    async with desk_over(gate) as desk:
        gate.away = True
        with pytest.raises(SessionUnavailable):
            await desk.get()
        assert desk.errors == {"session_read_failed": 1}


async def test_a_service_that_hangs_is_waited_for_once_and_not_for_long() -> None:
    gate = Hanging()
    now = [0.0]
    rules = WriteRules(read_s=0.05, attempt_s=600.0)
    async with desk_over(gate, rules=rules, clock=lambda: now[0]) as desk:
        call = Call(desk)
        await call.connect()
        await desk.say("one")
        call.history.close()
        await desk.until_stored("one")
        await desk.service.flush()
        gate.away = True
        for _ in range(3):
            assert texts(await desk.get()) == ["one"]
        recent = GetSessionConfig(num_recent_events=0)
        assert texts(await desk.service.get_session(**NAMES, config=recent)) == []
        assert desk.errors == {"session_read_failed": 1}


# State ------------------------------------------------------------------------


async def test_state_that_is_not_stored_yet_is_seen_by_who_reads() -> None:
    """While it waits, while it is on its way, and while the call is live."""
    gate = Gate()
    async with desk_over(gate) as desk:
        call = Call(desk)
        await call.connect()
        call.history.keep_state(HANDLE, "old")
        await desk.say("one")
        await desk.until_stored("one")
        gate.open.clear()
        call.history.keep_state(HANDLE, "new")
        assert (await desk.get()).state[HANDLE] == "new"
        await desk.say("two")
        call.history.close()
        assert (await desk.get()).state[HANDLE] == "new"
        for _ in range(3):
            await asyncio.sleep(0)
        assert (await desk.get()).state[HANDLE] == "new"
        gate.open.set()
        await desk.until_stored("one", "two")


async def test_an_attempt_that_fails_puts_no_old_state_over_a_newer_one() -> None:
    gate = Gate()
    errors = [OSError("away")]
    gate.fails = lambda event: errors.pop() if errors else None
    async with desk_over(gate) as desk:
        call = Call(desk)
        await call.connect()
        gate.open.clear()
        call.history.keep_state(HANDLE, "old")
        await desk.say("one")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.history.keep_state(HANDLE, "new")
        gate.open.set()
        await desk.until_stored("one")
        assert not errors
        call.history.close()
        await desk.service.flush()
        stored = await gate.get_session(**NAMES)
        assert stored is not None
        assert stored.state == {HANDLE: "new"}


async def test_a_state_that_no_event_takes_along_is_stored_alone() -> None:
    """Newer ones in the same moment take its place."""
    gate = Gate()
    async with desk_over(gate) as desk:
        call = Call(desk)
        await call.connect()
        await desk.say("one")
        await desk.until_stored("one")
        for value in ("1", "2", "3"):
            call.history.keep_state(HANDLE, value)
        await until(lambda: gate.sessions["app"]["user"]["s"].state == {HANDLE: "3"})
        assert len(gate.sessions["app"]["user"]["s"].events) == 2
        call.history.close()


# Rows -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"turn_complete": True},
        {"interrupted": True},
        {"usage_metadata": types.GenerateContentResponseUsageMetadata(total_token_count=3)},
        {
            "live_session_resumption_update": types.LiveServerSessionResumptionUpdate(
                new_handle="secret", resumable=True
            )
        },
        {"live_session_id": "x", "model_version": "m"},
        {"content": types.Content(role="model", parts=[])},
        {"output_transcription": types.Transcription(finished=True)},
    ],
)
async def test_an_event_that_says_nothing_has_no_row(more: dict[str, Any]) -> None:
    async with desk_over(Gate()) as desk:
        await desk.service.append_event(desk.session, Event(author="agent", **more))
        await desk.say("one")
        await desk.until_stored("one")
        stored = await desk.service.inner.get_session(**NAMES)
        assert stored is not None
        assert len(stored.events) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"error_code": "BAD"},
        {"actions": EventActions(state_delta={"a": 1})},
        {"actions": EventActions(end_of_agent=True)},
        {"actions": EventActions(transfer_to_agent="sub")},
        {"output_transcription": types.Transcription(text="yes", finished=True)},
        {"custom_metadata": {"a": 1}},
        {"output": 0},
    ],
)
async def test_an_event_that_says_or_does_something_has_a_row(more: dict[str, Any]) -> None:
    async with desk_over(Gate()) as desk:
        await desk.service.append_event(desk.session, Event(author="agent", **more))
        await desk.service.flush()
        stored = await desk.service.inner.get_session(**NAMES)
        assert stored is not None
        assert len(stored.events) == 1


async def test_no_row_has_the_handle_of_the_model_s_session() -> None:
    update = types.LiveServerSessionResumptionUpdate(new_handle="secret")
    async with desk_over(Gate()) as desk:
        await desk.say("one", live_session_resumption_update=update)
        await desk.until_stored("one")
        stored = await desk.service.inner.get_session(**NAMES)
        assert stored is not None
        assert "secret" not in stored.model_dump_json()


# Writing ----------------------------------------------------------------------


def of_postgres(kind: str) -> DBAPIError:
    """As SQLAlchemy raises what asyncpg does."""
    make_error: Any = AsyncAdapt_asyncpg_dbapi.Error
    orig = make_error("words", getattr(asyncpg.exceptions, kind)("words"))
    return DBAPIError("INSERT", {}, orig)


@pytest.mark.parametrize(
    ("error", "is_to_blame"),
    [
        (sqlite3.OperationalError("database is locked"), False),
        (sqlite3.OperationalError("database or disk is full"), False),
        (sqlite3.OperationalError("attempt to write a readonly database"), False),
        (sqlite3.DataError("string or blob too big"), True),
        (sqlite3.IntegrityError("NOT NULL constraint failed"), True),
        (sqlite3.ProgrammingError("Error binding parameter 1: type 'x' is not supported"), True),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), False),
        (of_postgres("ReadOnlySQLTransactionError"), False),
        (of_postgres("DiskFullError"), False),
        (of_postgres("AdminShutdownError"), False),
        (of_postgres("TooManyConnectionsError"), False),
        (of_postgres("InterfaceError"), False),
        (of_postgres("UntranslatableCharacterError"), True),
        (of_postgres("NotNullViolationError"), True),
        (StatementError("words", "INSERT", {}, TypeError("not JSON serializable")), True),
        (ClientError(400, {}), True),
        (ClientError(429, {}), False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (TimeoutError(), False),
        (AttributeError("'NoneType' object has no attribute 'send'"), False),
    ],
)
async def test_only_what_was_to_be_written_is_lost_when_it_is_to_blame(
    error: Exception, is_to_blame: bool
) -> None:
    """A service that is locked, full, read-only or away for long loses nothing."""
    assert blames_the_event(error) is is_to_blame
    gate = Gate()
    gate.fails = lambda event: error if event.content and failing else None
    failing = True
    async with desk_over(gate) as desk:
        await desk.say("one", "two")
        if is_to_blame:
            await until(lambda: desk.errors["session_write_lost"] == 2)
            return
        await until(lambda: desk.errors["session_write_failed"] > 3 * FAST.attempts)
        failing = False
        await desk.until_stored("one", "two")
        assert desk.errors["session_write_lost"] == 0


# The end ----------------------------------------------------------------------


class Slow(Gate):
    """Each write takes as long as the test says."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def append_event(self, session: Session, event: Event) -> Event:
        await asyncio.sleep(self.seconds)
        return await super().append_event(session, event)


async def test_the_end_waits_as_long_as_something_is_stored() -> None:
    rules = WriteRules(stall_s=0.5, end_s=30.0)
    async with desk_over(Slow(0.1), rules=rules) as desk:
        words = [str(n) for n in range(10)]
        await desk.say(*words)
        await desk.service.close()
        assert await desk.stored() == words
        assert not desk.errors


async def test_the_end_waits_for_nothing_that_does_not_come_and_the_log_names_what_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    with caplog.at_level(logging.ERROR):
        async with desk_over(gate, rules=WriteRules(stall_s=0.1)) as desk:
            await desk.say("one")
            await desk.until_stored("one")
            gate.open.clear()
            await desk.say("two", "three")
            await desk.service.close()
            assert desk.errors == {"session_write_lost": 2}
    assert "2 events of 1 sessions were not stored: s" in caplog.text


async def test_the_end_is_bounded_though_something_is_being_stored() -> None:
    rules = WriteRules(stall_s=600.0, end_s=0.2)
    async with desk_over(Slow(0.05), rules=rules) as desk:
        await desk.say(*("word" for _ in range(1000)))
        await desk.service.close()
        lost = desk.errors["session_write_lost"]
        assert lost > 0
        assert len(await desk.stored()) >= 1000 - lost


async def test_the_end_may_use_what_is_left_of_the_time_to_drain() -> None:
    rules = WriteRules(stall_s=0.5, end_s=0.0)
    async with desk_over(Slow(0.05), rules=rules) as desk:
        await desk.say("one", "two", "three")
        await desk.service.close(within_s=30.0)
        assert await desk.stored() == ["one", "two", "three"]


async def test_the_end_stores_a_state_at_once() -> None:
    gate = Gate()
    async with desk_over(gate, rules=WriteRules(state_s=600.0)) as desk:
        call = Call(desk)
        await call.connect()
        await desk.say("one")
        call.history.keep_state(HANDLE, "new")
        await desk.until_stored("one")
        call.history.keep_state(HANDLE, "newer")
        await desk.service.close()
        assert gate.sessions["app"]["user"]["s"].state == {HANDLE: "newer"}
