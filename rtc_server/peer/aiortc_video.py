"""Video past aiortc: its packets straight from the socket, and what its sender is told.

aiortc has a receiver for video, which decodes every frame in a thread of its own.  Here aiortc
does not see the video section at all (:mod:`~rtc_server.peer.offer` leaves it out and
:mod:`~rtc_server.peer.answer_sdp` answers it): a packet of its payload type is decrypted, if it
is of use, and handed on; RTCP for its sender is written here.  What aiortc gets of it (packets
before the handshake is over, its sender reports) belongs to no receiver and is dropped.

Read in **aiortc 1.16.0**, as :mod:`~rtc_server.peer.aiortc_fast_path` says; only where that can
be used there is video.  Beyond what is listed there:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``RTCDtlsTransport._tx_srtp``,                        sending RTCP
``pylibsrtp.Session.protect_rtcp``
``RTCDtlsTransport.__rx_packets, __rx_bytes``         its statistics
====================================================  =====================================
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pylibsrtp
from aiortc.rtcdtlstransport import RTCDtlsTransport, State
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSourceInfo,
    pack_remb_fci,
)
from aiortc.utils import random32

from ..media.picture import ColourSpace
from ..metrics import Metrics
from .aiortc_fast_path import Arrived, SrtpSession
from .aiortc_ice import TakeDatagram
from .offer import OfferedVideo
from .rtp import HEADER, MARKER, RtpFault, RtpFormatError, extract_payload, find_extension, is_rtp
from .token_bucket import TokenBucket
from .video_uplink import VideoUplink

__all__ = ["MAX_VIDEO_BITRATE", "VideoIntake"]

MAX_VIDEO_BITRATE = 1_500_000
"""What the sender is asked to keep to, in bit/s: enough for a sharp key frame a second."""

MAX_BYTES_PER_S = 1_000_000
BURST_BYTES = 2_000_000
"""More than this, datagrams of any kind of video, is left out."""

MAX_SOURCES = 8
"""SSRCs that are met in a call; a browser has one, and a new one for a new camera at most."""

STALE_S = 2.0
"""A source that was silent for so long gives way to another one."""

_CLOCK_RATE = 90_000
_BT709, _FULL_RANGE = 1, 2  # matrix coefficients of ITU-T H.273; range as WebRTC counts it
_CNAME = 1  # RFC 3550 section 6.5.1
_MAX_JITTER = 0xFFFFFFFF


class VideoIntake:
    """Takes the caller's video out of the datagrams, before anybody else sees them.

    One source at a time: of a caller who sends several layers, the first that comes.

    Args:
        transport: whose datagrams it is offered.
        video: what was negotiated.
        uplink: is asked of each packet, and given those that it wants.
        otherwise: is offered what is no video.

    Attributes:
        refused: how many packets were dropped, and why.
        flooded: how many were dropped as too much.
    """

    def __init__(
        self,
        transport: RTCDtlsTransport,
        video: OfferedVideo,
        uplink: VideoUplink,
        otherwise: TakeDatagram | None,
        *,
        metrics: Metrics,
    ) -> None:
        self.refused: Counter[RtpFault] = Counter()
        self.flooded = 0
        self.transport = transport
        self._dtls: Any = transport
        self._connection = transport.transport.iceGatherer._connection
        self._payload_types = (video.payload_type, video.payload_type | MARKER)
        self._colour_space_id = video.colour_space_id
        self._uplink = uplink
        self._otherwise = otherwise
        self._budget = TokenBucket(MAX_BYTES_PER_S, BURST_BYTES)
        self._srtp: SrtpSession | None = None
        self._sources: set[int] = set()
        self._source: int | None = None
        self._heard_at = 0.0
        self._statistics = StreamStatistics(_CLOCK_RATE)
        self._arrived = Arrived()
        self._ssrc = random32()
        self._packets = metrics.packets["uplink"]
        self._lost = metrics.packets_lost.labels("uplink")
        self._lost_counted = 0
        uplink.feedback = self

    def take(self, datagram: bytes) -> bool:
        """Deal with a datagram; False: it goes on to aiortc."""
        if len(datagram) < 12 or datagram[1] not in self._payload_types or not is_rtp(datagram):
            return self._otherwise is not None and self._otherwise(datagram)
        if self._dtls._state is State.CONNECTED:
            self._take_video(datagram)
        return True

    def statistics(self) -> dict[str, Any]:
        """What arrived and what did not, ready for JSON."""
        counted = self._statistics
        return {
            "packets_lost": 0 if counted.max_seq is None else max(0, counted.packets_lost),
            "packets_refused": sum(self.refused.values()) + self.flooded,
        }

    def _take_video(self, datagram: bytes) -> None:
        self._dtls._RTCDtlsTransport__rx_packets += 1
        self._dtls._RTCDtlsTransport__rx_bytes += len(datagram)
        _, second, sequence_number, timestamp, ssrc = HEADER.unpack_from(datagram)
        now = self._uplink.now()
        if not self._budget.take(now, len(datagram)):
            self.flooded += 1
            return
        if ssrc != self._source and not self._may_follow(ssrc, now):
            self.refused[RtpFault.SOURCE] += 1
            return
        is_known = ssrc == self._source
        if is_known and not self._uplink.wants():
            # Not decrypted, and so not authenticated: it is counted, and nothing else.
            self._heard_at = now
            self._count(sequence_number, timestamp, ssrc)
            return
        try:
            if self._srtp is None:
                self._srtp = SrtpSession(self._dtls._rx_srtp)
            packet = self._srtp.unprotect(datagram)
            payload = extract_payload(packet)
        except RtpFormatError as problem:
            self.refused[problem.fault] += 1
            return
        except pylibsrtp.Error:
            self.refused[RtpFault.UNPROTECT] += 1
            return
        self._heard_at = now
        if not is_known:
            self._follow(ssrc)
            if not self._uplink.wants():
                self._count(sequence_number, timestamp, ssrc)
                return
        self._count(sequence_number, timestamp, ssrc)
        if self._colour_space_id is not None and second & MARKER:
            space = find_extension(packet, self._colour_space_id)
            if space is not None and len(space) >= 4:
                self._uplink.on_colour_space(_colours(space))
        self._uplink.on_packet(sequence_number, timestamp, bool(second & MARKER), payload)

    def _may_follow(self, ssrc: int, now: float) -> bool:
        if self._source is not None and now - self._heard_at < STALE_S:
            return False
        # Of each source that it decrypts SRTP keeps something for good.
        return ssrc in self._sources or len(self._sources) < MAX_SOURCES

    def _follow(self, ssrc: int) -> None:
        self._count_lost()
        self._lost_counted = 0
        self._sources.add(ssrc)
        self._source = ssrc
        self._statistics = StreamStatistics(_CLOCK_RATE)
        self._uplink.start_over()

    def _count_lost(self) -> None:
        if self._statistics.max_seq is not None:
            lost = max(self._lost_counted, self._statistics.packets_lost)
            self._lost.inc(lost - self._lost_counted)
            self._lost_counted = lost

    def _count(self, sequence_number: int, timestamp: int, ssrc: int) -> None:
        self._packets.inc()
        arrived = self._arrived
        arrived.sequence_number = sequence_number
        arrived.timestamp = timestamp
        arrived.ssrc = ssrc
        self._statistics.add(arrived)  # type: ignore[arg-type]

    # ------------------------------------------------------------------
    # To the sender (VideoFeedback)
    # ------------------------------------------------------------------

    def ask_key_frame(self) -> None:
        """Send a PLI."""
        if self._source is not None:
            self._send(RtcpPsfbPacket(RTCP_PSFB_PLI, self._ssrc, self._source))

    def ask_packets(self, sequence_numbers: list[int]) -> None:
        """Send a NACK."""
        if self._source is not None:
            self._send(RtcpRtpfbPacket(RTCP_RTPFB_NACK, self._ssrc, self._source, sequence_numbers))

    def report(self) -> None:
        """Send a receiver report, and how many bits a second are welcome (REMB)."""
        self._count_lost()
        if self._source is not None:
            limit = pack_remb_fci(MAX_VIDEO_BITRATE, [self._source])
            self._send(RtcpPsfbPacket(RTCP_PSFB_APP, self._ssrc, 0, limit))

    def _send(self, feedback: RtcpPsfbPacket | RtcpRtpfbPacket) -> None:
        """Send a compound packet (RFC 3550 section 6.1); without a connection, none."""
        dtls = self._dtls
        pair = self._connection._nominated.get(1)
        if pair is None or dtls._state is not State.CONNECTED:
            return
        socket = pair.protocol.transport
        if socket.is_closing():
            return
        name = RtcpSourceInfo(self._ssrc, [(_CNAME, b"video")])
        packet = b"".join(map(bytes, (self._report(), RtcpSdesPacket([name]), feedback)))
        try:
            protected = dtls._tx_srtp.protect_rtcp(packet)
        except pylibsrtp.Error:
            return
        socket.sendto(protected, pair.remote_addr)

    def _report(self) -> RtcpRrPacket:
        counted = self._statistics
        assert self._source is not None
        if counted.max_seq is None:
            return RtcpRrPacket(ssrc=self._ssrc)
        block = RtcpReceiverInfo(
            ssrc=self._source,
            fraction_lost=counted.fraction_lost,
            packets_lost=counted.packets_lost,
            highest_sequence=(counted.cycles + counted.max_seq) & 0xFFFFFFFF,
            jitter=min(counted.jitter, _MAX_JITTER),
            lsr=0,
            dlsr=0,
        )
        return RtcpRrPacket(ssrc=self._ssrc, reports=[block])


def _colours(space: bytes) -> ColourSpace:
    """Of the extension: primaries, transfer, matrix, and range above two bits each of siting."""
    return ColourSpace(
        "ITU709" if space[2] == _BT709 else "ITU601",
        "JPEG" if space[3] >> 4 & 0x03 == _FULL_RANGE else "MPEG",
    )
