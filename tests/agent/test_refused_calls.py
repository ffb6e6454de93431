"""What a model refuses a call, for what that call asks, does not make it down for all."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from google.genai.errors import APIError
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from rtc_server.agent.failures import close_code_of
from rtc_server.agent.live_events import AgentFailed, LiveEvent
from rtc_server.agent.models.circuit_breaker import BreakerRules

from .conftest import FAST, Server, agent_of, serve_agent
from .scripted_llm import ScriptedLlm

DOWN = 'rtc_agent_model_down{model="scripted"}'
CALLS = BreakerRules().calls
TRIES = BreakerRules().failures


def closed(code: int) -> Exception:
    return ConnectionClosedError(Close(code, "no"), None)


def http(code: int) -> Exception:
    return InvalidStatus(Response(code, "no", Headers()))


def api(code: int) -> Exception:
    return APIError(code, {"error": {"message": "no"}})


def _name(error: object) -> str:
    return f"{type(error).__name__} {close_code_of(error)}" if isinstance(error, Exception) else ""


async def call_until_it_ends(server: Server) -> LiveEvent:
    """The last event of a call."""
    async with server.call("audio") as live:
        return [event async for event in live.events()][-1]


async def refuse_all(error: Exception, patience_s: float = 60.0) -> tuple[int, bool]:
    """As many calls as can open the breaker, each refused as often: how often, and its state."""
    llm = ScriptedLlm(connect_errors=[error] * 100)
    rules = replace(FAST, attempts=TRIES, patience_s=patience_s)
    async with serve_agent(agent_of(llm), retry=rules) as server:
        ends = await asyncio.gather(*(call_until_it_ends(server) for _ in range(CALLS)))
        is_down = server.metric(DOWN) == 1
    assert all(isinstance(end, AgentFailed) and not end.retryable for end in ends)
    return llm.connects, is_down


@pytest.mark.parametrize(
    "refusal", [closed(1007), api(1007), http(400), api(400), http(404)], ids=_name
)
async def test_model_that_refuses_what_calls_ask_for_is_down_for_nobody(refusal: Exception) -> None:
    """They end; others are not kept from it."""
    assert await refuse_all(refusal) == (CALLS * TRIES, False)


@pytest.mark.parametrize("refusal", [http(403), closed(1011)], ids=_name)
async def test_model_that_refuses_everybody_is_down(refusal: Exception) -> None:
    """Calls and refusals were enough for that; a key is everybody's."""
    _, is_down = await refuse_all(refusal, patience_s=3.0)
    assert is_down
