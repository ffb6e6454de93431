"""Listens, and stops on signals: what a server does around its calls, in one process or several."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from aiohttp import web

from .errors import ConfigurationError
from .heap import settle_heap
from .settings import Settings

__all__ = ["Drained", "listen", "serve_until_told", "tls_context"]

logger = logging.getLogger(__name__)


class Drained(Protocol):
    """Calls that can be brought to an end."""

    @property
    def active(self) -> int:
        """Calls going on or being placed."""
        ...

    async def drain(self) -> None:
        """Take no more calls and wait until those there are have ended, for a bounded time."""
        ...


async def serve_until_told(
    server: AbstractAsyncContextManager[tuple[str, Drained]],
    *,
    on_started: Callable[[str], None],
) -> None:
    """Run a server until SIGTERM, then drain it, or until SIGINT; close in bounded time.

    Args:
        server: yields the URL of its page and its calls; leaving it closes it.
        on_started: is given the URL once calls are taken.
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
        async with server as (url, calls):
            settle_heap()
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


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The certificate that the operator chose; None: plain HTTP.

    Raises:
        ConfigurationError: it cannot be read.
    """
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


async def listen(runner: web.AppRunner, settings: Settings, tls: ssl.SSLContext | None) -> str:
    """Take requests from now on.

    Args:
        tls: from :func:`tls_context`; None: plain HTTP.

    Returns:
        The URL of the page.

    Raises:
        ConfigurationError: the port is taken.
    """
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
