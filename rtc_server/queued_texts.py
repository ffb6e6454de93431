"""The user's texts that wait for the end of an answer (``--text-during-speech queue``)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .messages import Error

__all__ = ["QueuedTexts"]

_TOO_MANY_TEXTS = Error(
    code="too_many_texts",
    message="Too many texts wait for the end of this answer.",
    retryable=True,
)


@dataclass(slots=True)
class QueuedTexts:
    """Of one call, in order; at most ``limit`` of them."""

    limit: int
    _texts: deque[tuple[str, float]] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(self._texts)

    def put(self, text: str, came_at: float) -> Error | None:
        """``text`` waits, or there are too many."""
        if len(self._texts) >= self.limit:
            return _TOO_MANY_TEXTS
        self._texts.append((text, came_at))
        return None

    def take(self) -> tuple[str, float]:
        """The next one, and when it came: how long it waited is part of its response time."""
        return self._texts.popleft()

    def clear(self) -> None:
        """Nothing waits any more."""
        self._texts.clear()
