"""A live model that follows a script: the stand-in for Gemini and CascadeLive in tests.

It stands at ADK's own seam (``BaseLlm.connect`` and ``BaseLlmConnection``), so that the
runner, the flow, the tools and the session service around it are the real ones::

    llm = ScriptedLlm(scripts=[echo_text])
    agent = LlmAgent(name="scripted", model=llm)

A script is a coroutine function that gets the :class:`ScriptedConnection`.  One script
runs per connection, in the order given; the last one serves all further connections.
What a script raises, ``receive()`` raises.  A script that returns leaves the connection
open and silent; :meth:`ScriptedConnection.end` ends the stream as a model that hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Literal

from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types
from pydantic import PrivateAttr
from websockets.exceptions import ConnectionClosedOK
from websockets.frames import Close

Order = Literal["gemini", "cascade"]
Input = (
    types.Content
    | types.Blob
    | types.ActivityStart
    | types.ActivityEnd
    | types.LiveClientRealtimeInput
)
Script = Callable[["ScriptedConnection"], Awaitable[None]]

SPEECH_PEAK = 1000
"""A 20 ms frame whose peak is above this is speech to :meth:`ScriptedConnection.hear`."""


class SpeechHeard:
    """The user started to speak (first loud frame after silence)."""


class SpeechEnded:
    """The user has been silent for 300 ms of audio after speech."""


# --------------------------------------------------------------------------
# Responses
# --------------------------------------------------------------------------


def text_piece(text: str, *, partial: bool = True, thought: bool = False) -> LlmResponse:
    """A piece of a text answer, or the whole of it with ``partial=False``."""
    part = types.Part(text=text, thought=thought or None)
    return LlmResponse(content=types.Content(role="model", parts=[part]), partial=partial)


def audio_piece(pcm: bytes, mime_type: str = "audio/pcm;rate=24000") -> LlmResponse:
    """A piece of speech."""
    blob = types.Blob(data=pcm, mime_type=mime_type)
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(inline_data=blob)]))


def heard(text: str, *, finished: bool = False) -> LlmResponse:
    """A transcription of the user's speech."""
    return LlmResponse(
        input_transcription=types.Transcription(text=text, finished=finished),
        partial=not finished,
    )


def said(text: str, *, finished: bool = False) -> LlmResponse:
    """A transcription of the agent's speech."""
    return LlmResponse(
        output_transcription=types.Transcription(text=text, finished=finished),
        partial=not finished,
    )


def turn_complete() -> LlmResponse:
    """The answer is complete."""
    return LlmResponse(turn_complete=True)


def interrupted() -> LlmResponse:
    """The user spoke over the answer."""
    return LlmResponse(interrupted=True)


def usage(prompt: int, response: int) -> LlmResponse:
    """Token counts."""
    return LlmResponse(
        usage_metadata=types.GenerateContentResponseUsageMetadata(
            prompt_token_count=prompt,
            candidates_token_count=response,
            total_token_count=prompt + response,
        )
    )


def tool_call(name: str, call_id: str | None = "call-1", **args: Any) -> LlmResponse:
    """The model asks for a tool."""
    call = types.FunctionCall(id=call_id, name=name, args=args)
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(function_call=call)]))


def resumption_handle(handle: str | None) -> LlmResponse:
    """A session resumption update."""
    return LlmResponse(
        live_session_resumption_update=types.LiveServerSessionResumptionUpdate(
            new_handle=handle, resumable=bool(handle)
        )
    )


def tone(seconds: float, rate: int = 24_000, hz: float = 440.0, peak: int = 8_000) -> bytes:
    """A sine as s16 little-endian mono PCM."""
    step = 2 * math.pi * hz / rate
    samples = (int(peak * math.sin(step * n)) for n in range(round(seconds * rate)))
    return array("h", samples).tobytes()


def silence(seconds: float, rate: int = 24_000) -> bytes:
    """Silence as s16 little-endian mono PCM."""
    return bytes(2 * round(seconds * rate))


# --------------------------------------------------------------------------
# The model
# --------------------------------------------------------------------------


class ScriptedConnection(BaseLlmConnection):
    """What a script acts through, and what ADK's live flow talks to."""

    def __init__(self, request: LlmRequest) -> None:
        self.request = request
        self.history: list[types.Content] = []
        self.audio_bytes = 0
        self.closed = asyncio.Event()
        self.blocked = False
        """While true, ``send_realtime`` and ``send_content`` wait: a stalled network."""

        self._unblock = asyncio.Event()
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._out: asyncio.Queue[LlmResponse | BaseException | None] = asyncio.Queue()
        self._speaking = False
        self._quiet_bytes = 0
        self._ended = False

    # What a script does -----------------------------------------------------

    def emit(self, *responses: LlmResponse) -> None:
        """Answer with these, at once."""
        for response in responses:
            self._out.put_nowait(response)

    def end(self) -> None:
        """End the stream without a word."""
        self._out.put_nowait(None)

    def fail(self, error: BaseException) -> None:
        """Make ``receive()`` raise ``error`` after what was emitted."""
        self._out.put_nowait(error)

    def block(self) -> None:
        """Stall: what the client sends from now on is not taken."""
        self.blocked = True

    def unblock(self) -> None:
        """Take what the client sends again."""
        self.blocked = False
        self._unblock.set()
        self._unblock = asyncio.Event()

    async def receive_input(self) -> Input:
        """The next thing that the client sent, audio included."""
        return await self._inputs.get()

    async def receive_content(self) -> types.Content:
        """The next content that the client sent; audio and signals are passed over."""
        while True:
            one = await self._inputs.get()
            if isinstance(one, types.Content):
                return one

    async def receive_text(self) -> str:
        """The text of the next content."""
        return text_of(await self.receive_content())

    async def hear(self) -> Input | SpeechHeard | SpeechEnded:
        """The next content or signal, or the beginning or end of loud audio."""
        while True:
            one = await self._inputs.get()
            if not isinstance(one, types.Blob) or not (one.mime_type or "").startswith("audio/"):
                return one
            heard_now = self._detect(one.data or b"")
            if heard_now is not None:
                return heard_now

    async def speak(
        self,
        text: str,
        pcm: bytes,
        *,
        rate: int = 24_000,
        order: Order = "gemini",
        piece_s: float = 0.1,
        wait_playback: bool = False,
        complete: bool = True,
    ) -> bool:
        """Say ``text`` with ``pcm`` as its sound, much faster than real time.

        Gemini's order: audio and transcript deltas mixed, the whole transcript, token
        counts, ``turn_complete``.  CascadeLive's: a sentence's audio, then its
        transcript; the whole transcript; ``turn_complete`` and no token counts.

        With ``wait_playback`` the turn is completed after as much time as the audio
        lasts, and loud audio or typed text meanwhile interrupts it in the order of the model.

        Returns:
            False if the answer was interrupted.  Typed text that interrupted is put back.
        """
        pieces = cut(pcm, 2 * round(piece_s * rate))
        words = text.split(" ")
        mime_type = f"audio/pcm;rate={rate}"
        if order == "gemini":
            deltas = [word if n == 0 else f" {word}" for n, word in enumerate(words)]
            for n in range(max(len(pieces), len(deltas))):
                if n < len(pieces):
                    self.emit(audio_piece(pieces[n], mime_type))
                if n < len(deltas):
                    self.emit(said(deltas[n]))
                await asyncio.sleep(0)
            self.emit(said(text, finished=True))
        else:
            for piece in pieces:
                self.emit(audio_piece(piece, mime_type))
                await asyncio.sleep(0)
            self.emit(said(text))
        if wait_playback and await self._interrupted_within(len(pcm) / 2 / rate):
            if order == "gemini":
                self.emit(interrupted(), turn_complete())
            else:
                self.emit(said(" ".join(words[: len(words) // 2]), finished=True), interrupted())
            return False
        if order == "cascade":
            self.emit(said(text, finished=True))
        else:
            self.emit(usage(10, 20))
        if complete:
            self.emit(turn_complete())
        return True

    # What ADK does ----------------------------------------------------------

    async def send_history(self, history: list[types.Content]) -> None:
        self.history = list(history)

    async def send_content(self, content: types.Content) -> None:
        assert content.parts, "content without parts"
        await self._pass()
        self._inputs.put_nowait(content)

    async def send_realtime(self, blob: Any) -> None:
        await self._pass()
        if isinstance(blob, types.Blob) and (blob.mime_type or "").startswith("audio/"):
            self.audio_bytes += len(blob.data or b"")
        self._inputs.put_nowait(blob)

    async def receive(self) -> AsyncGenerator[LlmResponse, None]:
        while not self._ended:
            one = await self._out.get()
            if one is None:
                self._ended = True
            elif isinstance(one, BaseException):
                raise one.with_traceback(None)
            else:
                yield one

    async def close(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self.fail(ConnectionClosedOK(None, Close(1000, "closed")))

    # ------------------------------------------------------------------------

    async def _pass(self) -> None:
        while self.blocked:
            await self._unblock.wait()

    def _detect(self, pcm: bytes) -> SpeechHeard | SpeechEnded | None:
        samples = [abs(one) for (one,) in struct.iter_unpack("<h", pcm[: len(pcm) & ~1])]
        if max(samples, default=0) > SPEECH_PEAK:
            self._quiet_bytes = 0
            if not self._speaking:
                self._speaking = True
                return SpeechHeard()
            return None
        self._quiet_bytes += len(pcm)
        if self._speaking and self._quiet_bytes >= 2 * 16_000 * 3 // 10:
            self._speaking = False
            return SpeechEnded()
        return None

    async def _interrupted_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._interruption()
        except TimeoutError:
            return False
        return True

    async def _interruption(self) -> None:
        while True:
            one = await self.hear()
            if isinstance(one, types.Content):
                self._inputs.put_nowait(one)
                return
            if isinstance(one, SpeechHeard | types.ActivityStart):
                return


class ScriptedLlm(BaseLlm):
    """A ``BaseLlm`` whose live connections follow ``scripts``."""

    model: str = "scripted"
    scripts: list[Any] = []  # noqa: RUF012  (a pydantic field)
    connect_errors: list[Any] = []  # noqa: RUF012
    """Raised by the first connects, one each; None lets that connect succeed."""
    connection_type: Any = ScriptedConnection

    _connections: list[ScriptedConnection] = PrivateAttr(default_factory=list)
    _connects: int = PrivateAttr(default=0)
    _connected: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    @property
    def connections(self) -> list[ScriptedConnection]:
        """Every connection that was opened, the newest last."""
        return self._connections

    async def wait_connected(self) -> ScriptedConnection:
        """The first connection, once it is there."""
        await self._connected.wait()
        return self._connections[0]

    @property
    def connects(self) -> int:
        """How often ADK tried to connect, refused ones included."""
        return self._connects

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        if self.scripts:  # always: a generator needs a yield, and this one is never reached
            raise NotImplementedError("ScriptedLlm is a live model")
        yield LlmResponse()

    @contextlib.asynccontextmanager
    async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
        attempt = self._connects
        self._connects += 1
        if attempt < len(self.connect_errors) and self.connect_errors[attempt] is not None:
            raise self.connect_errors[attempt].with_traceback(None)
        script: Script = self.scripts[min(len(self._connections), len(self.scripts) - 1)]
        connection = self.connection_type(llm_request)
        self._connections.append(connection)
        self._connected.set()

        async def follow() -> None:
            try:
                await script(connection)
            except Exception as error:  # handed to ADK, as a model's failure
                connection.fail(error)

        task = asyncio.create_task(follow(), name="script")
        try:
            yield connection
        finally:
            await connection.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


# --------------------------------------------------------------------------
# Scripts
# --------------------------------------------------------------------------


async def echo_text(connection: ScriptedConnection) -> None:
    """Answer each text with ``You said: …`` in pieces, the whole, and the end of the turn."""
    while True:
        text = await connection.receive_text()
        answer = f"You said: {text}"
        middle = len(answer) // 2
        connection.emit(
            text_piece(answer[:middle]),
            text_piece(answer[middle:]),
            text_piece(answer, partial=False),
            turn_complete(),
        )


def talker(
    *,
    order: Order = "gemini",
    answer: str = "Here is an answer to what you said",
    seconds: float = 1.0,
    rate: int = 24_000,
    wait_playback: bool = True,
) -> Script:
    """Answer speech and text with a tone of ``seconds`` and a transcript; can be interrupted."""

    async def talk(connection: ScriptedConnection) -> None:
        pcm = tone(seconds, rate)
        while True:
            one = await connection.hear()
            if isinstance(one, SpeechEnded):
                if order == "gemini":
                    connection.emit(heard("I"), heard(" asked"), heard("I asked", finished=True))
                else:
                    connection.emit(heard("I"), heard("I asked"), heard("I asked", finished=True))
            elif not isinstance(one, types.Content):
                continue
            await connection.speak(answer, pcm, rate=rate, order=order, wait_playback=wait_playback)

    return talk


def uses_tool(name: str, **args: Any) -> Script:
    """Answer each text by calling a tool, then say its result as text."""

    async def use(connection: ScriptedConnection) -> None:
        count = 0
        while True:
            content = await connection.receive_content()
            responses = [
                part.function_response
                for part in content.parts or []
                if part.function_response is not None
            ]
            if responses:
                answer = f"The tool says {responses[0].response}"
                connection.emit(
                    text_piece(answer), text_piece(answer, partial=False), turn_complete()
                )
                continue
            count += 1
            connection.emit(tool_call(name, f"call-{count}", **args))

    return use


async def never_answer(connection: ScriptedConnection) -> None:
    """Take everything, say nothing."""
    while True:
        await connection.receive_input()


def end_after(text: str | None = None) -> Script:
    """Say ``text`` (without completing the turn) and end the stream unasked."""

    async def end(connection: ScriptedConnection) -> None:
        if text is not None:
            connection.emit(text_piece(text))
        connection.end()

    return end


def fail_after(error: BaseException, text: str | None = None) -> Script:
    """Say ``text`` (without completing the turn), then raise ``error``."""

    async def fail(connection: ScriptedConnection) -> None:
        if text is not None:
            connection.emit(text_piece(text))
        connection.fail(error)

    return fail


async def stall(connection: ScriptedConnection) -> None:
    """Take nothing: ``send_realtime`` blocks."""
    connection.block()


# --------------------------------------------------------------------------


def text_of(content: types.Content) -> str:
    """The text of all parts."""
    return "".join(part.text or "" for part in content.parts or [])


def cut(pcm: bytes, size: int) -> list[bytes]:
    """``pcm`` in pieces of ``size`` bytes, the last one shorter."""
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]
