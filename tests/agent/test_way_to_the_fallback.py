"""When a call asks the fallback: at once where its own model is known to be away or dumb."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from google.adk.models.registry import LLMRegistry

from rtc_server.agent.live_events import LiveEvent, ModelBack, ModelTurnComplete
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.models.circuit_breaker import BreakerRules
from rtc_server.settings import Settings

from .conftest import FAST, agent_of, serve_agent
from .scripted_llm import ScriptedConnection, ScriptedLlm, echo_text


class StandBy(ScriptedLlm):
    """The fallback, which ADK knows by its name."""

    model: str = "stand-by-model"

    @classmethod
    def supported_models(cls) -> list[str]:
        return ["stand-by-model"]

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.scripts = [echo_text]


LLMRegistry.register(StandBy)
WITH_FALLBACK = Settings(fallback_model="stand-by-model")
NEVER_S = 3600.0


async def until(live: LiveSession, kind: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async with asyncio.timeout(20.0):
        async for event in live.events():
            seen.append(event)
            if isinstance(event, kind):
                break
    return seen


async def test_fallback_is_asked_without_a_pause() -> None:
    """The pause is for the model that failed."""
    llm = ScriptedLlm(connect_errors=[OSError("secret")] * 9)
    down = BreakerRules(failures=1, calls=1, first_pause_s=NEVER_S)
    slow = replace(FAST, first_delay_s=NEVER_S, max_delay_s=NEVER_S)
    async with (
        serve_agent(agent_of(llm), settings=WITH_FALLBACK, breaker=down, retry=slow) as server,
        server.call() as live,
    ):
        live.send_text("one")
        assert ModelBack("stand-by-model") in await until(live, ModelTurnComplete)


async def test_model_that_owed_an_answer_twice_gives_way_to_the_fallback() -> None:
    """Its connections are open, and it says nothing on them."""
    asked = asyncio.Semaphore(0)

    async def say_nothing(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        asked.release()

    llm = ScriptedLlm(scripts=[say_nothing])
    async with (
        serve_agent(agent_of(llm), settings=WITH_FALLBACK) as server,
        server.call() as live,
    ):
        for words in ("one", "two"):
            live.send_text(words)
            await asked.acquire()
            live.renew()
        live.send_text("three")
        assert ModelBack("stand-by-model") in await until(live, ModelTurnComplete)
    assert len(llm.connections) == 2
