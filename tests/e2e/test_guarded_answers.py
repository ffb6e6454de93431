"""Callbacks of the agent that say something in the model's place: ADK's guardrails."""

from __future__ import annotations

from typing import Any

from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types

from rtc_server.settings import Settings
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    audio_piece,
    echo_text,
    heard,
    said,
    tone,
    turn_complete,
)
from tests.e2e.server import Server

SETTINGS = Settings(port=0)


def refusal() -> LlmResponse:
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(text="No.")]))


def keeps_the_secret(callback_context: Any, llm_response: LlmResponse) -> LlmResponse | None:
    """Is shown what the agent says, as far as it has been transcribed."""
    words = llm_response.output_transcription
    return refusal() if words is not None and "secret" in (words.text or "") else None


def hears_nothing_forbidden(callback_context: Any, llm_request: LlmRequest) -> LlmResponse | None:
    """Is shown what the user types or, once it is transcribed, says."""
    return refusal() if "forbidden" in str(llm_request.contents) else None


async def tells(connection: ScriptedConnection) -> None:
    """Sound far ahead of its words, and of the listener."""
    await connection.receive_text()
    connection.emit(audio_piece(tone(1.0) * 20), said("The "), said("secret "), said("is this."))


async def answers_at_once(connection: ScriptedConnection) -> None:
    """The whole of what the user has said comes after the answer, as with Gemini of 2.x."""
    await connection.receive_text()
    connection.emit(audio_piece(tone(1.0) * 20), said("Yes, "), heard("forbidden", finished=True))
    connection.emit(turn_complete())


async def test_rest_of_an_answer_that_a_callback_takes_back_is_not_heard() -> None:
    """Be it for what the agent says or for what was asked; the next question is answered."""
    for script in (tells, answers_at_once):
        llm = ScriptedLlm(scripts=[script, echo_text])
        async with (
            Server.running(
                llm,
                SETTINGS,
                after_model_callback=keeps_the_secret,
                before_model_callback=hears_nothing_forbidden,
            ) as server,
            server.call() as caller,
        ):
            caller.client.send({"type": "text", "data": "What is it?"})
            cut = await caller.client.next_message("turn")
            assert cut["interrupted"]
            assert cut["heard_ms"] < 15_000
            assert "secret" not in cut["heard_text"]
            told = await caller.client.next_message("text")
            assert (told["data"], told["turn"]) == ("No.", 2)
            assert not (await caller.client.next_message("turn"))["interrupted"]
            caller.client.send({"type": "text", "data": "And now?"})
            await caller.client.next_message("turn")
            texts = [one for one in caller.client.messages if one["type"] == "text"]
            assert "".join(one["data"] for one in texts if one["turn"] == 3) == "You said: And now?"
            assert not any(one["type"] == "error" for one in caller.client.messages)


async def test_text_that_a_callback_answers_does_not_reach_the_model() -> None:
    """What it says is the answer."""
    llm = ScriptedLlm(scripts=[echo_text])
    async with (
        Server.running(llm, SETTINGS, before_model_callback=hears_nothing_forbidden) as server,
        server.call() as caller,
    ):
        caller.client.send({"type": "text", "data": "forbidden"})
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (1, False)
        texts = [one["data"] for one in caller.client.messages if one["type"] == "text"]
        assert texts == ["No."]
    assert len(llm.connections) == 1
