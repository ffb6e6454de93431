"""Calls whose model is away: who connects, who waits, what is told and asked again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest
from google.adk.models.registry import LLMRegistry
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from rtc_server.agent.live_events import (
    AgentFailed,
    AgentText,
    InputRefused,
    LiveEvent,
    ModelAway,
    ModelBack,
    ModelTurnComplete,
    ToolCalled,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.models.circuit_breaker import BreakerRules
from rtc_server.errors import AgentLoadError
from rtc_server.settings import Settings
from tests.waiting import until as eventually

from .conftest import FAST, Server, agent_of, serve_agent
from .scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    echo_text,
    heard,
    never_answer,
    resumption_handle,
    stall,
    text_of,
    text_piece,
    tool_call,
    turn_complete,
)

QUICK = BreakerRules(first_pause_s=0.05, max_pause_s=0.2, proof_s=0.05, random=lambda: 1.0)
PATIENT = replace(FAST, attempts=1000)


class Outage(ScriptedLlm):
    """A model that can be away: then it takes no connection."""

    is_away: bool = True
    trying: int = 0
    most_trying: int = 0

    @contextlib.asynccontextmanager
    async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
        self.trying += 1
        self.most_trying = max(self.trying, self.most_trying)
        try:
            await asyncio.sleep(0)
            if self.is_away:
                self._connects += 1
                raise OSError("secret")
        finally:
            self.trying -= 1
        async with super().connect(llm_request) as connection:
            yield connection


class Second(ScriptedLlm):
    """The fallback, which ADK knows by its name."""

    model: str = "second-model"
    made: list[Any] = []  # noqa: RUF012  (a pydantic field)

    @classmethod
    def supported_models(cls) -> list[str]:
        return ["second-model"]

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.scripts = [echo_text]
        fallbacks.append(self)


fallbacks: list[Second] = []
LLMRegistry.register(Second)
WITH_FALLBACK = Settings(fallback_model="second-model")


async def until(live: LiveSession, *kinds: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


def texts(events: list[LiveEvent]) -> str:
    return "".join(one.text for one in events if isinstance(one, AgentText))


def failures(events: list[LiveEvent]) -> list[AgentFailed]:
    return [one for one in events if isinstance(one, AgentFailed)]


@contextlib.asynccontextmanager
async def many_calls(server: Server, count: int) -> AsyncIterator[list[LiveSession]]:
    async with contextlib.AsyncExitStack() as stack:
        calls = []
        for n in range(count):
            await server.runtime.sessions.open("user", f"s{n}")
            live = server.runtime.open_live_session(
                user_id="user", session_id=f"s{n}", modality="text"
            )
            calls.append(await stack.enter_async_context(live))
        yield calls


# The breaker ------------------------------------------------------------------


async def test_model_that_is_down_for_all_is_tried_by_one_call_and_serves_all_when_it_is_back() -> (
    None
):
    """Twenty calls; nothing typed meanwhile is lost."""
    llm = Outage(scripts=[echo_text])
    async with (
        serve_agent(agent_of(llm), retry=PATIENT, breaker=QUICK) as server,
        many_calls(server, 20) as calls,
    ):
        down = 'rtc_agent_model_down{model="scripted"}'
        while server.metric(down) == 0:  # noqa: ASYNC110  (a metric has no event)
            await asyncio.sleep(0.01)
        connects, llm.most_trying = llm.connects, llm.trying
        for n, live in enumerate(calls):
            live.send_text(f"hello {n}")
        while llm.connects < connects + 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert llm.most_trying == 1
        llm.is_away = False
        for n, live in enumerate(calls):
            seen = await until(live, ModelTurnComplete)
            assert texts(seen) == f"You said: hello {n}"
            assert any(isinstance(one, ModelAway) for one in seen)
            assert any(isinstance(one, ModelBack) for one in seen)
        assert server.metric(down) == 0
        name = 'rtc_agent_connects_total{model="scripted",outcome="failed"}'
        assert server.metric(name) == llm.connects - 20
    assert not any("secret" in str(one) for live in calls for one in failures(seen))


async def test_call_that_waits_too_long_for_the_model_ends_with_a_word() -> None:
    """It is told, and its last event is that."""
    llm = Outage(scripts=[echo_text])
    short = replace(PATIENT, patience_s=1.5)
    forever = replace(QUICK, first_pause_s=60.0, early_pause_s=60.0, max_pause_s=60.0)
    async with (
        serve_agent(agent_of(llm), retry=short, breaker=forever) as server,
        many_calls(server, 3) as calls,
    ):
        for live in calls:
            last = [event async for event in live.events()][-1]
            assert isinstance(last, AgentFailed)
            assert (last.code, last.retryable) == ("agent_unreachable", False)


async def test_call_that_waits_can_be_closed_at_once() -> None:
    """No task is left, and whoever waits next is let in (the leak check sees to the first)."""
    llm = Outage(scripts=[echo_text])
    forever = replace(QUICK, first_pause_s=60.0, early_pause_s=60.0, max_pause_s=60.0)
    async with (
        serve_agent(agent_of(llm), retry=PATIENT, breaker=forever) as server,
        many_calls(server, 3) as calls,
    ):
        for live in calls:
            await until(live, AgentFailed)


async def test_connection_that_is_not_taken_in_time_is_given_up(llm: ScriptedLlm) -> None:
    """A server that accepts and never completes the set-up."""

    class Hangs(ScriptedLlm):
        hangs: bool = True

        @contextlib.asynccontextmanager
        async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
            if self.hangs:
                self.hangs = False
                await asyncio.Event().wait()
            async with super().connect(llm_request) as connection:
                yield connection

    model = Hangs(scripts=[echo_text])
    async with (
        serve_agent(agent_of(model), retry=replace(FAST, connect_s=1.5)) as server,
        server.call() as live,
    ):
        live.send_text("hello")
        seen = await until(live, ModelTurnComplete)
    assert [one.code for one in failures(seen)] == ["agent_unreachable"]
    assert texts(seen) == "You said: hello"


async def test_what_is_interrupted_while_the_model_is_away_is_withdrawn() -> None:
    """Only what was typed afterwards is answered; the rest is not asked again."""
    llm = Outage(scripts=[echo_text])
    async with serve_agent(agent_of(llm), settings=ASKS_AGAIN) as server, server.call() as live:
        live.send_text("one")
        await until(live, AgentFailed)
        live.interrupt()
        live.send_text("two")
        llm.is_away = False
        assert texts(await until(live, ModelTurnComplete)) == "You said: two"
        live.send_text("three")
        assert texts(await until(live, ModelTurnComplete)) == "You said: three"
    assert not llm.connections[-1].history


# The fallback -----------------------------------------------------------------


async def test_fallback_is_asked_when_the_model_cannot_be_reached_with_all_that_was_said() -> None:
    """After two failures; the caller is told its name, and when the first one is back."""
    llm = Outage(scripts=[echo_text], is_away=False)
    async with serve_agent(agent_of(llm), settings=WITH_FALLBACK) as server:
        second = fallbacks[-1]
        async with server.call() as live:
            live.send_text("one")
            await until(live, ModelTurnComplete)
            llm.is_away = True
            llm.connections[-1].fail(OSError("secret"))
            seen = await until(live, ModelBack)
            assert seen[-1] == ModelBack("second-model")
            live.send_text("two")
            assert texts(await until(live, ModelTurnComplete)) == "You said: two"
            assert server.metric("rtc_agent_fallbacks_total") == 1
        history = [text_of(one) for one in second.connections[0].history]
        assert history == ["one", "You said: one"]
        assert second.connections[0].request.model == "second-model"
        llm.is_away = False
        async with server.call() as live:  # the next call begins with the first model
            live.send_text("three")
            assert texts(await until(live, ModelTurnComplete)) == "You said: three"
        assert text_of(llm.connections[-1].history[-1]) == "You said: two"


async def test_call_goes_back_between_two_answers_when_the_model_is_well_again() -> None:
    """Another call has found it so."""
    llm = Outage(scripts=[echo_text])
    async with (
        serve_agent(agent_of(llm), settings=WITH_FALLBACK, breaker=QUICK) as server,
        server.call() as live,
    ):
        live.send_text("one")
        seen = await until(live, ModelTurnComplete)
        assert texts(seen) == "You said: one"
        assert ModelBack("second-model") in seen
        llm.is_away = False
        async with many_calls(server, 1) as (other,):
            other.send_text("hello")
            await until(other, ModelTurnComplete)
        live.send_text("two")
        assert texts(await until(live, ModelTurnComplete)) == "You said: two"
        assert (await until(live, ModelBack))[-1] == ModelBack("scripted")
        live.send_text("three")
        assert texts(await until(live, ModelTurnComplete)) == "You said: three"
    assert text_of(llm.connections[-1].history[-1]) == "You said: two"


async def test_callers_on_the_fallback_find_out_that_the_model_is_back() -> None:
    """One of them tries it between two answers, although no new call comes and no minute passes."""
    llm = Outage(scripts=[echo_text])
    down = 'rtc_agent_model_down{model="scripted"}'
    async with (
        serve_agent(agent_of(llm), settings=WITH_FALLBACK, breaker=replace(QUICK, failures=2)) as (
            server
        ),
        many_calls(server, 2) as calls,
    ):
        for live in calls:
            await until(live, ModelBack)
        assert server.metric(down) == 1
        llm.is_away = False
        await asyncio.sleep(QUICK.max_pause_s)  # until somebody is to try
        calls[0].send_text("hello")
        assert texts(await until(calls[0], ModelTurnComplete)) == "You said: hello"
        assert (await until(calls[0], ModelBack))[-1] == ModelBack("scripted")
        await eventually(lambda: server.metric(down) == 0)
        calls[0].send_text("again")
        assert texts(await until(calls[0], ModelTurnComplete)) == "You said: again"


async def test_new_calls_ask_the_fallback_at_once_while_the_model_is_down() -> None:
    """They need not find out for themselves."""
    llm = Outage(scripts=[echo_text])
    forever = replace(QUICK, first_pause_s=60.0, early_pause_s=60.0, max_pause_s=60.0, failures=2)
    async with serve_agent(agent_of(llm), settings=WITH_FALLBACK, breaker=forever) as server:
        async with many_calls(server, 2) as calls:
            for live in calls:
                await until(live, ModelBack)
        connects = llm.connects
        async with server.call() as live:
            live.send_text("hello")
            seen = await until(live, ModelTurnComplete)
    assert texts(seen) == "You said: hello"
    assert failures(seen) == []
    assert llm.connects == connects


async def test_fallback_that_cannot_be_used_is_refused_at_the_start(
    llm: ScriptedLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is unknown, or there is no key for it."""
    for key in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    for name in ("no-such-model", "gemini-live-2.5-flash"):
        with pytest.raises(AgentLoadError, match=name):
            async with serve_agent(agent_of(llm), settings=Settings(fallback_model=name)):
                pass


# The lost turn ------------------------------------------------------------------


def drop() -> ConnectionClosedError:
    return ConnectionClosedError(Close(1011, ""), None)


ASKS_AGAIN = Settings(ask_again=True)


@pytest.mark.parametrize("resumed", [True, False])
async def test_lost_turn_is_put_to_the_model_again(llm: ScriptedLlm, resumed: bool) -> None:
    """Whether ADK reconnects by itself with a handle or a new run begins."""

    async def die(connection: ScriptedConnection) -> None:
        text = await connection.receive_text()
        if resumed:
            connection.emit(resumption_handle("h"))
        connection.emit(text_piece(text[:2]))
        connection.fail(drop())

    llm.scripts = [die, echo_text]
    async with serve_agent(agent_of(llm), settings=ASKS_AGAIN) as server, server.call() as live:
        live.send_text("What is the time?")
        seen = await until(live, ModelTurnComplete)
        assert server.metric("rtc_agent_asked_again_total") == 1
    (failure,) = failures(seen)
    assert failure.asks_again
    assert failure.retryable
    assert texts(seen) == "WhYou said: What is the time?"


async def test_spoken_turn_is_asked_again_as_text(llm: ScriptedLlm) -> None:
    """By its transcript."""

    async def die(connection: ScriptedConnection) -> None:
        connection.emit(heard("What is"), heard("What is the time?", finished=True))
        connection.fail(drop())

    llm.scripts = [die, echo_text]
    async with (
        serve_agent(agent_of(llm), settings=ASKS_AGAIN) as server,
        server.call("audio") as live,
    ):
        assert texts(await until(live, ModelTurnComplete)) == "You said: What is the time?"


async def test_turn_that_is_lost_twice_is_not_asked_a_third_time(llm: ScriptedLlm) -> None:
    """A question may be what kills the model."""

    async def die(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.fail(drop())

    llm.scripts = [die, die, echo_text]
    async with serve_agent(agent_of(llm), settings=ASKS_AGAIN) as server, server.call() as live:
        live.send_text("boom")
        seen = await until(live, AgentFailed)
        seen += await until(live, AgentFailed)
        assert [one.asks_again for one in failures(seen)] == [True, False]
        assert failures(seen)[1].message.endswith("Please ask again.")
        live.send_text("hello")
        assert texts(await until(live, ModelTurnComplete)) == "You said: hello"


async def test_turn_for_which_a_tool_ran_is_not_asked_again(llm: ScriptedLlm) -> None:
    """What the tool did is done."""
    done = asyncio.Event()

    async def act() -> dict[str, str]:
        done.set()
        return {}

    async def die(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("act"))
        await done.wait()
        connection.fail(drop())

    llm.scripts = [die, echo_text]
    async with (
        serve_agent(agent_of(llm, tools=[act]), settings=ASKS_AGAIN) as server,
        server.call() as live,
    ):
        live.send_text("transfer the money")
        seen = await until(live, AgentFailed)
        assert any(isinstance(one, ToolCalled) for one in seen)
        assert not failures(seen)[0].asks_again
        live.send_text("hello")
        assert texts(await until(live, ModelTurnComplete)) == "You said: hello"


async def test_answered_turn_is_not_asked_again(llm: ScriptedLlm) -> None:
    """There is nothing of it to be lost."""

    async def answer_then_die(connection: ScriptedConnection) -> None:
        text = await connection.receive_text()
        connection.emit(text_piece(text), turn_complete())
        connection.fail(drop())

    llm.scripts = [answer_then_die, echo_text]
    async with serve_agent(agent_of(llm), settings=ASKS_AGAIN) as server, server.call() as live:
        live.send_text("one")
        await until(live, ModelTurnComplete)
        assert failures(await until(live, ModelBack)) == []
        assert server.metric("rtc_agent_asked_again_total") == 0


async def test_without_the_option_the_caller_is_told_to_ask_again(llm: ScriptedLlm) -> None:
    """And nothing is asked behind his back."""

    async def die(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.fail(drop())

    llm.scripts = [die, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("one")
        (failure,) = failures(await until(live, AgentFailed))
        assert failure.message.endswith("Please ask again.")
        live.send_text("two")
        assert texts(await until(live, ModelTurnComplete)) == "You said: two"


# A model without life --------------------------------------------------------------


async def test_renewed_connection_answers_the_next_turn(llm: ScriptedLlm) -> None:
    """The old one says nothing any more, however late; nobody hears of a failure."""
    late = asyncio.Event()

    async def sleep(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        late.set()
        await connection.receive_text()

    llm.scripts = [sleep, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("one")
        await late.wait()
        live.renew()
        llm.connections[0].emit(text_piece("too late"), turn_complete())
        live.send_text("two")
        seen = await until(live, ModelTurnComplete)
    assert texts(seen) == "You said: two"
    assert failures(seen) == []


async def test_text_that_was_not_taken_before_the_renewal_is_not_answered_after_it(
    llm: ScriptedLlm,
) -> None:
    """The caller has been told that it is lost; what he types then is answered, and that alone."""
    llm.scripts = [stall, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        await llm.wait_connected()
        live.send_text("taken, and lost")
        live.send_text("waits, and is lost")
        live.renew()
        live.send_text("two")
        seen = await until(live, ModelTurnComplete)
    assert texts(seen) == "You said: two"


async def test_renewal_without_a_connection_changes_nothing(llm: ScriptedLlm) -> None:
    """It is being made."""
    llm.scripts = [never_answer]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.renew()
        await llm.wait_connected()
    assert llm.connects == 1


async def test_text_that_finds_no_room_is_told(llm: ScriptedLlm) -> None:
    """A thousand wait for a model that is away; of the next one the caller learns."""
    llm.connect_errors = [OSError()] * 10_000
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        for n in range(1000):
            live.send_text(str(n))
        live.send_text("one too many")
        live.send_state({"mood": "impatient"})
        seen: list[object] = []
        async with asyncio.timeout(20):
            async for event in live.events():
                seen.append(event)
                if seen.count(InputRefused()) == 2:
                    break
        assert server.metric('rtc_agent_errors_total{code="backlog_full"}') == 2
