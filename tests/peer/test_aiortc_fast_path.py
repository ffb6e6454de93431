"""The packet path past aiortc, and the one through it: the same call by both."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aioice.ice import CandidatePair, StunProtocol
from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpSrPacket

from rtc_server.media.opus import OpusEncoder
from rtc_server.peer import aiortc_fast_path
from rtc_server.peer.aiortc_audio import MAX_SOURCES
from rtc_server.peer.downlink import Downlink
from rtc_server.peer.rtp import HEADER
from tests.stolen_time import StolenTime

from .rtc_client import RtcClient, dominant_frequency, tone
from .support import Peer, call, sample, until


@pytest.fixture(params=["past aiortc", "through aiortc"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways a packet can go."""
    is_fast = request.param == "past aiortc"
    monkeypatch.setattr(aiortc_fast_path, "is_usable", lambda: is_fast)
    return str(request.param)


class RawSender:
    """Sends RTP of any shape with a call's own keys, as the caller would."""

    def __init__(self, client: RtcClient, number: int) -> None:
        [sender] = client.pc.getSenders()
        [transceiver] = client.pc.getTransceivers()
        self.dtls: Any = sender.transport
        self.ssrc = sender._ssrc
        codec = transceiver._codecs[0].payloadType
        assert codec is not None
        self.payload_type = codec
        self.number = number
        pair = self.dtls.transport.iceGatherer._connection._nominated[1]
        self.address = pair.remote_addr
        self.socket = pair.protocol.transport

    def send(
        self,
        rest: bytes,
        *,
        first: int = 0x80,
        payload_type: int | None = None,
        ticks: int = 960,
        ssrc: int | None = None,
    ) -> None:
        """One packet: its header, and what follows it."""
        second = self.payload_type if payload_type is None else payload_type
        ssrc = self.ssrc if ssrc is None else ssrc
        header = HEADER.pack(first, second, self.number & 0xFFFF, self.number * 960 % 2**32, ssrc)
        self.number += 1
        self.raw(self.dtls._tx_srtp.protect(header + rest))

    def raw(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self.address)


@asynccontextmanager
async def quiet_call() -> AsyncIterator[tuple[Peer, RtcClient, RawSender]]:
    """A call whose microphone has met aiortc, and is silent now."""
    async with call(data=False) as (peer, client):
        await until(lambda: len(peer.sink.audio) > 2)
        client.microphone.paused = True
        frame = client.microphone._frames
        await until(lambda: client.microphone._frames > frame + 2)
        # Behind what may still be on its way, and in step with SRTP's rollover counter.
        [stream] = receiver_statistics(peer).values()
        yield peer, client, RawSender(client, stream.max_seq + 10)


def voice(rate: int = 48_000) -> bytes:
    """An Opus packet of 20 ms."""
    return OpusEncoder(rate).encode(tone(300, 0.02, rate=rate))


def arrived(peer: Peer) -> int:
    """Packets that reached the receive buffer."""
    assert peer.connection.uplink is not None
    return peer.connection.uplink.statistics().received


def receiver_statistics(peer: Peer) -> dict[int, Any]:
    [receiver] = peer.connection._pc.getReceivers()
    return receiver._RTCRtpReceiver__remote_streams  # type: ignore[attr-defined, no-any-return]


# -- the same call -----------------------------------------------------------------------------


async def test_both_sides_hear_each_other(path: str) -> None:
    async with call() as (peer, client):
        client.microphone.tone(440, 1.0)
        peer.speak(tone(800, 1.0, rate=24_000))
        await until(lambda: len(peer.sink.audio) > 60)
        await client.wait_for(lambda: len(client.packets) >= 51)
        heard = peer.sink.pcm()[6400:25_600]
        assert dominant_frequency(heard, 16_000) == pytest.approx(440, abs=10)
        assert dominant_frequency(client.pcm()[9600:76_800]) == pytest.approx(800, abs=10)


async def test_packets_leave_in_order_with_the_clock_of_their_frames(path: str) -> None:
    async with call(data=False) as (peer, client):
        peer.speak(tone(500, 0.2, rate=24_000))
        await client.wait_for(lambda: len(client.packets) == 11)
        numbers = [one.sequence_number for one in client.packets]
        ticks = [(one.timestamp - client.packets[0].timestamp) % 2**32 for one in client.packets]
        assert numbers == [(numbers[0] + n) % 2**16 for n in range(11)]
        # A stall of the machine is in them as well.
        assert all(later - one >= 960 for one, later in itertools.pairwise(ticks))
        assert all(one % 960 == 0 for one in ticks) or ticks[-1] > 9600


async def test_reports_tell_the_caller_of_what_it_sent_and_is_sent(
    path: str, stolen: StolenTime
) -> None:
    """Receiver and sender reports are aiortc's, and right."""
    async with call(data=False) as (peer, client):
        client.drop = lambda number: number % 10 == 0
        peer.speak(tone(500, 3.0, rate=24_000))
        [ours], [theirs] = peer.connection._pc.getSenders(), client.pc.getReceivers()
        await client.wait_for(lambda: len(client.packets) > 100)
        await until(lambda: "remote-outbound-rtp" in _kinds(theirs))
        sent = next(
            one
            for one in theirs._RTCRtpReceiver__stats.values()  # type: ignore[attr-defined]
            if one.type == "remote-outbound-rtp"
        )
        received = len(client.packets)
        assert 0 < sent.packetsSent <= received + 1
        assert sent.bytesSent >= 10 * sent.packetsSent
        [stream] = receiver_statistics(peer).values()
        assert stream.packets_received > 50
        assert stream.packets_lost >= stream.packets_received // 15
        # A sixteenth of each stall is in it (RFC 3550, section 6.4.1).
        assert stream.jitter < 48 * (20 + stolen.total_ms / 8)
        assert ours._RTCRtpSender__packet_count >= received  # type: ignore[attr-defined]
        lost = stream.packets_lost
        media = await peer.connection.stats()
        # The stream goes on while the figures are put together.
        assert lost <= media["uplink"]["packets_lost"] <= stream.packets_lost


def _kinds(owner: RTCRtpReceiver | RTCRtpSender) -> set[str]:
    name = type(owner).__name__
    return {one.type for one in getattr(owner, f"_{name}__stats").values()}


async def test_a_hang_up_says_bye(path: str) -> None:
    async with call(data=False) as (peer, client):
        [receiver] = client.pc.getReceivers()
        seen: list[Any] = []
        handle = receiver._handle_rtcp_packet

        async def listening(packet: Any) -> None:
            seen.append(packet)
            await handle(packet)

        receiver._handle_rtcp_packet = listening  # type: ignore[method-assign]
        peer.speak(tone(500, 0.1, rate=24_000))
        await until(lambda: any(isinstance(one, RtcpSrPacket) for one in seen))
        await peer.close()
        await until(lambda: any(isinstance(one, RtcpByePacket) for one in seen))


async def test_the_caller_reports_losses_to_the_encoder(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    monkeypatch.setattr(Downlink, "on_loss", lambda self, share: losses.append(share))
    async with call(data=False) as (peer, _):
        [sender] = peer.connection._pc.getSenders()
        report = bytes.fromhex("81c90007 00000001") + sender._ssrc.to_bytes(4, "big")
        report += bytes([64]) + (10).to_bytes(3, "big") + bytes(16)
        for packet in RtcpPacket.parse(report):
            await sender._handle_rtcp_packet(packet)
        assert losses == [0.25]


# -- what nobody should send -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (0x90, b"\xbe\xde\0\x01\x10\x30\0\0"),
        (0x90, b"\x10\0\0\x01\x01\x01\x30\0"),
        (0x90, b"\xab\xcd\0\0"),
        (0x82, bytes(8)),
    ],
    ids=["one-byte extension", "two-byte extension", "unknown extension", "CSRCs"],
)
async def test_headers_of_every_kind_are_read(path: str, first: int, rest: bytes) -> None:
    async with quiet_call() as (peer, _, sender):
        pieces = len(peer.sink.audio)
        sender.send(rest + voice(), first=first)
        sender.send(rest + voice() + b"\0\0\x03", first=first | 0x20)
        await until(lambda: len([one for one in peer.sink.audio[pieces:] if one.arrived_at]) == 2)


async def test_malformed_packets_are_dropped_and_the_call_goes_on(path: str) -> None:
    """Whether they can be authenticated or not."""
    async with quiet_call() as (peer, _, sender):
        before = arrived(peer)
        sender.send(b"\xf8\xff\x09", first=0xA0)
        sender.send(voice(), payload_type=sender.payload_type - 1)
        sender.raw(HEADER.pack(0x80, sender.payload_type, 1, 2, sender.ssrc) + bytes(60))
        sender.raw(HEADER.pack(0x8F, sender.payload_type, 1, 2, sender.ssrc))
        sender.raw(HEADER.pack(0x80, sender.payload_type, 1, 2, sender.ssrc) + bytes(3000))
        sender.raw(b"")
        sender.raw(b"\x80")
        sender.raw(b"\x16")
        sender.raw(bytes([0x80, 200]) + bytes(3000))
        sender.send(voice())
        sender.send(voice())
        await until(lambda: arrived(peer) == before + 2)
        if path == "past aiortc":
            refused = (await peer.connection.stats())["uplink_refused"]
            assert refused == {"padding": 1, "payload_type": 1, "unprotect": 3}


async def test_a_stranger_cannot_end_the_call(path: str) -> None:
    """An empty datagram, or one too long, raises in aiortc what ends its receive loop."""
    async with quiet_call() as (peer, _, sender):
        before = arrived(peer)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((sender.address[0], 0))
            for datagram in (b"", b"\x80" * 1501, b"\x80\xc8" + bytes(2000), b"\x16" * 3000):
                stranger.sendto(datagram, sender.address)
        sender.send(voice())
        await until(lambda: arrived(peer) == before + 1)


@pytest.mark.parametrize("duration_ms", [2.5, 5, 10, 40, 60])
async def test_packets_of_any_duration_are_heard(path: str, duration_ms: float) -> None:
    """2.5 ms to 60 ms, of silence in the MDCT mode."""
    config = {2.5: 0xE0, 5: 0xE8, 10: 0xF0, 40: 0x10, 60: 0x18}[duration_ms]
    async with quiet_call() as (peer, _, sender):
        heard = len(peer.sink.pcm())
        for _ in range(16):
            sender.send(bytes([config, 0xFF, 0xFE]))
        wanted = 16 * duration_ms * 32
        await until(lambda: len(peer.sink.pcm()) - heard >= wanted)


async def test_a_packet_seen_before_is_dropped(path: str) -> None:
    """SRTP's replay protection; RTCP does not count it."""
    async with quiet_call() as (peer, _, sender):
        sender.send(voice())
        header = HEADER.pack(0x80, sender.payload_type, sender.number, 0, sender.ssrc)
        datagram = sender.dtls._tx_srtp.protect(header + voice())
        before = arrived(peer)
        for _ in range(5):
            sender.raw(datagram)
        sender.number += 1
        sender.send(voice())
        await until(lambda: arrived(peer) >= before + 2)
        assert arrived(peer) <= before + 3


async def test_new_sources_are_heard_and_their_number_is_bounded(path: str) -> None:
    """A caller that changes its microphone changes its SSRC."""
    async with quiet_call() as (peer, _, sender):
        for ssrc in range(1, 2 * MAX_SOURCES):
            before = arrived(peer)
            for _ in range(3):
                sender.send(voice(), ssrc=ssrc)
            await until(lambda before=before: arrived(peer) == before + 3)  # type: ignore[misc]
        assert len(receiver_statistics(peer)) <= MAX_SOURCES + 1
        assert receiver_statistics(peer)[2 * MAX_SOURCES - 1].packets_received == 3


async def test_a_flood_costs_no_decoding_and_the_call_goes_on(path: str) -> None:
    async with quiet_call() as (peer, client, sender):
        payload = voice()
        before = arrived(peer)
        for _ in range(1200):
            sender.send(payload)
            await asyncio.sleep(0)  # the socket's buffer holds some hundreds
        await until(lambda: arrived(peer) > before + 700)
        await asyncio.sleep(0.1)
        dropped = sample(
            peer.metrics, "rtc_audio_dropped_seconds_total", direction="uplink", reason="flood"
        )
        assert dropped > 0.1
        peer.speak(tone(500, 0.1, rate=24_000))
        await client.wait_for(lambda: len(client.packets) >= 6)


# -- the past of aiortc ------------------------------------------------------------------------


async def test_once_met_no_packet_goes_through_aiortc() -> None:
    """The first of a source does; it is authenticated and counted there."""
    assert aiortc_fast_path.is_usable()
    async with call(data=False) as (peer, client):
        await until(lambda: len(peer.sink.audio) > 2)
        [receiver] = peer.connection._pc.getReceivers()
        through: list[Any] = []
        handle = receiver._handle_rtp_packet

        async def listening(packet: Any, arrival_time_ms: int) -> None:
            through.append(packet)
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = listening  # type: ignore[method-assign]
        before = arrived(peer)
        await until(lambda: arrived(peer) > before + 20)
        assert len(through) <= 1
        assert client.microphone.sent > 20


async def test_the_marker_is_on_the_first_packet_of_a_talk_spurt() -> None:
    async with call(data=False) as (peer, client):
        for turn in (1, 2):
            peer.speak(tone(500, 0.06, rate=24_000), turn=turn)
            await client.wait_for(lambda turn=turn: len(client.packets) == 4 * turn)  # type: ignore[misc]
            await asyncio.sleep(0.05)
        assert [one.marker for one in client.packets] == [1, 0, 0, 0] * 2


async def test_the_media_section_is_named_in_each_packet() -> None:
    """RFC 9143: where the offer has the header extension."""
    async with call(data=False) as (peer, client):
        [receiver] = client.pc.getReceivers()
        [transceiver] = client.pc.getTransceivers()
        mids: list[str] = []
        handle = receiver._handle_rtp_packet

        async def listening(packet: Any, arrival_time_ms: int) -> None:
            mids.append(packet.extensions.mid)
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = listening  # type: ignore[method-assign]
        peer.speak(tone(500, 0.06, rate=24_000))
        await client.wait_for(lambda: len(client.packets) == 4)
        assert mids == [transceiver.mid] * 4


async def test_packets_wait_for_those_that_came_before() -> None:
    """What is read while others still wait for aiortc goes behind them."""
    async with quiet_call() as (peer, _, sender):
        intake = peer.connection._intake
        assert intake is not None
        waiting = intake._waiting
        header = HEADER.pack(0x80, sender.payload_type, sender.number, 0, sender.ssrc)
        datagram = sender.dtls._tx_srtp.protect(header + voice())
        intake._waiting = [b"earlier"]
        assert not intake.take(datagram)
        intake._waiting = waiting
        assert intake.take(datagram)


# -- whether it can be used --------------------------------------------------------------------


async def test_nothing_is_wrong_with_what_is_installed() -> None:
    assert aiortc_fast_path.find_fault() is None


@pytest.fixture
def fresh_choice() -> Iterator[None]:
    """The choice is made again, and once more after the test."""
    aiortc_fast_path.is_usable.cache_clear()
    yield
    aiortc_fast_path.is_usable.cache_clear()


@pytest.mark.usefixtures("fresh_choice")
async def test_another_version_is_not_reached_into_and_the_operator_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aiortc_fast_path, "AIORTC_VERSION", "1.15.0")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            async with call(data=False) as (peer, client):
                assert peer.connection._intake is None
                peer.speak(tone(500, 0.06, rate=24_000))
                await client.wait_for(lambda client=client: len(client.packets) == 4)  # type: ignore[misc]
    told = [one for one in caplog.messages if "through aiortc" in one]
    assert len(told) == 1
    assert "1.15.0 is the version that is known" in told[0]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (RTCRtpSender, "_run_rtp"),
        (StunProtocol, "datagram_received"),
        (CandidatePair, "remote_addr"),
    ],
)
async def test_a_name_that_is_gone_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    for one in owner.__mro__:
        if name in vars(one):
            monkeypatch.delattr(one, name)
    assert aiortc_fast_path.find_fault() == f"{name} is gone"
