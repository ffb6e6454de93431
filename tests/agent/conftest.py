"""What the tests of the live session share: runtimes of scripted models."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini
from google.adk.sessions.base_session_service import BaseSessionService

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.loader import LoadedAgent
from rtc_server.agent.models.circuit_breaker import BreakerRules
from rtc_server.agent.retry_rules import RetryRules
from rtc_server.metrics import Metrics
from rtc_server.settings import Limits, Settings

from .gemini_stand_in import Script, gemini_stand_in
from .scripted_llm import ScriptedLlm

FAST = RetryRules(
    first_delay_s=0.001, max_delay_s=0.004, stall_s=2.0, close_s=2.0, random=lambda: 1.0
)
"""Retries without waiting; the figures are checked on :class:`RetryRules` itself.

What gives up a run is slow enough for a machine that stands still now and then.
"""


class Server:
    """A runtime with one session opened, and its metrics."""

    def __init__(self, runtime: AgentRuntime, metrics: Metrics, session_id: str) -> None:
        self.runtime = runtime
        self.session_id = session_id
        self._metrics = metrics

    def call(self, modality: Any = "text", **more: Any) -> LiveSession:
        """The agent's side of a call of the session."""
        return self.runtime.open_live_session(
            user_id="user", session_id=self.session_id, modality=modality, **more
        )

    def metric(self, name: str) -> float:
        """The figure of one line of the exposition; 0 where there is none."""
        for line in self._metrics.exposition().decode().splitlines():
            key, _, value = line.rpartition(" ")
            if key == name:
                return float(value)
        return 0.0


ServeFactory = Callable[..., contextlib.AbstractAsyncContextManager[Server]]


@contextlib.asynccontextmanager
async def serve_agent(
    agent: Any,
    *,
    retry: RetryRules = FAST,
    service: BaseSessionService | None = None,
    settings: Settings | None = None,
    breaker: BreakerRules | None = None,
) -> AsyncIterator[Server]:
    """A runtime of ``agent`` with the session ``session`` of ``user``."""
    metrics = Metrics()
    loaded = LoadedAgent.from_object("scripted", agent)
    chosen = settings or Settings(limits=Limits(uplink_backlog_s=2.0))
    async with AgentRuntime(
        loaded, chosen, metrics, session_service=service, retry=retry, breaker=breaker
    ) as runtime:
        stored = await runtime.sessions.open("user", "session")
        yield Server(runtime, metrics, stored.session_id)


def agent_of(llm: ScriptedLlm, **more: Any) -> LlmAgent:
    """An agent whose model follows scripts."""
    return LlmAgent(name="scripted", model=llm, **more)


@pytest.fixture
def llm() -> ScriptedLlm:
    """A model without scripts yet."""
    return ScriptedLlm()


ServeGemini = Callable[..., contextlib.AbstractAsyncContextManager[Server]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServeGemini:
    """Serves an agent with tools, whose Gemini follows a script on every connection."""

    @contextlib.asynccontextmanager
    async def start(
        script: Script,
        *tools: Any,
        model: str = "gemini-3.1-flash-live-preview",
        service: BaseSessionService | None = None,
        **more: Any,
    ) -> AsyncIterator[Server]:
        async with gemini_stand_in([script], tmp_path, monkeypatch):
            agent = LlmAgent(name="talker", model=model, tools=list(tools), **more)
            async with serve_agent(agent, service=service) as server:
                yield server
                assert isinstance(agent.model, Gemini)
                await agent.model.api_client.aio.aclose()
                await agent.model._live_api_client.aio.aclose()

    return start
