"""A WebRTC client for tests: aiortc's own peer connection over real UDP.

async with RtcClient(place) as client:          # place: offer SDP -> answer SDP
    await client.wait_open()
    client.send({"type": "ping", "t": 1})
    await client.next_message("pong")
    client.microphone.tone(440, seconds=1.0)
    await client.wait_for(lambda: len(client.packets) >= 50)
    pcm = client.pcm()                          # what was heard, 48 kHz mono s16
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

from rtc_server.media.opus import OpusEncoder
from rtc_server.media.pcm import frame_bytes
from rtc_server.peer import aiortc_audio, aiortc_ice, aiortc_internals, aiortc_tasks

__all__ = ["Microphone", "ReceivedPacket", "RtcClient", "dominant_frequency", "tone"]

WAIT_S = 30.0
"""For what is to come soon, on a machine that has much else to do."""

RATE = 48_000
FRAME = RATE // 50


def tone(frequency_hz: float, seconds: float, rate: int = RATE, amplitude: float = 0.5) -> bytes:
    """A sine, s16 little-endian mono."""
    t = np.arange(int(seconds * rate)) / rate
    samples = amplitude * 32767 * np.sin(2 * np.pi * frequency_hz * t)
    return samples.astype("<i2").tobytes()


def dominant_frequency(pcm: bytes, rate: int = RATE) -> float:
    """The strongest frequency of s16 mono samples, in Hz."""
    samples: NDArray[np.float64] = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@dataclass(frozen=True, slots=True)
class ReceivedPacket:
    """An RTP packet as it arrived; ``arrived_at`` in ``time.monotonic()`` seconds."""

    sequence_number: int
    timestamp: int
    marker: int
    payload: bytes
    arrived_at: float


class Microphone(MediaStreamTrack):
    """Sends 20 ms of Opus every 20 ms: what was said, then silence.

    ``paused``: no packet leaves at all, as with DTX.
    """

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self.sent = 0
        self._pcm: deque[bytes] = deque()
        self._begun_at: float | None = None
        self._frames = 0
        self._encoder = OpusEncoder(RATE)

    def say(self, pcm: bytes) -> None:
        """Queue 48 kHz mono s16 samples; the last frame is padded."""
        size = 2 * FRAME
        for start in range(0, len(pcm), size):
            self._pcm.append(pcm[start : start + size].ljust(size, b"\0"))

    def tone(self, frequency_hz: float, seconds: float) -> None:
        """Queue a sine."""
        self.say(tone(frequency_hz, seconds))

    @property
    def is_silent(self) -> bool:
        """Whether all that was queued has been sent."""
        return not self._pcm

    async def recv(self) -> av.Packet[Any]:
        if self._begun_at is None:
            self._begun_at = time.monotonic()
        while True:
            if self.readyState != "live":
                raise MediaStreamError
            due = self._begun_at + self._frames * 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            pts = self._frames * FRAME
            self._frames += 1
            if self.paused:
                continue
            packet = av.Packet(
                self._encoder.encode(self._pcm.popleft() if self._pcm else bytes(2 * FRAME))
            )
            packet.pts = pts
            packet.time_base = fractions.Fraction(1, RATE)
            self.sent += 1
            return packet


class RtcClient:
    """Offers audio and a data channel, and keeps what comes back.

    Args:
        place: takes the offer SDP and returns the answer SDP.
        audio: direction of the audio section (``sendrecv``, ``recvonly``, ``sendonly``);
            None: no audio section.
        video: a track whose frames are sent; None: no video section.
        data: open an ordered, reliable channel.
        change_offer: a last edit of the offer SDP before it is placed.
    """

    def __init__(
        self,
        place: Callable[[str], Awaitable[str]],
        *,
        audio: str | None = "sendrecv",
        video: MediaStreamTrack | None = None,
        data: bool = True,
        change_offer: Callable[[str], str] = lambda sdp: sdp,
    ) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connecting = aiortc_tasks.own_connect_task(self.pc, lambda problem: None)
        self.microphone = Microphone()
        self.messages: list[dict[str, Any]] = []
        self.packets: list[ReceivedPacket] = []
        self.answer = ""
        self.channel: RTCDataChannel | None = None
        self.drop: Callable[[int], bool] = lambda sequence_number: False
        """Says of each outgoing RTP packet whether the network loses it."""
        self._place = place
        self._change_offer = change_offer
        self._read = 0
        self._changed = asyncio.Event()
        if audio is not None:
            hears = audio in ("sendrecv", "recvonly")
            sends = audio in ("sendrecv", "sendonly")
            self.pc.addTransceiver(self.microphone if sends else "audio", direction=audio)
            if hears:
                receiver = self.pc.getTransceivers()[0].receiver
                aiortc_audio.take_over_receiver(receiver, self._on_packet)
        if video is not None:
            self.pc.addTransceiver(video, direction="sendonly")
        self.camera = video
        if data:
            self.channel = self.pc.createDataChannel("events")
            self.channel.on("message", self._on_message)
            self.channel.on("open", self._notify)
            self.channel.on("close", self._notify)
        self.pc.on("connectionstatechange", self._notify)

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Offer, place, take the answer, and wait until connected."""
        await self.negotiate()
        await self.wait_for(lambda: self.pc.connectionState in ("connected", "failed", "closed"))
        if self.pc.connectionState != "connected":
            raise ConnectionError(f"the peer connection is {self.pc.connectionState}")

    async def negotiate(self) -> None:
        """Offer, place and take the answer."""
        offer = await self.pc.createOffer()
        for transport in aiortc_internals.transports(self.pc):
            aiortc_ice.gather_host_candidates(transport, None)
        await self.pc.setLocalDescription(offer)
        self.answer = await self._place(self._change_offer(self.pc.localDescription.sdp))
        self._lose_packets()
        await self.pc.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))

    async def close(self) -> None:
        """Hang up as a client does, with a DTLS close; may be called twice."""
        self.microphone.stop()
        if self.camera is not None:
            self.camera.stop()
        await self.pc.close()
        if self._connecting:
            await asyncio.wait(self._connecting)

    def vanish(self) -> None:
        """Be gone without a word, as after a power cut."""
        for transport in aiortc_internals.transports(self.pc):
            for protocol in transport.transport._connection._protocols:
                protocol.transport.pause_reading()  # type: ignore[attr-defined]
                protocol.transport.sendto = lambda *args: None  # type: ignore[method-assign]

    # Data channel

    def send(self, message: dict[str, Any] | str | bytes) -> None:
        """Send one message; a dictionary goes as JSON."""
        assert self.channel is not None
        self.channel.send(json.dumps(message) if isinstance(message, dict) else message)

    async def wait_open(self, timeout_s: float = WAIT_S) -> None:
        """Wait until the data channel is open."""
        await self.wait_for(
            lambda: self.channel is not None and self.channel.readyState == "open", timeout_s
        )

    async def next_message(
        self, type: str | None = None, timeout_s: float = WAIT_S
    ) -> dict[str, Any]:
        """The next message that was not read yet, of that type; others are skipped."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            while not found and self._read < len(self.messages):
                message = self.messages[self._read]
                self._read += 1
                if type is None or message["type"] == type:
                    found.append(message)
            return bool(found)

        await self.wait_for(is_there, timeout_s)
        return found[0]

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Wait until the condition holds; it is looked at whenever something arrived."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    # What only the clock or the microphone changes is looked at as well.
                    await asyncio.wait_for(self._changed.wait(), 0.05)

    # Audio

    def pcm(self) -> bytes:
        """All that was received, decoded in order of sequence number: 48 kHz mono s16."""
        decoder = av.CodecContext.create("libopus", "r")
        decoder.thread_count = 1
        decoder.sample_rate = RATE
        decoder.layout = "mono"
        pieces = []
        for packet in self.packets:
            for frame in decoder.decode(av.Packet(packet.payload)):
                assert isinstance(frame, av.AudioFrame)
                pieces.append(frame_bytes(frame))
        return b"".join(pieces)

    # From aiortc

    def _on_packet(self, packet: RtpPacket) -> None:
        self.packets.append(
            ReceivedPacket(
                packet.sequence_number,
                packet.timestamp,
                packet.marker,
                packet.payload,
                time.monotonic(),
            )
        )
        self._changed.set()

    def _on_message(self, data: str | bytes) -> None:
        self.messages.append(json.loads(data))
        self._changed.set()

    def _notify(self) -> None:
        self._changed.set()

    def _lose_packets(self) -> None:
        for transport in aiortc_internals.transports(self.pc):
            send = transport.transport._send

            async def send_or_lose(
                data: bytes, send: Callable[[bytes], Awaitable[None]] = send
            ) -> None:
                is_rtp = 127 < data[0] < 192 and not 192 <= data[1] <= 223
                if not (is_rtp and self.drop(int.from_bytes(data[2:4], "big"))):
                    await send(data)

            transport.transport._send = send_or_lose
