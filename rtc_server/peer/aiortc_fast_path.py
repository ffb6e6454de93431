"""The packet path past aiortc: RTP straight from the socket, and straight to it.

aiortc takes every datagram for STUN first, hands it through a queue to a task, and builds an
object of each packet; it needs a task for each sender too.  Here an RTP packet is decrypted
and handed on as it is read, and one that is to be sent is packed, encrypted and written where
it was encoded.  All else stays aiortc's: STUN, DTLS, SCTP, RTCP (whose figures are kept right
from here), the first packet of each source, and the whole life of the connection.

Read in **aiortc 1.16.0**, **aioice 0.13.0** and **pylibsrtp 1.0.0**.  With other versions, or
when one of these names is gone, :func:`find_fault` says so and the packets go through aiortc:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``RTCRtpReceiver.__remote_streams``,                  receiver reports; which sources are
``StreamStatistics.add``                              known
``RTCRtpReceiver.__codecs``                           the payload type of Opus
``RTCDtlsTransport._rx_srtp, ._tx_srtp, ._state``     the keys, once there are some
``RTCDtlsTransport.__rx_packets, __rx_bytes,          its statistics
__tx_packets, __tx_bytes``
``Connection._queue``                                 packets that came before are not
                                                      overtaken
``Connection._nominated``, ``CandidatePair.protocol,  where to send
.remote_addr``
``RTCRtpSender._run_rtp``, ``.__rtp_started,          our own way of sending
.__rtp_exited``
``RTCRtpSender._ssrc, .__mid,                         what goes into each header
.__rtp_header_extensions_map``
``pylibsrtp.ffi, .lib``, ``Session._srtp, ._cdata,     no new memory for each packet
._buffer``
``RTCRtpSender.__packet_count, .__octet_count,        sender reports
.__rtp_timestamp, .__ntp_timestamp``
====================================================  =====================================
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import struct
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pylibsrtp
from aioice import Connection
from aioice.ice import CandidatePair, StunProtocol
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender
from aiortc.rtcdtlstransport import RTCDtlsTransport, State
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtcrtpsender import random_sequence_number
from aiortc.rtp import HeaderExtensions
from aiortc.utils import random32

from .aiortc_ice import MAX_SRTP_BYTES
from .aiortc_internals import AIOICE_VERSION, AIORTC_VERSION
from .rtp import (
    EXTENSION,
    HEADER,
    MARKER,
    VERSION,
    RtpFault,
    RtpFormatError,
    extract_payload,
    is_rtp,
)
from .uplink import ArrivedPacket

__all__ = [
    "Arrived",
    "PYLIBSRTP_VERSION",
    "RtpIntake",
    "SendRtp",
    "SrtpSession",
    "find_fault",
    "is_usable",
    "take_over_sender",
]

logger = logging.getLogger(__name__)

PYLIBSRTP_VERSION = "1.0.0"

MAX_SRTP_TRAILER_BYTES = 144
"""What protecting may add to a packet (``SRTP_MAX_TRAILER_LEN``)."""

_NTP_EPOCH_S = 2_208_988_800  # from 1900 to 1970
_NTP_SECOND = 1 << 32

SendRtp = Callable[[bytes, int, bool], None]
"""Sends one packet: payload, timestamp counted from 0, marker bit."""


# --------------------------------------------------------------------------
# Whether it can be used
# --------------------------------------------------------------------------


@functools.cache
def is_usable() -> bool:
    """Whether packets go past aiortc; if not, the log says why, once.  Call it on a loop."""
    fault = find_fault()
    if fault is not None:
        logger.warning("audio packets go through aiortc, which costs a quarter more CPU: %s", fault)
    return fault is None


def find_fault() -> str | None:
    """Why this path cannot be used, in words for the operator; None when it can.

    Compares versions, looks for each private name on real objects, and sends packets through
    SRTP.  Takes some milliseconds; call it on a loop.
    """
    try:
        return _version_fault() or _name_fault() or _srtp_fault()
    except (AttributeError, PackageNotFoundError) as problem:
        return str(problem)


def _version_fault() -> str | None:
    read = {"aiortc": AIORTC_VERSION, "aioice": AIOICE_VERSION, "pylibsrtp": PYLIBSRTP_VERSION}
    for name, expected in read.items():
        if version(name) != expected:
            return f"{name} is {version(name)}, and {expected} is the version that is known"
    return None


def _name_fault() -> str | None:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = pc.addTransceiver("audio")
    sender, receiver = transceiver.sender, transceiver.receiver
    dtls = receiver.transport
    connection = dtls.transport.iceGatherer._connection
    wanted: list[tuple[object, str]] = [
        (receiver, "_RTCRtpReceiver__remote_streams _RTCRtpReceiver__codecs"),
        (dtls, "_rx_srtp _tx_srtp _state transport"),
        (dtls, "_RTCDtlsTransport__rx_packets _RTCDtlsTransport__rx_bytes"),
        (dtls, "_RTCDtlsTransport__tx_packets _RTCDtlsTransport__tx_bytes"),
        (connection, "_queue _nominated"),
        (connection._queue, "_queue"),
        (pylibsrtp, "ffi lib"),
        (pylibsrtp.Session(), "_srtp _cdata _buffer protect_rtcp"),
        (CandidatePair, "remote_addr"),
        (StunProtocol, "datagram_received"),
        (sender, "_ssrc _run_rtp"),
        (sender, "_RTCRtpSender__rtp_started _RTCRtpSender__rtp_exited _RTCRtpSender__mid"),
        (sender, "_RTCRtpSender__packet_count _RTCRtpSender__octet_count"),
        (sender, "_RTCRtpSender__rtp_timestamp _RTCRtpSender__ntp_timestamp"),
        (sender, "_RTCRtpSender__rtp_header_extensions_map"),
    ]
    for owner, names in wanted:
        for name in names.split():
            if not hasattr(owner, name):
                return f"{name} is gone"
    if list(inspect.signature(sender._run_rtp).parameters) != ["codec"]:
        return "RTCRtpSender._run_rtp takes other arguments"
    if list(inspect.signature(StreamStatistics(48_000).add).parameters) != ["packet"]:
        return "StreamStatistics.add takes other arguments"
    return None


def _srtp_fault() -> str | None:
    key = os.urandom(30)
    outbound, inbound = (
        pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=one))
        for one in (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    )
    ours = SrtpSession(outbound).protect, SrtpSession(inbound).unprotect
    theirs = outbound.protect, inbound.unprotect
    for number, (protect, unprotect) in enumerate((ours, theirs, (ours[0], theirs[1]))):
        packet = HEADER.pack(VERSION, 96, number, 2, 3) + bytes(40)
        try:
            arrived = unprotect(protect(packet))
        except pylibsrtp.Error as problem:
            return f"SRTP fails: {problem}"
        if arrived != packet:
            return "SRTP changes packets"
    return None


class SrtpSession:
    """One of pylibsrtp's sessions, used without new memory for each packet's length.

    That is half of what its own ``protect`` and ``unprotect`` cost.  aiortc uses the same
    session and buffer for RTCP, never at the same time: all is done on the loop.
    """

    def __init__(self, session: Any) -> None:
        binding: Any = pylibsrtp
        self._session = session  # frees what is used here when it goes
        self._srtp = session._srtp[0]
        self._memory = session._cdata
        self._buffer = session._buffer
        self._size = binding.ffi.new("int *")
        self._protect = binding.lib.srtp_protect
        self._unprotect = binding.lib.srtp_unprotect

    def protect(self, packet: bytes) -> bytes:
        """Raises :exc:`pylibsrtp.Error`, as :meth:`unprotect` does."""
        return self._process(packet, self._protect, MAX_SRTP_BYTES - MAX_SRTP_TRAILER_BYTES)

    def unprotect(self, packet: bytes) -> bytes:
        return self._process(packet, self._unprotect, MAX_SRTP_BYTES)

    def _process(self, packet: bytes, function: Any, longest: int) -> bytes:
        length = len(packet)
        if length > longest:
            raise pylibsrtp.Error("the packet is too long")
        buffer, size = self._buffer, self._size
        buffer[0:length] = packet
        size[0] = length
        if function(self._srtp, self._memory, size):
            raise pylibsrtp.Error("the packet was refused")
        result: bytes = buffer[0 : size[0]]
        return result


# --------------------------------------------------------------------------
# From the socket
# --------------------------------------------------------------------------


class Arrived:
    """One for all packets of a stream: aiortc's statistics and our uplink look at it and let go."""

    __slots__ = ("payload", "sequence_number", "ssrc", "timestamp")

    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


class RtpIntake:
    """Takes the caller's RTP out of the datagrams, before aiortc sees them.

    Args:
        receiver: whose packets and statistics they are; its transport's, too.
        on_packet: is given each packet as it arrives; must not raise.

    Attributes:
        refused: how many packets were dropped, and why.  Packets of sources that aiortc has
            not met yet are its to judge: it does so for the first packet of each, after
            authenticating it, and keeps a bounded number.
    """

    def __init__(
        self, receiver: RTCRtpReceiver, on_packet: Callable[[ArrivedPacket], None]
    ) -> None:
        dtls = receiver.transport
        self.refused: Counter[RtpFault] = Counter()
        self._dtls = dtls
        self._on_packet = on_packet
        self._waiting = dtls.transport.iceGatherer._connection._queue._queue  # type: ignore[attr-defined]
        self._streams: dict[int, StreamStatistics] = receiver._RTCRtpReceiver__remote_streams  # type: ignore[attr-defined]
        self._codecs: dict[int, RTCRtpCodecParameters] = receiver._RTCRtpReceiver__codecs  # type: ignore[attr-defined]
        self._arrived = Arrived()
        self._srtp: SrtpSession | None = None

    @property
    def transport(self) -> RTCDtlsTransport:
        """Whose datagrams it is to be offered."""
        return self._dtls

    def refusals(self) -> dict[str, int]:
        """How many packets were dropped, by reason."""
        return {fault.value: count for fault, count in self.refused.items()}

    def take(self, datagram: bytes) -> bool:
        """Deal with a datagram; False: it is none of ours, and goes on to aiortc."""
        if not is_rtp(datagram):
            return False
        _, second, sequence_number, timestamp, ssrc = HEADER.unpack_from(datagram)
        stream = self._streams.get(ssrc)
        # A datagram that waits came earlier, and is not to be overtaken.
        if stream is None or self._waiting or self._dtls._state is not State.CONNECTED:
            return False
        dtls: Any = self._dtls
        dtls._RTCDtlsTransport__rx_packets += 1
        dtls._RTCDtlsTransport__rx_bytes += len(datagram)
        if second & 0x7F not in self._codecs:
            self.refused[RtpFault.PAYLOAD_TYPE] += 1
            return True
        try:
            if self._srtp is None:
                self._srtp = SrtpSession(dtls._rx_srtp)
            payload = extract_payload(self._srtp.unprotect(datagram))
        except RtpFormatError as problem:
            self.refused[problem.fault] += 1
            return True
        except pylibsrtp.Error:
            self.refused[RtpFault.UNPROTECT] += 1
            return True
        arrived = self._arrived
        arrived.sequence_number = sequence_number
        arrived.timestamp = timestamp
        arrived.ssrc = ssrc
        arrived.payload = payload
        stream.add(arrived)  # type: ignore[arg-type]
        self._on_packet(arrived)
        return True


# --------------------------------------------------------------------------
# To the socket
# --------------------------------------------------------------------------


def take_over_sender(sender: RTCRtpSender, begin: Callable[[SendRtp], None]) -> None:
    """Send the packets ourselves; call before the sender starts.

    When the connection is up, ``begin`` is given what sends a packet.  aiortc goes on to send
    RTCP, BYE included, and to start and stop the sender: its task for RTP does nothing but
    wait for that.
    """
    private: Any = sender

    async def run_rtp(codec: RTCRtpCodecParameters) -> None:
        private._RTCRtpSender__rtp_started.set()
        try:
            begin(_RtpOutlet(sender, codec).send)
            await asyncio.get_running_loop().create_future()
        finally:
            private._RTCRtpSender__rtp_exited.set()

    private._run_rtp = run_rtp


class _RtpOutlet:
    """Packs, encrypts and sends the packets of one stream, and counts them for RTCP."""

    def __init__(self, sender: RTCRtpSender, codec: RTCRtpCodecParameters) -> None:
        self._sender: Any = sender
        self._dtls: RTCDtlsTransport = sender.transport
        self._connection: Connection = self._dtls.transport.iceGatherer._connection
        assert codec.payloadType is not None
        self._payload_type = codec.payloadType
        self._ssrc = sender._ssrc
        self._srtp = SrtpSession(self._dtls._tx_srtp)  # the handshake is over when a sender starts
        self._sequence_number = random_sequence_number()
        self._origin = random32()
        self._extension = _mid_extension(sender)
        self._first = VERSION | (EXTENSION if self._extension else 0)

    def send(self, payload: bytes, ticks: int, marker: bool) -> None:
        """Send one packet now; without a connection it is dropped, as the network would."""
        dtls = self._dtls
        pair = self._connection._nominated.get(1)
        if pair is None or dtls._state is not State.CONNECTED:
            return
        socket = pair.protocol.transport
        if socket.is_closing():
            return
        timestamp = (self._origin + ticks) & 0xFFFFFFFF
        header = HEADER.pack(
            self._first,
            self._payload_type | MARKER if marker else self._payload_type,
            self._sequence_number,
            timestamp,
            self._ssrc,
        )
        datagram = self._srtp.protect(header + self._extension + payload)
        socket.sendto(datagram, pair.remote_addr)
        self._sequence_number = (self._sequence_number + 1) & 0xFFFF
        self._count(timestamp, len(payload), len(datagram))

    def _count(self, timestamp: int, octets: int, size: int) -> None:
        sender, dtls = self._sender, self._dtls
        sender._RTCRtpSender__ntp_timestamp = int((time.time() + _NTP_EPOCH_S) * _NTP_SECOND)
        sender._RTCRtpSender__rtp_timestamp = timestamp
        sender._RTCRtpSender__octet_count += octets
        sender._RTCRtpSender__packet_count += 1
        dtls._RTCDtlsTransport__tx_packets += 1  # type: ignore[attr-defined]
        dtls._RTCDtlsTransport__tx_bytes += size  # type: ignore[attr-defined]


def _mid_extension(sender: RTCRtpSender) -> bytes:
    """The header extension that names the media section (RFC 9143), if it was negotiated."""
    private: Any = sender
    profile, value = private._RTCRtpSender__rtp_header_extensions_map.set(
        HeaderExtensions(mid=private._RTCRtpSender__mid)
    )
    return struct.pack("!HH", profile, len(value) // 4) + value if value else b""
