"""What ADK's history weighs: the growth that is in the nature of sessions in memory."""

from __future__ import annotations

import asyncio
import gc
import os

from google.adk.events.event import Event
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.genai import types

from .process_usage import usage_of

__all__ = ["event_kb"]

_HISTORIES, _SESSIONS, _EVENTS = 4, 100, 60


async def _history(service: InMemorySessionService) -> None:
    """Conversations of what the loop-back agent's calls leave: turns that end, typed words."""
    for number in range(_SESSIONS):
        session = await service.create_session(
            app_name="loopback", user_id=f"user-{number}", session_id=f"session-{number}"
        )
        for n in range(_EVENTS):
            event = Event(invocation_id=f"e-{number}-{n}", author="loopback", turn_complete=True)
            if n % 4 == 0:
                text = types.Content(role="user", parts=[types.Part(text="story")])
                event = Event(invocation_id=f"e-{number}-{n}", author="user", content=text)
            await service.append_event(session, event)


def event_kb() -> float:
    """kB that one event of a session in memory adds to a process, measured in this one."""
    kept, grown = [], 0
    # The first ones fill what the imports have left free.
    for _ in range(_HISTORIES):
        before = usage_of(os.getpid()).resident_bytes
        service = InMemorySessionService()
        asyncio.run(_history(service))
        gc.collect()
        kept.append(service)
        grown = usage_of(os.getpid()).resident_bytes - before
    return grown / 1024 / (_SESSIONS * _EVENTS)
