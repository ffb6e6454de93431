"""The history of a session is what was heard: whole calls, measured by what the caller received.

Nothing here is timed by a clock: what was heard is counted in the audio that arrived, and
compared with what the server says of it and with what the session holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.adk.sessions.session import Session
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from rtc_server.settings import Settings
from tests.agent.scripted_llm import ScriptedLlm
from tests.e2e.gemini import MODELS, gemini_server
from tests.e2e.heard import Heard, Voice
from tests.e2e.reading_model import THINK_S, VOICE, reader
from tests.e2e.server import Caller, Server
from tests.gemini.live_model import Pace
from tests.gemini.mind import Memory, Reply
from tests.gemini.speech import pitch_hz
from tests.waiting import until

MOMENTS = (2, 9, 17, 26, 36, 47, 59, 72, 86, 101)
"""Packets of sound, of 20 ms, after which an answer is interrupted."""


def session_id(caller: Caller) -> str:
    return str(caller.placed["session_id"])


def spoken_by_agent(session: Session | None) -> list[str]:
    assert session is not None
    return [
        event.output_transcription.text or ""
        for event in session.events
        if event.output_transcription is not None
    ]


async def check_session(database: Path, session_id: str, call: Heard) -> None:
    """The session holds what was heard of the answers, and the caller was told the same."""
    service = SqliteSessionService(str(database))
    heard = [turn["heard_text"] for turn in call.turns if turn["heard_text"]]

    async def stored() -> list[str]:
        session = await service.get_session(
            app_name="scripted", user_id="user", session_id=session_id
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
            call = Heard(caller.client, VOICE)
            for moment in MOMENTS:
                caller.client.send({"type": "text", "data": "read"})
                await call.until_heard(moment)
                caller.client.send({"type": "interrupt"})
                await call.take_turn()
        call.check(len(MOMENTS))
        await check_session(database, session_id(caller), call)


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
            call = Heard(caller.client, VOICE)
            caller.client.send({"type": "text", "data": "read"})
            for moment in MOMENTS:
                await call.until_heard(moment)
                caller.client.microphone.tone(440, 0.2)
                await call.take_turn()
            await call.until_heard(1)
        call.check(len(MOMENTS))
        await check_session(database, session_id(caller), call)


@pytest.mark.deadline(120)
async def test_typing_over_an_answer_at_any_of_ten_moments_leaves_what_was_heard(
    tmp_path: Path,
) -> None:
    """The model is told of the text alone, and answers it."""
    database = tmp_path / "s.db"
    llm = ScriptedLlm(scripts=[reader(finishes=False)])
    async with Server.running(llm, settings_with(database)) as server:
        async with server.call() as caller:
            call = Heard(caller.client, VOICE)
            caller.client.send({"type": "text", "data": "read"})
            for moment in MOMENTS:
                await call.until_heard(moment)
                caller.client.send({"type": "text", "data": "read"})
                await call.take_turn()
            await call.until_heard(1)
        call.check(len(MOMENTS))
        await check_session(database, session_id(caller), call)


class Counting:
    """Counts to 40, whatever it is asked."""

    WORDS = tuple(str(n) for n in range(1, 41))

    def reply(self, memory: Memory, tools: Sequence[str]) -> Reply:
        return Reply(" ".join(self.WORDS))

    def after_tool(self, memory: Memory, name: str, result: Any) -> Reply:
        raise AssertionError("there is no tool")


COUNTING = Pace(think_s=THINK_S, word_s=0.24, voiced=1.0)
COUNTING_VOICE = Voice(
    words=Counting.WORDS,
    ends_ms=tuple(240 * (place + 1) for place in range(40)),
    pitches_hz=tuple(map(pitch_hz, range(40))),
)


def _by_voice(caller: Caller) -> None:
    caller.client.microphone.tone(440, 0.2)


def _by_text(caller: Caller) -> None:
    caller.client.send({"type": "text", "data": "count again"})


def _by_message(caller: Caller) -> None:
    """And then the model is asked again."""
    caller.client.send({"type": "interrupt"})
    _by_text(caller)


INTERRUPTIONS = (_by_voice, _by_text, _by_message)


@pytest.mark.deadline(120)
@pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")  # by ADK, for text
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_a_gemini_model_that_is_interrupted_is_remembered_as_far_as_it_was_heard(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turn by voice, by text and by the message, over Google's client.

    The model's own session knows more, the history does not.
    """
    database = tmp_path / "s.db"
    served = gemini_server(
        tmp_path,
        monkeypatch,
        model=model,
        settings=settings_with(database),
        mind=Counting(),
        pace=COUNTING,
    )
    async with served as (server, _):
        async with server.call() as caller:
            call = Heard(caller.client, COUNTING_VOICE)
            caller.client.send({"type": "text", "data": "count"})
            for moment, way in zip(MOMENTS, itertools.cycle(INTERRUPTIONS)):
                await call.until_heard(moment)
                way(caller)
                await call.take_turn()
            await call.until_heard(1)
        call.check(len(MOMENTS))
        await check_session(database, session_id(caller), call)


async def test_a_call_that_ends_in_an_answer_leaves_what_was_heard_of_it(tmp_path: Path) -> None:
    database = tmp_path / "s.db"
    llm = ScriptedLlm(scripts=[reader(finishes=True)])
    async with Server.running(llm, settings_with(database)) as server:
        async with server.call() as caller:
            call = Heard(caller.client, VOICE)
            caller.client.send({"type": "text", "data": "read"})
            await call.until_heard(50)
            await caller.hang_up()
            await call.take_turn(is_last=True)
        call.check(1)
        await check_session(database, session_id(caller), call)
