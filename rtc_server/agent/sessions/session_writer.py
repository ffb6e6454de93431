"""The task that stores the events of one session, in order, whatever its service does."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from google.adk.errors import StaleSessionError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.adk.sessions.session import Session

from .kept_sessions import Key
from .session_journal import SessionJournal
from .stored_events import as_stored
from .write_errors import blames_the_event

__all__ = ["SessionWriter", "WriteRules", "Writing"]

logger = logging.getLogger(__name__)

_STEP_S = 2e-6
"""Databases give events back by their times, in microseconds: each is later than the last."""

_STALE_S = 0.02
"""Longest pause before a session is read again that another server has written to."""

_RECENT = 50
"""Events read again to find out whether one was stored though its answer never came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRules:
    """How events are stored; times in seconds."""

    capacity: int = 1000
    """Events of one session that may wait; the newest are lost beyond."""
    writers: int = 4
    """Writes at once, over all sessions."""
    attempt_s: float = 10.0
    first_delay_s: float = 0.2
    max_delay_s: float = 5.0
    attempts: int = 5
    """An event that is itself to blame, and is not taken so often, is lost."""
    give_up_s: float = 300.0
    """A session without a call whose service is away for so long is lost."""
    state_s: float = 1.0
    """So long a state waits for an event that takes it along, before it is stored alone."""
    stall_s: float = 5.0
    """A flush, and the end, wait no longer than this without anything being stored."""
    end_s: float = 10.0
    """How long the end may take at most; see :meth:`WrittenBehindSessions.close`."""
    idle_s: float | None = None
    """Sessions without a call for so long are deleted; None: never."""
    keep_s: float = 60.0
    """How long after its call a session may be read from memory if its service is away."""
    kept: int = 200
    """Sessions kept so at most."""
    read_s: float = 2.0
    """How long to wait for the service to read a session that memory has, too."""
    read_again_s: float = 5.0
    """After a read that failed such sessions are read from memory for so long."""


@dataclass(slots=True, eq=False)
class Writing:
    """What the writers of all sessions share."""

    service: BaseSessionService
    rules: WriteRules
    slots: asyncio.Semaphore
    count_error: Callable[[str], None]
    clock: Callable[[], float]
    remember: Callable[[Key], Awaitable[None]] | None
    """Gives the session of a call that has ended to the memory service."""
    written: int = 0
    """Events stored so far."""
    is_ending: bool = False
    """Nothing is to be waited for any more but the service."""


class SessionWriter:
    """One session's journal, and what its task knows of the service.

    The task is there while there is something to do.

    Args:
        on_over: is called when the task ends; then there may be nothing left to do.
    """

    def __init__(
        self, key: Key, writing: Writing, *, on_over: Callable[[SessionWriter], None]
    ) -> None:
        self.key = key
        self._all = writing
        self._rules = writing.rules
        self._on_over = on_over
        self.journal = SessionJournal(
            writing.rules.capacity,
            on_ready=self.wake,
            on_lost=lambda: writing.count_error("session_write_lost"),
        )
        self.others_wrote = False
        """Whether another server has written since the call read the session."""
        self.is_doubtful = False
        """Whether another server may have: the session had no call for a while."""
        self.is_to_be_remembered = False
        self.is_closed = False
        """Nothing is written any more."""

        self._task: asyncio.Task[None] | None = None
        self._stored: Session | None = None
        """As the service last gave it, without its events; None: to be read again."""
        self._is_unsure = False
        """Whether an event may have been stored though the service failed."""
        self._failing_since: float | None = None
        self._failures = 0
        self._writes_out = False
        """Whether the head was not taken as it is, by its own fault."""
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether there is no call and all is stored."""
        return not self.journal.calls and self.journal.is_empty()

    @property
    def is_failing(self) -> bool:
        """Whether the service has not taken the latest event."""
        return self._failing_since is not None

    @property
    def is_at_work(self) -> bool:
        """Whether there is a task."""
        return self._task is not None

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()
        if self._task is not None or self.is_closed:
            return
        journal = self.journal
        if journal.head() is None and not journal.owes_state() and not self.is_over:
            return
        self._idle.clear()
        self._task = asyncio.create_task(self._write_all(), name="session-writer")

    async def idle(self) -> None:
        """Wait until the task has nothing to do."""
        await self._idle.wait()

    async def close(self) -> int:
        """End the task; returns how many events are lost by it. May be called twice."""
        self.is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=self._rules.stall_s)
        return self.journal.clear()

    # The task -------------------------------------------------------------------

    async def _write_all(self) -> None:
        journal = self.journal
        try:
            while True:
                while (place := journal.head()) is not None:
                    if await self._write(place.event):
                        journal.written(place)
                if journal.owes_state():
                    await self._more_or_state()
                elif self.is_over and self.is_to_be_remembered:
                    self.is_to_be_remembered = False
                    if self._all.remember is not None:
                        await self._all.remember(self.key)
                else:
                    break
        except Exception:  # a writer's task boundary; its session alone is touched
            logger.exception("a session's writer failed")
            self._lose()
        finally:
            self._task = None
            self._idle.set()
            self._on_over(self)

    async def _more_or_state(self) -> None:
        """Wait a moment for an event that takes the state along, or make one for it."""
        try:
            async with asyncio.timeout(self._rules.state_s):
                while self.journal.owes_state() and self.journal.calls:
                    if self._all.is_ending:
                        break
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            pass
        if self.journal.owes_state():
            self.journal.add_state_event()

    async def _write(self, event: Event) -> bool:
        """Whether the head is done with: stored, or lost for good."""
        try:
            async with self._all.slots, asyncio.timeout(self._rules.attempt_s):
                await self._append(event)
        except StaleSessionError:
            # Another server has the session, too: what it wrote stays, and ours follows.
            self._stored, self.others_wrote = None, True
            await asyncio.sleep(random.random() * _STALE_S)
            return False
        except SessionNotFoundError:
            logger.warning("a session is gone; what came later in it is not stored")
            self._lose()
            return False
        except Exception as error:  # whatever the service's driver raises
            return await self._failed(error)
        if self._failing_since is not None:
            logger.warning("sessions are stored again")
        self._failing_since, self._failures = None, 0
        self._is_unsure = self._writes_out = False
        self._all.written += 1
        return True

    async def _append(self, event: Event) -> None:
        stored = self._stored
        service = self._all.service
        if stored is None:
            app_name, user_id, session_id = self.key
            stored = await service.get_session(
                app_name=app_name,
                user_id=user_id,
                session_id=session_id,
                config=GetSessionConfig(num_recent_events=_RECENT if self._is_unsure else 0),
            )
            if stored is None:
                raise SessionNotFoundError
            self._stored = stored
            if any(one.id == event.id for one in stored.events):
                return
            stored.events.clear()
        event.timestamp = max(event.timestamp, stored.last_update_time + _STEP_S)
        # It stays in the journal until it is stored: a newer one is not lost by an attempt
        # that fails, and whoever reads the session meanwhile is given it.
        state = self.journal.state
        await service.append_event(stored, as_stored(event, state, written_out=self._writes_out))
        self.journal.state_written(state)
        stored.events.clear()

    async def _failed(self, error: Exception) -> bool:
        now = self._all.clock()
        self._all.count_error("session_write_failed")
        if self._failing_since is None:
            self._failing_since = now
            # Only its kind: a driver's words may hold what was to be stored.
            logger.error("a session cannot be stored: %s", type(error).__name__)
        is_to_blame = self._stored is not None and blames_the_event(error)
        self._stored, self._is_unsure = None, True
        self._failures += is_to_blame
        self._writes_out |= is_to_blame
        if self._failures >= self._rules.attempts:
            logger.error("an event is not stored: the service does not take it")
            self._all.count_error("session_write_lost")
            self._failures, self._writes_out = 0, False
            return True
        if not self.journal.calls and now - self._failing_since > self._rules.give_up_s:
            self._lose()
            return False
        waited_s = max(now - self._failing_since, self._rules.first_delay_s)
        delay_s = min(waited_s, self._rules.max_delay_s)
        await asyncio.sleep(delay_s * (0.5 + random.random()))
        return False

    def _lose(self) -> None:
        for _ in range(self.journal.clear()):
            self._all.count_error("session_write_lost")
