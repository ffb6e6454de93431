"""Hears what Gemini says before ADK does, and what ADK does not pass on.

ADK 2.13 runs a tool that the model waits for inside of its receive loop
(``live/_live_llm_flow.py``, ``postprocess_live_flow``): until it returns nothing is received,
an interruption included.  And it drops ``toolCallCancellation`` and ``urlContextMetadata``
(``models/gemini_llm_connection.py``).  So the client's session is tapped below ADK: once a tool
was asked for, messages are read ahead of ADK and looked at.  Otherwise a message takes the same
way as before, and is looked at in passing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from ..adk_internals import tap_receive

if TYPE_CHECKING:
    from google.genai import types
    from google.genai.live import AsyncSession

__all__ = ["MAX_AHEAD", "ModelListener", "ReadAhead", "is_spoken", "tapped"]

logger = logging.getLogger(__name__)

MAX_AHEAD = 500
"""Messages that are read ahead; then the connection waits, as it did for ADK alone."""


class ModelListener(Protocol):
    """Is told what ADK says late, or never; nothing here may wait or raise."""

    def tool_calls_cancelled(self, ids: Sequence[str]) -> None:
        """The model takes these calls back."""

    def interrupted_ahead(self) -> None:
        """The user has interrupted the model; ADK will say so once its tool has returned."""

    def spoke_ahead(self) -> None:
        """The model goes on speaking, although ADK waits for a tool."""

    def urls_read(self, metadata: types.UrlContextMetadata) -> None:
        """The model has read pages."""


@contextlib.asynccontextmanager
async def tapped(session: AsyncSession, listener: ModelListener) -> AsyncIterator[None]:
    """Let ``listener`` hear the model of ``session``, which is Gemini's."""
    ahead = ReadAhead(tap_receive(session, lambda: ahead.receive()), listener)
    try:
        yield
    finally:
        await ahead.close()


class ReadAhead:
    """Messages in order, read ahead of whoever asks for them while a tool is at work.

    A tool is at work from the message that asks for it, or with models of 2.x from the end of
    that turn, until the next message is waited for.

    Args:
        receive: gives the next message; never called twice at once.
        listener: is told.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[types.LiveServerMessage]],
        listener: ModelListener,
    ) -> None:
        self._receive = receive
        self._listener = listener
        self._messages: deque[types.LiveServerMessage | BaseException] = deque()
        self._reader: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._call_pending = False

    async def receive(self) -> types.LiveServerMessage:
        """The next message; a cancellation loses none."""
        if self._reader is None and not self._messages:
            message = await self._receive()
            self._look(message)
        else:
            message = await self._next()
        if self._may_hold_adk(message) and self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="model-read-ahead")
        return message

    async def close(self) -> None:
        """Read no further; may be called twice."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait({reader})

    async def _next(self) -> types.LiveServerMessage:
        while not self._messages and self._reader is not None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._messages:
            return await self.receive()
        first = self._messages.popleft()
        if isinstance(first, BaseException):
            raise first
        return first

    async def _read(self) -> None:
        """Reads until somebody waits for the message that came, or there are too many."""
        try:
            while len(self._messages) < MAX_AHEAD:
                message = await self._receive()
                is_awaited = self._waiter is not None and not self._messages
                self._look(message, ahead=not is_awaited)
                self._messages.append(message)
                self._wake()
                if is_awaited:
                    return
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # handed to whoever asks for the next message
            self._messages.append(error)
        finally:
            if self._reader is asyncio.current_task():
                self._reader = None
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _may_hold_adk(self, message: types.LiveServerMessage) -> bool:
        """Whether ADK runs a tool before it asks for the message after this one."""
        if message.tool_call is not None:
            self._call_pending = True
            return True
        content = message.server_content
        if self._call_pending and content is not None and content.turn_complete:
            self._call_pending = False
            return True
        return False

    def _look(self, message: types.LiveServerMessage, *, ahead: bool = False) -> None:
        if message.tool_call_cancellation is not None:
            self._listener.tool_calls_cancelled(message.tool_call_cancellation.ids or [])
        content = message.server_content
        if content is None:
            return
        if ahead and content.interrupted:
            self._listener.interrupted_ahead()
        elif ahead and is_spoken(content.model_turn):
            self._listener.spoke_ahead()
        if content.url_context_metadata is not None:
            self._listener.urls_read(content.url_context_metadata)


def is_spoken(content: types.Content | None) -> bool:
    """Whether it is for the listener: sound or words."""
    if content is None:
        return False
    return any((one.inline_data or one.text) and not one.thought for one in content.parts or ())
