"""Puts the server together and runs it in one process: agent, calls, routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from . import local_agent, tracing
from .agent.agent_runtime import AgentRuntime
from .agent.loader import LoadedAgent, load_agent
from .agent.retry_rules import RetryRules
from .agent.sessions.adk_services import open_services
from .auth import Tokens
from .calls import Calls
from .headroom import Headroom
from .load_meter import LoadMeter
from .loop_watch import LoopWatch
from .media import opus
from .media.away_notice import load_notice
from .metrics import Metrics
from .page import find_web_dir
from .peer import aiortc_fast_path
from .problems import ProblemRunner
from .serving import listen, serve_until_told, tls_context
from .settings import Settings
from .signaling import make_web_app

__all__ = ["load_agent_named", "run_calls", "run_server", "serve"]

LOCAL = "local"
"""The name of the embedded agent."""


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
    await serve_until_told(run_server(settings), on_started=on_started)


@asynccontextmanager
async def run_server(
    settings: Settings,
    agent: LoadedAgent | None = None,
    *,
    thread_time: Callable[[], float] | None = None,
    retry: RetryRules | None = None,
) -> AsyncIterator[tuple[str, Calls]]:
    """A running server; leaving the context closes it with all its calls.

    Args:
        settings: what the operator chose.
        agent: serves this agent instead of the one that ``settings`` names.
        thread_time, retry: as in :func:`run_calls`.

    Yields:
        The URL of the page, and the calls.

    Raises:
        ConfigurationError: the agent cannot be loaded, or the port is taken.
    """
    metrics = Metrics()
    # What the operator can mend is said before the agent, which takes seconds to load.
    tokens = None if settings.auth_secret is None else Tokens(settings.auth_secret)
    tls = tls_context(settings)
    async with AsyncExitStack() as stack:
        calls = await stack.enter_async_context(
            run_calls(settings, metrics, agent, thread_time=thread_time, retry=retry)
        )
        web_app = make_web_app(calls, settings, metrics, tokens, find_web_dir())
        runner = ProblemRunner(web_app, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        yield await listen(runner, settings, tls), calls


@asynccontextmanager
async def run_calls(
    settings: Settings,
    metrics: Metrics,
    agent: LoadedAgent | None = None,
    *,
    on_ended: Callable[[str], None] | None = None,
    thread_time: Callable[[], float] | None = None,
    retry: RetryRules | None = None,
) -> AsyncIterator[Calls]:
    """The agent, ready, and its calls; leaving the context ends them all.

    Args:
        agent: serves this agent instead of the one that ``settings`` names.
        on_ended: is given the id of each call that has ended.
        thread_time: seconds that the loop's thread has wanted to run, by which alone the load is
            judged; None: it is measured.
        retry: how failures of the agent are retried; None: as :class:`RetryRules` says.

    Raises:
        ConfigurationError: the agent cannot be loaded, or a service of ADK cannot be used.
    """
    load_notice(settings.away_notice)  # said now, if it cannot be read, and not in the first call
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(settings))
        loaded = agent
        if loaded is None:
            loaded = load_agent_named(settings.agent)
            if settings.agent == LOCAL:
                # Its models, loaded before the first call and not in it.
                stack.callback(local_agent.close)
                await local_agent.warm_up()
        runtime = await stack.enter_async_context(
            AgentRuntime(loaded, settings, metrics, services=services, retry=retry)
        )
        await runtime.warm_up()
        await stack.enter_async_context(tracing.exporting(settings.otlp_endpoint))
        # Found out, and said, now and not in the first call.
        opus.codec_in_use()
        aiortc_fast_path.is_usable()
        # Who says how many calls there may be is not contradicted by a measure.
        headroom = Headroom(refuses=settings.limits.max_calls is None)
        calls = await stack.enter_async_context(
            Calls(
                {loaded.name: runtime},
                settings=settings,
                metrics=metrics,
                headroom=headroom,
                on_ended=on_ended,
            )
        )
        meter = LoadMeter(headroom, metrics, calls=lambda: calls.active, thread_time=thread_time)
        stack.enter_context(meter)
        stack.enter_context(LoopWatch(metrics, on_beat=meter.beat))
        yield calls


def load_agent_named(spec: str) -> LoadedAgent:
    """The agent that the operator named; ``local`` is the embedded one.

    Raises:
        AgentLoadError: it cannot be loaded; the message says why and what to do.
    """
    if spec != LOCAL:
        return load_agent(spec)
    return LoadedAgent.from_object(LOCAL, local_agent.create_local_agent())
