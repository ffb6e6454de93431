"""The model's own session is gone on with: after a reload, on another server, or not at all.

The stand-in remembers what was said in the session of a handle; what it knows otherwise it
was told as history.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.models.google_llm import Gemini
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from rtc_server.agent.sessions.resumption import STATE_KEY
from rtc_server.settings import Settings
from tests.agent.scripted_llm import ScriptedLlm
from tests.e2e.gemini import FAST, MODELS, answers, ask, of_type
from tests.e2e.server import Caller, Server
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import Close, Day, EmptyHandle, HttpStatus, RefuseHandle, at
from tests.gemini.server import StandIn
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

QUICK = Pace(playback=0.0)
DIALECTS = pytest.mark.parametrize("model", list(MODELS.values()), ids=list(MODELS))


class Site:
    """Servers on one database, before the same stand-in."""

    def __init__(self, database: Path, api: StandIn) -> None:
        self.api = api
        self.database = database
        self._settings = Settings(
            port=0, session_db=f"sqlite:///{database}", allow_state=(STATE_KEY,)
        )

    @contextlib.asynccontextmanager
    async def server(self, model: str) -> AsyncIterator[Server]:
        llm = Gemini(model=model)
        try:
            async with Server.running(
                ScriptedLlm(), self._settings, model=llm, retry=FAST
            ) as server:
                yield server
        finally:
            await llm.api_client.aio.aclose()
            await llm._live_api_client.aio.aclose()

    async def until_stored(self, words: str) -> None:
        """Until an answer that has these words is in the database."""
        stored = SqliteSessionService(str(self.database))

        async def is_stored() -> bool:
            session = await stored.get_session(
                app_name="scripted", user_id="user", session_id="kept"
            )
            return session is not None and any(
                event.author != "user" and words in event.model_dump_json()
                for event in session.events
            )

        await until(is_stored)

    def handles(self) -> list[str | None]:
        """Which each connection asked to go on with."""
        return [one.setup.handle or None for one in self.api.connections if one.setup]


@contextlib.asynccontextmanager
async def site(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **stand_in: Any
) -> AsyncIterator[Site]:
    async with StandIn.running(folder, pace=QUICK, **stand_in) as api:
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)
        yield Site(folder / "s.db", api)


async def say(caller: Caller, text: str) -> str:
    turn = await ask(caller, text)
    assert turn["interrupted"] is False
    return answers(caller)[turn["turn"]]


@contextlib.asynccontextmanager
async def call(server: Server) -> AsyncIterator[Caller]:
    async with server.call(audio=None, session_id="kept") as caller:
        yield caller
    await until(lambda: server.calls.active == 0)


def assert_knows(answer: str, *said: str) -> None:
    assert answer.startswith("You said: ")
    assert [one for one in said if one not in answer] == []


@DIALECTS
async def test_a_reload_goes_on_with_the_model_s_own_session(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as here, here.server(model) as server:
        async with call(server) as caller:
            await say(caller, "my name is ann")
        async with call(server) as caller:
            assert_knows(await say(caller, "what did I say"), "my name is ann")
    first, second = here.handles()
    assert first is None
    assert second is not None


@DIALECTS
async def test_another_server_goes_on_with_the_model_s_own_session(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted one is another one, too; the handle lies in the database."""
    async with site(tmp_path, monkeypatch) as here:
        async with here.server(model) as server, call(server) as caller:
            await say(caller, "my name is ann")
            await say(caller, "I live in Rome")
        async with here.server(model) as server, call(server) as caller:
            assert_knows(await say(caller, "what did I say"), "ann", "Rome")
    assert here.handles()[1] is not None


async def test_an_empty_handle_does_not_take_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [Day(at(Moment.ANSWERED, EmptyHandle())), Day()]
    async with site(tmp_path, monkeypatch, days=days) as here, here.server(MODELS["2.x"]) as server:
        async with call(server) as caller:
            await say(caller, "my name is ann")
        async with call(server) as caller:
            assert_knows(await say(caller, "what did I say"), "ann")
    assert here.handles()[1] is not None


@pytest.mark.parametrize(
    "bad",
    [
        Day(at(Moment.SETUP, RefuseHandle())),
        Day(at(Moment.SETUP, RefuseHandle(1007))),
        Day(at(Moment.SETUP, RefuseHandle(1011))),
        Day(at(Moment.SETUP, Close(1000))),
        Day(at(Moment.CONNECT, HttpStatus(403))),
    ],
    ids=["1008", "1007", "1011", "1000", "403"],
)
@DIALECTS
async def test_a_handle_that_is_refused_is_no_error_and_the_history_is_told(
    model: str, bad: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and nothing is answered that nobody asked."""
    days = [Day(), bad, Day()]
    async with site(tmp_path, monkeypatch, days=days) as here, here.server(model) as server:
        async with call(server) as caller:
            await say(caller, "my name is ann")
        async with call(server) as caller:
            await until(lambda: here.handles()[-1] is None and here.api.attempts == 3)
            assert_knows(await say(caller, "what did I say"), "my name is ann")
            assert of_type(caller, "error") == []
            assert [one["turn"] for one in of_type(caller, "turn")] == [1]


async def test_a_handle_of_another_model_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as here:
        async with here.server(MODELS["2.x"]) as server, call(server) as caller:
            await say(caller, "my name is ann")
        async with here.server(MODELS["3.x"]) as server, call(server) as caller:
            assert_knows(await say(caller, "what did I say"), "my name is ann")
            assert of_type(caller, "error") == []
    assert here.handles() == [None, None]


async def test_a_handle_that_does_not_know_what_another_server_wrote_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls of a session, on two servers; the history that the first is told has both."""
    days = [Day(at(Moment.ANSWERED, EmptyHandle(), nth=2)), Day()]  # so that ADK has no handle
    model = MODELS["2.x"]
    async with (
        site(tmp_path, monkeypatch, days=days) as here,
        here.server(model) as one,
        here.server(model) as two,
        call(one) as caller,
    ):
        await say(caller, "my name is ann")
        await here.until_stored("ann")
        async with call(two) as other:
            await say(other, "I live in Rome")
        await here.until_stored("Rome")
        await say(caller, "it rains")
        await here.until_stored("it rains")
        here.api.connections[0].drop()
        await until(lambda: len(here.handles()) == 3)
        assert_knows(await say(caller, "what did I say"), "ann", "Rome", "it rains")
    assert here.handles()[0] is None
    assert here.handles()[2] is None


async def test_the_handle_is_no_caller_s_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It crosses neither the data channel nor HTTP, even where an operator allows its key."""
    async with site(tmp_path, monkeypatch) as here, here.server(MODELS["2.x"]) as server:
        async with call(server) as caller:
            await say(caller, "my name is ann")
        async with call(server) as caller:
            caller.client.send({"type": "session_state", "delta": {STATE_KEY: {"handle": "mine"}}})
            error = await caller.client.next_message("error")
            assert error["code"] == "state_refused"
            await say(caller, "my name is ann")
            seen = json.dumps([caller.client.messages, await caller.describe(), caller.placed])
    assert here.handles()[1] is not None
    assert "handle-" not in seen
    assert STATE_KEY not in seen
