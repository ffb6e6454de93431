"""A live model that says what it hears: 16 kHz in, 24 kHz out, in pieces of 40 ms.

It stands where a Gemini Live connection stands, at ADK's ``BaseLlm.connect``, so that all of
ADK is in the path and no network is.  While the caller is silent it says nothing.

Told ``story`` it speaks ten seconds at once, much faster than real time, as models do, and
is interrupted by the next sound it hears: that is how the time until the last old audio is
measured.

Served by ``rtc-server serve benches.agents.loopback:root_agent``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types

from ..loop_back import LoopBack, is_silent, story

__all__ = ["root_agent"]

_MIME_TYPE = "audio/pcm;rate=24000"
_MAX_WAITING = 1000


class LoopBackConnection(BaseLlmConnection):
    """One call's connection."""

    def __init__(self) -> None:
        self._loop_back = LoopBack()
        self._waiting: asyncio.Queue[LlmResponse] = asyncio.Queue(_MAX_WAITING)
        self._is_telling = False

    async def send_history(self, history: list[types.Content]) -> None:
        """Nothing is remembered."""

    async def send_content(self, content: types.Content) -> None:
        """``story`` begins the story."""
        if any(part.text == "story" for part in content.parts or []):
            self._is_telling = True
            self._waiting.put_nowait(_said(story()))

    async def send_realtime(self, blob: types.Blob) -> None:
        """20 ms of the caller, or a signal, which is passed over."""
        pcm = getattr(blob, "data", None)
        if not pcm:
            return
        if self._is_telling:
            if not is_silent(pcm):
                self._is_telling = False
                self._waiting.put_nowait(LlmResponse(interrupted=True))
            return
        answer, ended = self._loop_back.push(pcm)
        if answer:
            self._waiting.put_nowait(_said(answer))
        if ended:
            self._waiting.put_nowait(LlmResponse(turn_complete=True))

    async def receive(self) -> AsyncGenerator[LlmResponse, None]:
        """What it says, for ever."""
        while True:
            yield await self._waiting.get()

    async def close(self) -> None:
        """There is nothing to close."""


def _said(pcm: bytes) -> LlmResponse:
    blob = types.Blob(data=pcm, mime_type=_MIME_TYPE)
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(inline_data=blob)]))


class LoopBackModel(BaseLlm):
    """The model."""

    model: str = "loopback"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Only live calls are answered."""
        yield LlmResponse(turn_complete=True)

    @contextlib.asynccontextmanager
    async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
        """A connection for one call."""
        yield LoopBackConnection()


root_agent = LlmAgent(name="loopback", model=LoopBackModel())
