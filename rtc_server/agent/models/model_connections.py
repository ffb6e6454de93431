"""Every live connection of a model is told to the call that it serves.

``BaseLlm.connect`` is where ADK opens, and on its own accord reopens, a live connection.
``connect`` of each instance is wrapped, so that a :class:`ConnectionObserver` learns of it:
ADK reconnects within ``run_live`` without a word and without a limit (2.13).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest

from ...tracing import connecting_span
from ..adk_internals import genai_session
from ..failures import NoLiveConnection
from .connection_tap import tapped_at_the_seam
from .model_tap import ModelListener, tapped

__all__ = ["ConnectionObserver", "observe", "observing"]

_OBSERVED = "_rtc_server_observed"

Connect = Callable[[LlmRequest], contextlib.AbstractAsyncContextManager[BaseLlmConnection]]
"""``BaseLlm.connect``."""


class ConnectionObserver(ModelListener, Protocol):
    """Is told of the connections that a run opens, and what the model says on them."""

    connects: int
    """How often a connection has been attempted for it, this time included."""

    connect_s: float
    """A connection that is not taken after this long is given up."""

    async def connecting(self, request: LlmRequest, model: BaseLlm) -> BaseLlm:
        """Before each attempt; a reconnect has the request of the first connection.

        Returns:
            The model to connect to, ``model`` itself or another one.

        What it raises ends the run.
        """

    async def connected(self) -> None:
        """The model took the connection."""

    def refused(self, error: BaseException) -> None:
        """The model did not take the connection, in time."""

    def disconnected(self, error: BaseException | None) -> None:
        """The connection is gone; ``error`` is what ended its use, if anything did."""


_observer: ContextVar[ConnectionObserver | None] = ContextVar("observer", default=None)


@contextlib.contextmanager
def observing(observer: ConnectionObserver) -> Iterator[None]:
    """The runs started in this context, and in tasks started from it, tell ``observer``."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def observe(model: BaseLlm) -> None:
    """Wraps ``connect`` of this one instance; a second time changes nothing."""
    if _OBSERVED in model.__dict__:
        return
    connect: Connect = model.connect

    @contextlib.asynccontextmanager
    async def observed(llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
        observer = _observer.get()
        if observer is None:
            async with connect(llm_request) as connection:
                yield connection
            return
        chosen = await observer.connecting(llm_request, model)
        to = connect if chosen is model else functools.partial(_connect_to, chosen)
        async with (
            _told(observer, chosen.model, _live(to, llm_request)) as connection,
            _tapped(connection, observer),
        ):
            yield connection

    # Past pydantic, which takes no attribute that is not a field.
    object.__setattr__(model, "connect", observed)
    object.__setattr__(model, _OBSERVED, True)


def _tapped(
    connection: BaseLlmConnection, listener: ModelListener
) -> contextlib.AbstractAsyncContextManager[None]:
    """What ``connection`` receives is heard, with Gemini on the wire and else at ADK's seam."""
    session = genai_session(connection)
    if session is not None:
        return tapped(session, listener)
    return tapped_at_the_seam(connection, listener)


def _connect_to(
    chosen: BaseLlm, request: LlmRequest
) -> contextlib.AbstractAsyncContextManager[BaseLlmConnection]:
    """A connection to another model than the agent's, for the same request."""
    opened: contextlib.AbstractAsyncContextManager[BaseLlmConnection]
    opened = chosen.connect(request.model_copy(update={"model": chosen.model}))
    return opened


@contextlib.asynccontextmanager
async def _live(connect: Connect, request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
    """A connection, or that there can be none.

    Raises:
        NoLiveConnection: the model's class has none to give.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(connect(request))
        except NotImplementedError as error:
            raise NoLiveConnection(str(request.model)) from error
        yield connection


@contextlib.asynccontextmanager
async def _told(
    observer: ConnectionObserver,
    name: str,
    opened: contextlib.AbstractAsyncContextManager[BaseLlmConnection],
) -> AsyncIterator[BaseLlmConnection]:
    """``opened``, in bounded time, with all that comes of it told to ``observer``."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            with connecting_span(name, observer.connects):
                async with asyncio.timeout(observer.connect_s):
                    connection = await stack.enter_async_context(opened)
        except BaseException as error:
            observer.refused(error)
            raise
        await observer.connected()
        try:
            yield connection
        except BaseException as error:
            observer.disconnected(error)
            raise
        observer.disconnected(None)
