"""The events of a live session, on their way to whoever serves the caller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from .live_events import LiveEvent

__all__ = ["EventQueue"]

_MAX_EVENTS = 1000


class EventQueue:
    """In order and bounded, with an end; to be read by one.

    Once it is closed, what is put in is dropped.
    """

    def __init__(self, max_events: int = _MAX_EVENTS) -> None:
        self._events: asyncio.Queue[LiveEvent | None] = asyncio.Queue(max_events)
        self._is_closed = False

    async def put(self, event: LiveEvent) -> None:
        """Append ``event``; waits while there is no room."""
        if not self._is_closed:
            await self._events.put(event)

    def tell(self, event: LiveEvent) -> None:
        """As :meth:`put`, where nothing can wait; lost on a caller who reads nothing."""
        if not self._is_closed:
            with contextlib.suppress(asyncio.QueueFull):
                self._events.put_nowait(event)

    def full(self) -> bool:
        """Whether there is no room."""
        return self._events.full()

    async def read(self) -> AsyncIterator[LiveEvent]:
        """Every event, until the end."""
        while (event := await self._events.get()) is not None:
            yield event

    def close(self) -> None:
        """Discard what waits, and take no more; may be called twice."""
        self._is_closed = True
        self._discard()

    def end(self) -> None:
        """The reader is at the end; a full queue is of a caller who has gone."""
        if self._events.full():
            self._discard()
        self._events.put_nowait(None)

    def _discard(self) -> None:
        while not self._events.empty():
            self._events.get_nowait()
