"""A real server whose agent is a Gemini model, at the stand-in for the Live API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini

from rtc_server.agent.retry_rules import RetryRules
from rtc_server.settings import Settings
from tests.agent.scripted_llm import ScriptedLlm
from tests.e2e.server import Caller, Server
from tests.gemini.server import StandIn
from tests.peer.rtc_client import WAIT_S
from tests.waiting import until

__all__ = [
    "CALM",
    "FAST",
    "MODELS",
    "PING",
    "Serve",
    "answers",
    "ask",
    "endings",
    "gemini_server",
    "of_type",
]

MODELS = {"2.x": "gemini-2.5-flash-native-audio-stand-in", "3.x": "gemini-3.1-flash-live-stand-in"}
"""A name of each dialect."""

FAST = RetryRules(first_delay_s=0.02, max_delay_s=0.1, stall_s=5.0, close_s=3.0)
"""Retries that a test need not wait for; the figures themselves have tests of their own."""

CALM = {"ping_interval": 20.0, "ping_timeout": 60.0, "close_timeout": 0.5}
"""A pong that a busy machine keeps back ends no connection."""

PING = {"ping_interval": 0.3, "ping_timeout": 2.0, "close_timeout": 0.5}
"""For a network that is gone, which nothing else tells of, be it after the call."""

Serve = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Server, StandIn]]]


@contextlib.asynccontextmanager
async def gemini_server(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    model: str = MODELS["2.x"],
    settings: Settings | None = None,
    retry: RetryRules = FAST,
    tools: Any = (),
    root: Any = None,
    pings: dict[str, float] | None = CALM,
    **stand_in: Any,
) -> AsyncIterator[tuple[Server, StandIn]]:
    """The server and the stand-in behind it; ``stand_in`` goes to :meth:`StandIn.running`.

    Args:
        root: a tree or workflow of agents that is served instead of one agent with ``tools``.
        pings: of the model's connections; None: those that the server gives them.
    """
    async with StandIn.running(folder, **stand_in) as api:
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)
        kwargs = {"http_options": {"async_client_args": dict(pings)}} if pings is not None else None
        if root is None:
            llm = Gemini(model=model, client_kwargs=kwargs)
            root = LlmAgent(name="scripted", model=llm, tools=list(tools))
        models: list[Any] = []
        try:
            async with Server.running(ScriptedLlm(), settings, root=root, retry=retry) as server:
                models = _models_of(server)
                yield server, api
            if pings is PING:
                # To a network that is gone a connection is closed in vain; its pings end it.
                await until(lambda: not _kept_alive())
        finally:
            for one in models:
                await one.api_client.aio.aclose()
                await one._live_api_client.aio.aclose()


def _kept_alive() -> list[asyncio.Task[Any]]:
    """The connections that are still pinged."""
    return [one for one in asyncio.all_tasks() if "Connection.keepalive" in repr(one.get_coro())]


def _models_of(server: Server) -> list[Any]:
    """All that the server may ask, the fallback too."""
    (runtime,) = server.calls._runtimes.values()
    fallback = runtime._fallback
    return [*runtime.models.models, *(fallback.models if fallback is not None else ())]


def of_type(caller: Caller, kind: str) -> list[dict[str, Any]]:
    """The messages of that type so far."""
    return [one for one in caller.client.messages if one["type"] == kind]


def answers(caller: Caller) -> dict[int, str]:
    """What the agent said (or wrote) in each turn, as the caller knows it last."""
    said: dict[int, str] = {}
    for one in caller.client.messages:
        if one["type"] == "transcript" and one["role"] == "agent":
            said[one["turn"]] = one["text"]
        elif one["type"] == "text":
            said[one["turn"]] = said.get(one["turn"], "") + one["data"]
    return said


async def ask(caller: Caller, text: str, timeout_s: float = WAIT_S) -> dict[str, Any]:
    """Type a turn; the ``turn`` message that ends the next answer."""
    caller.client.send({"type": "text", "data": text})
    return await caller.client.next_message("turn", timeout_s)


def endings(caller: Caller) -> list[tuple[Any, ...]]:
    """How turns ended, and what went wrong, in the order in which the caller was told."""
    told: list[tuple[Any, ...]] = []
    for one in caller.client.messages:
        if one["type"] == "turn":
            told.append(("turn", one["turn"], one["interrupted"]))
        elif one["type"] == "error":
            told.append(("error", one["code"], one["retryable"]))
    return told
