"""Hears what any model says before ADK does: the tap at the seam ``BaseLlmConnection.receive``.

As :mod:`~rtc_server.agent.models.model_tap` does it for Gemini, for models that an author has
written and for ``CascadeLive``: once a tool was asked for, responses are read ahead of ADK, which
receives nothing until the tool has returned (2.13).  Otherwise each is read when ADK asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_response import LlmResponse

from .model_tap import MAX_AHEAD, ModelListener, is_spoken

__all__ = ["ResponsesAhead", "tapped_at_the_seam"]

Receive = Callable[[], AsyncGenerator[LlmResponse, None]]


@contextlib.asynccontextmanager
async def tapped_at_the_seam(
    connection: BaseLlmConnection, listener: ModelListener
) -> AsyncIterator[None]:
    """Let ``listener`` hear what ``connection`` receives; on leaving, nothing is read any more."""
    ahead = ResponsesAhead(connection.receive, listener)
    close = connection.close

    async def close_unheard() -> None:
        ahead.hush()
        await close()

    with _in_place(connection, receive=ahead.receive, close=close_unheard):
        try:
            yield
        finally:
            await ahead.close()


class ResponsesAhead:
    """What ``receive()`` gives, in order, read by one task from its first word to its last.

    The task has the generator to itself: one that holds a timeout or a task group open while it
    yields may be iterated in no other.  It reads one response for each that is asked for; from
    one that asks for a tool until somebody waits again it goes on by itself, at most
    ``MAX_AHEAD`` responses ahead.

    A ``receive()`` that comes to its end is called again, as ADK does; one that gave nothing,
    or raised, only when somebody asks.
    """

    def __init__(self, receive: Receive, listener: ModelListener) -> None:
        self._receive = receive
        self._listener = listener
        self._read_ahead: deque[LlmResponse | BaseException | None] = deque()  # None: an end
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._may_read = asyncio.Event()
        self._holds_adk = False
        self._is_hushed = False

    async def receive(self) -> AsyncGenerator[LlmResponse, None]:
        """In place of the connection's own; a cancellation loses no response."""
        while (response := await self._next()) is not None:
            yield response

    def hush(self) -> None:
        """The connection is being closed: what it still says is nobody's interruption."""
        self._is_hushed = True

    async def close(self) -> None:
        """Read no further, and close the generator; may be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _next(self) -> LlmResponse | None:
        while not self._read_ahead:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._read(), name="model-read-ahead")
            self._holds_adk = False
            self._waiter = asyncio.get_running_loop().create_future()
            self._may_read.set()
            try:
                await self._waiter
            finally:
                self._waiter = None
        first = self._read_ahead.popleft()
        if self._holds_adk:
            self._may_read.set()
        if isinstance(first, BaseException):
            raise first
        return first

    # The task -------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while await self._read_to_its_end():
                pass
        except BaseException as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._put(error)  # handed to whoever asks next

    async def _read_to_its_end(self) -> bool:
        """One ``receive()``; False if it gave nothing."""
        gave = False
        async with contextlib.aclosing(self._receive()) as responses:
            async for response in responses:
                gave = True
                self._look(response, ahead=self._waiter is None or bool(self._read_ahead))
                self._put(response)
                await self._until_wanted()
        self._put(None)
        if gave:
            await self._until_wanted()
        return gave

    def _put(self, one: LlmResponse | BaseException | None) -> None:
        self._read_ahead.append(one)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _until_wanted(self) -> None:
        while not self._is_wanted:
            self._may_read.clear()
            await self._may_read.wait()

    @property
    def _is_wanted(self) -> bool:
        if self._waiter is not None and not self._read_ahead:
            return True
        return self._holds_adk and len(self._read_ahead) < MAX_AHEAD

    def _look(self, response: LlmResponse, *, ahead: bool) -> None:
        content = response.content
        if ahead and not self._is_hushed:
            if response.interrupted:
                self._listener.interrupted_ahead()
            elif is_spoken(content):
                self._listener.spoke_ahead()
        if content is not None and any(one.function_call for one in content.parts or ()):
            self._holds_adk = True


@contextlib.contextmanager
def _in_place(connection: BaseLlmConnection, **methods: Callable[..., Any]) -> Iterator[None]:
    """Has ``connection`` call these instead of its own; a model may use it again afterwards."""
    own = {name: vars(connection)[name] for name in methods if name in vars(connection)}
    for name, method in methods.items():
        object.__setattr__(connection, name, method)
    try:
        yield
    finally:
        for name in methods:
            if name in own:
                object.__setattr__(connection, name, own[name])
            else:
                object.__delattr__(connection, name)
