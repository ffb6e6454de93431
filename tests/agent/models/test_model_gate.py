"""What a gate counts and tells of its model's connections."""

from __future__ import annotations

import asyncio

import pytest

from rtc_server.agent.models.circuit_breaker import BreakerRules
from rtc_server.agent.models.model_gate import ModelGate
from rtc_server.metrics import Metrics
from rtc_server.settings import Limits, Settings
from tests.agent.conftest import agent_of, serve_agent
from tests.agent.scripted_llm import ScriptedLlm, echo_text
from tests.waiting import until

RULES = BreakerRules(failures=2, calls=2, first_pause_s=0.01, proof_s=0.05)


def figure(metrics: Metrics, name: str) -> float:
    lines = (one.rpartition(" ") for one in metrics.exposition().decode().splitlines())
    return next((float(value) for key, _, value in lines if key == name), 0.0)


async def test_a_connection_is_counted_once_whatever_becomes_of_it() -> None:
    """Taken or not; one that is dropped at once was taken."""
    metrics = Metrics()
    gate = ModelGate("m", metrics, BreakerRules())
    for call in ("held", "dropped", "refused", "left"):
        await gate.admit(call, 1.0)
    for call in ("held", "dropped", "left"):
        gate.connected(call)
    gate.proved("held")
    gate.failed("dropped")
    gate.failed("refused")
    gate.withdrew("left")
    await gate.admit("dropped", 1.0)
    gate.failed("dropped")
    assert figure(metrics, 'rtc_agent_connects_total{model="m",outcome="taken"}') == 3
    assert figure(metrics, 'rtc_agent_connects_total{model="m",outcome="failed"}') == 2


async def test_a_model_that_is_back_is_known_to_be_by_a_connection_that_holds() -> None:
    """Although it says nothing, and nobody asks."""
    metrics = Metrics()
    gate = ModelGate("m", metrics, RULES)
    gate.failed("a")
    gate.failed("b")
    assert figure(metrics, 'rtc_agent_model_down{model="m"}') == 1
    await gate.admit("a", 5.0)
    gate.connected("a")
    await until(lambda: figure(metrics, 'rtc_agent_model_down{model="m"}') == 0)


async def test_how_fast_calls_may_connect_is_what_the_settings_say() -> None:
    """A worker has but its part of what one process may do."""
    limits = Limits(model_connects_per_s=0.01, model_connects_at_once=1)
    llm = ScriptedLlm(scripts=[echo_text])
    async with serve_agent(agent_of(llm), settings=Settings(limits=limits)) as server:
        gate = server.runtime.gates.of("scripted")
        await gate.admit("first", 1.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await gate.admit("second", 1.0)
