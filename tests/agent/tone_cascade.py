"""ADK's real ``CascadeLive`` with the simplest ears and voice: loud is speech, tones are words."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from google.adk.live import (
    AgentSpokenOutput,
    AudioChunk,
    CascadeLive,
    EgressEvent,
    IngressEvent,
    LiveEgress,
    LiveIngress,
    PartialTranscript,
    UserSpeechStarted,
    UserTurnFinished,
)
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types

from .scripted_llm import SPEECH_PEAK, tone

Answer = Callable[[LlmRequest], list[LlmResponse]]


class LoudnessToText(LiveIngress):
    """Hears ``I asked`` in anything loud that is followed by 300 ms of silence."""

    async def __call__(
        self, audio: AsyncIterator[types.Blob]
    ) -> AsyncGenerator[IngressEvent, None]:
        loud, quiet = 0, 0
        async for blob in audio:
            samples = array("h", blob.data or b"")
            if max(map(abs, samples), default=0) > SPEECH_PEAK:
                loud, quiet = loud + 1, 0
                if loud == 5:
                    yield UserSpeechStarted()
                    yield PartialTranscript(text="I")
            else:
                quiet += 1
                if loud >= 5 and quiet == 15:
                    yield UserTurnFinished(text="I asked")
                    loud = 0


class TextToTone(LiveEgress):
    """A tone of ``seconds`` for each sentence."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(
        self, text: AsyncIterator[str], *, cancel: asyncio.Event
    ) -> AsyncGenerator[EgressEvent, None]:
        async for sentence in text:
            blob = types.Blob(data=tone(self._seconds), mime_type="audio/pcm;rate=24000")
            yield AudioChunk(blob=blob)
            yield AgentSpokenOutput(text=sentence)


class TextLlm(BaseLlm):
    """A text model that answers by ``answer``; what that raises, it raises."""

    model: str = "text"
    answer: Answer

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        for response in self.answer(llm_request):
            yield response


def tone_cascade(llm: BaseLlm, seconds: float = 0.1) -> CascadeLive:
    """``llm`` with ears and a voice; a sentence lasts ``seconds``."""
    return CascadeLive(model=llm, stt=LoudnessToText(), tts=TextToTone(seconds))
