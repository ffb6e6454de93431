"""Who speaks when: greeting, idle prompts, interruptions, over real WebRTC and three models."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from google.adk.models.llm_request import LlmRequest

from rtc_harness.client import RtcClient
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    audio_piece,
    echo_text,
    said,
    text_of,
    text_piece,
    tone,
    turn_complete,
)
from tests.agent.tone_cascade import TextLlm, tone_cascade
from tests.e2e.gemini import MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Caller, Server
from tests.gemini.live_model import Pace
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

Serve = Callable[..., contextlib.AbstractAsyncContextManager[Server]]

GREETING = "count to 30"
"""Makes a long first answer of the stand-in."""


async def long_story(connection: ScriptedConnection) -> None:
    """Ten seconds for each text, at once and complete; it is told of no interruption."""
    while True:
        text = await connection.receive_text()
        connection.emit(audio_piece(tone(10.0)), said(f"You said: {text}"), turn_complete())


def tell_of_it(request: LlmRequest) -> list[Any]:
    words = f"You said: {text_of(request.contents[-1])}"
    return [text_piece(words), text_piece(words, partial=False)]


@pytest.fixture(params=["scripted", "cascade", "gemini-2.x", "gemini-3.x"])
def serve(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """A server of each model, which answers any text by a speech of some seconds."""
    name: str = request.param

    @contextlib.asynccontextmanager
    async def start(settings: Settings | None = None) -> AsyncIterator[Server]:
        if name == "scripted":
            async with Server.running(ScriptedLlm(scripts=[long_story]), settings) as server:
                yield server
        elif name == "cascade":
            model = tone_cascade(TextLlm(answer=tell_of_it), seconds=10.0)
            async with Server.running(ScriptedLlm(), settings, model=model) as server:
                yield server
        else:
            model_name = MODELS[name.removeprefix("gemini-")]
            async with gemini_server(
                tmp_path, monkeypatch, model=model_name, settings=settings
            ) as (server, _):
                yield server

    return start


def audible(caller: Caller) -> int:
    """How many packets of sound arrived; silence is a few bytes long."""
    return sum(len(one.payload) > 20 for one in caller.client.packets)


async def test_interrupt_stops_the_answer_at_once_and_the_next_text_is_answered(
    serve: Serve,
) -> None:
    """Also where the model has no such thing, or thinks that it has long said everything."""
    async with serve() as server, server.call() as caller:
        client = caller.client
        client.send({"type": "text", "data": "count to 50"})
        await client.wait_for(lambda: audible(caller) >= 20)
        client.send({"type": "interrupt"})
        turn = await client.next_message("turn")
        stopped_at = audible(caller)
        assert (turn["turn"], turn["interrupted"]) == (1, True)
        client.send({"type": "ping", "t": 1})
        await client.next_message("pong")
        assert audible(caller) - stopped_at <= 1
        client.send({"type": "text", "data": "count to 2"})
        await client.wait_for(lambda: bool(of_type(caller, "latency")[1:]))
        assert of_type(caller, "latency")[1]["turn"] == 2
        assert of_type(caller, "latency")[1]["response_ms"] > 0
        assert "count to 50" not in answers(caller).get(2, "")


async def test_greeting_is_spoken_first_unasked_and_its_text_is_not_the_callers(
    serve: Serve,
) -> None:
    """Nobody waited for it: its latency has no response time.  It can be interrupted."""
    async with serve(Settings(port=0, greeting=GREETING)) as server, server.call() as caller:
        await caller.client.wait_for(lambda: audible(caller) >= 20)
        (latency,) = of_type(caller, "latency")
        assert latency["turn"] == 1
        assert "response_ms" not in latency
        caller.client.send({"type": "interrupt"})
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (1, True)
        assert not [one for one in of_type(caller, "transcript") if one["role"] == "user"]


async def test_harness_does_not_take_a_slow_greeting_for_the_answer_to_its_turn() -> None:
    """The turn is typed before the greeting is spoken, and answered after it."""
    heard_both = asyncio.Event()

    async def greet_late(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        await connection.receive_text()
        heard_both.set()
        for words in ("Welcome.", "At noon."):
            connection.emit(audio_piece(tone(0.4)), said(words), turn_complete())

    settings = Settings(port=0, greeting="Greet the caller.")
    async with (
        Server.running(ScriptedLlm(scripts=[greet_late]), settings) as server,
        RtcClient.connect(server.url) as client,
    ):
        question = client.send_text("When?")
        await heard_both.wait()
        answer = await client.answer_to(question)
        assert (answer.turn, answer.said) == (2, "At noon.")
        assert client.conversation.ended[0].said == "Welcome."
        assert client.conversation.ended[0].is_unasked


async def test_greeting_is_not_spoken_again_when_the_conversation_goes_on() -> None:
    """In a text call, which asks for it the same way."""
    settings = Settings(port=0, greeting="Greet the caller.")
    async with Server.running(ScriptedLlm(scripts=[echo_text]), settings) as server:
        async with server.call(audio=None, session_id="s1") as caller:
            await caller.client.next_message("turn")
            assert answers(caller) == {1: "You said: Greet the caller."}
            (latency,) = of_type(caller, "latency")
            assert "response_ms" not in latency
        async with server.call(audio=None, session_id="s1") as caller:
            ready = await caller.client.next_message("ready")
            assert ready["resumed"]
            caller.client.send({"type": "text", "data": "hello"})
            await caller.client.next_message("turn")
            assert answers(caller) == {1: "You said: hello"}


async def test_idle_prompt_is_put_once_in_a_silence_and_again_after_the_user_spoke() -> None:
    """Its answers are unasked; the user's are not."""
    settings = Settings(port=0, idle_prompt="Still there?", limits=Limits(idle_prompt_s=0.4))
    async with (
        Server.running(ScriptedLlm(scripts=[echo_text]), settings) as server,
        server.call(audio=None) as caller,
    ):
        client = caller.client
        await client.next_message("turn")
        # Longer than the silence that leads to a prompt: there is no second one.
        began = len(client.messages)
        client.send({"type": "ping", "t": 1})
        with pytest.raises(TimeoutError):
            await until(lambda: len(of_type(caller, "turn")) > 1, timeout_s=1.2)
        assert {one["type"] for one in client.messages[began:]} <= {"pong", "state"}
        client.send({"type": "text", "data": "yes"})
        await client.wait_for(lambda: len(of_type(caller, "turn")) == 3)
        assert list(answers(caller).values()) == [
            "You said: Still there?",
            "You said: yes",
            "You said: Still there?",
        ]
        asked = ["response_ms" in one for one in of_type(caller, "latency")]
        assert asked == [False, True, False]


async def test_idle_prompt_does_not_keep_a_deserted_call_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is spoken aloud, by a model that counts on; the call ends all the same."""
    limits = Limits(idle_prompt_s=0.5, idle_s=6.0)
    settings = Settings(port=0, idle_prompt="count to 2", limits=limits)
    async with (
        gemini_server(tmp_path, monkeypatch, settings=settings, pace=Pace(playback=0)) as (
            server,
            _,
        ),
        server.call() as caller,
    ):
        # The silence begins when the model is there: it has much more time for the prompt.
        await ask(caller, "hello")
        await caller.client.wait_for(lambda: caller.client.pc.connectionState == "closed")
        assert {one["reason"] for one in of_type(caller, "goaway")} == {"idle"}
        assert list(answers(caller).values()) == ["You said: hello", "1 2"]
