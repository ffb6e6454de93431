"""The private places of aiortc and aioice that the harness leans on are still there."""

from __future__ import annotations

import inspect

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport

from rtc_harness.aiortc_internals import (
    ReceivedPacket,
    drop_outgoing_rtp,
    go_dark,
    offer_loopback_where_alone,
    stop_decoder_thread,
    tap_receiver,
)

CHANGED = "aiortc has changed: read rtc_harness/aiortc_internals.py again"


async def test_receiver_still_has_its_jitter_buffer_and_its_decoder_thread() -> None:
    """The names under which the receiver keeps both; its buffer's method takes a packet."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver = connection.addTransceiver("audio").receiver
    assert "_RTCRtpReceiver__jitter_buffer" in vars(receiver), CHANGED
    assert "_RTCRtpReceiver__decoder_thread" in vars(receiver), CHANGED
    packets: list[ReceivedPacket] = []
    tap_receiver(receiver, packets.append)
    stop_decoder_thread(receiver)  # nothing to stop yet, and no harm
    source = inspect.getsource(type(receiver)._handle_rtp_packet)
    assert "pli_flag, encoded_frame = self.__jitter_buffer.add(packet)" in source, CHANGED
    assert "packet._data = depayload(" in source, CHANGED
    await connection.close()


async def test_transports_still_send_by_the_replaced_methods() -> None:
    """Dropping and going dark replace ``_send_rtp`` and ``_send`` on the instance."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    sender = connection.addTransceiver("audio").sender
    assert inspect.iscoroutinefunction(RTCDtlsTransport._send_rtp), CHANGED
    assert "self.transport._send(" in inspect.getsource(RTCDtlsTransport._send_rtp), CHANGED
    assert "self.transport._send_rtp(" in inspect.getsource(type(sender)._run_rtp), CHANGED
    assert "self._send = " in inspect.getsource(RTCIceTransport.__init__), CHANGED
    drop_outgoing_rtp(sender, 1)
    assert "_send_rtp" in vars(sender.transport)
    await sender.transport._send_rtp(bytes([0x80, 96]) + bytes(10))
    assert "_send_rtp" not in vars(sender.transport)
    drop_outgoing_rtp(sender, 0)
    assert "_send_rtp" not in vars(sender.transport)
    go_dark(connection)
    await sender.transport.transport._send(b"nobody hears this")
    await connection.close()


def test_loopback_is_offered_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 is a candidate on a machine without another address, and only there."""
    addresses: list[str] = []
    monkeypatch.setattr(
        aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: list(addresses)
    )
    offer_loopback_where_alone()
    offer_loopback_where_alone()
    assert aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True) == ["127.0.0.1"]
    addresses.append("192.0.2.7")
    assert aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True) == ["192.0.2.7"]


def test_ice_still_asks_for_its_addresses_by_name() -> None:
    """The replaced function is the one that gathering calls."""
    gathering = inspect.getsource(aioice.ice.Connection.gather_candidates)
    assert "get_host_addresses(\n" in gathering, CHANGED
