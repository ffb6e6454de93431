"""Sessions written behind to a real PostgreSQL on bad days."""

from __future__ import annotations

from google.adk.sessions.database_session_service import DatabaseSessionService

from rtc_server.agent.sessions.adk_services import open_services
from rtc_server.settings import Settings
from tests.agent.sessions.desk import FAST, desk_over
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


async def test_words_that_postgresql_has_no_letter_for_are_lost_alone() -> None:
    """A zero byte: the event is to blame, and those behind it do not wait for ever."""
    async with (
        PostgresProcess() as postgres,
        open_services(Settings(session_db=postgres.url)) as services,
    ):
        assert services.sessions is not None
        async with desk_over(services.sessions) as desk:
            await desk.say("one", "a\0b", "two")
            await desk.until_stored("one", "two")
            assert desk.errors["session_write_lost"] == 1
