"""Fails loudly when aiortc or aioice changed what the modules ``aiortc_…`` reach into."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import socket
from importlib.metadata import version
from typing import Any

import aioice.ice
import aiortc.rtcdtlstransport
import aiortc.rtcrtpreceiver
import aiortc.rtcsctptransport
import pytest
from aioice import Connection
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtp import RtcpPacket, RtcpReceiverInfo, RtcpRrPacket
from aiortc.sdp import SessionDescription
from cryptography.hazmat.primitives import hashes

from rtc_server.media.opus import OpusEncoder
from rtc_server.peer import aiortc_audio, aiortc_ice, aiortc_internals, aiortc_sctp
from rtc_server.peer.aiortc_audio import MAX_SOURCES
from rtc_server.peer.aiortc_ice import gather_host_candidates
from rtc_server.peer.aiortc_internals import transports
from rtc_server.peer.aiortc_sctp import INITIAL_WINDOW_BYTES, SCTP_USER_DATA_BYTES

from .rtc_client import RtcClient, tone
from .support import Peer, call, until


def test_the_versions_are_those_that_were_read() -> None:
    """Read the changes of a new version before this is changed."""
    assert version("aiortc") == aiortc_internals.AIORTC_VERSION
    assert version("aioice") == aiortc_internals.AIOICE_VERSION


async def test_every_private_name_is_still_there() -> None:
    """A name that is gone would be created by an assignment, and do nothing."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio")
    pc.createDataChannel("x")
    [transceiver] = pc.getTransceivers()
    sctp = pc.sctp
    assert sctp is not None
    connection = transceiver.receiver.transport.transport.iceGatherer._connection
    names: list[tuple[object, list[str]]] = [
        (pc, ["_RTCPeerConnection__connect", "_RTCPeerConnection__certificates"]),
        (
            transceiver.receiver,
            [
                f"_RTCRtpReceiver__{name}"
                for name in (
                    "jitter_buffer",
                    "stop_decoder",
                    "decoder_thread",
                    "remote_streams",
                    "active_ssrc",
                    "lsr",
                    "lsr_time",
                    "rtcp_task",
                    "rtcp_exited",
                    "started",
                    "codecs",
                )
            ]
            + ["_run_rtcp"],
        ),
        (
            transceiver.sender,
            [
                f"_RTCRtpSender__{name}"
                for name in ("rtp_task", "rtp_exited", "rtcp_task", "rtcp_exited")
            ],
        ),
        (
            sctp,
            [
                "_get_inbound_stream",
                "_inbound_streams",
                "_advertised_rwnd",
                "_data_channel_queue",
                "_outbound_queue",
                "_sent_queue",
            ],
        ),
        (transceiver.receiver, ["_send_rtcp"]),
        (transceiver.receiver.transport, ["_rtp_router", "_ssl", "_register_rtp_receiver"]),
        (transceiver.receiver.transport._rtp_router, ["ssrc_table"]),
        (connection, ["_protocols", "_nominated", "_closing", "get_component_candidates"]),
        (connection, ["_query_consent_task", "_check_periodic", "_check_list", "_queue"]),
        (RTCCertificate.generateCertificate(), ["_create_ssl_context", "_cert", "_key"]),
        (aiortc.rtcdtlstransport, ["SSL"]),
        (aiortc.rtcsctptransport, ["USERDATA_MAX_LENGTH", "InboundStream", "DataChunk"]),
        (aioice.ice, ["StunProtocol", "get_host_addresses"]),
    ]
    missing = [name for owner, wanted in names for name in wanted if not hasattr(owner, name)]
    assert missing == []
    assert sctp._advertised_rwnd == INITIAL_WINDOW_BYTES
    await pc.close()


def test_the_overrides_have_the_signatures_of_what_they_replace() -> None:
    expected = ["self", "component", "addresses", "timeout"]
    assert list(inspect.signature(Connection.get_component_candidates).parameters) == expected
    assert "self.get_component_candidates(component=" in inspect.getsource(
        Connection.gather_candidates
    )
    receive = inspect.getsource(aiortc.rtcrtpreceiver.RTCRtpReceiver._handle_rtp_packet)
    assert "self.__jitter_buffer.add(packet)" in receive
    reports = inspect.getsource(aiortc.rtcrtpreceiver.RTCRtpReceiver._run_rtcp)
    assert "self._send_rtcp(packet)" in reports


def digest(function: object) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]  # type: ignore[arg-type]


def test_what_is_done_in_the_place_of_aiortc_is_what_it_does() -> None:
    """Read the new text and do the same, then write down its digest."""
    receiver = aiortc.rtcrtpreceiver.RTCRtpReceiver
    assert digest(receiver.receive) == "d6d8d8d7a0bf4e95"
    assert digest(RTCCertificate._create_ssl_context) == "aac625bdc264f0a6"
    assert digest(aiortc_ice._aioice_host_addresses) == "d4a54f9a68c39ff1"


def test_the_certificate_is_set_before_the_handshake_begins() -> None:
    """The connection is made, the state changes, the first message is written: in this order."""
    start = inspect.getsource(RTCDtlsTransport.start)
    steps = ("SSL.Connection(", "_set_state(State.CONNECTING)", "_do_handshake()")
    places = [start.index(one) for one in steps]
    assert places == sorted(places)


async def test_calls_share_an_ssl_context_and_no_certificate() -> None:
    """Each presents the certificate whose fingerprint its answer has, and no other."""
    presented = []
    contexts = set()
    for _ in range(2):
        async with call(audio=None) as (peer, client):
            [ours] = transports(peer.connection._pc)
            [theirs] = transports(client.pc)
            assert ours._ssl is not None
            assert theirs._ssl is not None
            contexts.add(ours._ssl.get_context())
            certificate = theirs._ssl.get_peer_certificate(as_cryptography=True)
            assert certificate is not None
            digest_of = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
            assert f"a=fingerprint:sha-256 {digest_of}" in client.answer
            presented.append(digest_of)
    assert len(contexts) == 1
    assert presented[0] != presented[1]


async def test_packets_are_counted_by_rtcp_and_decoded_by_nobody() -> None:
    """The tap takes every packet, after the statistics and before a decoder."""
    async with call(data=False) as (peer, client):
        await until(lambda: len(peer.sink.audio) > 10)
        [receiver] = peer.connection._pc.getReceivers()
        assert receiver._RTCRtpReceiver__decoder_thread is None  # type: ignore[attr-defined]
        assert receiver._RTCRtpReceiver__decoder_queue.empty()  # type: ignore[attr-defined]
        # The caller has our reports.
        await until(lambda: client.microphone.sent > 20)
        [stream] = receiver._RTCRtpReceiver__remote_streams.values()  # type: ignore[attr-defined]
        assert stream.packets_received > 10
        assert stream.packets_lost == 0


async def test_many_sources_do_not_kill_the_receiver_reports() -> None:
    """More than 31 SSRCs cannot be packed into a report: the oldest are forgotten."""
    async with call(data=False) as (peer, client):
        await until(lambda: len(peer.sink.audio) > 2)
        [sender] = client.pc.getSenders()
        for ssrc in range(1, 60):
            count = client.microphone.sent
            sender._ssrc = ssrc
            client.microphone._frames -= 1  # at once
            await until(lambda count=count: client.microphone.sent > count)  # type: ignore[misc]
        [receiver] = peer.connection._pc.getReceivers()
        streams = receiver._RTCRtpReceiver__remote_streams  # type: ignore[attr-defined]
        await until(lambda: 58 in streams)
        assert len(streams) <= MAX_SOURCES + 1
        assert len(receiver.transport._rtp_router.ssrc_table) <= MAX_SOURCES + 1


async def test_timestamps_to_and_fro_do_not_kill_the_receiver_reports() -> None:
    """Their jitter is more than its field in a report holds: it is shortened."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver: Any = pc.addTransceiver("audio").receiver
    aiortc_audio.take_over_receiver(receiver, lambda packet: None)
    sent: list[bytes] = []

    async def keep(data: bytes) -> None:
        sent.append(data)

    receiver.transport._send_rtp = keep
    report = RtcpReceiverInfo(1, 0, 0, 1, jitter=2**32 + 29, lsr=0, dlsr=0)
    await receiver._send_rtcp(RtcpRrPacket(ssrc=2, reports=[report]))
    [packet] = RtcpPacket.parse(sent[0])
    assert isinstance(packet, RtcpRrPacket)
    assert packet.reports[0].jitter == 2**32 - 1
    await pc.close()


async def test_datagrams_of_the_data_channel_stay_under_1280_bytes() -> None:
    """SCTP chunks are clamped; on a path with that MTU the channel would stall in silence."""
    assert aiortc.rtcsctptransport.USERDATA_MAX_LENGTH >= SCTP_USER_DATA_BYTES
    async with call(audio=None) as (peer, client):
        assert aiortc.rtcsctptransport.USERDATA_MAX_LENGTH == SCTP_USER_DATA_BYTES
        [transport] = transports(peer.connection._pc)
        sizes: list[int] = []
        send = transport.transport._send

        async def measured(data: bytes) -> None:
            sizes.append(len(data))
            await send(data)

        transport.transport._send = measured
        assert peer.connection._pc.sctp is not None
        channel = next(iter(peer.connection._pc.sctp._data_channels.values()))
        channel.send('{"type":"x","data":"' + "x" * 50_000 + '"}')
        await client.next_message("x")
        headers = 40 + 8 + 4  # IPv6, UDP, a TURN channel
        assert 1100 < max(sizes) <= 1280 - headers


async def test_127_0_0_1_is_offered_where_there_is_no_other_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With only loopback up both sides still meet."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **kwargs: [])
    async with call() as (_, client):
        candidates = SessionDescription.parse(client.answer).media[0].ice_candidates
        assert [one.ip for one in candidates] == ["127.0.0.1"]


async def test_127_0_0_1_is_not_offered_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **kwargs: ["127.0.0.2"])
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.createDataChannel("x")
    for transport in transports(pc):
        gather_host_candidates(transport, None)
    await pc.setLocalDescription(await pc.createOffer())
    assert " 127.0.0.2 " in pc.localDescription.sdp
    assert " 127.0.0.1 " not in pc.localDescription.sdp
    await pc.close()


async def test_an_address_that_cannot_be_bound_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interfaces come and go."""
    addresses = ["203.0.113.99", "127.0.0.2"]
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **kwargs: addresses)
    for udp_ports in (None, (42_100, 42_110)):
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        pc.createDataChannel("x")
        for transport in transports(pc):
            gather_host_candidates(transport, udp_ports)
        await pc.setLocalDescription(await pc.createOffer())
        assert " 127.0.0.2 " in pc.localDescription.sdp
        assert " 203.0.113.99 " not in pc.localDescription.sdp
        await pc.close()


def test_settings_of_the_process_may_be_made_twice() -> None:
    for _ in range(2):
        aiortc_ice.configure_process()
        aiortc_sctp.configure_process()
    assert aiortc.rtcsctptransport.USERDATA_MAX_LENGTH == aiortc_sctp.SCTP_USER_DATA_BYTES


async def test_a_call_that_ends_as_ice_completes_leaves_no_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aioice would ask the closed connection for consent for ever."""
    # At aioice's own pace there is time to do it in.
    monkeypatch.setattr(aiortc_ice, "end_checks_at_once", lambda transport: None)
    peer = Peer()
    client = RtcClient(peer.place, audio=None)
    try:
        await client.negotiate()
        [transport] = transports(peer.connection._pc)
        connection = transport.transport.iceGatherer._connection
        await until(lambda: connection._check_list_done)
        assert connection._query_consent_task is None
        await peer.close()
        await until(lambda: not peer.connection._connecting)
        task = connection._query_consent_task
        if task is not None:
            await asyncio.wait({task}, timeout=1)
            assert task.done()
    finally:
        await client.close()
        await peer.close()


async def test_ice_is_over_when_a_pair_is_nominated(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when it is time for the next check: in an hour, here."""
    monkeypatch.setattr(aiortc_ice, "CHECK_INTERVAL_S", 3600.0)
    async with call(audio=None) as (peer, _):
        [transport] = transports(peer.connection._pc)
        assert transport.state == "connected"


async def test_the_selected_pair_is_known() -> None:
    async with call(audio=None) as (peer, client):
        [ours] = transports(peer.connection._pc)
        [theirs] = transports(client.pc)
        pair, mirrored = (aiortc_ice.selected_pair(one) for one in (ours, theirs))
        assert pair is not None
        assert mirrored is not None
        assert pair[0].port == mirrored[1].port
        assert pair[1].port == mirrored[0].port


async def test_audio_that_is_sent_is_not_encoded_by_aiortc() -> None:
    """The packets of the track go out as our encoder made them."""
    async with call() as (peer, client):
        peer.speak(tone(500, 0.1, rate=24_000))
        await client.wait_for(lambda: len(client.packets) == 6)
        encoder = OpusEncoder(24_000)
        expected = [encoder.encode(frame.pcm) for frame, _ in peer.sink.frames]
        assert [one.payload for one in client.packets] == expected


async def test_a_loop_that_turns_slowly_catches_up_with_what_arrived() -> None:
    """Ten datagrams that wait are read in one turn of the loop, and not in ten."""
    arrived: list[bytes] = []

    def take(datagram: bytes) -> bool:
        arrived.append(datagram)
        return True

    connection = Connection(ice_controlling=False)
    protocol = await aiortc_ice._bind(connection, "127.0.0.1", None, take)
    address = protocol.transport.get_extra_info("sockname")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            for n in range(10):
                caller.sendto(bytes([n]), address)
        async with asyncio.timeout(10):
            while not arrived:  # noqa: ASYNC110 - the test is about turns of the loop
                await asyncio.sleep(0)
        assert arrived == [bytes([n]) for n in range(10)]
    finally:
        await protocol.close()
