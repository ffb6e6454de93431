"""Puts the server together and runs it: agent, calls, routes, signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from . import local_agent
from .agent.agent_runtime import AgentRuntime
from .agent.loader import LoadedAgent, load_agent
from .auth import Tokens
from .calls import Calls
from .errors import ConfigurationError
from .loop_watch import LoopWatch
from .media import opus
from .metrics import Metrics
from .page import find_web_dir
from .peer import aiortc_fast_path
from .problems import ProblemRunner
from .settings import Settings
from .signaling import make_web_app

__all__ = ["load_agent_named", "run_server", "serve"]

LOCAL = "local"
"""The name of the embedded agent."""

logger = logging.getLogger(__name__)


async def serve(settings: Settings, *, on_started: Callable[[str], None]) -> None:
    """Serve calls until SIGTERM, then drain, or until SIGINT; close in bounded time.

    Calls may go on for ``limits.drain_s`` after SIGTERM.  After SIGINT (Ctrl-C) each caller is
    told and hung up at once.

    Args:
        settings: what the operator chose.
        on_started: is given the URL of the page once calls are taken.

    Raises:
        ConfigurationError: the agent cannot be loaded, or the port is taken.
    """
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[signal.Signals] = loop.create_future()
    signals = (signal.SIGINT, signal.SIGTERM)

    def told(one: signal.Signals) -> None:
        if not stop.done():
            stop.set_result(one)

    for one in signals:
        loop.add_signal_handler(one, told, one)
    try:
        async with run_server(settings) as (url, calls):
            _settle_heap()
            on_started(url)
            by = await stop
            for one in signals:
                # A second signal ends the process at once.
                loop.remove_signal_handler(one)
            logger.info("stopping by %s: %d calls", by.name, calls.active)
            if by is signal.SIGTERM:
                await calls.drain()
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


@asynccontextmanager
async def run_server(
    settings: Settings, agent: LoadedAgent | None = None
) -> AsyncIterator[tuple[str, Calls]]:
    """A running server; leaving the context closes it with all its calls.

    Args:
        settings: what the operator chose.
        agent: serves this agent instead of the one that ``settings`` names.

    Yields:
        The URL of the page, and the calls.

    Raises:
        ConfigurationError: the agent cannot be loaded, or the port is taken.
    """
    metrics = Metrics()
    # Which way packets go is found out, and said, before the first call.
    aiortc_fast_path.is_usable()
    # What the operator can mend is said before the agent, which takes seconds to load.
    tokens = None if settings.auth_secret is None else Tokens(settings.auth_secret)
    tls = _tls_context(settings)
    async with AsyncExitStack() as stack:
        loaded = agent
        if loaded is None:
            loaded = load_agent_named(settings.agent)
            if settings.agent == LOCAL:
                # Its models, loaded before the first call and not in it.
                stack.callback(local_agent.close)
                await local_agent.warm_up()
        runtime = await stack.enter_async_context(AgentRuntime(loaded, settings, metrics))
        await runtime.warm_up()
        opus.codec_in_use()  # loaded and tried now, and not in the first call
        calls = await stack.enter_async_context(
            Calls({loaded.name: runtime}, settings=settings, metrics=metrics)
        )
        web_app = make_web_app(calls, settings, metrics, tokens, find_web_dir())
        runner = ProblemRunner(web_app, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        url = await _listen(runner, settings, tls)
        stack.enter_context(LoopWatch(metrics))
        yield url, calls


def load_agent_named(spec: str) -> LoadedAgent:
    """The agent that the operator named; ``local`` is the embedded one.

    Raises:
        AgentLoadError: it cannot be loaded; the message says why and what to do.
    """
    if spec != LOCAL:
        return load_agent(spec)
    return LoadedAgent.from_object(LOCAL, local_agent.create_local_agent())


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            "The TLS certificate or its key cannot be read; check --tls-cert and --tls-key."
        ) from None
    return context


async def _listen(runner: web.AppRunner, settings: Settings, tls: ssl.SSLContext | None) -> str:
    site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {settings.host} port {settings.port}: {_reason(error)}. "
            "Is another server running? Choose another with --port."
        ) from None
    port = runner.addresses[0][1]
    shown = "localhost" if settings.host in ("127.0.0.1", "localhost", "::1") else settings.host
    if ":" in shown:
        shown = f"[{shown}]"
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def _reason(error: OSError) -> str:
    """The system's words alone: asyncio's repeat the address."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or "the address is unknown"
    return os.strerror(error.errno)


def _settle_heap() -> None:
    """Take what was made at start out of the garbage collector's sight.

    Else a full collection looks through some 200,000 objects of ADK and its libraries, and
    every call stands still meanwhile for a quarter of a second or more.
    """
    gc.collect()
    gc.freeze()
