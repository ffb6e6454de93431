"""Audio as packets: in as they arrive, undecoded, and what RTCP says of both directions.

Read in **aiortc 1.16.0**; ``tests/peer/test_aiortc_internals.py`` fails loudly
when one of these is gone or behaves otherwise:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``RTCRtpReceiver.__jitter_buffer``                    packets in order at once
``RTCRtpReceiver.receive, .__started, .__codecs,      no decoder thread
.__rtcp_task, ._run_rtcp``,
``RTCDtlsTransport._register_rtp_receiver``
``RTCRtpReceiver._send_rtcp``                         reports of a jitter that fits
``RTCRtpReceiver.__remote_streams, __active_ssrc,     a bounded number of sources
__lsr, __lsr_time``, ``RTCDtlsTransport._rtp_router``
``RTCRtpSender._handle_rtcp_packet``, ``._ssrc``      what the peer says that it lost
====================================================  =====================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.rtp import AnyRtcpPacket, RtcpRrPacket, RtcpSrPacket, RtpPacket

__all__ = ["MAX_SOURCES", "take_over_receiver", "watch_loss"]

MAX_SOURCES = 16
"""SSRCs of which statistics are kept; a receiver report has room for 31 (RFC 3550, 6.4.2)."""

_MAX_JITTER = 0xFFFFFFFF  # its field in a report has 32 bits (RFC 3550, 6.4.1)


class _PacketTap:
    """Stands where aiortc's jitter buffer stood and completes no frame, ever.

    aiortc's own buffer holds packets back, and after one loss 200 ms for good.  In its
    place the packets are given on, after RTCP has counted them, and nothing is decoded.
    """

    def __init__(self, receiver: RTCRtpReceiver, on_packet: Callable[[RtpPacket], None]) -> None:
        self._receiver = receiver
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        _forget_old_sources(self._receiver)
        self._on_packet(packet)
        return False, None


def take_over_receiver(receiver: RTCRtpReceiver, on_packet: Callable[[RtpPacket], None]) -> None:
    """Hand every RTP packet to ``on_packet`` as it arrives; call before it starts.

    ``on_packet`` runs inside aiortc's receive loop and must not raise.  RTCP statistics
    and reports go on as before; what aiortc's ``receive()`` does is done without the thread
    that would decode.
    """
    receiver._RTCRtpReceiver__jitter_buffer = _PacketTap(  # type: ignore[attr-defined]
        receiver, on_packet
    )
    private: Any = receiver

    async def receive(parameters: Any) -> None:
        if private._RTCRtpReceiver__started:
            return
        for codec in parameters.codecs:
            private._RTCRtpReceiver__codecs[codec.payloadType] = codec
        receiver.transport._register_rtp_receiver(receiver, parameters)
        private._RTCRtpReceiver__rtcp_task = asyncio.ensure_future(receiver._run_rtcp())
        private._RTCRtpReceiver__started = True

    receiver.receive = receive  # type: ignore[method-assign]
    _keep_reports_alive(receiver)


def _keep_reports_alive(receiver: RTCRtpReceiver) -> None:
    """Shorten what does not fit.

    Of timestamps that jump to and fro aiortc makes more jitter than can be packed, and its
    RTCP task dies.
    """
    send_rtcp = receiver._send_rtcp

    async def send_packed(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpRrPacket):
            for report in packet.reports:
                report.jitter = min(report.jitter, _MAX_JITTER)
        await send_rtcp(packet)

    receiver._send_rtcp = send_packed  # type: ignore[method-assign]


def _forget_old_sources(receiver: RTCRtpReceiver) -> None:
    """Forget the oldest SSRCs.

    With more than 31 the receiver report cannot be packed, aiortc's RTCP task dies and its
    ``close()`` waits for it for ever.
    """
    streams = receiver._RTCRtpReceiver__remote_streams  # type: ignore[attr-defined]
    while len(streams) > MAX_SOURCES:
        ssrc = next(iter(streams))
        for table in (
            streams,
            receiver._RTCRtpReceiver__active_ssrc,  # type: ignore[attr-defined]
            receiver._RTCRtpReceiver__lsr,  # type: ignore[attr-defined]
            receiver._RTCRtpReceiver__lsr_time,  # type: ignore[attr-defined]
            receiver.transport._rtp_router.ssrc_table,
        ):
            table.pop(ssrc, None)


def watch_loss(sender: RTCRtpSender, on_loss: Callable[[float], None]) -> None:
    """Say what share of our packets the peer lost, 0 to 1, at each of its reports."""
    handle = sender._handle_rtcp_packet

    async def watched(packet: AnyRtcpPacket) -> None:
        await handle(packet)
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:
                    on_loss(report.fraction_lost / 256)

    sender._handle_rtcp_packet = watched  # type: ignore[method-assign]
