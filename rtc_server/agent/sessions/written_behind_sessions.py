"""A session service that keeps nobody waiting: events are stored behind the call's back.

ADK awaits ``append_event`` in the loop that reads the model, and a database takes
milliseconds for it, or seconds, or is away.  Here an event is in the session at once and
in an ordered, bounded queue; a task a session writes it with whatever service is behind.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.adk.artifacts.base_artifact_service import BaseArtifactService
from google.adk.errors import StaleSessionError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.memory.base_memory_service import BaseMemoryService
from google.adk.sessions.base_session_service import (
    BaseSessionService,
    GetSessionConfig,
    ListSessionsResponse,
)
from google.adk.sessions.session import Session
from google.genai import types

from ...call_service import Modality
from .heard_history import HeardHistory
from .session_journal import SessionJournal

__all__ = ["WriteRules", "WrittenBehindSessions"]

logger = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""App, user and session."""

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
    """An event that a service that can be read does not take so often is lost."""
    give_up_s: float = 300.0
    """A session without a call whose service is away for so long is lost."""
    flush_s: float = 2.0
    """How long a flush, and the end, may take."""
    idle_s: float | None = None
    """Sessions without a call for so long are deleted; None: never."""


@dataclass(slots=True, eq=False)
class _Writer:
    """One session's journal and what its task knows of the service."""

    key: Key
    journal: SessionJournal
    task: asyncio.Task[None] | None = None
    stored: Session | None = None
    """As the service last gave it, without its events; None: to be read again."""
    is_unsure: bool = False
    """Whether an event may have been stored though the service failed."""
    others_wrote: bool = False
    """Whether another server has written since the call read the session."""
    is_to_be_remembered: bool = False
    failing_since: float | None = None
    failures: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class WrittenBehindSessions(BaseSessionService):
    """Sessions of ``inner``; only what is not in memory yet is read from it.

    While a call is live its session is given out as the call knows it, so that a new run
    in it needs no database.  :meth:`close` ends the tasks; whoever made it closes ``inner``.

    Args:
        inner: where sessions are kept.
        count_error: is told a code for each failure (``session_write_failed``), each event
            that is lost (``session_write_lost``), and each session that the memory service
            did not take (``memory_write_failed``).
        memory: is given each session when its call has ended.
        artifacts: those of a session that was idle for too long go with it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        inner: BaseSessionService,
        *,
        count_error: Callable[[str], None],
        memory: BaseMemoryService | None = None,
        artifacts: BaseArtifactService | None = None,
        rules: WriteRules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = inner
        self._count_error = count_error
        self._memory = memory
        self._artifacts = artifacts
        self._rules = rules if rules is not None else WriteRules()
        self._clock = clock
        self._writers: dict[Key, _Writer] = {}
        self._slots = asyncio.Semaphore(self._rules.writers)
        self._used: OrderedDict[Key, float] = OrderedDict()
        self._is_closed = False

    # Calls --------------------------------------------------------------------

    def open_history(self, key: Key, *, modality: Modality, agent: str) -> HeardHistory:
        """The history of a call that begins; to be closed when it ends."""
        writer = self._writer(key)
        writer.journal.calls += 1
        self._touch(key)
        return HeardHistory(
            writer.journal, modality, agent, on_closed=lambda: self._call_ended(writer)
        )

    def _call_ended(self, writer: _Writer) -> None:
        journal = writer.journal
        journal.calls -= 1
        if journal.calls == 0:
            journal.session = None
            journal.holds = _holds_nothing
            writer.is_to_be_remembered = self._memory is not None
        self._touch(writer.key)
        self._wake(writer)

    # The session service ------------------------------------------------------

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """As ``inner``; sessions that were idle for too long go."""
        await self._delete_idle()
        async with asyncio.timeout(self._rules.attempt_s):
            session = await self.inner.create_session(
                app_name=app_name, user_id=user_id, state=state, session_id=session_id
            )
        self._touch((app_name, user_id, session.id))
        return session

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """As ``inner``, with the events that are not stored yet.

        Raises:
            TimeoutError: it has taken longer than ``WriteRules.attempt_s``.
        """
        key = (app_name, user_id, session_id)
        writer = self._writers.get(key)
        known = self._known(writer)
        if known is not None:
            return _copy(known, config)
        before = writer.journal.pending() if writer is not None else []
        async with asyncio.timeout(self._rules.attempt_s):
            session = await self.inner.get_session(
                app_name=app_name, user_id=user_id, session_id=session_id, config=config
            )
        if session is None:
            return None
        self._touch(key)
        writer = self._writers.get(key)
        if writer is not None:
            # What was stored meanwhile may be missing in what was read.
            self._add_pending(session, [*before, *writer.journal.pending()])
            if writer.journal.calls and config is None:
                writer.journal.session = session
                writer.others_wrote = False
        return session

    def _known(self, writer: _Writer | None) -> Session | None:
        if writer is None or not writer.journal.calls or writer.others_wrote:
            return None
        return writer.journal.session

    def _add_pending(self, session: Session, events: list[Event]) -> None:
        there = {event.id for event in session.events}
        for event in events:
            if event.id not in there:
                there.add(event.id)
                self._commit_event_to_session(session, event)

    async def list_sessions(
        self, *, app_name: str, user_id: str | None = None
    ) -> ListSessionsResponse:
        """As ``inner``."""
        return await self.inner.list_sessions(app_name=app_name, user_id=user_id)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """As ``inner``; what was to be written of it is not."""
        key = (app_name, user_id, session_id)
        self._used.pop(key, None)
        writer = self._writers.pop(key, None)
        if writer is not None:
            writer.journal.clear()
            await self._cancel([writer])
        await self.inner.delete_session(app_name=app_name, user_id=user_id, session_id=session_id)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """As ``inner``."""
        return await self.inner.get_user_state(app_name=app_name, user_id=user_id)

    async def append_event(self, session: Session, event: Event) -> Event:
        """The event is in ``session`` at once, and stored later; nothing is waited for."""
        if event.partial:
            return event
        event = await super().append_event(session, event)
        writer = self._writer((session.app_name, session.user_id, session.id))
        if writer.journal.calls:
            writer.journal.session = session
        writer.journal.add(event)
        return event

    async def flush(self) -> None:
        """Wait until what may be written is; at most ``WriteRules.flush_s``."""
        waiting = [
            asyncio.ensure_future(writer.idle.wait())
            for writer in self._writers.values()
            if writer.task is not None
        ]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self._rules.flush_s)
            for one in late:
                one.cancel()

    async def close(self) -> None:
        """Flush, and end the tasks; what is lost is counted. May be called twice."""
        await self.flush()
        self._is_closed = True
        writers = list(self._writers.values())
        self._writers.clear()
        await self._cancel(writers)
        lost = sum(writer.journal.clear() for writer in writers)
        if lost:
            logger.error("%d events of sessions were not stored", lost)
            for _ in range(lost):
                self._count_error("session_write_lost")

    # Writing ------------------------------------------------------------------

    def _writer(self, key: Key) -> _Writer:
        writer = self._writers.get(key)
        if writer is None:
            journal = SessionJournal(
                self._rules.capacity,
                on_ready=lambda: self._wake(made),
                on_lost=lambda: self._count_error("session_write_lost"),
            )
            made = writer = self._writers[key] = _Writer(key, journal)
        return writer

    def _wake(self, writer: _Writer) -> None:
        is_at_work = writer.task is not None or self._is_closed
        if is_at_work or self._writers.get(writer.key) is not writer:
            return
        if writer.journal.head() is None and not self._is_over(writer):
            return
        writer.idle.clear()
        writer.task = asyncio.create_task(self._write_all(writer), name="session-writer")

    def _is_over(self, writer: _Writer) -> bool:
        return not writer.journal.calls and not writer.journal.pending()

    async def _write_all(self, writer: _Writer) -> None:
        try:
            while True:
                while (place := writer.journal.head()) is not None:
                    if await self._write(writer, place.event):
                        writer.journal.written(place)
                if not (self._is_over(writer) and writer.is_to_be_remembered):
                    break
                await self._remember(writer)
        except Exception:  # a writer's task boundary; its session alone is touched
            logger.exception("a session's writer failed")
            self._lose(writer)
        finally:
            writer.task = None
            writer.idle.set()
            if self._is_over(writer) and self._writers.get(writer.key) is writer:
                del self._writers[writer.key]

    async def _write(self, writer: _Writer, event: Event) -> bool:
        """Whether the head is done with: stored, or lost for good."""
        try:
            async with self._slots, asyncio.timeout(self._rules.attempt_s):
                await self._append(writer, event)
        except StaleSessionError:
            # Another server has the session, too: what it wrote stays, and ours follows.
            writer.stored, writer.others_wrote = None, True
            await asyncio.sleep(random.random() * _STALE_S)
            return False
        except SessionNotFoundError:
            logger.warning("a session is gone; what came later in it is not stored")
            self._lose(writer)
            return False
        except Exception as error:  # whatever the service's driver raises
            return await self._failed(writer, error)
        if writer.failing_since is not None:
            logger.warning("sessions are stored again")
        writer.failing_since, writer.failures, writer.is_unsure = None, 0, False
        return True

    async def _append(self, writer: _Writer, event: Event) -> None:
        app_name, user_id, session_id = writer.key
        stored = writer.stored
        if stored is None:
            stored = await self.inner.get_session(
                app_name=app_name,
                user_id=user_id,
                session_id=session_id,
                config=GetSessionConfig(num_recent_events=_RECENT if writer.is_unsure else 0),
            )
            if stored is None:
                raise SessionNotFoundError
            writer.stored = stored
            if any(one.id == event.id for one in stored.events):
                return
            stored.events.clear()
        event.timestamp = max(event.timestamp, stored.last_update_time + _STEP_S)
        state = writer.journal.take_state()
        try:
            await self.inner.append_event(stored, _with_state(event, state))
        except BaseException:
            for name, value in state.items():
                writer.journal.keep_state(name, value)
            raise
        stored.events.clear()

    async def _failed(self, writer: _Writer, error: Exception) -> bool:
        now = self._clock()
        self._count_error("session_write_failed")
        if writer.failing_since is None:
            writer.failing_since = now
            # Only its kind: a driver's words may hold what was to be stored.
            logger.error("a session cannot be stored: %s", type(error).__name__)
        is_readable = writer.stored is not None
        is_slow = isinstance(error, TimeoutError)
        writer.stored, writer.is_unsure = None, True
        writer.failures += is_readable and not is_slow
        if writer.failures >= self._rules.attempts:
            logger.error("an event is not stored: the service does not take it")
            self._count_error("session_write_lost")
            writer.failures = 0
            return True
        if not writer.journal.calls and now - writer.failing_since > self._rules.give_up_s:
            self._lose(writer)
            return False
        waited_s = max(now - writer.failing_since, self._rules.first_delay_s)
        delay_s = min(waited_s, self._rules.max_delay_s)
        await asyncio.sleep(delay_s * (0.5 + random.random()))
        return False

    def _lose(self, writer: _Writer) -> None:
        for _ in range(writer.journal.clear()):
            self._count_error("session_write_lost")

    async def _cancel(self, writers: list[_Writer]) -> None:
        tasks = {writer.task for writer in writers if writer.task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._rules.flush_s)

    async def _remember(self, writer: _Writer) -> None:
        """Gives the session of a call that has ended to the memory service."""
        writer.is_to_be_remembered = False
        if self._memory is None:
            return
        app_name, user_id, session_id = writer.key
        try:
            async with self._slots, asyncio.timeout(self._rules.attempt_s):
                session = await self.inner.get_session(
                    app_name=app_name, user_id=user_id, session_id=session_id
                )
                if session is not None and session.events:
                    _tell_speech_as_text(session)
                    await self._memory.add_session_to_memory(session)
        except Exception as error:  # whatever the service's driver raises
            logger.error("a session is not added to memory: %s", type(error).__name__)
            self._count_error("memory_write_failed")

    # Idle sessions ------------------------------------------------------------

    def _touch(self, key: Key) -> None:
        if self._rules.idle_s is not None:
            self._used[key] = self._clock()
            self._used.move_to_end(key)

    async def _delete_idle(self) -> None:
        idle_s = self._rules.idle_s
        while idle_s is not None and self._used:
            key, used_at = next(iter(self._used.items()))
            if self._clock() - used_at <= idle_s:
                return
            if key in self._writers:
                self._touch(key)
                continue
            del self._used[key]
            app_name, user_id, session_id = key
            names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
            await self.inner.delete_session(**names)
            if self._artifacts is not None:
                for name in await self._artifacts.list_artifact_keys(**names):
                    if not name.startswith("user:"):
                        await self._artifacts.delete_artifact(**names, filename=name)


def _holds_nothing(place: object) -> bool:
    return False


def _copy(session: Session, config: GetSessionConfig | None) -> Session:
    events = session.events
    if config is not None and config.after_timestamp is not None:
        events = [one for one in events if one.timestamp >= config.after_timestamp]
    if config is not None and config.num_recent_events is not None:
        events = events[len(events) - min(len(events), config.num_recent_events) :]
    return session.model_copy(
        update={"events": list(events), "state": copy.deepcopy(session.state)}
    )


def _tell_speech_as_text(session: Session) -> None:
    """Gives events with a transcript alone a content: ADK's memory services read nothing else."""
    for event in session.events:
        if event.content is not None:
            continue
        for role, transcript in (
            ("user", event.input_transcription),
            ("model", event.output_transcription),
        ):
            if transcript is not None and transcript.text:
                event.content = types.Content(role=role, parts=[types.Part(text=transcript.text)])


def _with_state(event: Event, state: dict[str, Any]) -> Event:
    """``event`` with further keys of state, which go to the service alone."""
    if not state:
        return event
    actions = event.actions.model_copy(
        update={"state_delta": {**event.actions.state_delta, **state}}
    )
    return event.model_copy(update={"actions": actions})
