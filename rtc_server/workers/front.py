"""The front of several workers: HTTP, admission and health in one process, media in none of it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from ..auth import Tokens
from ..logs import LogFormat
from ..metrics import Metrics
from ..page import find_web_dir
from ..problems import ProblemRunner
from ..serving import listen, serve_until_told, tls_context
from ..settings import Settings
from ..signaling import make_web_app
from .remote_calls import RemoteCalls
from .supervisor import Supervisor
from .wire import Configuration

__all__ = ["WorkerLogs", "run_front", "serve"]


@dataclass(frozen=True, slots=True)
class WorkerLogs:
    """How workers write their log lines; they go where the front's go."""

    log_format: LogFormat = "text"
    log_level: str = "info"


async def serve(
    settings: Settings, worker_logs: WorkerLogs, *, on_started: Callable[[str], None]
) -> None:
    """What :func:`rtc_server.app.serve` does, with ``settings.workers`` processes.

    Raises:
        ConfigurationError: a worker cannot load the agent, or the port is taken.
    """
    await serve_until_told(run_front(settings, worker_logs), on_started=on_started)


@asynccontextmanager
async def run_front(
    settings: Settings, worker_logs: WorkerLogs
) -> AsyncIterator[tuple[str, RemoteCalls]]:
    """A running front with its workers; leaving the context ends them with all their calls.

    Yields:
        The URL of the page, and the calls of all workers.

    Raises:
        ConfigurationError: a worker cannot load the agent, or the port is taken.
    """
    metrics = Metrics()
    tokens = None if settings.auth_secret is None else Tokens(settings.auth_secret)
    tls = tls_context(settings)
    calls = RemoteCalls(settings, metrics)
    web_app = make_web_app(calls, settings, calls.metrics, tokens, find_web_dir())
    configuration = Configuration(
        settings=settings,
        log_format=worker_logs.log_format,
        log_level=worker_logs.log_level,
        path=tuple(sys.path),
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Supervisor(settings, configuration, calls, metrics))
        runner = ProblemRunner(web_app, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        yield await listen(runner, settings, tls), calls
