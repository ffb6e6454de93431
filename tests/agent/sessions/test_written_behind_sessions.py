"""Sessions written behind a call's back, with ADK's own services behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.memory.in_memory_memory_service import InMemoryMemoryService
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.genai import types

from rtc_server.agent.sessions.written_behind_sessions import WriteRules
from tests.agent.sessions.desk import (
    FAST,
    KEY,
    NAMES,
    Desk,
    Gate,
    desk_over,
    sqlalchemy,
    sqlite,
    texts,
    typed,
)
from tests.waiting import until

DATABASES = pytest.mark.parametrize("make", [sqlite, sqlalchemy])


async def test_nothing_is_waited_for_while_the_service_is_slow() -> None:
    gate = Gate()
    async with desk_over(gate) as desk:
        gate.open.clear()
        await desk.say("one", "two")
        assert texts(desk.session) == ["one", "two"]
        assert await desk.stored() == []
        gate.open.set()
        await desk.until_stored("one", "two")
        assert not desk.errors


async def test_what_is_not_stored_yet_is_seen_by_who_reads() -> None:
    gate = Gate()
    async with desk_over(gate) as desk:
        gate.open.clear()
        await desk.say("one", actions=EventActions(state_delta={"key": 1, "temp:x": 2}))
        read = await desk.get()
        assert texts(read) == ["one"]
        assert read.state == {"key": 1}
        gate.open.set()
        await desk.until_stored("one")
        assert texts(await desk.get()) == ["one"]


async def test_pieces_are_not_stored() -> None:
    async with desk_over(Gate()) as desk:
        await desk.say("piece", partial=True)
        await desk.say("whole")
        await desk.until_stored("whole")


@DATABASES
async def test_a_database_gives_the_events_back_in_their_order(
    make: Callable[[Path], BaseSessionService], tmp_path: Path
) -> None:
    """Databases sort by time, and events may be made in another order than they are stored."""
    async with desk_over(make(tmp_path)) as desk:
        words = [str(n) for n in range(12)]
        for n, word in enumerate(words):
            await desk.service.append_event(
                desk.session, typed(word, timestamp=2_000_000_000.0 - n)
            )
        await desk.until_stored(*words)
        assert not desk.errors


@DATABASES
async def test_two_servers_that_write_one_session_lose_nothing(
    make: Callable[[Path], BaseSessionService], tmp_path: Path
) -> None:
    """Each reads again what it finds changed, and appends once more."""
    async with desk_over(make(tmp_path)) as here:
        there = Desk(make(tmp_path))
        there.session = await there.get()
        for n in range(8):
            await here.say(f"here {n}")
            await there.say(f"there {n}")
            await asyncio.sleep(0)

        async def are_all_there() -> bool:
            return len(await here.stored()) == 16

        await until(are_all_there)
        stored = await here.stored()
        for desk, name in ((here, "here"), (there, "there")):
            assert [one for one in stored if one.startswith(name)] == [
                f"{name} {n}" for n in range(8)
            ]
            assert not desk.errors
        await there.service.close()
        if isinstance(there.service.inner, DatabaseSessionService):
            await there.service.inner.close()


async def test_a_call_reads_again_what_another_server_wrote(tmp_path: Path) -> None:
    async with desk_over(sqlite(tmp_path)) as here:
        history = here.service.open_history(KEY, modality="audio", agent="agent")
        here.session = await here.get()
        await here.say("one")
        await here.until_stored("one")
        there = Desk(sqlite(tmp_path))
        there.session = await there.get()
        await there.say("two")
        await there.until_stored("one", "two")
        await here.say("three")
        await here.until_stored("one", "two", "three")
        assert texts(await here.get()) == ["one", "two", "three"]
        history.close()
        await there.service.close()


async def test_a_service_that_comes_back_gets_all() -> None:
    gate = Gate()
    async with desk_over(gate) as desk:
        gate.away = True
        await desk.say("one", "two")
        await until(lambda: desk.errors["session_write_failed"] > 8)
        gate.away = False
        await desk.until_stored("one", "two")
        assert desk.errors["session_write_lost"] == 0


async def test_a_live_call_reads_its_session_without_the_service() -> None:
    """A new run in the middle of a call does not wait for a database, nor fail with it."""
    gate = Gate()
    async with desk_over(gate) as desk:
        history = desk.service.open_history(KEY, modality="audio", agent="agent")
        desk.session = await desk.get()
        gate.away = True
        await desk.say("one", "two")
        assert texts(await desk.get()) == ["one", "two"]
        recent = await desk.service.get_session(
            **NAMES, config=GetSessionConfig(num_recent_events=1)
        )
        assert texts(recent) == ["two"]
        gate.away = False
        history.close()
        await desk.until_stored("one", "two")


async def test_an_event_is_stored_once_though_its_receipt_was_lost() -> None:
    gate = Gate()
    lost = [1]

    class Forgetful(Gate):
        async def append_event(self, session: Session, event: Event) -> Event:
            await super().append_event(session, event.model_copy())
            if lost:
                lost.pop()
                raise OSError("the connection broke before the answer came")
            return event

    gate = Forgetful()
    async with desk_over(gate) as desk:
        await desk.say("one", "two")
        await desk.until_stored("one", "two")


async def test_an_event_that_the_service_does_not_take_is_lost_alone() -> None:
    gate = Gate()
    gate.fails = lambda event: ValueError("no") if texts_of(event) == "bad" else None
    async with desk_over(gate) as desk:
        await desk.say("one", "bad", "two")
        await desk.until_stored("one", "two")
        assert desk.errors == {"session_write_failed": 5, "session_write_lost": 1}


def texts_of(event: Event) -> str:
    assert event.content is not None
    assert event.content.parts is not None
    return event.content.parts[0].text or ""


async def test_an_event_that_its_database_does_not_take_is_stored_written_out(
    tmp_path: Path,
) -> None:
    """Half a character in it is replaced, its picture is not touched, and it keeps its id."""
    picture = types.Blob(data=b"\0\xff", mime_type="image/png")
    parts = [types.Part(text="half \ud800"), types.Part(inline_data=picture)]
    odd = Event(author="user", invocation_id="run", content=types.Content(role="user", parts=parts))
    inner = sqlite(tmp_path)
    async with desk_over(inner) as desk:
        await desk.say("one")
        await desk.service.append_event(desk.session, odd)
        await desk.say("two")
        await desk.until_stored("one", "half \ufffd", "two")
        session = await inner.get_session(**NAMES)
        assert session is not None
        stored = session.events[1]
        assert stored.id == odd.id
        assert stored.content is not None
        assert stored.content.parts is not None
        assert stored.content.parts[1].inline_data == picture
        assert desk.errors["session_write_lost"] == 0


async def test_an_event_that_its_service_takes_is_stored_as_it_is() -> None:
    """Sessions in memory hold any object."""
    held = object()
    gate = Gate()
    async with desk_over(gate) as desk:
        actions = EventActions(state_delta={"held": held})
        await desk.say("a\0b", actions=actions)
        await desk.until_stored("a\0b")
        session = await gate.get_session(**NAMES)
        assert session is not None
        assert session.state["held"] is not None
        assert not isinstance(session.state["held"], str)


async def test_beyond_the_bound_the_newest_are_lost_and_counted() -> None:
    gate = Gate()
    rules = WriteRules(capacity=2)
    async with desk_over(gate, rules=rules) as desk:
        gate.open.clear()
        await desk.say("one", "two", "three")
        assert desk.errors == {"session_write_lost": 1}
        gate.open.set()
        await desk.until_stored("one", "two")


async def test_the_end_waits_a_bounded_time_and_counts_what_is_lost() -> None:
    gate = Gate()
    rules = WriteRules(stall_s=0.05)
    async with desk_over(gate, rules=rules) as desk:
        gate.open.clear()
        await desk.say("one", "two")
        await desk.service.close()
        await desk.service.close()
        assert desk.errors == {"session_write_lost": 2}


async def test_the_end_lets_what_waits_be_stored() -> None:
    gate = Gate()
    async with desk_over(gate) as desk:
        await desk.say("one", "two")
        await desk.service.close()
        assert await desk.stored() == ["one", "two"]


async def test_a_session_without_a_call_is_given_up_at_last() -> None:
    gate = Gate()
    now = [0.0]
    async with desk_over(gate, clock=lambda: now[0]) as desk:
        gate.away = True
        await desk.say("one", "two")
        await until(lambda: desk.errors["session_write_failed"] > 2)
        now[0] = FAST.give_up_s + 1
        await until(lambda: desk.errors["session_write_lost"] == 2)


async def test_what_is_said_in_a_deleted_session_is_lost_and_ends_nothing() -> None:
    gate = Gate()
    async with desk_over(gate) as desk:
        await gate.delete_session(**NAMES)
        await desk.say("one")
        await until(lambda: desk.errors["session_write_lost"] == 1)


async def test_deleting_a_session_ends_its_writing() -> None:
    gate = Gate()
    async with desk_over(gate) as desk:
        gate.open.clear()
        await desk.say("one")
        await desk.service.delete_session(**NAMES)
        gate.open.set()
        assert await desk.service.get_session(**NAMES) is None
        assert not desk.errors


async def test_sessions_in_memory_that_are_idle_go_when_others_are_made() -> None:
    now = [0.0]
    inner = InMemorySessionService()
    async with desk_over(inner, rules=WriteRules(idle_s=10.0), clock=lambda: now[0]) as desk:
        history = desk.service.open_history(KEY, modality="audio", agent="agent")
        await desk.service.create_session(app_name="app", user_id="user", session_id="idle")
        now[0] = 11.0
        await desk.service.create_session(app_name="app", user_id="user", session_id="new")
        await until(lambda: set(inner.sessions["app"]["user"]) == {"s", "new"})
        history.close()
        now[0] = 22.0
        await desk.service.flush()
        await desk.service.create_session(app_name="app", user_id="user", session_id="newer")
        await until(lambda: set(inner.sessions["app"]["user"]) == {"newer"})


async def test_a_session_goes_to_the_memory_service_when_its_call_has_ended() -> None:
    gate = Gate()
    memory = InMemoryMemoryService()
    async with desk_over(gate, memory=memory) as desk:
        history = desk.service.open_history(KEY, modality="audio", agent="agent")
        desk.session = await desk.get()
        await desk.say("zebra")
        history.close()

        async def is_remembered() -> bool:
            found = await memory.search_memory(app_name="app", user_id="user", query="zebra")
            return len(found.memories) == 1

        await until(is_remembered)
        assert not desk.errors


async def test_a_memory_service_that_fails_is_counted() -> None:
    class Broken(InMemoryMemoryService):
        async def add_session_to_memory(self, session: Session) -> None:
            raise OSError("away")

    async with desk_over(Gate(), memory=Broken()) as desk:
        history = desk.service.open_history(KEY, modality="audio", agent="agent")
        desk.session = await desk.get()
        await desk.say("one")
        history.close()
        await until(lambda: desk.errors["memory_write_failed"] == 1)
        assert await desk.stored() == ["one"]
