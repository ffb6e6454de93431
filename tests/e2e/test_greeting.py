"""The agent speaks first, also on bad days and after a reload: over real WebRTC."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_server.agent.retry_rules import RetryRules
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    audio_piece,
    echo_text,
    never_answer,
    said,
    talker,
    tone,
)
from tests.e2e.gemini import answers, of_type
from tests.e2e.server import Server
from tests.peer.rtc_client import RtcClient
from tests.waiting import until

GREETING = "Greet the caller."
SETTINGS = Settings(port=0, greeting=GREETING, limits=Limits(answer_s=2.5))
RETRY = RetryRules(first_delay_s=0.05)


async def test_greeting_that_the_model_does_not_answer_is_put_to_a_new_connection() -> None:
    """The caller hears it a little later, and is told of nothing."""
    llm = ScriptedLlm(scripts=[never_answer, echo_text])
    async with Server.running(llm, SETTINGS) as server, server.call(audio=None) as caller:
        await caller.client.next_message("turn")
        assert answers(caller) == {1: f"You said: {GREETING}"}
        assert "response_ms" not in of_type(caller, "latency")[0]
        assert of_type(caller, "error") == []
        assert llm.connects == 2


async def test_greeting_that_is_never_answered_ends_in_words_and_not_in_silence() -> None:
    """They fit somebody who has asked nothing; what he asks then is answered."""
    llm = ScriptedLlm(scripts=[never_answer, never_answer, echo_text])
    async with Server.running(llm, SETTINGS) as server, server.call(audio=None) as caller:
        error = await caller.client.next_message("error")
        assert error["code"] == "agent_timeout"
        assert "ask again" not in error["message"]
        await until(lambda: len(llm.connections) == 3)
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.next_message("turn")
        assert answers(caller) == {1: "You said: hello"}


def loses(words: str | None) -> Any:
    """A model that hangs up on a greeting, perhaps while it speaks."""

    async def lose(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        if words is not None:
            connection.emit(audio_piece(tone(0.5)), said(words))
        connection.fail(OSError("gone"))

    return lose


@pytest.mark.parametrize("words", [None, "Welcome to"])
@pytest.mark.parametrize("ask_again", [False, True])
async def test_greeting_lost_with_the_connection_is_put_again(
    words: str | None, ask_again: bool
) -> None:
    """It is ours to repeat; the caller, who asked nothing, is not bidden to ask again."""
    llm = ScriptedLlm(scripts=[loses(words), talker(answer="Welcome!", seconds=0.3)])
    settings = Settings(port=0, greeting=GREETING, ask_again=ask_again)
    async with Server.running(llm, settings, retry=RETRY) as server, server.call() as caller:
        turn = 1 if words is None else 2
        await caller.client.wait_for(lambda: answers(caller).get(turn) == "Welcome!")
        assert not [one for one in of_type(caller, "error") if "ask" in one["message"]]
        await caller.client.wait_for(lambda: of_type(caller, "turn")[-1:] == [done(turn)])
        assert not [one for one in of_type(caller, "latency") if "response_ms" in one]


def done(turn: int) -> dict[str, Any]:
    """The message of an answer that was heard to its end."""
    return {
        "type": "turn",
        "turn": turn,
        "turn_complete": True,
        "interrupted": False,
    }


async def test_greeting_is_spoken_after_a_reload_that_came_before_its_first_word() -> None:
    """The conversation is there, but the agent has not said anything in it."""
    llm = ScriptedLlm(scripts=[never_answer, echo_text])
    settings = Settings(port=0, greeting=GREETING)
    async with Server.running(llm, settings) as server:
        async with server.call(audio=None, session_id="s1") as caller:
            await llm.wait_connected()
            await caller.client.wait_for(lambda: bool(of_type(caller, "state")[1:]))
        async with server.call(audio=None, session_id="s1") as caller:
            await caller.client.next_message("turn")
            assert of_type(caller, "ready")[0]["resumed"]
            assert answers(caller) == {1: f"You said: {GREETING}"}


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_offer_whose_answer_was_lost_leaves_no_conversation(hangs_up: bool) -> None:
    """Whether it is taken back, or another offer follows it: that one begins, and is greeted."""
    llm = ScriptedLlm(scripts=[echo_text])
    async with Server.running(llm, Settings(port=0, greeting=GREETING)) as server:
        placed: list[dict[str, Any]] = []

        async def lose_answer(sdp: str) -> str:
            status, body = await server.post_offer(sdp, session_id="s1")
            assert status == 201
            placed.append(body)
            raise ConnectionError

        with pytest.raises(ConnectionError):
            async with RtcClient(lose_answer):
                pass
        if hangs_up:
            async with server.http.delete(f"/api/calls/{placed[0]['call_id']}") as response:
                assert response.status == 200
        async with server.call(audio=None, session_id="s1") as caller:
            await caller.client.next_message("turn")
            assert not of_type(caller, "ready")[0]["resumed"]
            assert answers(caller) == {1: f"You said: {GREETING}"}
        async with server.call(audio=None, session_id="s1") as caller:
            await caller.client.next_message("ready")
            assert of_type(caller, "ready")[0]["resumed"]
