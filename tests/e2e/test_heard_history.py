"""The history of a session is what was heard: whole calls, measured by what the caller received.

Nothing here is timed by a clock: what was heard is counted in the audio that arrived, and
compared with what the server says of it and with what the session holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.adk.sessions.session import Session
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from rtc_server.settings import Settings
from tests.agent.scripted_llm import ScriptedLlm
from tests.e2e.gemini import MODELS, gemini_server
from tests.e2e.reading_model import WORDS, Received, reader
from tests.e2e.server import Caller, Server
from tests.peer.rtc_client import RtcClient
from tests.waiting import until

MOMENTS = (2, 9, 17, 26, 36, 47, 59, 72, 86, 101)
"""Packets of sound, of 20 ms, after which an answer is interrupted."""

TOLERANCE_MS = 60


def audible(client: RtcClient, first: int) -> int:
    return sum(len(one.payload) > 20 for one in client.packets[first:])


def spoken_by_agent(session: Session | None) -> list[str]:
    assert session is not None
    return [
        event.output_transcription.text or ""
        for event in session.events
        if event.output_transcription is not None
    ]


class Heard:
    """One call in which answers are interrupted, and what was received of each."""

    def __init__(self, caller: Caller) -> None:
        self.client = caller.client
        self.session_id = str(caller.placed["session_id"])
        self.first = 0
        self.turns: list[dict[str, Any]] = []
        self.received: list[Received] = []

    async def until_heard(self, packets: int) -> None:
        await self.client.wait_for(lambda: audible(self.client, self.first) >= packets, 20)

    async def take_turn(self, *, is_last: bool = False) -> None:
        """The next turn and what arrived of it; the one packet on its way is waited for."""
        self.turns.append(await self.client.next_message("turn", 20))
        if not is_last:
            await self.client.wait_for(self._is_quiet)
        count = len(self.client.packets)
        self.received.append(Received.of(self.client.packets, self.first))
        self.first = count

    def _is_quiet(self) -> bool:
        messages = self.client.messages[self.client.messages.index(self.turns[-1]) :]
        return any(one["type"] == "state" and one["state"] != "speaking" for one in messages)

    def check(self, n: int) -> None:
        """Answer ``n`` was heard as the server says."""
        turn, received = self.turns[n], self.received[n]
        assert turn["interrupted"] is True
        assert turn["heard_ms"] == pytest.approx(received.ms, abs=TOLERANCE_MS)
        words = turn["heard_text"].split()
        assert words == list(WORDS[: len(words)])
        assert abs(len(words) - received.whole_words) <= 1
        # The ear's second opinion: the pitch that was heard last is of the next word, or this one.
        assert len(words) - 1 <= received.last <= len(words) + 1

    def final_transcripts(self) -> list[str]:
        finals = {
            one["turn"]: one["text"]
            for one in self.client.messages
            if one["type"] == "transcript" and one["role"] == "agent" and one["final"]
        }
        return [text for _, text in sorted(finals.items()) if text]


async def check_session(database: Path, call: Heard) -> None:
    """The session holds what was heard of the answers, and the caller was told the same."""
    service = SqliteSessionService(str(database))
    heard = [turn["heard_text"] for turn in call.turns if turn["heard_text"]]

    async def stored() -> list[str]:
        session = await service.get_session(
            app_name="scripted", user_id="user", session_id=call.session_id
        )
        return spoken_by_agent(session)

    async def is_there() -> bool:
        return len(await stored()) >= len(heard)

    await until(is_there)
    assert (await stored())[: len(heard)] == heard
    assert call.final_transcripts()[: len(heard)] == heard


def settings_with(database: Path) -> Settings:
    return Settings(port=0, session_db=f"sqlite:///{database}")


@pytest.mark.deadline(120)
@pytest.mark.parametrize("finishes", [True, False], ids=["finished", "open"])
async def test_an_interrupt_at_any_of_ten_moments_leaves_what_was_heard(
    finishes: bool, tmp_path: Path
) -> None:
    """By the message ``interrupt``; the model is told of it by nobody, and speaks on."""
    database = tmp_path / "s.db"
    llm = ScriptedLlm(scripts=[reader(finishes=finishes)])
    async with Server.running(llm, settings_with(database)) as server:
        async with server.call() as caller:
            call = Heard(caller)
            for moment in MOMENTS:
                caller.client.send({"type": "text", "data": "read"})
                await call.until_heard(moment)
                caller.client.send({"type": "interrupt"})
                await call.take_turn()
        for n in range(len(MOMENTS)):
            call.check(n)
        await check_session(database, call)


@pytest.mark.deadline(120)
@pytest.mark.parametrize("finishes", [True, False], ids=["finished", "open"])
async def test_speaking_over_an_answer_at_any_of_ten_moments_leaves_what_was_heard(
    finishes: bool, tmp_path: Path
) -> None:
    """The model hears it, and answers what was said over its answer."""
    database = tmp_path / "s.db"
    llm = ScriptedLlm(scripts=[reader(finishes=finishes)])
    async with Server.running(llm, settings_with(database)) as server:
        async with server.call() as caller:
            call = Heard(caller)
            caller.client.send({"type": "text", "data": "read"})
            for moment in MOMENTS:
                await call.until_heard(moment)
                caller.client.microphone.tone(440, 0.2)
                await call.take_turn()
            await call.until_heard(1)
        for n in range(len(MOMENTS)):
            call.check(n)
        await check_session(database, call)


@pytest.mark.deadline(120)
async def test_typing_over_an_answer_at_any_of_ten_moments_leaves_what_was_heard(
    tmp_path: Path,
) -> None:
    """The model is told of the text alone, and answers it."""
    database = tmp_path / "s.db"
    llm = ScriptedLlm(scripts=[reader(finishes=False)])
    async with Server.running(llm, settings_with(database)) as server:
        async with server.call() as caller:
            call = Heard(caller)
            caller.client.send({"type": "text", "data": "read"})
            for moment in MOMENTS:
                await call.until_heard(moment)
                caller.client.send({"type": "text", "data": "read"})
                await call.take_turn()
            await call.until_heard(1)
        for n in range(len(MOMENTS)):
            call.check(n)
        await check_session(database, call)


@pytest.mark.deadline(120)
@pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")  # by ADK, for text
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_a_gemini_model_that_is_interrupted_is_remembered_as_far_as_it_was_heard(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By voice, over Google's client: its own session knows more, the history does not."""
    database = tmp_path / "s.db"
    settings = settings_with(database)
    async with gemini_server(tmp_path, monkeypatch, model=model, settings=settings) as (server, _):
        async with server.call() as caller:
            call = Heard(caller)
            for moment in (10, 40, 90):
                caller.client.send({"type": "text", "data": "count to 40"})
                await call.until_heard(moment)
                await caller.ask_aloud()
                turn = await caller.client.next_message("turn", 20)
                assert turn["interrupted"] is True
                call.turns.append(turn)
                words = turn["heard_text"].split()
                assert words == [str(n + 1) for n in range(len(words))]
                assert len(words) < 40
                await caller.client.next_message("turn", 20)  # the answer to what was spoken
                call.first = len(caller.client.packets)
        service = SqliteSessionService(str(database))
        session = await service.get_session(
            app_name="scripted", user_id="user", session_id=call.session_id
        )
        counted = [one for one in spoken_by_agent(session) if one[:1].isdigit()]
        assert counted == [one["heard_text"] for one in call.turns if one["heard_text"]]


async def test_a_call_that_ends_in_an_answer_leaves_what_was_heard_of_it(tmp_path: Path) -> None:
    database = tmp_path / "s.db"
    llm = ScriptedLlm(scripts=[reader(finishes=True)])
    async with Server.running(llm, settings_with(database)) as server:
        async with server.call() as caller:
            call = Heard(caller)
            caller.client.send({"type": "text", "data": "read"})
            await call.until_heard(50)
            await caller.hang_up()
            await call.take_turn(is_last=True)
        call.check(0)
        await check_session(database, call)
