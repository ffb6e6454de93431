"""A caller breaks in while a tool of the agent works, over real WebRTC; no model is Gemini's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    SpeechEnded,
    SpeechHeard,
    audio_piece,
    heard,
    interrupted,
    said,
    tone,
    tool_call,
    turn_complete,
)
from tests.e2e.gemini import of_type
from tests.e2e.server import Caller, Server

pytestmark = pytest.mark.leaves_resources("the idle thread of the tools ends shortly after")


@dataclass
class Tool:
    """A tool that works until it is released."""

    look: Callable[..., Any]
    started: Callable[[], Awaitable[Any]]
    release: Callable[[], None]


def slow() -> Tool:
    started, release = asyncio.Event(), asyncio.Event()

    async def look() -> dict[str, str]:
        """Looks."""
        started.set()
        await release.wait()
        return {"seen": "a cat"}

    return Tool(look, started.wait, release.set)


def blocking() -> Tool:
    started, release = threading.Event(), threading.Event()

    def look() -> dict[str, str]:
        """Blocks a thread."""
        started.set()
        assert release.wait(60)
        return {"seen": "a cat"}

    return Tool(look, lambda: asyncio.to_thread(started.wait, 60), release.set)


@pytest.fixture(params=[slow, blocking])
def tool(request: pytest.FixtureRequest) -> Iterator[Tool]:
    """One that is awaited, and one that blocks its thread."""
    made: Tool = request.param()
    yield made
    made.release()


async def looks_it_up(connection: ScriptedConnection) -> None:
    """Speaks for 10 s and calls its tool; whoever speaks over that is answered at once."""
    await connection.receive_text()
    connection.emit(audio_piece(tone(10.0)), said("Let me see."), tool_call("look"))
    while True:
        one = await connection.hear()
        if isinstance(one, SpeechHeard):
            connection.emit(interrupted(), turn_complete())
        elif isinstance(one, SpeechEnded):
            connection.emit(heard("Stop", finished=True))
            connection.emit(audio_piece(tone(0.4)), said("Yes?"), turn_complete())
        else:
            connection.emit(audio_piece(tone(0.4)), said("A cat."), turn_complete())


def audible(caller: Caller) -> int:
    """How many packets of sound arrived; silence is a few bytes long."""
    return sum(len(one.payload) > 20 for one in caller.client.packets)


async def test_speech_over_an_answer_stops_it_at_once_while_its_tool_works(tool: Tool) -> None:
    """The turn ends as interrupted, and nothing more of it is heard."""
    llm = ScriptedLlm(scripts=[looks_it_up])
    async with Server.running(llm, tools=[tool.look]) as server, server.call() as caller:
        client = caller.client
        client.send({"type": "text", "data": "look it up"})
        await tool.started()
        await client.wait_for(lambda: audible(caller) >= 20)
        await caller.ask_aloud()
        turn = await client.next_message("turn")
        stopped_at = audible(caller)
        assert (turn["turn"], turn["interrupted"]) == (1, True)
        assert 0 < turn["heard_ms"] < 5000
        client.send({"type": "ping", "t": 1})
        await client.next_message("pong")
        assert audible(caller) - stopped_at <= 1
        assert [one["phase"] for one in of_type(caller, "tool")] == ["call"]
        tool.release()
        await client.wait_for(lambda: len(of_type(caller, "turn")) == 3)
        assert [one["interrupted"] for one in of_type(caller, "turn")] == [True, False, False]
