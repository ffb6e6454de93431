"""Conversations that outlive their server: killed, restarted, taken over by another one."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rtc_harness.client import RtcClient
from rtc_harness.errors import CallRefused
from rtc_harness.signalling import CallRequest
from rtc_server.agent.sessions.adk_services import open_services
from rtc_server.settings import Settings
from tests.browser.server_process import RESULTS, ServerProcess
from tests.e2e.postgres import PostgresProcess
from tests.waiting import until

REMEMBERING = "tests.e2e.remembering_agent:root_agent"
SESSION = "kept"

pytestmark = pytest.mark.deadline(180)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/sessions.db"
        return
    async with PostgresProcess() as postgres:
        yield postgres.url


@asynccontextmanager
async def server_on(
    database: str, monkeypatch: pytest.MonkeyPatch, agent: str = REMEMBERING, *options: str
) -> AsyncIterator[ServerProcess]:
    """The URL comes by the environment: it has a password, and processes are listed."""
    monkeypatch.setenv("RTC_SERVER_SESSION_DB", database)
    async with ServerProcess(agent, *options) as server:
        yield server


@asynccontextmanager
async def call(server: ServerProcess, session_id: str = SESSION) -> AsyncIterator[RtcClient]:
    request = CallRequest(session_id=session_id)
    async with RtcClient.connect(server.url, audio=False, request=request) as client:
        yield client


async def ask(client: RtcClient, text: str) -> str:
    return (await client.answer_to(client.send_text(text))).text


async def until_stored(database: str, app_name: str, words: str) -> None:
    """Wait until an event with ``words`` is in the database."""
    async with open_services(Settings(session_db=database)) as services:
        sessions = services.sessions
        assert sessions is not None

        async def is_there() -> bool:
            session = await sessions.get_session(
                app_name=app_name, user_id="user", session_id=SESSION
            )
            assert session is not None
            return any(words in event.model_dump_json() for event in session.events)

        await until(is_there)


async def test_a_conversation_goes_on_after_the_server_was_killed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server_on(database, monkeypatch) as server:
        async with call(server) as client:
            assert client.ready["resumed"] is False
            assert await ask(client, "one") == "I was told: one"
            assert await ask(client, "two") == "I was told: one, two"
            await until_stored(database, "remembering", "I was told: one, two")
            await server.stop(signal.SIGKILL)
        await server.start()
        async with call(server) as client:
            assert client.ready["resumed"] is True
            assert await ask(client, "three") == "I was told: one, two, three"


async def test_the_embedded_agent_still_knows_what_was_said(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is in the history that it is told."""
    async with server_on(database, monkeypatch, "local") as server:
        async with call(server) as client:
            assert "68" in await ask(client, "What is 17 times 4?")
            await until_stored(database, "local", "68")
            await server.stop(signal.SIGKILL)
        await server.start()
        async with call(server) as client:
            assert client.ready["resumed"] is True
            assert "34" in await ask(client, "and divided by two?")


async def test_another_server_on_the_same_database_goes_on(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first one still has the call: both write, and nothing is lost."""
    async with (
        server_on(database, monkeypatch) as first,
        server_on(database, monkeypatch) as second,
        call(first) as here,
    ):
        assert await ask(here, "one") == "I was told: one"
        await until_stored(database, "remembering", "I was told: one")
        async with call(second) as there:
            assert there.ready["resumed"] is True
            assert await ask(there, "two") == "I was told: one, two"
            assert await ask(here, "three") == "I was told: one, three"
            await until_stored(database, "remembering", "I was told: one, three")
            assert await ask(there, "four") == "I was told: one, two, four"
            await until_stored(database, "remembering", "I was told: one, two, four")
        await until_stored(database, "remembering", '"I was told: one, two"')
        async with call(second) as there:
            told = await ask(there, "five")
    assert sorted(told.removeprefix("I was told: ").split(", ")) == sorted(
        ["one", "two", "three", "four", "five"]
    )


async def test_workers_share_a_database(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They make its tables at once, and the next call of a session knows."""
    async with server_on(database, monkeypatch, REMEMBERING, "--workers", "2") as server:
        async with call(server) as client:
            assert await ask(client, "one") == "I was told: one"
            await until_stored(database, "remembering", "I was told: one")
        async with call(server) as client:
            assert client.ready["resumed"] is True
            assert await ask(client, "two") == "I was told: one, two"


async def test_a_call_goes_on_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was said meanwhile is stored when it is back; no log holds the password."""
    log = RESULTS / "browser-server.log"
    before = log.stat().st_size if log.exists() else 0
    async with PostgresProcess() as postgres, server_on(postgres.url, monkeypatch) as server:
        async with call(server) as client:
            assert await ask(client, "one") == "I was told: one"
            await postgres.stop()
            assert await ask(client, "two") == "I was told: one, two"
            assert await ask(client, "three") == "I was told: one, two, three"
            await postgres.start()
            await until_stored(postgres.url, "remembering", "I was told: one, two, three")
        with log.open("rb") as file:
            file.seek(before)
            logged = file.read()
        assert b"cannot be stored" in logged
        assert postgres.password.encode() not in logged
        assert b"I was told" not in logged


async def test_a_call_waits_for_no_database_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is stored when the database answers again; a new call is refused in time."""
    async with (
        PostgresProcess() as postgres,
        server_on(postgres.url, monkeypatch) as server,
        call(server) as client,
    ):
        assert await ask(client, "one") == "I was told: one"
        async with postgres.hanging():
            assert await ask(client, "two") == "I was told: one, two"
            assert await ask(client, "three") == "I was told: one, two, three"
            with pytest.raises(CallRefused, match="cannot be opened now"):
                async with call(server, "another"):
                    pass
        await until_stored(postgres.url, "remembering", "I was told: one, two, three")
