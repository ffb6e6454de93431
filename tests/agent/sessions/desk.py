"""A session service that is slow or fails as a test wants, and the written-behind one before it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from google.adk.events.event import Event
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from rtc_server.agent.sessions.written_behind_sessions import WriteRules, WrittenBehindSessions
from tests.waiting import until

__all__ = [
    "FAST", "KEY", "NAMES", "Desk", "Gate", "desk_over", "sqlalchemy", "sqlite", "texts", "typed",
]  # fmt: skip

KEY = ("app", "user", "s")
NAMES: dict[str, Any] = {"app_name": "app", "user_id": "user", "session_id": "s"}
FAST = WriteRules(first_delay_s=0.001, max_delay_s=0.004, attempt_s=5.0, state_s=0.02)


def typed(text: str, **more: Any) -> Event:
    content = types.Content(role="user", parts=[types.Part(text=text)])
    return Event(author="user", invocation_id="run", content=content, **more)


def texts(session: Session | None) -> list[str]:
    assert session is not None
    return [
        event.content.parts[0].text or ""
        for event in session.events
        if event.content is not None and event.content.parts
    ]


class Gate(InMemorySessionService):
    """A service that is as slow, and fails as often, as a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.fails: Callable[[Event], Exception | None] = lambda event: None
        self.away = False

    async def get_session(self, **names: Any) -> Session | None:
        if self.away:
            raise OSError("away")
        return await super().get_session(**names)

    async def append_event(self, session: Session, event: Event) -> Event:
        await self.open.wait()
        if self.away:
            raise OSError("away")
        if error := self.fails(event):
            raise error
        return await super().append_event(session, event)


class Desk:
    """A written-behind service with the session ``s``, and what it counted."""

    def __init__(self, inner: BaseSessionService, **more: Any) -> None:
        self.errors: Counter[str] = Counter()
        more.setdefault("rules", FAST)
        self.service = WrittenBehindSessions(
            inner, count_error=lambda code: self.errors.update([code]), **more
        )
        self.session: Session

    async def get(self) -> Session:
        session = await self.service.get_session(**NAMES)
        assert session is not None
        return session

    async def say(self, *words: str, **more: Any) -> None:
        for word in words:
            await self.service.append_event(self.session, typed(word, **more))

    async def stored(self) -> list[str]:
        return texts(await self.service.inner.get_session(**NAMES))

    async def until_stored(self, *words: str) -> None:
        async def are() -> bool:
            return await self.stored() == list(words)

        await until(are)


@asynccontextmanager
async def desk_over(inner: BaseSessionService, **more: Any) -> AsyncIterator[Desk]:
    desk = Desk(inner, **more)
    await desk.service.create_session(**NAMES)
    desk.session = await desk.get()
    try:
        yield desk
    finally:
        await desk.service.close()
        close: Callable[[], Awaitable[None]] | None = getattr(inner, "close", None)
        if close is not None:
            await close()


def sqlite(folder: Path) -> BaseSessionService:
    return SqliteSessionService(str(folder / "s.db"))


def sqlalchemy(folder: Path) -> BaseSessionService:
    return DatabaseSessionService(f"sqlite+aiosqlite:///{folder}/a.db")
