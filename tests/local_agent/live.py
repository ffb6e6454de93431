"""A call to the embedded agent through ADK's own ``Runner.run_live``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from google.adk.agents import LlmAgent
from google.adk.agents.live_request_queue import LiveRequestQueue
from google.adk.agents.run_config import RunConfig
from google.adk.events import Event
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.sessions.session import Session
from google.genai import types

APP = "tests"
USER = "user"
MICROPHONE = "audio/pcm;rate=16000"


class FakeClock:
    """Wall time that stands still until it is moved."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class LiveCall:
    """One ``run_live``; entered, its events are gathered until it is left."""

    def __init__(
        self,
        agent: LlmAgent,
        *,
        sessions: InMemorySessionService | None = None,
        session_id: str = "session",
        modality: types.Modality = types.Modality.AUDIO,
    ) -> None:
        self.sessions = sessions or InMemorySessionService()
        self.queue = LiveRequestQueue()
        self.events: list[Event] = []
        self._session_id = session_id
        self._runner = Runner(app_name=APP, agent=agent, session_service=self.sessions)
        self._config = RunConfig(
            response_modalities=[modality],
            input_audio_transcription=types.AudioTranscriptionConfig(),
            output_audio_transcription=types.AudioTranscriptionConfig(),
        )
        self._arrived = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if await self._session() is None:
            await self.sessions.create_session(
                app_name=APP, user_id=USER, session_id=self._session_id
            )
        self._task = asyncio.create_task(self._gather())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.queue.close()
        assert self._task is not None
        await asyncio.wait_for(self._task, 20)

    async def _gather(self) -> None:
        async with contextlib.aclosing(
            self._runner.run_live(
                user_id=USER,
                session_id=self._session_id,
                live_request_queue=self.queue,
                run_config=self._config,
            )
        ) as events:
            async for event in events:
                async with self._arrived:
                    self.events.append(event)
                    self._arrived.notify_all()

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def hear(self, pcm: bytes) -> None:
        """Send 16 kHz audio in pieces of 20 ms, faster than real time."""
        for start in range(0, len(pcm), 640):
            self.queue.send_realtime(
                types.Blob(data=pcm[start : start + 640], mime_type=MICROPHONE)
            )

    def type(self, text: str) -> None:
        self.queue.send_content(types.Content(role="user", parts=[types.Part(text=text)]))

    async def until(self, condition: Callable[[], bool], timeout: float = 15.0) -> None:
        """Wait for events until ``condition`` holds."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(condition)

    async def ask(self, text: str) -> str:
        """Type ``text`` and return what is said until the turn ends."""
        start = len(self.events)
        self.type(text)
        await self.until(lambda: any(event.turn_complete for event in self.events[start:]))
        return self.said(start)

    def said(self, start: int = 0) -> str:
        """What the agent said since event ``start``, put together from the pieces."""
        return "".join(
            event.output_transcription.text or ""
            for event in self.events[start:]
            if event.output_transcription and event.partial
        ).strip()

    def heard(self, start: int = 0) -> list[str]:
        """The user's finished transcripts."""
        return [
            event.input_transcription.text or ""
            for event in self.events[start:]
            if event.input_transcription and event.input_transcription.finished
        ]

    def audio(self, start: int = 0) -> bytes:
        """The agent's audio, 24 kHz."""
        return b"".join(
            part.inline_data.data or b""
            for event in self.events[start:]
            if event.content
            for part in event.content.parts or []
            if part.inline_data
        )

    def calls(self, start: int = 0) -> list[tuple[str, dict[str, Any]]]:
        return [
            (call.name or "", dict(call.args or {}))
            for event in self.events[start:]
            for call in event.get_function_calls()
        ]

    def completed(self, start: int = 0) -> int:
        return sum(bool(event.turn_complete) for event in self.events[start:])

    def interrupted(self, start: int = 0) -> int:
        return sum(bool(event.interrupted) for event in self.events[start:])

    async def state(self) -> dict[str, Any]:
        session = await self._session()
        assert session is not None
        return dict(session.state)

    async def _session(self) -> Session | None:
        return await self.sessions.get_session(
            app_name=APP, user_id=USER, session_id=self._session_id
        )
