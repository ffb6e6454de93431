"""Servers that are killed in the middle of something: what the next one knows, and how."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtc_harness.client import RtcClient
from rtc_harness.signalling import CallRequest
from rtc_server.agent.sessions.adk_services import open_services
from rtc_server.agent.sessions.resumption import STATE_KEY, ResumptionHandle
from rtc_server.agent.sessions.stored_events import has_words
from rtc_server.settings import Settings
from tests.browser.server_process import ServerProcess
from tests.e2e.postgres import PostgresProcess
from tests.e2e.test_sessions_that_last import (
    REMEMBERING,
    SESSION,
    ask,
    call,
    server_on,
    until_stored,
)
from tests.e2e.test_workers import children_of
from tests.gemini.live_model import Pace
from tests.gemini.server import StandIn
from tests.waiting import until

TALKER = "tests.gemini.agent:root_agent"

pytestmark = pytest.mark.deadline(180)


@contextlib.asynccontextmanager
async def talker(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pace: Pace
) -> AsyncIterator[tuple[ServerProcess, StandIn, str]]:
    """A server whose agent is a Gemini model, its model, and the PostgreSQL behind it."""
    async with PostgresProcess() as postgres, StandIn.running(folder, pace=pace) as api:
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)
        async with server_on(postgres.url, monkeypatch, TALKER) as server:
            yield server, api, postgres.url


def handles(api: StandIn) -> list[str | None]:
    """Which each connection asked to go on with."""
    return [one.setup.handle or None for one in api.connections if one.setup]


async def until_handle_is_stored(database: str) -> None:
    async with open_services(Settings(session_db=database)) as services:
        sessions = services.sessions
        assert sessions is not None

        async def is_covered() -> bool:
            """The newest handle is that of the end of the history."""
            session = await sessions.get_session(
                app_name="talker", user_id="user", session_id=SESSION
            )
            assert session is not None
            kept = ResumptionHandle.from_state(session.state.get(STATE_KEY))
            words = [event.id for event in session.events if has_words(event)]
            return kept is not None and len(words) > 1 and words[-1] in kept.covers

        await until(is_covered)


def is_counting(client: RtcClient) -> bool:
    return any(
        one.body["type"] == "transcript" and "1 2" in one.body["text"] for one in client.messages
    )


async def test_a_gemini_model_goes_on_with_its_own_session_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handle is in PostgreSQL a moment after the answer, whatever comes next."""
    async with talker(tmp_path, monkeypatch, Pace(playback=0.0)) as (server, api, database):
        async with call(server) as client:
            await ask(client, "my name is ann")
            await until_handle_is_stored(database)
            await server.stop(signal.SIGKILL)
        await server.start()
        async with call(server) as client:
            assert client.ready["resumed"] is True
            assert "ann" in await ask(client, "what did I say")
    # Where the machine keeps a pong back there are more: each goes on with the one before.
    first, *later = handles(api)
    assert first is None
    assert later
    assert None not in later


async def test_a_gemini_model_is_told_what_its_handle_does_not_cover_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of an answer: what the user had said to that is not forgotten."""
    async with talker(tmp_path, monkeypatch, Pace()) as (server, api, database):
        async with RtcClient.connect(server.url, request=CallRequest(session_id=SESSION)) as client:
            await client.answer_to(client.send_text("my name is ann"))
            await until_handle_is_stored(database)
            client.send_text("count to 400")
            await until_stored(database, "talker", "count to 400")
            await client.until(lambda: is_counting(client) or None, 20)
            await server.stop(signal.SIGKILL)
        await server.start()
        async with call(server) as client:
            told = await ask(client, "what did I say")
            assert "ann" in told
            assert "count to 400" in told
    assert handles(api)[-1] is None


async def test_a_write_that_is_on_its_way_when_the_server_is_killed_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was not stored is lost; what was is told, and the next server writes on."""
    async with PostgresProcess() as postgres, server_on(postgres.url, monkeypatch) as server:
        async with call(server) as client:
            await ask(client, "one")
            await until_stored(postgres.url, "remembering", "I was told: one")
            async with postgres.hanging():
                assert await ask(client, "two") == "I was told: one, two"
                await postgres.until_waited_for()
                await server.stop(signal.SIGKILL)
        await server.start()
        async with call(server) as client:
            assert client.ready["resumed"] is True
            assert await ask(client, "three") == "I was told: one, three"
            await until_stored(postgres.url, "remembering", "I was told: one, three")


async def test_a_reload_while_the_database_is_away_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server has all of it in memory; the call takes the other one over."""
    async with PostgresProcess() as postgres, server_on(postgres.url, monkeypatch) as server:
        async with call(server) as client:
            assert await ask(client, "one") == "I was told: one"
            await until_stored(postgres.url, "remembering", "I was told: one")
            await postgres.stop()
            assert await ask(client, "two") == "I was told: one, two"
            async with call(server) as reloaded:
                assert reloaded.ready["resumed"] is True
                assert await ask(reloaded, "three") == "I was told: one, two, three"
        async with call(server) as later:
            assert await ask(later, "four") == "I was told: one, two, three, four"
            await postgres.start()
            await until_stored(postgres.url, "remembering", "I was told: one, two, three, four")


async def test_workers_that_were_killed_are_replaced_by_ones_that_know(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/sessions.db"
    async with server_on(database, monkeypatch, REMEMBERING, "--workers", "2") as server:
        async with call(server) as client:
            assert await ask(client, "one") == "I was told: one"
            await until_stored(database, "remembering", "I was told: one")
            killed = children_of(server.pid)
            assert len(killed) >= 2
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        await until(lambda: len(children_of(server.pid) - killed) >= 2, timeout_s=60)
        await until(server._is_ready, timeout_s=60)
        async with call(server) as client:
            assert client.ready["resumed"] is True
            assert await ask(client, "two") == "I was told: one, two"
