"""Everything in the harness that touches a private part of aiortc or aioice.

Read in aiortc 1.16.0 and aioice 0.13.0; ``tests/harness/test_aiortc_internals.py`` fails
loudly where a later version has changed one of these places.  Why each is needed:

* The receiver's own jitter buffer holds 80 ms of audio back, and 280 ms for good after one
  lost packet: what is to be timed has to be taken as it arrives (:func:`tap_receiver`).
* aioice offers every address except 127.0.0.1: on a machine that has no other, nobody
  could be called (:func:`offer_loopback_where_alone`).
* A test of packet loss has to lose packets after they were numbered
  (:func:`drop_outgoing_rtp`), and a test of a vanished caller has to vanish without a
  word (:func:`go_dark`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aioice.ice
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender
from aiortc.rtp import RtpPacket, is_rtcp

__all__ = [
    "ReceivedPacket",
    "drop_outgoing_rtp",
    "go_dark",
    "offer_loopback_where_alone",
    "stop_decoder_thread",
    "tap_receiver",
]


@dataclass(frozen=True, slots=True)
class ReceivedPacket:
    """One RTP packet: ``timestamp`` in 48 kHz units, ``arrived_at`` in monotonic seconds."""

    sequence_number: int
    timestamp: int
    payload: bytes
    arrived_at: float


class _PacketTap:
    """Stands where the receiver has its jitter buffer; lets nothing through to its decoder."""

    def __init__(
        self, on_packet: Callable[[ReceivedPacket], None], clock: Callable[[], float]
    ) -> None:
        self._on_packet = on_packet
        self._clock = clock

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        payload: bytes = packet._data  # type: ignore[attr-defined]
        if payload:
            self._on_packet(
                ReceivedPacket(packet.sequence_number, packet.timestamp, payload, self._clock())
            )
        return False, None


def tap_receiver(
    receiver: RTCRtpReceiver,
    on_packet: Callable[[ReceivedPacket], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Hand every packet of ``receiver`` to ``on_packet`` on arrival, in the order of arrival.

    The receiver goes on counting for its RTCP reports and statistics; its track stays mute.
    """
    name = "_RTCRtpReceiver__jitter_buffer"
    getattr(receiver, name)  # AttributeError here: aiortc has changed
    setattr(receiver, name, _PacketTap(on_packet, clock))


def stop_decoder_thread(receiver: RTCRtpReceiver) -> None:
    """End the decoder thread of a tapped receiver, which would only idle until the end."""
    stop: Callable[[], None] = getattr(receiver, "_RTCRtpReceiver__stop_decoder")  # noqa: B009
    stop()


def offer_loopback_where_alone() -> None:
    """Make aioice take 127.0.0.1 for a candidate where there is no other address.

    For the whole process; calling it again changes nothing.
    """
    original = aioice.ice.get_host_addresses
    if getattr(original, "offers_loopback", False):
        return

    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return original(use_ipv4=use_ipv4, use_ipv6=use_ipv6) or ["127.0.0.1"]

    get_host_addresses.offers_loopback = True  # type: ignore[attr-defined]
    aioice.ice.get_host_addresses = get_host_addresses


def drop_outgoing_rtp(sender: RTCRtpSender, count: int) -> None:
    """Lose the next ``count`` RTP packets of ``sender`` after they were numbered.

    RTCP is let through.  What is bundled on the same transport is lost with them.
    """
    transport = sender.transport
    send = transport._send_rtp
    left = count

    async def drop_or_send(data: bytes) -> None:
        nonlocal left
        if left > 0 and not is_rtcp(data):
            left -= 1
            if left == 0:
                del transport._send_rtp  # the class's own shows again
            return
        await send(data)

    if count > 0:
        transport._send_rtp = drop_or_send  # type: ignore[method-assign]


def go_dark(connection: RTCPeerConnection) -> None:
    """Send nothing more on any of the connection's transports, not even a goodbye."""

    async def swallow(data: bytes) -> None:
        return

    for transport in _dtls_transports(connection):
        transport.transport._send = swallow


def _dtls_transports(connection: RTCPeerConnection) -> list[Any]:
    transports: list[Any] = [one.receiver.transport for one in connection.getTransceivers()]
    if connection.sctp is not None:
        transports.append(connection.sctp.transport)
    return transports
