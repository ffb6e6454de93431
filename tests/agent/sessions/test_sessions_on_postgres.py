"""Sessions written behind to a real PostgreSQL on bad days."""

from __future__ import annotations

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.genai import types

from rtc_server.agent.sessions.adk_services import open_services
from rtc_server.settings import Settings
from tests.agent.sessions.desk import FAST, NAMES, desk_over
from tests.e2e.postgres import PostgresProcess
from tests.waiting import until


async def test_a_database_that_can_only_be_read_for_a_while_loses_nothing() -> None:
    async with (
        PostgresProcess() as postgres,
        open_services(Settings(session_db=postgres.url)) as services,
    ):
        assert isinstance(services.sessions, DatabaseSessionService)
        async with desk_over(services.sessions) as desk:
            await desk.say("one")
            await desk.until_stored("one")
            async with postgres.read_only():
                await desk.say("two", "three")
                await until(lambda: desk.errors["session_write_failed"] > 3 * FAST.attempts)
                assert await desk.stored() == ["one"]
            await desk.until_stored("one", "two", "three")
            assert desk.errors["session_write_lost"] == 0


async def test_what_postgresql_has_no_letter_for_is_stored_with_another_in_its_place() -> None:
    """A zero byte in words, half a character in a tool's arguments, an object in the state."""
    call = types.FunctionCall(id="1", name="look", args={"at": "\0\ud800"})
    odd = Event(
        author="agent",
        invocation_id="run",
        content=types.Content(role="model", parts=[types.Part(function_call=call)]),
        actions=EventActions(state_delta={"seen": {1}, "rate": float("nan")}),
    )
    async with (
        PostgresProcess() as postgres,
        open_services(Settings(session_db=postgres.url)) as services,
    ):
        assert services.sessions is not None
        async with desk_over(services.sessions) as desk:
            await desk.say("one", "a\0b")
            await desk.service.append_event(desk.session, odd)
            await desk.say("two")
            await desk.until_stored("one", "a\ufffdb", "", "two")
            assert desk.errors["session_write_lost"] == 0
            session = await services.sessions.get_session(**NAMES)
            assert session is not None
            (called,) = session.events[2].get_function_calls()
            assert called.args == {"at": "\ufffd\ufffd"}
            assert session.state == {"seen": [1], "rate": None}
            assert [one.id for one in session.events][2] == odd.id
