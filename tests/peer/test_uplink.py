"""The uplink: packets in, 20 ms pieces out."""

from __future__ import annotations

import asyncio

import pytest
from aiortc.rtp import RtpPacket

from rtc_server.media.opus import OpusEncoder
from rtc_server.media.pcm import is_audible
from rtc_server.metrics import Metrics
from rtc_server.peer.uplink import PIECE_BYTES, Uplink, UplinkAudio

from .rtc_client import tone
from .support import RecordingSink, sample, until


class Bench:
    """An uplink on a manual clock, and a sender of Opus."""

    def __init__(self, sink: RecordingSink | None = None) -> None:
        self.now = 100.0
        self.sink = sink or RecordingSink()
        self.metrics = Metrics()
        self.uplink = Uplink(self.sink, metrics=self.metrics, clock=lambda: self.now)
        self._encoder = OpusEncoder(16_000)
        self._voice = tone(300, 0.02, rate=16_000)

    def packet(self, number: int, payload: bytes | None = None) -> RtpPacket:
        return RtpPacket(
            payload_type=111,
            sequence_number=number % 65536,
            timestamp=number * 960 % 2**32,
            ssrc=1,
            payload=self._encoder.encode(self._voice) if payload is None else payload,
        )

    def push(self, number: int, payload: bytes | None = None) -> None:
        self.uplink.on_packet(self.packet(number, payload))
        self.now += 0.02


async def test_each_packet_brings_its_piece_at_once() -> None:
    """No prefetch: the first packet is heard when it arrives."""
    bench = Bench()
    for n in range(10):
        bench.push(n)
        assert len(bench.sink.audio) == n + 1
    assert all(len(one.pcm) == PIECE_BYTES for one in bench.sink.audio)
    assert bench.sink.audio[3].arrived_at == pytest.approx(100.06)
    bench.uplink.close()


async def test_a_lost_packet_is_concealed_and_counted() -> None:
    bench = Bench()
    for n in (0, 1, 2, 3, 5, 6, 7, 8, 9):
        bench.push(n)
    assert len(bench.sink.audio) == 10
    assert [one.arrived_at is None for one in bench.sink.audio] == [n == 4 for n in range(10)]
    assert sample(bench.metrics, "rtc_packets_total", direction="uplink") == 9
    assert sample(bench.metrics, "rtc_packets_lost_total", direction="uplink") == 1
    bench.uplink.close()


async def test_a_lost_packet_is_recovered_from_the_one_behind_it() -> None:
    """In-band FEC: the sound that was lost is heard, and not a repetition of what was before."""
    pieces: dict[bool, list[bytes]] = {}
    for is_lost in (False, True):
        bench = Bench()
        bench._encoder = OpusEncoder(16_000, bitrate=24_000, fec=True, packet_loss_percent=20)
        for n in range(12):
            # A word that begins in the packet that is lost.
            bench._voice = bytes(640) if n < 8 else tone(300, 0.02, rate=16_000)
            packet = bench.packet(n)
            if not (is_lost and n == 8):
                bench.uplink.on_packet(packet)
            bench.now += 0.02
        pieces[is_lost] = [one.pcm for one in bench.sink.audio]
        bench.uplink.close()
    assert [len(one) for one in pieces.values()] == [12, 12]
    assert is_audible(pieces[False][8])
    assert is_audible(pieces[True][8])


async def test_garbage_is_concealed() -> None:
    """A payload that is no Opus is 20 ms of concealment, and the next one is heard."""
    bench = Bench()
    bench.push(0)
    bench.push(1, b"\xff" * 40)
    bench.push(2)
    assert [one.arrived_at is None for one in bench.sink.audio] == [False, True, False]
    bench.uplink.close()


@pytest.mark.parametrize(
    ("broken", "ms"), [(b"\xe3\x41\xff\xff", 2), (b"\x1b\x42\xff\xff", 120), (b"\xff", 20)]
)
async def test_what_does_not_decode_is_concealed_for_as_long_as_it_says_it_is(
    broken: bytes, ms: int
) -> None:
    """A packet that says 2.5 ms costs the budget of a caller so much, and gives no more."""
    bench = Bench()
    bench.push(0)
    for n in range(1, 21):
        bench.push(n, broken)
    assert len(bench.sink.audio) == 1 + 20 * ms // 20
    bench.uplink.close()


async def test_speech_is_told_by_our_own_detector() -> None:
    """A tone after silence is speech, and silence is none."""
    bench = Bench()
    bench._voice = bytes(640)
    for n in range(20):
        bench.push(n)
    assert not any(one.speech for one in bench.sink.audio)
    bench._voice = tone(300, 0.02, rate=16_000)
    for n in range(20, 30):
        bench.push(n)
    assert any(one.speech for one in bench.sink.audio)
    bench.uplink.close()


async def test_an_exception_downstream_is_logged_once_and_goes_no_further(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """aiortc's receive loop would end, and with it the call."""

    class Broken(RecordingSink):
        def on_audio(self, audio: UplinkAudio) -> None:
            raise RuntimeError("broken")

    bench = Bench(Broken())
    for n in range(5):
        bench.push(n)
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    bench.uplink.close()


async def test_more_audio_than_time_is_dropped_and_counted() -> None:
    """A flood of packets costs no decoding: ten seconds at once, then about real time."""
    bench = Bench()
    packet = bench.packet(0)
    for n in range(1000):
        packet.sequence_number = n
        packet.timestamp = 960 * n
        bench.uplink.on_packet(packet)
    assert len(bench.sink.audio) == 500
    dropped = sample(
        bench.metrics, "rtc_audio_dropped_seconds_total", direction="uplink", reason="flood"
    )
    assert dropped == pytest.approx(10.0)
    bench.uplink.close()


async def test_a_flood_of_losses_is_dropped_and_counted() -> None:
    """Concealing six frames costs more than the one packet that claims that they were lost."""
    bench = Bench()
    packet = bench.packet(0)
    for n in range(0, 7 * 400, 7):
        packet.sequence_number = n
        packet.timestamp = 960 * n
        bench.uplink.on_packet(packet)
        bench.now += 0.005
    assert len(bench.sink.audio) <= 50 * (10 + 1.25 * 2) + 1
    dropped = sample(
        bench.metrics, "rtc_audio_dropped_seconds_total", direction="uplink", reason="flood"
    )
    assert dropped > 30
    bench.uplink.close()


async def test_one_timer_fills_a_pause_and_ends_it() -> None:
    """Without packets silence comes by the loop's timer, then the end of the stream, once."""
    bench = Bench()
    bench.push(0)
    loop = asyncio.get_running_loop()
    begun = loop.time() - bench.now
    bench.uplink._clock = lambda: loop.time() - begun
    await until(lambda: bench.sink.stream_ends > 0)
    silences = [one for one in bench.sink.audio if one.arrived_at is None]
    assert 90 <= len(silences) <= 101
    assert bench.uplink._timer is None
    bench.uplink.close()


async def test_a_closed_uplink_takes_nothing_and_has_no_timer() -> None:
    bench = Bench()
    bench.push(0)
    bench.uplink.close()
    bench.uplink.close()
    bench.push(1)
    assert len(bench.sink.audio) == 1
    assert bench.uplink._timer is None
