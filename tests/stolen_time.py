"""What a machine that has other things to do takes from a test: counted, and not blamed on it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Self

__all__ = ["StolenTime"]

_BEAT_S = 0.005


class StolenTime:
    """Entered with ``async with``: beats in the event loop, and knows how late each beat came.

    A limit for what is done in this loop is to be compared with the time that passed less the
    stolen: where the loop does not run nothing of it can be done.
    """

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []
        """From when to when a beat was overdue, in monotonic seconds."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat(), name="stolen-time")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def between(self, begin: float, end: float) -> float:
        """How many seconds of that time were stolen."""
        return sum(max(0.0, min(late, end) - max(due, begin)) for due, late in self._late)

    @property
    def total_ms(self) -> float:
        """Of all the time."""
        return 1000 * sum(late - due for due, late in self._late)

    async def _beat(self) -> None:
        while True:
            due = time.monotonic() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            self._late.append((due, time.monotonic()))
