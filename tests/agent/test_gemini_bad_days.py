"""Every way in which a live run with Gemini is known to end, and what the session makes of it.

ADK's ``Gemini`` and Google's client, over TLS, at the stand-in for the Live API.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini
from google.genai import Client, types

from rtc_server.agent.live_events import (
    AgentFailed,
    AgentText,
    AgentTranscript,
    LiveEvent,
    ModelBack,
    ModelTurnComplete,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.models.agent_models import PING, prepare_models
from rtc_server.agent.models.circuit_breaker import BreakerRules
from rtc_server.agent.sessions.resumption import STATE_KEY, ResumptionHandle
from rtc_server.settings import Settings
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import (
    BROKEN_JSON,
    UNKNOWN_MESSAGE,
    Abort,
    At,
    Close,
    Day,
    EmptyHandle,
    HttpStatus,
    Refuse,
    RefuseHandle,
    Stall,
    StopReading,
    at,
)
from tests.gemini.server import StandIn

from ..waiting import until as state
from .conftest import FAST, Server, serve_agent

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

MODEL = "gemini-2.5-flash-live-stand-in"
OTHER = "gemini-2.0-flash-live-stand-in"
QUICK = Pace(playback=0.0)

Serve = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Server, StandIn]]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serves an agent of Gemini at a stand-in that has such days."""

    @contextlib.asynccontextmanager
    async def start(
        *days: Day, model: str | Gemini = MODEL, **more: Any
    ) -> AsyncIterator[tuple[Server, StandIn]]:
        async with StandIn.running(tmp_path, days=days, pace=QUICK) as api:
            for name, value in api.environment.items():
                monkeypatch.setenv(name, value)
            agent = LlmAgent(name="talker", model=model)
            async with serve_agent(agent, **more) as server:
                yield server, api
                fallback = server.runtime._fallback
                models = [agent.model, *(fallback.models if fallback is not None else ())]
                for one in models:
                    assert isinstance(one, Gemini)
                    await one.api_client.aio.aclose()
                    await one._live_api_client.aio.aclose()

    return start


async def until(live: LiveSession, *kinds: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


def failures(events: list[LiveEvent]) -> list[str]:
    return [one.code for one in events if isinstance(one, AgentFailed)]


def said(events: list[LiveEvent]) -> str:
    spoken = [one.text for one in events if isinstance(one, AgentTranscript)]
    written = "".join(one.text for one in events if isinstance(one, AgentText))
    return written or (spoken[-1] if spoken else "")


def in_answer(*deeds: Any) -> tuple[At, ...]:
    return tuple(at(Moment.MID_ANSWER, one) for one in deeds)


ENDS = {
    "1007": (in_answer(Close(1007)), "agent_refused"),
    "1008": (in_answer(Close(1008)), "agent_refused"),
    "1000 with a handle": (in_answer(Close(1000)), "agent_reconnected"),
    "1011 with a handle": (in_answer(Close(1011)), "agent_reconnected"),
    "reset with a handle": (in_answer(Abort()), "agent_reconnected"),
    "plain end": (in_answer(EmptyHandle(), Close(1000)), "agent_ended"),
    "empty handle, then drop": (in_answer(EmptyHandle(), Abort()), "agent_lost"),
    "unknown message": (in_answer(UNKNOWN_MESSAGE), "agent_failed"),
    "broken JSON": (in_answer(BROKEN_JSON), "agent_failed"),
    "503 at first": ((at(Moment.CONNECT, HttpStatus(503)),), "agent_lost"),
    "429 at first": ((at(Moment.CONNECT, HttpStatus(429)),), "agent_busy"),
    "reset before the set-up": ((at(Moment.SETUP, Abort()),), "agent_lost"),
    "set-up that is never answered": ((at(Moment.SETUP, Stall()),), "agent_unreachable"),
}


@pytest.mark.parametrize(("deeds", "code"), ENDS.values(), ids=ENDS.keys())
async def test_run_that_ends_is_told_and_the_next_turn_is_answered(
    serve: Serve, deeds: tuple[At, ...], code: str
) -> None:
    """By a new connection, whatever ended the old one."""
    quick = replace(FAST, connect_s=2.0 if code == "agent_unreachable" else 20.0)
    async with serve(Day(*deeds), Day(), retry=quick) as (server, api):
        async with server.call("audio") as live:
            live.send_text("one")
            seen = await until(live, AgentFailed)
            assert failures(seen) == [code]
            if any(one.moment is not Moment.MID_ANSWER for one in deeds):
                seen = await until(live, ModelTurnComplete)  # it had not reached the model
                assert said(seen) == "You said: one"
            live.send_text("two")
            assert said(await until(live, ModelTurnComplete)) == "You said: two"
        assert api.attempts == 2


async def test_reconnect_that_is_refused_or_forgotten_is_tried_anew(serve: Serve) -> None:
    """ADK gives up at once; the handle that the model does not know is given up by us."""
    days = (
        Day(at(Moment.ANSWERED, Abort())),
        Day(at(Moment.SETUP, RefuseHandle())),
        Day(at(Moment.ANSWERED, Refuse(0.1))),
        Day(),
    )
    async with serve(*days, retry=replace(FAST, attempts=100)) as (server, api):
        async with server.call("audio") as live:
            for words in ("one", "two", "three"):
                live.send_text(words)
                assert said(await until(live, ModelTurnComplete)) == f"You said: {words}"
        with_handle = [one.setup.handle is not None for one in api.connections if one.setup]
    assert with_handle[:3] == [False, True, False]


async def test_handle_that_the_model_never_takes_is_given_up(serve: Serve) -> None:
    """Whatever it says of it; ADK tries it some times more."""
    days = (Day(at(Moment.ANSWERED, Abort())), Day(at(Moment.SETUP, RefuseHandle(1011))))
    async with serve(*days, retry=replace(FAST, patience_s=20.0)) as (server, api):
        async with server.call("audio") as live:
            for words in ("one", "two"):
                live.send_text(words)
                assert said(await until(live, ModelTurnComplete)) == f"You said: {words}"
        with_handle = [one.setup.handle is not None for one in api.connections if one.setup]
    assert with_handle[0] is with_handle[-1] is False
    assert all(with_handle[1:-1])
    assert with_handle[1:-1]


async def test_handle_that_is_not_known_any_more_says_nothing_of_the_model(serve: Serve) -> None:
    """It does not count as down for that, though one failure would be enough."""
    days = (Day(at(Moment.ANSWERED, Abort())), Day(at(Moment.SETUP, RefuseHandle())))
    rules = BreakerRules(failures=1, calls=1, first_pause_s=60.0)
    patient = replace(FAST, patience_s=10.0)
    async with (
        serve(*days, retry=patient, breaker=rules) as (server, _),
        server.call("audio") as live,
    ):
        for words in ("one", "two"):
            live.send_text(words)
            assert said(await until(live, ModelTurnComplete)) == f"You said: {words}"


async def test_model_that_accepts_and_crashes_ends_the_call_after_some_time(serve: Serve) -> None:
    """ADK alone would redial a hundred times a second, for ever."""
    rules = replace(FAST, patience_s=3.0, first_delay_s=0.3, max_delay_s=0.3)
    async with serve(Day(at(Moment.READY, Abort())), retry=rules) as (server, api):
        async with server.call("audio") as live:
            seen = [event async for event in live.events()]
        assert api.attempts <= 12
    assert len(failures(seen)) == 2
    last = seen[-1]
    assert isinstance(last, AgentFailed)
    assert not last.retryable


async def test_network_that_is_gone_is_noticed_by_pings(serve: Serve) -> None:
    """Nothing is read any more, nothing is closed: the stand-in answers no ping."""
    pings = {"ping_interval": 0.1, "ping_timeout": 2.0}
    http = types.HttpOptions(async_client_args=dict(pings))
    model = Gemini(model=MODEL, client_kwargs={"http_options": http})
    days = (Day(at(Moment.QUESTION, StopReading())), Day())
    async with serve(*days, model=model) as (server, _), server.call("audio") as live:
        live.send_text("one")
        assert failures(await until(live, AgentFailed)) == ["agent_reconnected"]
        live.send_text("two")
        assert said(await until(live, ModelTurnComplete)) == "You said: two"


async def test_network_that_dies_under_large_pictures_is_noticed_by_pings(serve: Serve) -> None:
    """A ping waits behind what the network does not take, and is not answered all the same."""
    pings = {"ping_interval": 0.3, "ping_timeout": 2.0, "close_timeout": 0.1}
    http = types.HttpOptions(async_client_args=dict(pings))
    model = Gemini(model=MODEL, client_kwargs={"http_options": http})
    days = (Day(at(Moment.QUESTION, StopReading())), Day())
    patient = replace(FAST, stall_s=15.0)
    async with serve(*days, model=model, retry=patient) as (server, api), server.call() as live:
        live.send_text("one")
        await state(lambda: bool(api.done))
        for size in (5_000_000, 200_000, 200_000):  # more than the kernel holds for it
            live.send_image("image/jpeg", bytes(size))
        assert failures(await until(live, AgentFailed)) == ["agent_reconnected"]


def pings_of(model: Gemini) -> dict[str, Any]:
    given = model._live_api_client._api_client._websocket_ssl_ctx
    return {name: given.get(name) for name in PING}


def _makers() -> dict[str, Callable[[], str | Gemini]]:
    own = {"async_client_args": {"ping_interval": 1}}
    patient = types.HttpOptions(async_client_args={"ping_timeout": 9})
    eager = types.HttpOptions.model_validate(own)
    return {
        "name": lambda: MODEL,
        "instance": lambda: Gemini(model=MODEL),
        "options": lambda: Gemini(model=MODEL, client_kwargs={"http_options": patient}),
        "dict": lambda: Gemini(model=MODEL, client_kwargs={"http_options": own}),
        "client": lambda: Gemini(model=MODEL, client=Client(api_key="own")),
        "eager client": lambda: Gemini(
            model=MODEL, client=Client(api_key="own", http_options=eager)
        ),
    }


@pytest.mark.parametrize(
    ("made", "chosen"),
    [
        ("name", {}),
        ("instance", {}),
        ("options", {"ping_timeout": 9}),
        ("dict", {"ping_interval": 1}),
        ("client", {}),
        ("eager client", {"ping_interval": 1}),
    ],
)
async def test_dead_network_is_noticed_within_5_s_whoever_made_the_model(
    made: str, chosen: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a second to spare; what the author chose stays."""
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    (model,) = prepare_models(LlmAgent(name="a", model=_makers()[made]())).models
    assert isinstance(model, Gemini)
    assert pings_of(model) == {**PING, **chosen}
    assert PING["ping_interval"] + PING["ping_timeout"] + PING["close_timeout"] <= 4
    await model._live_api_client.aio.aclose()
    await model.api_client.aio.aclose()


async def test_fallback_of_gemini_gets_the_history_and_no_handle(serve: Serve) -> None:
    """A handle is good for its own model only; nothing is answered unasked."""
    days = (Day(at(Moment.ANSWERED, Abort())), Day(at(Moment.CONNECT, HttpStatus(503))))
    # The first model is refused twice, then the fallback is asked.
    good = Day()
    async with serve(*days, days[1], good, settings=Settings(fallback_model=OTHER)) as (
        server,
        api,
    ):
        async with server.call("audio") as live:
            live.send_text("I am Ada")
            await until(live, ModelTurnComplete)
            seen = await until(live, ModelBack)
            while seen[-1] != ModelBack(OTHER):
                seen += await until(live, ModelBack)
            live.send_text("What did I say?")
            assert said(await until(live, ModelTurnComplete)) == "You said: I am Ada"
        setups = [one.setup for one in api.connections if one.setup is not None]
    assert [one.model.split("/")[-1] for one in setups] == [MODEL, OTHER]
    assert [one.handle for one in setups] == [None, None]


async def test_handle_of_the_fallback_is_not_kept_for_the_next_call(serve: Serve) -> None:
    """It asks the agent's own model again, which knows nothing of the fallback's session."""
    away = Day(at(Moment.CONNECT, HttpStatus(503)))
    setting = Settings(fallback_model=OTHER)
    handles: list[str] = []
    async with serve(away, away, Day(), settings=setting) as (server, api):
        for _ in range(2):
            history = server.runtime.open_history("user", server.session_id, "audio")
            async with server.call("audio", history=history) as live:
                for words in ("one", "two"):  # before the second answer is the first one's handle
                    live.send_text(words)
                    assert said(await until(live, ModelTurnComplete)) == f"You said: {words}"
            session = await server.runtime.sessions.read("user", server.session_id)
            assert session is not None
            kept = ResumptionHandle.from_state(session.state.get(STATE_KEY))
            handles.append("none" if kept is None else kept.model)
            history.close()
        setups = [one.setup for one in api.connections if one.setup is not None]
    assert [one.model.split("/")[-1] for one in setups] == [OTHER, MODEL]
    assert [one.handle for one in setups] == [None, None]
    assert handles == ["none", MODEL]


async def test_model_that_is_asked_again_after_the_fallback_is_told_what_was_said_to_that(
    serve: Serve,
) -> None:
    """Of the two handles one does not know it, and the other is of another model."""
    down = BreakerRules(failures=1, calls=1, first_pause_s=60.0)
    settings = Settings(fallback_model=OTHER)
    async with serve(Day(), settings=settings, breaker=down) as (server, api):
        gate = server.runtime.gates.of(MODEL)
        async with server.call("audio") as live:
            for words in ("one", "two"):
                live.send_text(words)
                await until(live, ModelTurnComplete)
            gate.failed("another call")
            api.connections[0].drop()
            assert (await until(live, ModelBack))[-1] == ModelBack(OTHER)
            for words in ("three", "four"):
                live.send_text(words)
                await until(live, ModelTurnComplete)
            gate.proved("another call")
            live.send_text("five")
            assert (await until(live, ModelBack))[-1] == ModelBack(MODEL)
            live.send_text("What did I say?")
            answer = said(await until(live, ModelTurnComplete))
            assert answer == "You said: one; two; three; four; five"
        setups = [one.setup for one in api.connections if one.setup is not None]
    assert [one.model.split("/")[-1] for one in setups] == [MODEL, OTHER, MODEL]
    assert [one.handle for one in setups] == [None, None, None]


async def test_lost_turn_is_asked_again_of_a_session_that_was_resumed(serve: Serve) -> None:
    """The model may remember half of it; it is answered once."""
    day = Day(at(Moment.MID_ANSWER, Abort(), nth=2))
    async with serve(day, Day(), settings=Settings(ask_again=True)) as (server, api):
        async with server.call("audio") as live:
            live.send_text("I am Ada")
            await until(live, ModelTurnComplete)
            live.send_text("What did I say?")
            seen = await until(live, ModelTurnComplete)
            assert failures(seen) == ["agent_reconnected"]
            assert "I am Ada" in said(seen)
            live.send_text("hello")
            assert said(await until(live, ModelTurnComplete)) == "You said: hello"
        assert api.connections[1].setup is not None
        assert api.connections[1].setup.handle is not None
