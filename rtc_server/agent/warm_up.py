"""A run of no model, which spends at the start what the first call would wait for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from google.adk.agents.live_request_queue import LiveRequestQueue
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.genai import types

from .live_run_config import live_run_config

__all__ = ["run_no_model"]


async def run_no_model() -> None:
    """One turn of no model, with a tool; what ADK imports lazily for a turn is then there."""
    sessions = InMemorySessionService()
    agent = LlmAgent(name="warm_up", model=_NoModel(), tools=[_no_tool])
    runner = Runner(app_name="warm_up", agent=agent, session_service=sessions)
    await sessions.create_session(app_name="warm_up", user_id="user", session_id="session")
    queue = LiveRequestQueue()
    queue.send_content(types.Content(role="user", parts=[types.Part(text="-")]))
    events = runner.run_live(
        user_id="user",
        session_id="session",
        live_request_queue=queue,
        run_config=live_run_config(modality="audio"),
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10.0), contextlib.aclosing(events):
            async for event in events:
                if event.turn_complete:
                    break


class _NoConnection(BaseLlmConnection):
    """Calls a tool, and answers its result with a word and a sound."""

    def __init__(self) -> None:
        self._said = asyncio.Event()
        self._called = False

    async def send_history(self, history: list[types.Content]) -> None: ...

    async def send_content(self, content: types.Content) -> None:
        self._said.set()

    async def send_realtime(self, blob: types.Blob) -> None: ...

    async def receive(self) -> AsyncGenerator[LlmResponse, None]:
        await self._said.wait()
        self._said.clear()
        if not self._called:
            self._called = True
            call = types.FunctionCall(id="1", name=_no_tool.__name__, args={})
            yield _response(types.Part(function_call=call))
            return
        yield LlmResponse(output_transcription=types.Transcription(text="-", finished=True))
        yield _response(types.Part(text="-"))
        yield LlmResponse(turn_complete=True)

    async def close(self) -> None: ...


def _response(part: types.Part) -> LlmResponse:
    return LlmResponse(content=types.Content(role="model", parts=[part]))


def _no_tool() -> dict[str, str]:
    """Does nothing."""
    return {}


class _NoModel(BaseLlm):
    model: str = "none"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        yield LlmResponse(turn_complete=True)

    @contextlib.asynccontextmanager
    async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
        yield _NoConnection()
