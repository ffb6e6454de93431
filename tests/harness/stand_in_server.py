"""A small server that keeps the public contract, or breaks it in a chosen way.

The harness is tried against it: what the harness says about it is known beforehand.
It answers a text by an echo and a spoken turn by a tone, 200 ms after the speech ended.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from aiohttp import web
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

from rtc_harness.aiortc_internals import ReceivedPacket, stop_decoder_thread, tap_receiver
from rtc_harness.levels import SAMPLE_RATE, Samples, audible_span
from rtc_harness.microphone import Microphone
from rtc_harness.opus import OpusDecoder

ENDPOINT_S = 0.2
"""Silence after which a spoken turn is over."""


class Behaviour(Enum):
    """What the stand-in does when it is spoken to."""

    ANSWERS = "answers"
    SILENT = "silent"
    NEVER_ENDS_ITS_TURN = "never ends its turn"
    ONLY_UNASKED = "speaks, but says that nobody asked"
    UNASKED_FIRST = "says something unasked, then answers"
    DIES = "ends the call in the middle"
    REFUSES = "answers 503"
    NOT_AN_ANSWER = "answers 201 with something else"
    NO_READY = "never sends ready"
    INTERRUPTIBLE = "tells a story and stops when spoken to"


def tone(seconds: float, hertz: float = 440.0, level: float = 0.25) -> Samples:
    """A steady tone of 48 kHz mono samples."""
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (np.sin(2 * np.pi * hertz * t) * level * 32767).astype(np.int16)


def silence(seconds: float) -> Samples:
    """Digital silence."""
    return np.zeros(int(seconds * SAMPLE_RATE), dtype=np.int16)


@dataclass(eq=False)
class StandInCall:
    """One call of the stand-in server."""

    server: StandInServer
    call_id: str
    connection: RTCPeerConnection
    tasks: asyncio.TaskGroup
    modality: str = "text"
    speaker: Microphone = field(default_factory=Microphone)
    packets: list[ReceivedPacket] = field(default_factory=list)
    turn: int = 0
    _channel: RTCDataChannel | None = None
    _decoder: OpusDecoder = field(default_factory=OpusDecoder)
    _speech_at: float | None = None
    _story: asyncio.Task[None] | None = None

    def on_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._on_message)
        for one in self.connection.getTransceivers():
            stop_decoder_thread(one.receiver)
        if self.server.behaviour is Behaviour.NO_READY:
            return
        self.send(
            type="ready",
            call_id=self.call_id,
            session_id="s1",
            agent="stand_in",
            modality=self.modality,
            resumed=False,
        )
        self.send(type="state", state="listening")
        if self.server.greeting_s:
            self.tasks.create_task(self._speak("Hello.", None, self.server.greeting_s))

    def on_packet(self, packet: ReceivedPacket) -> None:
        self.packets.append(packet)
        now = time.monotonic()
        if audible_span(self._decoder.decode(packet.payload)) is not None:
            self._speech_at = now
            if self._story is not None and not self._story.done():
                self.speaker.hush()
        elif self._speech_at is not None and now - self._speech_at > ENDPOINT_S:
            asked_at, self._speech_at = self._speech_at, None
            self._asked("(a tone)", asked_at)

    def _on_message(self, raw: str) -> None:
        message = json.loads(raw)
        self.server.messages.append(message)
        if message["type"] == "text":
            self._asked(message["data"], time.monotonic())

    def _asked(self, what: str, at: float) -> None:
        match self.server.behaviour:
            case Behaviour.SILENT:
                return
            case Behaviour.DIES:
                self.tasks.create_task(self.connection.close())
            case Behaviour.ONLY_UNASKED:
                self.tasks.create_task(self._speak("By the way.", None, 0.2))
            case Behaviour.UNASKED_FIRST:
                self.tasks.create_task(self._unasked_first(what, at))
            case Behaviour.INTERRUPTIBLE:
                self._story = self.tasks.create_task(self._speak(f"Story of {what}.", at, 1.5))
            case _:
                self.tasks.create_task(self._speak(f"You said {what}.", at, 0.3))

    async def _unasked_first(self, what: str, at: float) -> None:
        await self._speak("Your timer is due.", None, 0.2)
        await self._speak(f"You said {what}.", at, 0.3)

    async def _speak(self, words: str, asked_at: float | None, seconds: float) -> None:
        self.turn += 1
        turn = self.turn
        began_at = time.monotonic()
        latency: dict[str, Any] = {"type": "latency", "turn": turn}
        if asked_at is not None:
            latency["response_ms"] = round((began_at - asked_at) * 1000, 1)
        self.send(**latency)
        heard_s = seconds
        if self.modality == "text":
            middle = len(words) // 2
            for piece in (words[:middle], words[middle:]):
                self.send(type="text", mime_type="text/plain", data=piece, turn=turn)
        else:
            self.send(type="state", state="speaking")
            self.send(type="transcript", role="agent", text=words, final=True, turn=turn)
            utterance = self.speaker.say(tone(seconds))
            await utterance.over.wait()
            heard_s = min(seconds, utterance.position / SAMPLE_RATE)
            self.send(type="state", state="listening")
        if self.server.behaviour is Behaviour.NEVER_ENDS_ITS_TURN:
            return
        end: dict[str, Any] = {"interrupted": False}
        if heard_s < seconds:
            end = {"interrupted": True, "heard_ms": round(heard_s * 1000), "heard_text": "Story"}
        self.send(type="turn", turn=turn, turn_complete=True, **end)

    def send(self, **message: Any) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps(message))


class StandInServer:
    """The HTTP side of the stand-in; made by :func:`stand_in_server`."""

    def __init__(
        self, behaviour: Behaviour, greeting_s: float, port: int, tasks: asyncio.TaskGroup
    ) -> None:
        self.behaviour = behaviour
        self.greeting_s = greeting_s
        self.url = f"http://127.0.0.1:{port}"
        self.offers: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.hung_up: list[str] = []
        self.authorization: list[str | None] = []
        self.calls: dict[str, StandInCall] = {}
        self._tasks = tasks

    async def offer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.offers.append(body)
        self.authorization.append(request.headers.get("Authorization"))
        if self.behaviour is Behaviour.REFUSES:
            return web.json_response(
                {"title": "Busy", "detail": "The server is full.", "status": 503}, status=503
            )
        if self.behaviour is Behaviour.NOT_AN_ANSWER:
            return web.json_response({"sdp": "hello"}, status=201)
        call_id = f"call-{len(self.offers)}"
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        call = StandInCall(self, call_id, connection, self._tasks)
        connection.on("datachannel", call.on_channel)
        await connection.setRemoteDescription(RTCSessionDescription(body["sdp"], "offer"))
        for transceiver in connection.getTransceivers():
            call.modality = body.get("modality", "audio")
            connection.addTrack(call.speaker)
            tap_receiver(transceiver.receiver, call.on_packet)
        await connection.setLocalDescription(await connection.createAnswer())
        self.calls[call_id] = call
        return web.json_response(
            {
                "sdp": connection.localDescription.sdp,
                "type": "answer",
                "call_id": call_id,
                "session_id": body.get("session_id", "s1"),
                "user_id": body.get("user_id", "user"),
            },
            status=201,
            headers={"Location": f"/api/calls/{call_id}"},
        )

    async def hang_up(self, request: web.Request) -> web.Response:
        call_id = request.match_info["call_id"]
        call = self.calls.pop(call_id, None)
        if call is None:
            return web.Response(status=404)
        self.hung_up.append(call_id)
        call.speaker.stop()
        await call.connection.close()
        return web.Response(status=200)

    async def close(self) -> None:
        for call in self.calls.values():
            call.speaker.stop()
            await call.connection.close()


@asynccontextmanager
async def stand_in_server(
    behaviour: Behaviour = Behaviour.ANSWERS, *, greeting_s: float = 0.0
) -> AsyncIterator[StandInServer]:
    """Serve on a free port of the loopback until the end."""
    app = web.Application()
    runner = web.AppRunner(app)
    async with asyncio.TaskGroup() as tasks:
        server = StandInServer(behaviour, greeting_s, 0, tasks)
        app.router.add_post("/api/calls", server.offer)
        app.router.add_delete("/api/calls/{call_id}", server.hang_up)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        server.url = f"http://127.0.0.1:{port}"
        try:
            yield server
        finally:
            await server.close()
            await runner.cleanup()
