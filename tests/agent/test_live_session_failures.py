"""Failures of the model in a live session: told, retried, bounded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from google.adk.models.llm_response import LlmResponse
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.genai import types
from google.genai.errors import APIError
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from rtc_server.agent.live_events import AgentFailed, AgentText, ModelAway, ModelBack
from rtc_server.agent.retry_rules import RetryRules
from tests.waiting import until as eventually

from .conftest import FAST, agent_of, serve_agent
from .listening import SPEECH, answer, failures, texts, until
from .scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    echo_text,
    end_after,
    fail_after,
    never_answer,
    resumption_handle,
    stall,
    text_of,
    text_piece,
    turn_complete,
)


def refused(status: int) -> InvalidStatus:
    return InvalidStatus(Response(status, "no", Headers()))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (APIError(1011, {"message": "secret"}), "agent_lost"),
        (APIError(1008, {"message": "secret"}), "agent_refused"),
        (APIError(429, {"message": "secret"}), "agent_busy"),
        (ConnectionClosedError(None, None), "agent_lost"),
        (refused(503), "agent_lost"),
        (refused(403), "agent_refused"),
        (OSError("secret"), "agent_unreachable"),
        (TimeoutError("secret"), "agent_unreachable"),
        (TypeError("secret"), "agent_failed"),
        (ValueError("secret"), "agent_failed"),
        (RuntimeError("secret"), "agent_failed"),
        (asyncio.CancelledError("secret"), "agent_ended"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
@pytest.mark.parametrize("when", ["connect", "answer"])
async def test_failure_is_told_in_words_and_the_agent_is_called_again(
    llm: ScriptedLlm, error: BaseException, code: str, when: str
) -> None:
    """At the first connect as in the middle of an answer; a text typed meanwhile is kept."""
    if when == "connect":
        llm.connect_errors = [error]
        llm.scripts = [echo_text]
    else:
        llm.scripts = [fail_after(error, "Once upon"), echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        assert texts(await answer(live)) == "You said: hello"
        assert server.metric(f'rtc_agent_errors_total{{code="{code}"}}') == 1
        assert server.metric("rtc_agent_reconnects_total") == 1
    assert failures(seen) == [(code, True)]
    failed = seen[-1]
    assert isinstance(failed, AgentFailed)
    assert "secret" not in failed.message
    assert llm.connects == 2


async def test_end_that_nobody_asked_for_is_a_failure(llm: ScriptedLlm) -> None:
    """A generator that has ended is not mistaken for silence, nor spun on."""
    llm.scripts = [end_after("Once"), echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        await answer(live)
    assert next(one for one in seen if not isinstance(one, ModelAway | ModelBack)) == AgentText(
        "Once"
    )
    assert failures(seen) == [("agent_ended", True)]


async def test_failures_without_progress_end_the_call_after_six(llm: ScriptedLlm) -> None:
    """Beginnings of answers are no progress; the last failure is not retryable, then it ends."""
    llm.scripts = [fail_after(ValueError(), "Once upon")]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = [event async for event in live.events()]
    assert failures(seen) == [("agent_failed", True)] * 5 + [("agent_failed", False)]
    assert llm.connects == 6


async def test_answers_that_the_model_fails_to_finish_are_no_progress(llm: ScriptedLlm) -> None:
    """It says so itself, and ends the turn; the runs that fail after them end the call."""

    async def breaks_off(connection: ScriptedConnection) -> None:
        connection.emit(text_piece("Once upon"), LlmResponse(error_code="X", turn_complete=True))
        connection.fail(ValueError())

    llm.scripts = [breaks_off]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = [event async for event in live.events()]
        assert server.metric('rtc_agent_errors_total{code="answer_failed"}') == 6
    assert failures(seen)[-1] == ("agent_failed", False)
    assert llm.connects == 6


@pytest.mark.parametrize(
    "error", [OSError(), refused(503), refused(429), ConnectionClosedError(None, None)], ids=str
)
async def test_a_lone_call_waits_for_a_model_that_is_away_and_is_told_once(
    llm: ScriptedLlm, error: Exception
) -> None:
    """Many more tries than six; what was typed meanwhile is answered."""
    llm.connect_errors = [error] * 40
    llm.scripts = [echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("hello")
        seen = await answer(live)
    assert texts(seen) == "You said: hello"
    assert len(failures(seen)) == 1
    assert failures(seen)[0][1]
    assert [one for one in seen if isinstance(one, ModelBack)] == [ModelBack()]


async def test_a_lone_call_waits_no_longer_than_its_patience(llm: ScriptedLlm) -> None:
    """Whatever the breaker thinks; then it ends with a word."""
    llm.connect_errors = [OSError()] * 10_000
    rules = replace(FAST, patience_s=2.0)
    async with serve_agent(agent_of(llm), retry=rules) as server, server.call() as live:
        seen = [event async for event in live.events()]
    assert failures(seen) == [("agent_unreachable", True), ("agent_unreachable", False)]
    assert llm.connects > FAST.attempts


async def test_a_failure_between_two_answers_is_told_if_the_next_connection_fails_too(
    llm: ScriptedLlm,
) -> None:
    """One that is made good at once is nobody's business."""

    async def answer_then_drop(connection: ScriptedConnection) -> None:
        text = await connection.receive_text()
        connection.emit(text_piece(text), turn_complete())
        connection.fail(ConnectionClosedError(Close(1012, ""), None))

    llm.scripts = [answer_then_drop, answer_then_drop, echo_text]
    llm.connect_errors = [None, None, OSError()]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("one")
        await answer(live)
        assert failures(await until(live, lambda event: isinstance(event, ModelBack))) == []
        live.send_text("two")
        await answer(live)
        seen = await until(live, lambda event: isinstance(event, ModelBack))
        live.send_text("three")
        assert texts(await answer(live)) == "You said: three"
    assert failures(seen) == [("agent_unreachable", True)]


async def test_answer_to_its_end_forgives_the_failures_before(llm: ScriptedLlm) -> None:
    """Only failures in a row count."""

    async def one_answer(connection: ScriptedConnection) -> None:
        connection.emit(text_piece("ok"), turn_complete())
        connection.fail(ValueError())

    fail = fail_after(ValueError())
    llm.scripts = [fail, fail, fail, fail, fail, one_answer, fail, fail, fail, fail, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = await answer(live)
        await eventually(lambda: llm.connects == 11)
        live.send_text("hello")
        seen += await answer(live)
    assert texts(seen) == "okYou said: hello"
    assert failures(seen) == [("agent_failed", True)] * 2
    assert llm.connects == 11


def test_retry_delays_double_up_to_a_cap_and_are_jittered() -> None:
    """0.25 s, 0.5 s, … 8 s, each shortened by up to half."""
    longest = RetryRules(random=lambda: 1.0)
    assert [longest.delay_s(n) for n in range(1, 8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert RetryRules(random=lambda: 0.0).delay_s(1) == 0.125


async def test_model_that_accepts_and_crashes_is_not_redialled_without_limit(
    llm: ScriptedLlm,
) -> None:
    """With a resumption handle ADK redials by itself, 100 times a second."""

    async def crash(connection: ScriptedConnection) -> None:
        connection.emit(resumption_handle("h"))
        connection.fail(ConnectionClosedError(Close(1011, ""), None))

    llm.scripts = [crash]
    # Ten pauses in all that time, of which a slow machine needs not even half.
    rules = replace(FAST, patience_s=4.0, first_delay_s=0.4, max_delay_s=0.4)
    async with serve_agent(agent_of(llm), retry=rules) as server, server.call() as live:
        seen = [event async for event in live.events()]
    assert failures(seen) == [("agent_lost", True), ("agent_unreachable", False)]
    assert FAST.attempts < llm.connects <= 12


async def test_silent_reconnect_in_an_answer_is_told(llm: ScriptedLlm) -> None:
    """ADK reconnects with its handle and says nothing: the rest of the answer is lost."""

    async def drop(connection: ScriptedConnection) -> None:
        connection.emit(resumption_handle("h"), text_piece("Once"))
        connection.fail(ConnectionClosedError(Close(1011, ""), None))

    llm.scripts = [drop, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        seen += await answer(live)
        assert server.metric("rtc_agent_reconnects_total") == 1
    assert failures(seen) == [("agent_reconnected", True)]
    assert texts(seen) == "OnceYou said: hello"
    assert llm.connects == 2


async def test_silent_reconnect_between_answers_is_not_told(llm: ScriptedLlm) -> None:
    """Nothing is lost, so nobody is bothered."""

    async def drop(connection: ScriptedConnection) -> None:
        text = await connection.receive_text()
        connection.emit(resumption_handle("h"), text_piece(text), turn_complete())
        connection.fail(ConnectionClosedError(Close(1011, ""), None))

    llm.scripts = [drop, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("one")
        seen = await answer(live)
        live.send_text("two")
        seen += await answer(live)
    assert failures(seen) == []
    assert texts(seen) == "oneYou said: two"


async def test_audio_while_reconnecting_is_dropped_and_counted(llm: ScriptedLlm) -> None:
    """Old speech is no use to the next run; text is."""
    llm.connect_errors = [None, OSError()]

    async def drop(connection: ScriptedConnection) -> None:
        connection.fail(OSError())

    llm.scripts = [drop, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        await until(live, lambda event: isinstance(event, AgentFailed))
        for _ in range(50):
            live.send_audio(SPEECH)
        live.send_text("hello")
        await answer(live)
        name = 'rtc_audio_dropped_seconds_total{direction="uplink",reason="reconnecting"}'
        assert server.metric(name) == pytest.approx(1.0)
    assert llm.connections[-1].audio_bytes == 0


async def test_stalled_agent_gets_the_latest_audio_and_is_called_again(llm: ScriptedLlm) -> None:
    """A model that takes nothing costs the oldest audio, and after a while its run."""
    llm.scripts = [stall, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        await llm.wait_connected()
        for _ in range(250):
            live.send_audio(SPEECH)
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        await answer(live)
        name = 'rtc_audio_dropped_seconds_total{direction="uplink",reason="stalled"}'
        assert server.metric(name) > 2.5
    assert failures(seen) == [("agent_stalled", True)]


async def test_sender_that_dies_in_silence_is_noticed(llm: ScriptedLlm) -> None:
    """ADK's receiving goes on without it: the agent would speak on, deaf."""

    class Mute(ScriptedConnection):
        async def send_content(self, content: types.Content) -> None:
            raise ValueError("secret")

    llm.scripts = [never_answer, echo_text]
    llm.connection_type = Mute
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("lost")
        await llm.wait_connected()
        llm.connection_type = ScriptedConnection
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        assert texts(await answer(live)) == "You said: hello"
    assert failures(seen) == [("agent_failed", True)]


class BrokenSessions(InMemorySessionService):
    """A service that cannot be read while it is ``broken``."""

    broken = False
    failures = 0

    async def get_session(self, **keys: Any) -> Any:
        if self.broken:
            self.failures += 1
            raise OSError("secret")
        return await super().get_session(**keys)


async def test_a_session_that_cannot_be_read_is_waited_for_and_is_no_failure_of_the_model(
    llm: ScriptedLlm,
) -> None:
    """Longer than a model that fails; what is typed meanwhile is answered, and one word is said."""
    llm.scripts = [echo_text]
    service = BrokenSessions()
    async with serve_agent(agent_of(llm), service=service) as server:
        service.broken = True
        async with server.call() as live:
            seen = await until(live, lambda event: isinstance(event, AgentFailed))
            live.send_text("hello")
            await eventually(lambda: service.failures > 3 * FAST.attempts)
            service.broken = False
            assert texts(await answer(live)) == "You said: hello"
    assert failures(seen) == [("session_unavailable", True)]


async def test_a_session_that_cannot_be_read_for_very_long_ends_the_call(llm: ScriptedLlm) -> None:
    service = BrokenSessions()
    retry = replace(FAST, patience_s=1.0)
    async with serve_agent(agent_of(llm), service=service, retry=retry) as server:
        service.broken = True
        async with server.call() as live:
            seen = [event async for event in live.events()]
    assert failures(seen) == [("session_unavailable", True), ("session_unavailable", False)]


async def test_history_that_ends_with_the_user_is_closed_before_a_new_call(
    llm: ScriptedLlm,
) -> None:
    """Else the model would answer an old question that nobody waits for any more."""
    taken = asyncio.Event()

    async def take(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        taken.set()

    llm.scripts = [take, echo_text]
    async with serve_agent(agent_of(llm)) as server:
        async with server.call() as live:
            live.send_text("What is the time?")
            await taken.wait()
        async with server.call() as live:
            live.send_text("hello")
            assert texts(await answer(live)) == "You said: hello"
    history = llm.connections[1].history
    assert [one.role for one in history] == ["user", "model"]
    assert text_of(history[0]) == "What is the time?"
