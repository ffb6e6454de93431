"""Conversations: ADK sessions, each of one user."""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import dataclass

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.events.event import Event
from google.adk.models.llm_request import LlmRequest
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.genai import types

from ...errors import AgentUnreachable, BadRequest
from .stored_events import told_to_models
from .written_behind_sessions import WrittenBehindSessions

__all__ = ["SessionStore", "StoredSession", "close_history"]

logger = logging.getLogger(__name__)

_ID = re.compile(r"(?!\s)[^\x00-\x1f\x7f-\x9f]{1,128}(?<!\s)")
"""ADK strips the space around an id, and would then name another one."""

CUT_OFF = "(This answer was cut off.)"
"""What the model is told that it said where the call ended before its answer."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A conversation that may be gone on with."""

    session_id: str
    user_id: str
    resumed: bool
    """Whether it existed."""


class SessionStore:
    """Opens conversations; ADK keys them by app, user and session.

    Args:
        app_name: the ADK app.
        service: where sessions are kept; in memory by default.  Whoever made it closes it.
    """

    def __init__(self, app_name: str, service: BaseSessionService | None = None) -> None:
        self.app_name = app_name
        self.service = service if service is not None else InMemorySessionService()

    async def open(self, user_id: str, session_id: str | None) -> StoredSession:
        """The user's session of this id, made if there is none; without an id a new one.

        A session of another user is not reached: for this user there is none of that id.

        Raises:
            BadRequest: an id is malformed.
            AgentUnreachable: the session service failed.
        """
        for one in (user_id, session_id):
            if one is not None and not _ID.fullmatch(one):
                raise BadRequest(
                    "An id has 1 to 128 printable characters and no space at either end."
                )
        try:
            resumed = session_id is not None and await self._exists(user_id, session_id)
            chosen = session_id if session_id is not None else secrets.token_urlsafe(16)
            if not resumed:
                resumed = not await self._create(user_id, chosen)
        except Exception as error:  # whatever the service's driver raises
            logger.exception("the session service failed")
            raise AgentUnreachable("The conversation cannot be opened now.") from error
        return StoredSession(chosen, user_id, resumed)

    async def discard(self, stored: StoredSession) -> None:
        """Delete a conversation that was made for a call that came to nothing.

        One that had been there before is kept.  Errors of the service are logged.
        """
        if stored.resumed:
            return
        try:
            await self.service.delete_session(
                app_name=self.app_name, user_id=stored.user_id, session_id=stored.session_id
            )
        except Exception:  # whatever the service's driver raises; nobody waits for this
            logger.exception("the session service failed")

    async def has_agents_words(self, user_id: str, session_id: str) -> bool:
        """Whether the agent has ever said something in the conversation that was heard.

        Errors of the service are raised.
        """
        session = await self.read(user_id, session_id)
        return session is not None and any(_is_agents_word(one) for one in session.events)

    async def read(self, user_id: str, session_id: str) -> Session | None:
        """The session, whole; errors of the service are raised."""
        return await self.service.get_session(
            app_name=self.app_name, user_id=user_id, session_id=session_id
        )

    def others_wrote(self, user_id: str, session_id: str) -> bool:
        """Whether another server has written to the session since its call read it."""
        key = (self.app_name, user_id, session_id)
        service = self.service
        return isinstance(service, WrittenBehindSessions) and service.others_wrote(key)

    async def close_open_turn(self, session: Session, agent_name: str) -> None:
        """Let the history end with the agent's word, if it ends with the user's.

        A live model is given the history when it connects, and would answer a last turn
        of the user that nobody waits for any more.  Errors of the service are raised.
        """
        spoken = told_to_models(session.events)
        if not spoken or not _is_users(spoken[-1]):
            return
        await self.service.append_event(
            session,
            Event(
                author=next(
                    (e.author for e in reversed(session.events) if e.author != "user"), agent_name
                ),
                invocation_id=spoken[-1].invocation_id,
                content=types.Content(role="model", parts=[types.Part(text=CUT_OFF)]),
            ),
        )

    async def _exists(self, user_id: str, session_id: str) -> bool:
        session = await self.service.get_session(
            app_name=self.app_name,
            user_id=user_id,
            session_id=session_id,
            config=GetSessionConfig(num_recent_events=0),
        )
        return session is not None

    async def _create(self, user_id: str, session_id: str) -> bool:
        """Whether it was made; False if another call made it meanwhile."""
        try:
            await self.service.create_session(
                app_name=self.app_name, user_id=user_id, session_id=session_id
            )
        except AlreadyExistsError:
            # An id is unique in some databases over all users: then this is not theirs.
            if await self._exists(user_id, session_id):
                return False
            raise
        return True


def close_history(request: LlmRequest) -> None:
    """As :meth:`SessionStore.close_open_turn`, of what one connection alone is told."""
    last = request.contents[-1] if request.contents else None
    if last is None or last.role != "user":
        return
    if not any(part.function_response for part in last.parts or []):
        parts = [types.Part(text=CUT_OFF)]
        request.contents.append(types.Content(role="model", parts=parts))


def _is_users(event: Event) -> bool:
    return event.author == "user" or (event.content is not None and event.content.role == "user")


def _is_agents_word(event: Event) -> bool:
    if _is_users(event):
        return False
    parts = event.content.parts if event.content is not None else None
    said = [part.text for part in parts or [] if part.text and not part.thought]
    if event.output_transcription is not None:
        said.append(event.output_transcription.text or "")
    return any(one.strip() and one != CUT_OFF for one in said)
