"""What the tests of a live session say to it, and what they hear of it."""

from __future__ import annotations

from collections.abc import Callable

from rtc_server.agent.live_events import AgentFailed, AgentText, LiveEvent, ModelTurnComplete
from rtc_server.agent.live_session import LiveSession

from .scripted_llm import silence, tone

__all__ = ["QUIET", "SPEECH", "answer", "failures", "say", "texts", "until"]


SPEECH = tone(0.02, rate=16_000)
QUIET = silence(0.02, rate=16_000)


async def until(live: LiveSession, last: Callable[[LiveEvent], bool]) -> list[LiveEvent]:
    """The events up to the first for which ``last`` holds, or all there are."""
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if last(event):
            break
    return seen


async def answer(live: LiveSession) -> list[LiveEvent]:
    return await until(live, lambda event: isinstance(event, ModelTurnComplete))


def texts(events: list[LiveEvent]) -> str:
    return "".join(one.text for one in events if isinstance(one, AgentText))


def failures(events: list[LiveEvent]) -> list[tuple[str, bool]]:
    return [(one.code, one.retryable) for one in events if isinstance(one, AgentFailed)]


def say(live: LiveSession) -> None:
    """A spoken turn of 200 ms and the silence after it."""
    for _ in range(10):
        live.send_audio(SPEECH)
    for _ in range(20):
        live.send_audio(QUIET)
