"""Deletes sessions in memory that have had no call for long; ADK's service never does."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from google.adk.artifacts.base_artifact_service import BaseArtifactService
from google.adk.sessions.base_session_service import BaseSessionService

from .kept_sessions import Key

__all__ = ["IdleSessions"]

logger = logging.getLogger(__name__)

_CLOSE_S = 2.0


class IdleSessions:
    """Knows when each session had a call last, and deletes the idle ones in a task of its own.

    :meth:`close` ends the task.

    Args:
        sessions: where they are kept.
        artifacts: where those of a session lie that end with it; None: none do.
        idle_s: how long a session may be without a call; None: none is deleted.
        is_in_use: whether a session has a call, or is being written.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sessions: BaseSessionService,
        artifacts: BaseArtifactService | None,
        *,
        idle_s: float | None,
        is_in_use: Callable[[Key], bool],
        clock: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._artifacts = artifacts
        self._idle_s = idle_s
        self._is_in_use = is_in_use
        self._clock = clock
        self._used: OrderedDict[Key, float] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def touch(self, key: Key) -> None:
        """The session is used now."""
        if self._idle_s is not None:
            self._used[key] = self._clock()
            self._used.move_to_end(key)

    def forget(self, key: Key) -> None:
        """The session is gone."""
        self._used.pop(key, None)

    def sweep(self) -> None:
        """Let the idle ones be deleted; nobody waits for it."""
        if self._task is None and self._next() is not None:
            self._task = asyncio.create_task(self._delete_all(), name="idle-sessions")

    async def close(self) -> None:
        """End the task. May be called twice."""
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSE_S)

    def _next(self) -> Key | None:
        while self._idle_s is not None and self._used:
            key, used_at = next(iter(self._used.items()))
            if self._clock() - used_at <= self._idle_s:
                return None
            if not self._is_in_use(key):
                return key
            self.touch(key)
        return None

    async def _delete_all(self) -> None:
        try:
            while (key := self._next()) is not None:
                del self._used[key]
                try:
                    await self._delete(key)
                except Exception as error:  # whatever a service raises; the next one is tried
                    logger.warning("an idle session is not deleted: %s", type(error).__name__)
        finally:
            self._task = None

    async def _delete(self, key: Key) -> None:
        app_name, user_id, session_id = key
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        await self._sessions.delete_session(**names)
        if self._artifacts is None:
            return
        for name in await self._artifacts.list_artifact_keys(**names):
            if not name.startswith("user:"):
                await self._artifacts.delete_artifact(**names, filename=name)
