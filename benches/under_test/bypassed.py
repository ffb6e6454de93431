"""Our server with ADK bypassed: all of it but the agent's own run.

The stand-in takes the place of :class:`~rtc_server.agent.live_session.LiveSession` where the
media bridge asks for one (``AgentRuntime.open_live_session``): everything above and below is
what is served otherwise, the agent's events and the queue they wait in included.

Run: ``python -m benches.under_test.bypassed PORT [--max-calls N]``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, cast
from unittest import mock

from rtc_server import app, event_loop, logs
from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.live_events import (
    AgentAudio,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.loader import LoadedAgent
from rtc_server.agent.sessions.heard_history import HeardHistory
from rtc_server.agent.tools.caller_questions import CallerQuestions
from rtc_server.settings import Limits, Settings

from ..agents.loopback import root_agent
from ..loop_back import LoopBack, is_silent, story

__all__ = ["LoopBackRuntime", "LoopBackSession", "adk_bypassed", "serve_bypassed"]

_MAX_EVENTS = 1000


class LoopBackSession:
    """Says what it hears; the public face of a live session."""

    def __init__(self) -> None:
        self.speaks_only = False
        self.questions = CallerQuestions()
        self._loop_back = LoopBack()
        self._is_telling = False
        self._events: asyncio.Queue[LiveEvent | None] = asyncio.Queue(_MAX_EVENTS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the events; may be called twice."""
        if not self._events.full():
            self._events.put_nowait(None)

    async def events(self) -> AsyncIterator[LiveEvent]:
        """What is said."""
        while (event := await self._events.get()) is not None:
            yield event

    def send_audio(self, pcm: bytes, *, quiet: bool = False) -> bool:
        """Any audio of 16 kHz s16 mono; none of it waits."""
        self._hear(pcm)
        return True

    def _hear(self, pcm: bytes) -> None:
        if self._is_telling:
            if not is_silent(pcm):
                self._is_telling = False
                self._events.put_nowait(ModelInterrupted())
            return
        answer, ended = self._loop_back.push(pcm)
        if answer:
            self._events.put_nowait(AgentAudio(answer, 24_000))
        if ended:
            self._events.put_nowait(ModelTurnComplete())

    def send_text(self, text: str) -> None:
        """``story`` begins the story."""
        if text == "story":
            self._is_telling = True
            self._events.put_nowait(AgentAudio(story(), 24_000))

    def end_audio_stream(self) -> None:
        """Passed over, as all that follows."""

    def send_image(self, mime_type: str, data: bytes) -> None: ...

    def send_frame(self, jpeg: bytes) -> None: ...

    @property
    def takes_frames(self) -> bool:
        """It sees nothing."""
        return False

    def send_activity(self, state: Literal["start", "end"]) -> None: ...

    def send_state(self, delta: Mapping[str, Any]) -> None: ...

    def renew(self, prompt: str | None = None) -> None: ...

    def send_prompt(self, text: str, *, again: bool) -> None: ...

    def interrupt(self) -> bool:
        """It cannot be told to."""
        return False


class LoopBackRuntime(AgentRuntime):
    """Opens stand-ins."""

    def open_live_session(
        self,
        *,
        user_id: str,
        session_id: str,
        modality: Literal["audio", "text"],
        run_config: Mapping[str, Any] | None = None,
        client_tools: Sequence[Mapping[str, Any]] = (),
        message_bytes: int = 0,
        call_id: str = "",
        history: HeardHistory | None = None,
    ) -> LiveSession:
        """A stand-in, which has all that the bridge uses of a live session."""
        return cast("LiveSession", LoopBackSession())


@contextlib.contextmanager
def adk_bypassed() -> Iterator[LoadedAgent]:
    """Makes servers that are started within it open stand-ins; yields an agent to name."""
    with mock.patch.object(app, "AgentRuntime", LoopBackRuntime):
        yield LoadedAgent.from_object("loopback", root_agent)


async def serve_bypassed(settings: Settings) -> None:
    """Serve until killed."""
    with (
        adk_bypassed() as agent,
        mock.patch.object(app, "load_agent_named", return_value=agent),
    ):
        await app.serve(settings, on_started=print)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--max-calls", type=int)
    options = parser.parse_args()
    logs.configure("text", "warning")
    limits = Limits(max_calls=options.max_calls)
    event_loop.run(serve_bypassed(Settings(port=options.port, agent="loopback", limits=limits)))
