"""Sessions as their calls left them, kept for a while: a database may go away meanwhile."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from google.adk.sessions.session import Session

__all__ = ["Key", "KeptSessions"]

Key = tuple[str, str, str]
"""App, user and session."""


class KeptSessions:
    """The newest ones, ``capacity`` at most, for ``keep_s``; 0: none.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, keep_s: float, capacity: int, clock: Callable[[], float]) -> None:
        self._keep_s = keep_s
        self._capacity = capacity
        self._clock = clock
        self._kept: OrderedDict[Key, tuple[Session, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: Key, session: Session) -> None:
        """As the call that has ended knew it."""
        if self._keep_s > 0:
            self._kept[key] = session, self._clock() + self._keep_s
            self._kept.move_to_end(key)
        self._forget_old()

    def get(self, key: Key) -> Session | None:
        """The session, if it is still kept."""
        self._forget_old()
        session, _ = self._kept.get(key, (None, 0.0))
        return session

    def forget(self, key: Key) -> None:
        """It is deleted, or with a call again."""
        self._kept.pop(key, None)

    def _forget_old(self) -> None:
        while self._kept:
            key, (_, until) = next(iter(self._kept.items()))
            if len(self._kept) <= self._capacity and self._clock() < until:
                return
            del self._kept[key]
