"""The events of a live session, on their way to whoever serves the caller."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from .live_events import CallsTakenBack, LiveEvent, ModelInterrupted, ToolCancelled

__all__ = ["EventQueue"]

_MAX_EVENTS = 1000

_NEVER_LOST = (ModelInterrupted, ToolCancelled, CallsTakenBack)
"""Without these what comes later would be misread; there are at most as many as the model's
messages that are read ahead, and as tools at work."""


class EventQueue:
    """In order and bounded, with an end; to be read by one.

    Once it is closed, what is put in is dropped.

    Args:
        max_events: more than that wait, or are lost.
        on_dropped: is told of each event that is lost on a reader who is too slow.
    """

    def __init__(
        self, max_events: int = _MAX_EVENTS, *, on_dropped: Callable[[], None] = lambda: None
    ) -> None:
        self._max_events = max_events
        self._on_dropped = on_dropped
        self._events: deque[LiveEvent | None] = deque()
        self._available = asyncio.Event()
        self._room = asyncio.Event()
        self._is_closed = False

    async def put(self, event: LiveEvent) -> None:
        """Append ``event``; waits while there is no room."""
        while self.full() and not self._is_closed:
            self._room.clear()
            await self._room.wait()
        if not self._is_closed:
            self._append(event)

    def tell(self, event: LiveEvent) -> None:
        """As :meth:`put`, where nothing can wait.

        On a caller who reads nothing it is lost and counted, if it is not an end or an
        interruption that what comes later is to be understood by.
        """
        if self._is_closed:
            return
        if self.full() and not isinstance(event, _NEVER_LOST):
            self._on_dropped()
            return
        self._append(event)

    def full(self) -> bool:
        """Whether there is no room."""
        return len(self._events) >= self._max_events

    async def read(self) -> AsyncIterator[LiveEvent]:
        """Every event, until the end."""
        while True:
            while not self._events:
                self._available.clear()
                await self._available.wait()
            event = self._events.popleft()
            self._room.set()
            if event is None:
                return
            yield event

    def close(self) -> None:
        """Discard what waits, and take no more; may be called twice."""
        self._is_closed = True
        self._discard()

    def end(self) -> None:
        """The reader is at the end; a full queue is of a caller who has gone."""
        if self.full():
            self._discard()
        self._append(None)

    def _append(self, event: LiveEvent | None) -> None:
        self._events.append(event)
        self._available.set()

    def _discard(self) -> None:
        self._events.clear()
        self._room.set()
