"""A real WebRTC call that costs its caller next to nothing.

aiortc places it: offer, ICE, DTLS, data channel.  Then audio goes past aiortc: packets that
were encoded beforehand are numbered, encrypted with the call's own SRTP session and handed to
its socket; what arrives is noted with its time and kept encrypted until the call is over.
What is not RTP (STUN, DTLS, RTCP) goes on to aiortc.  The time of arrival is the kernel's, so
that a caller who is late himself does not make the server late.

The private parts were read in aiortc 1.16.0 and aioice 0.13.0.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.rtcdtlstransport import RTCDtlsTransport

from rtc_harness.aiortc_internals import stop_decoder_thread
from rtc_server.peer.aiortc_ice import end_checks_at_once
from rtc_server.peer.aiortc_internals import transports
from rtc_server.peer.aiortc_liveness import ask_for_consent

__all__ = ["LightCall", "Received", "SentPacket"]

Signalling = Callable[[str], Awaitable[str]]
"""Takes an offer to the server and returns the answer."""

FRAME_S = 0.02
_TICKS = 960
_CONNECT_TIMEOUT_S = 30.0
_HEADER = struct.Struct("!BBHII")
_TIMESPEC = struct.Struct("@qq")
_SO_TIMESTAMPNS = 35  # of Linux on 64 bits; the socket module does not name it
_READS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SentPacket:
    """``frame`` is its place in the loop; ``lost`` ones were numbered and left out."""

    frame: int
    at: float
    lost: bool


@dataclass(frozen=True, slots=True)
class Received:
    """One RTP packet, decrypted after the call; times in seconds, timestamp at 48 kHz."""

    at: float
    sequence_number: int
    timestamp: int
    payload: bytes


@dataclass(slots=True)
class _Talk:
    """What the caller says now."""

    packets: Sequence[bytes]
    loss: float = 0.0


class _NoSound(MediaStreamTrack):
    """Makes the offer say that there is a microphone; aiortc gets nothing out of it."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class LightCall:
    """One call; :meth:`place` it, :meth:`talk`, :meth:`close` it, and read what it kept.

    Args:
        offset: where in the loop it begins, so that not all callers chirp at once.
        is_quick: goes on as soon as ICE is through, as browsers do; aioice looks every 20 ms.
    """

    offset: int = 0
    with_channel: bool = True
    is_quick: bool = False
    sent: list[SentPacket] = field(default_factory=list)
    arrived: list[tuple[float, bytes]] = field(default_factory=list)
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    setup_s: float | None = None
    latest_send_s: float = 0.0
    """How late the caller itself was at worst: beyond some ms it measured itself."""

    _pc: RTCPeerConnection = field(init=False)
    _channel: Any = None
    _talk: _Talk | None = None
    _timer: asyncio.TimerHandle | None = None
    _rng: random.Random = field(init=False)
    _send: Callable[[bytes], None] | None = None
    _dtls: Any = None
    _ssrc: int = 0
    _payload_type: int = 0
    _sequence_number: int = 0
    _timestamp: int = 0
    _due: float = 0.0
    _frames: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.offset)
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    # Set-up -------------------------------------------------------------------

    async def place(self, signalling: Signalling) -> None:
        """Place the call; returns when DTLS is through (and the channel open, if there is one)."""
        sender = self._pc.addTrack(_NoSound())
        opened = asyncio.Event()
        if self.with_channel:
            self._channel = self._pc.createDataChannel("bench")
            self._channel.on("open", opened.set)
            self._channel.on("message", self._on_message)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        self._dtls = sender.transport
        for transport in transports(self._pc):
            ask_for_consent(transport)  # aioice's own gives up a server that is half a second late
        if self.is_quick:
            for transport in transports(self._pc):
                end_checks_at_once(transport)
        connected = _connected(self._dtls)
        begun = time.monotonic()
        answer = await signalling(self._pc.localDescription.sdp)
        await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await connected.wait()
            self.setup_s = time.monotonic() - begun
            if self._dtls.state != "connected":
                raise ConnectionError(f"DTLS is {self._dtls.state}")
            self._take_over(sender)
            if self.with_channel:
                await opened.wait()

    def _take_over(self, sender: Any) -> None:
        self._ssrc = sender._ssrc
        codecs: list[Any] = self._pc.getTransceivers()[0]._codecs
        self._payload_type = next(
            one.payloadType for one in codecs if one.mimeType.lower() == "audio/opus"
        )
        self._sequence_number = self._rng.randrange(1 << 16)
        self._timestamp = self._rng.randrange(1 << 32)
        pair = self._dtls.transport.iceGatherer._connection._nominated[1]
        protocol, address = pair.protocol, pair.remote_addr
        transport = protocol.transport
        srtp = self._dtls._tx_srtp

        def send(packet: bytes) -> None:
            if not transport.is_closing():  # the server may have ended the call
                transport.sendto(srtp.protect(packet), address)

        self._send = send
        pass_on, arrived = protocol.datagram_received, self.arrived

        def on_datagram(data: bytes, at: float, address: Any) -> None:
            # RTP is 128 to 191 in the first byte; payload types 64 to 95 are RTCP (RFC 5761).
            if 127 < data[0] < 192 and not 64 <= data[1] & 0x7F <= 95:
                arrived.append((at, data))
            elif not transport.is_closing():
                pass_on(data, address)

        _read_with_times(transport, on_datagram)
        for receiver in self._pc.getReceivers():
            stop_decoder_thread(receiver)

    # Talking ------------------------------------------------------------------

    def talk(self, packets: Sequence[bytes], loss: float = 0.0) -> None:
        """Go round ``packets`` from now on, one every 20 ms, and lose the share ``loss``."""
        begin = self._talk is None
        self._talk = _Talk(packets, loss)
        if begin:
            loop = asyncio.get_running_loop()
            # Callers are not in step.
            self._due = loop.time() + (self.offset * 0.618034 % 1.0) * FRAME_S
            self._timer = loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        talk, send = self._talk, self._send
        if talk is None or send is None:
            return
        loop = asyncio.get_running_loop()
        frame = (self.offset + self._frames) % len(talk.packets)
        self._frames += 1
        lost = talk.loss > 0.0 and self._rng.random() < talk.loss
        now = time.monotonic()
        if not lost:
            header = _HEADER.pack(
                0x80, self._payload_type, self._sequence_number, self._timestamp, self._ssrc
            )
            send(header + talk.packets[frame])
        self.sent.append(SentPacket(frame, now, lost))
        self._sequence_number = (self._sequence_number + 1) & 0xFFFF
        self._timestamp = (self._timestamp + _TICKS) & 0xFFFFFFFF
        self.latest_send_s = max(self.latest_send_s, loop.time() - self._due)
        self._due += FRAME_S
        self._timer = loop.call_at(self._due, self._tick)

    def place_in_loop(self, length: int) -> int:
        """Where in a loop of so many packets the next tick is."""
        return (self.offset + self._frames) % length

    @property
    def is_up(self) -> bool:
        """Whether neither side has ended it; an overloaded server loses calls."""
        channel_is_up = self._channel is None or self._channel.readyState == "open"
        return bool(self._dtls.state == "connected" and channel_is_up)

    def say(self, **message: Any) -> float:
        """Send a message on the data channel; returns when."""
        at = time.monotonic()
        self._channel.send(json.dumps(message))
        return at

    def _on_message(self, data: str) -> None:
        self.messages.append((time.monotonic(), json.loads(data)))

    # The end ------------------------------------------------------------------

    def received(self) -> list[Received]:
        """What arrived so far, decrypted, in the order of arrival; before :meth:`close`."""
        srtp = self._dtls._rx_srtp
        received = []
        for at, data in self.arrived:
            packet = srtp.unprotect(data)
            begin = 12 + 4 * (packet[0] & 0x0F)
            if packet[0] & 0x10:
                begin += 4 + 4 * int.from_bytes(packet[begin + 2 : begin + 4], "big")
            end = len(packet) - (packet[-1] if packet[0] & 0x20 else 0)
            _, _, sequence_number, timestamp, _ = _HEADER.unpack_from(packet)
            received.append(Received(at, sequence_number, timestamp, packet[begin:end]))
        self.arrived.clear()
        return received

    def forget(self) -> None:
        """Drop what was kept so far: an hour of it is too much."""
        self.arrived.clear()
        self.sent.clear()
        self.messages.clear()

    async def vanish(self) -> None:
        """End without a word to the server, as a caller whose network is gone."""

        async def send_nothing(data: bytes, address: Any) -> None:
            pass

        for protocol in self._dtls.transport.iceGatherer._connection._protocols:
            protocol.send_data = send_nothing
            protocol.send_stun = lambda message, address: None
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        if self._timer is not None:
            self._timer.cancel()
        self._talk = None
        await self._pc.close()


def _read_with_times(
    transport: asyncio.DatagramTransport, on_datagram: Callable[[bytes, float, Any], None]
) -> None:
    """Read the transport's socket in its stead, with the kernel's time of each datagram.

    The transport, which is that of asyncio's selector loop, goes on sending and closing.
    """
    sock: socket.socket = transport.get_extra_info("socket")._sock
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    # The kernel stamps with the wall clock.
    ahead = time.time() - time.monotonic()

    def read() -> None:
        for _ in range(_READS_AT_ONCE):
            try:
                data, control, _, address = sock.recvmsg(2048, 64)
            except OSError:  # nothing left, or the peer's port is closed
                return
            at = time.monotonic()
            for level, kind, stamp in control:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack(stamp)
                    at = seconds - ahead + nanoseconds / 1e9
            if data:
                on_datagram(data, at, address)

    loop: Any = asyncio.get_running_loop()
    loop._add_reader(sock.fileno(), read)


def _connected(dtls: RTCDtlsTransport) -> asyncio.Event:
    """Set when the handshake is over, for good or bad."""
    event = asyncio.Event()

    def on_state() -> None:
        if dtls.state in ("connected", "failed", "closed"):
            event.set()

    dtls.on("statechange", on_state)
    return event
