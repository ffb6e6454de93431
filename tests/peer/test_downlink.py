"""The downlink track: frames of the playout buffer as paced Opus packets."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from aiortc.mediastreams import MediaStreamError

from rtc_server.media.opus import DECODED_RATE, OpusDecoder, OpusEncoder
from rtc_server.media.playout_buffer import PlayoutBuffer, PlayoutFrame
from rtc_server.metrics import Metrics
from rtc_server.peer.downlink import Downlink

from .rtc_client import dominant_frequency, tone
from .support import sample


class Bench:
    """A downlink on a manual clock."""

    def __init__(self, *, fec: bool = False) -> None:
        self.now = 100.0
        self.playout = PlayoutBuffer()
        self.metrics = Metrics()
        self.sent: list[tuple[PlayoutFrame, float]] = []
        self.track = Downlink(
            self.playout,
            fec=fec,
            on_frame=lambda frame, at: self.sent.append((frame, at)),
            metrics=self.metrics,
            clock=lambda: self.now,
        )

    def speak(self, pcm: bytes, rate: int = 24_000, turn: int = 1) -> None:
        self.playout.write(turn, pcm, rate, self.now)
        self.playout.finish(turn)
        self.track.wake()


async def test_frames_come_as_packets_with_an_rtp_clock() -> None:
    """Each 20 ms on: 960 ticks of 1/48000 s, and the frame is reported as it leaves."""
    bench = Bench()
    bench.speak(tone(500, 0.1, rate=24_000))
    for n in range(6):
        packet = await bench.track.recv()
        assert packet.pts == 960 * n
        assert packet.time_base is not None
        assert packet.time_base.denominator == 48_000
        assert len(bench.sent) == n + 1
        bench.now += 0.02
    assert [frame.closing for frame, _ in bench.sent] == [False] * 5 + [True]
    assert [at for _, at in bench.sent] == pytest.approx([100 + 0.02 * n for n in range(6)])
    assert sample(bench.metrics, "rtc_packets_total", direction="downlink") == 6
    assert sample(bench.metrics, "rtc_frames_late_total") == 0


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
async def test_audio_of_any_rate_is_sent(rate: int) -> None:
    bench = Bench()
    bench.speak(tone(500, 0.5, rate=rate), rate)
    decoder = OpusDecoder()
    pcm = b""
    while not (bench.sent and bench.sent[-1][0].closing):
        pcm += decoder.decode(bytes(await bench.track.recv()))
        bench.now += 0.02
    assert dominant_frequency(pcm[1600:-1600], DECODED_RATE) == pytest.approx(500, abs=10)


async def test_idle_it_waits_until_it_is_woken() -> None:
    bench = Bench()
    receiving = asyncio.ensure_future(bench.track.recv())
    await asyncio.sleep(0.05)
    assert not receiving.done()
    bench.now += 60
    bench.speak(tone(500, 0.02, rate=24_000))
    await receiving
    assert bench.sent[0][1] == bench.now


async def test_a_tail_shorter_than_a_frame_leaves_without_a_further_wake() -> None:
    """The agent wrote 10 ms and nothing more: it is sent when it is due by time."""
    bench = Bench()
    bench.playout.write(1, tone(500, 0.01, rate=24_000), 24_000, bench.now)
    bench.track.wake()
    receiving = asyncio.ensure_future(bench.track.recv())
    for _ in itertools.count():
        await asyncio.sleep(0.005)
        bench.now += 0.005
        if receiving.done():
            break
    assert len(bench.sent) == 1
    assert bench.sent[0][0].audible


async def test_after_a_flush_only_the_closing_frame_leaves() -> None:
    """At most one old frame: none, when the flush comes before it is read."""
    bench = Bench()
    bench.speak(tone(500, 5.0, rate=24_000))
    for _ in range(3):
        await bench.track.recv()
        bench.now += 0.02
    bench.playout.flush()
    bench.track.wake()
    await bench.track.recv()
    assert bench.sent[-1][0].closing
    assert len(bench.sent) == 4


async def test_a_frame_after_a_stall_is_counted_late() -> None:
    bench = Bench()
    bench.speak(tone(500, 1.0, rate=24_000))
    await bench.track.recv()
    bench.now += 0.3
    await bench.track.recv()
    await bench.track.recv()
    assert sample(bench.metrics, "rtc_frames_late_total") == 1


async def test_one_encoder_a_rate_is_kept_for_the_call() -> None:
    bench = Bench()
    for turn, rate in enumerate((24_000, 16_000, 24_000)):
        bench.speak(tone(500, 0.04, rate=rate), rate, turn)
    while not (bench.sent and bench.sent[-1][0].turn == 2 and bench.sent[-1][0].closing):
        await bench.track.recv()
        bench.now += 0.02
    assert len(bench.track._encoders) == 2


async def test_fec_is_encoded_only_where_the_caller_takes_it() -> None:
    """The same speech makes other packets with it."""
    packets: dict[bool, list[bytes]] = {}
    for fec in (False, True):
        bench = Bench(fec=fec)
        bench.speak(tone(200, 0.4, rate=24_000))
        packets[fec] = []
        for _ in range(20):
            packets[fec].append(bytes(await bench.track.recv()))
            bench.now += 0.02
    encoder = OpusEncoder(24_000)
    assert packets[False] == [encoder.encode(frame.pcm) for frame, _ in bench.sent]
    assert packets[True] != packets[False]


async def test_a_stopped_track_ends_whoever_waits_for_it() -> None:
    bench = Bench()
    receiving = asyncio.ensure_future(bench.track.recv())
    await asyncio.sleep(0)
    bench.track.stop()
    with pytest.raises(MediaStreamError):
        await receiving
    with pytest.raises(MediaStreamError):
        await bench.track.recv()
