"""A caller breaks in while a tool of the agent works, over real WebRTC; no model is Gemini's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.adk.models.llm_request import LlmRequest
from google.genai import types

from tests.agent.held_tools import Tool, blocking, slow
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    SpeechEnded,
    SpeechHeard,
    audio_piece,
    heard,
    interrupted,
    said,
    text_of,
    text_piece,
    tone,
    tool_call,
    turn_complete,
)
from tests.agent.tone_cascade import TextLlm, tone_cascade
from tests.e2e.gemini import of_type
from tests.e2e.server import Caller, Server

pytestmark = pytest.mark.leaves_resources("the idle thread of the tools ends shortly after")


@pytest.fixture(params=[slow, blocking])
def tool(request: pytest.FixtureRequest) -> Iterator[Tool]:
    made: Tool = request.param()
    yield made
    made.release()


def is_result(content: types.Content) -> bool:
    return any(part.function_response for part in content.parts or [])


def looks_it_up_first(request: LlmRequest) -> list[Any]:
    """The same for a model of text: it calls its tool, and answers whatever comes then."""
    last = request.contents[-1]
    if len(request.contents) == 1:
        return [tool_call("look")]
    words = "A cat." if is_result(last) else f"You said: {text_of(last)}"
    return [text_piece(words), text_piece(words, partial=False)]


async def looks_it_up(connection: ScriptedConnection) -> None:
    """Speaks for 10 s and calls its tool; whoever speaks over that is answered at once."""
    await connection.receive_text()
    connection.emit(audio_piece(tone(10.0)), said("Let me see."), tool_call("look"))
    await answers(connection)


async def answers(connection: ScriptedConnection) -> None:
    """Whatever is said or typed, and the result of its tool."""
    while True:
        one = await connection.hear()
        if isinstance(one, SpeechHeard):
            connection.emit(interrupted(), turn_complete())
        elif isinstance(one, SpeechEnded):
            connection.emit(heard("Stop", finished=True))
            connection.emit(audio_piece(tone(0.4)), said("Yes?"), turn_complete())
        elif isinstance(one, types.Content):
            what = "A cat." if is_result(one) else f"You said: {text_of(one)}"
            connection.emit(audio_piece(tone(0.4)), said(what), turn_complete())


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
        await client.wait_for(lambda: len(of_type(caller, "turn")) == 2)
        assert [one["phase"] for one in of_type(caller, "tool")] == ["call"]
        tool.release()
        await client.wait_for(lambda: len(of_type(caller, "turn")) == 3)
        assert [one["interrupted"] for one in of_type(caller, "turn")] == [True, False, False]
        assert [one["phase"] for one in of_type(caller, "tool")] == ["call", "result"]
        assert said_in(caller) == {2: "Yes?", 3: "A cat."}


def said_in(caller: Caller) -> dict[int, str]:
    """The agent's words, turn by turn, of those that were heard to their end."""
    done = {one["turn"] for one in of_type(caller, "turn") if not one["interrupted"]}
    told = [one for one in of_type(caller, "transcript") if one["role"] == "agent"]
    return {one["turn"]: one["text"] for one in told if one["turn"] in done}


@pytest.mark.parametrize("how", ["typed", "spoken"])
@pytest.mark.parametrize("kind", ["scripted", "cascade"])
async def test_what_is_asked_while_a_tool_works_is_answered_before_it_returns(
    tool: Tool, kind: str, how: str
) -> None:
    """The agent was thinking: its turn ends, and goes on as another when the tool is there."""

    async def only_looks(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("look"))
        await answers(connection)

    llm = ScriptedLlm(scripts=[only_looks])
    model = tone_cascade(TextLlm(answer=looks_it_up_first), 0.4) if kind == "cascade" else None
    async with (
        Server.running(llm, tools=[tool.look], model=model) as server,
        server.call() as caller,
    ):
        client = caller.client
        client.send({"type": "text", "data": "look it up"})
        await tool.started()
        if how == "typed":
            client.send({"type": "text", "data": "wait"})
        else:
            await caller.ask_aloud()
        await client.wait_for(lambda: len(of_type(caller, "turn")) == 2)
        assert [one["interrupted"] for one in of_type(caller, "turn")] == [True, False]
        assert [one["phase"] for one in of_type(caller, "tool")] == ["call"]
        assert of_type(caller, "latency")[0]["response_ms"] > 0
        tool.release()
        await client.wait_for(lambda: len(of_type(caller, "turn")) == 3)
        assert said_in(caller)[3] == "A cat."
        assert not of_type(caller, "error")
