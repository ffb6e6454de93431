"""A session service that keeps nobody waiting: events are stored behind the call's back.

ADK awaits ``append_event`` in the loop that reads the model, and a database takes
milliseconds for it, or seconds, or is away.  Here an event is in the session at once and
in an ordered, bounded queue; a task a session writes it with whatever service is behind.
What memory has of a session is read from there where the service cannot be read.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from google.adk.artifacts.base_artifact_service import BaseArtifactService
from google.adk.events.event import Event
from google.adk.memory.base_memory_service import BaseMemoryService
from google.adk.sessions.base_session_service import (
    BaseSessionService,
    GetSessionConfig,
    ListSessionsResponse,
)
from google.adk.sessions.session import Session

from ...call_service import Modality
from ..failures import SessionUnavailable
from .heard_history import HeardHistory
from .idle_sessions import IdleSessions
from .kept_sessions import KeptSessions, Key
from .session_writer import SessionWriter, WriteRules, Writing
from .stored_events import is_worth_a_row, tell_speech_as_text

__all__ = ["WriteRules", "WrittenBehindSessions"]

logger = logging.getLogger(__name__)

_NAMED = 20
"""Sessions named in a log message at most."""


class WrittenBehindSessions(BaseSessionService):
    """Sessions of ``inner``; only what is not in memory yet is read from it.

    While a call is live its session is given out as the call knows it, so that a new run
    in it needs no database.  Afterwards it is read, and as the call knew it where that
    fails, until all of it is stored and for ``WriteRules.keep_s``.

    :meth:`close` ends the tasks; whoever made it closes ``inner``.

    Args:
        inner: where sessions are kept.
        count_error: is told a code for each failure (``session_write_failed``,
            ``session_read_failed``), each event that is lost (``session_write_lost``), and
            each session that the memory service did not take (``memory_write_failed``).
        memory: is given each session when its call has ended.
        artifacts: those of a session that was idle for too long go with it; None: none do.
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
        self._rules = rules if rules is not None else WriteRules()
        self._clock = clock
        self._slots = asyncio.Semaphore(self._rules.writers)
        self._writing = Writing(
            service=inner,
            rules=self._rules,
            slots=self._slots,
            count_error=count_error,
            clock=clock,
            remember=None if memory is None else self._remember,
        )
        self._writers: dict[Key, SessionWriter] = {}
        self._kept = KeptSessions(self._rules.keep_s, self._rules.kept, clock)
        self._unread_until = clock()
        """Until then the service is not asked for what memory has."""
        self._idle = IdleSessions(
            inner,
            artifacts,
            idle_s=self._rules.idle_s,
            is_in_use=lambda key: key in self._writers,
            clock=clock,
        )
        self._is_closed = False

    # Calls --------------------------------------------------------------------

    def open_history(self, key: Key, *, modality: Modality, agent: str) -> HeardHistory:
        """The history of a call that begins; to be closed when it ends."""
        writer = self._writer(key)
        writer.journal.calls += 1
        self._idle.touch(key)
        return HeardHistory(
            writer.journal, modality, agent, on_closed=lambda: self._call_ended(writer)
        )

    def _call_ended(self, writer: SessionWriter) -> None:
        journal = writer.journal
        journal.calls -= 1
        if journal.calls == 0:
            journal.holds = _holds_nothing
            writer.is_doubtful = True
            writer.is_to_be_remembered = self._memory is not None
        self._idle.touch(writer.key)
        writer.wake()

    def others_wrote(self, key: Key) -> bool:
        """Whether another server has written to the session since its call read it."""
        writer = self._writers.get(key)
        return writer is not None and writer.others_wrote

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
        self._idle.sweep()
        async with asyncio.timeout(self._rules.attempt_s):
            session = await self.inner.create_session(
                app_name=app_name, user_id=user_id, state=state, session_id=session_id
            )
        self._idle.touch((app_name, user_id, session.id))
        return session

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """As ``inner``, with the events and the state that are not stored yet.

        Raises:
            SessionUnavailable: it cannot be read, or not within ``WriteRules.attempt_s``, and
                is not in memory.
        """
        key = (app_name, user_id, session_id)
        if self._is_read_from_memory(key):
            return self._from_memory(key, config)
        is_known = self._known(key) is not None
        before = self._not_stored(key)
        try:
            async with asyncio.timeout(self._rules.read_s if is_known else self._rules.attempt_s):
                session = await self.inner.get_session(
                    app_name=app_name, user_id=user_id, session_id=session_id, config=config
                )
        except Exception as error:  # whatever the service's driver raises
            return self._not_read(key, config, error)
        if session is None:
            self._kept.forget(key)
            return None
        self._idle.touch(key)
        # What was stored meanwhile may be missing in what was read.
        self._add(session, *before)
        self._add(session, *self._not_stored(key))
        writer = self._writers.get(key)
        if writer is not None and writer.journal.calls and config is None:
            writer.journal.session = session
            writer.others_wrote = writer.is_doubtful = False
        return session

    def _known(self, key: Key) -> Session | None:
        """The session as its latest call knows it, or knew it."""
        writer = self._writers.get(key)
        return writer.journal.session if writer is not None else self._kept.get(key)

    def _is_read_from_memory(self, key: Key) -> bool:
        if self._known(key) is None:
            return False
        writer = self._writers.get(key)
        if self._clock() < self._unread_until or (writer is not None and writer.is_failing):
            return True
        is_sure = writer is not None and not (writer.others_wrote or writer.is_doubtful)
        return is_sure and writer is not None and writer.journal.calls > 0

    def _from_memory(self, key: Key, config: GetSessionConfig | None) -> Session | None:
        known = self._known(key)
        return None if known is None else _copy(known, config)

    def _not_read(
        self, key: Key, config: GetSessionConfig | None, error: Exception
    ) -> Session | None:
        self._count_error("session_read_failed")
        known = self._from_memory(key, config)
        if known is None:
            raise SessionUnavailable from error
        # Only its kind: a driver's words may hold what is stored.
        logger.warning("a session is read from memory: %s", type(error).__name__)
        self._unread_until = self._clock() + self._rules.read_again_s
        return known

    def _not_stored(self, key: Key) -> tuple[list[Event], dict[str, Any]]:
        writer = self._writers.get(key)
        return ([], {}) if writer is None else (writer.journal.pending(), writer.journal.state)

    def _add(self, session: Session, events: Sequence[Event], state: dict[str, Any]) -> None:
        there = {event.id for event in session.events}
        for event in events:
            if event.id not in there:
                there.add(event.id)
                self._commit_event_to_session(session, event)
        session.state.update(copy.deepcopy(state))

    async def list_sessions(
        self, *, app_name: str, user_id: str | None = None
    ) -> ListSessionsResponse:
        """As ``inner``."""
        return await self.inner.list_sessions(app_name=app_name, user_id=user_id)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """As ``inner``; what was to be written of it is not."""
        key = (app_name, user_id, session_id)
        self._idle.forget(key)
        self._kept.forget(key)
        writer = self._writers.pop(key, None)
        if writer is not None:
            await writer.close()
        await self.inner.delete_session(app_name=app_name, user_id=user_id, session_id=session_id)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """As ``inner``."""
        return await self.inner.get_user_state(app_name=app_name, user_id=user_id)

    async def append_event(self, session: Session, event: Event) -> Event:
        """The event is in ``session`` at once, and stored later; nothing is waited for.

        One that says, does and reports nothing is not stored.
        """
        if event.partial:
            return event
        event = await super().append_event(session, event)
        writer = self._writer((session.app_name, session.user_id, session.id))
        if writer.journal.calls:
            writer.journal.session = session
        if is_worth_a_row(event):
            writer.journal.add(event)
        else:
            writer.wake()
        return event

    # The end --------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until what may be written is, for as long as something is being stored."""
        await self._store_rest(self._rules.end_s)

    async def close(self, within_s: float = 0.0) -> None:
        """Store what waits, and end the tasks; what is lost is counted. May be called twice.

        It takes as long as events are being stored (each within ``WriteRules.stall_s`` of the
        one before), ``within_s`` or ``WriteRules.end_s`` at most, whichever is longer.
        """
        self._writing.is_ending = True
        for writer in list(self._writers.values()):
            writer.wake()
        await self._store_rest(max(within_s, self._rules.end_s))
        self._is_closed = True
        await self._idle.close()
        writers = list(self._writers.values())
        self._writers.clear()
        losses = await asyncio.gather(*(writer.close() for writer in writers))
        lost = [(writer.key[2], n) for writer, n in zip(writers, losses, strict=True) if n]
        if not lost:
            return
        count = sum(n for _, n in lost)
        names = ", ".join(name for name, _ in lost[:_NAMED]) + (" …" if lost[_NAMED:] else "")
        logger.error("%d events of %d sessions were not stored: %s", count, len(lost), names)
        for _ in range(count):
            self._count_error("session_write_lost")

    async def _store_rest(self, within_s: float) -> None:
        ends_at = time.monotonic() + within_s
        waiting = {
            asyncio.ensure_future(writer.idle())
            for writer in self._writers.values()
            if writer.is_at_work
        }
        try:
            while waiting:
                left_s = ends_at - time.monotonic()
                written = self._writing.written
                timeout_s = max(min(left_s, self._rules.stall_s), 0.0)
                _, waiting = await asyncio.wait(waiting, timeout=timeout_s)
                if self._writing.written == written or left_s <= 0:
                    return
        finally:
            for one in waiting:
                one.cancel()

    # Writing ------------------------------------------------------------------

    def _writer(self, key: Key) -> SessionWriter:
        writer = self._writers.get(key)
        if writer is None:
            writer = SessionWriter(key, self._writing, on_over=self._writer_is_idle)
            writer.is_closed = self._is_closed
            writer.journal.session = self._kept.get(key)
            writer.is_doubtful = writer.journal.session is not None
            self._kept.forget(key)
            self._writers[key] = writer
        return writer

    def _writer_is_idle(self, writer: SessionWriter) -> None:
        if writer.is_over and self._writers.get(writer.key) is writer:
            del self._writers[writer.key]
            if writer.journal.session is not None:
                self._kept.keep(writer.key, writer.journal.session)

    async def _remember(self, key: Key) -> None:
        """Gives the session of a call that has ended to the memory service."""
        if self._memory is None:
            return
        app_name, user_id, session_id = key
        try:
            async with self._slots, asyncio.timeout(self._rules.attempt_s):
                session = await self.inner.get_session(
                    app_name=app_name, user_id=user_id, session_id=session_id
                )
                if session is not None and session.events:
                    tell_speech_as_text(session)
                    await self._memory.add_session_to_memory(session)
        except Exception as error:  # whatever the service's driver raises
            logger.error("a session is not added to memory: %s", type(error).__name__)
            self._count_error("memory_write_failed")


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
