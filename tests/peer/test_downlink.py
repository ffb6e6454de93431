"""The downlink: frames of the playout buffer as paced Opus packets, by one timer."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from rtc_server.headroom import Headroom
from rtc_server.media.opus import DECODED_RATE, OpusDecoder, OpusEncoder
from rtc_server.media.opus_packet import has_fec
from rtc_server.media.playout_buffer import PlayoutBuffer, PlayoutFrame
from rtc_server.metrics import Metrics
from rtc_server.peer.downlink import Downlink

from .rtc_client import dominant_frequency, tone
from .support import sample


class Timers:
    """The part of a loop that a downlink uses, on a manual clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.set: list[tuple[float, asyncio.TimerHandle]] = []

    def call_soon(self, callback: Any) -> asyncio.TimerHandle:
        return self.call_later(0.0, callback)

    def call_later(self, delay_s: float, callback: Any) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        handle = asyncio.TimerHandle(self.now + delay_s, callback, (), loop)
        self.set.append((self.now + delay_s, handle))
        return handle

    @property
    def pending(self) -> list[tuple[float, asyncio.TimerHandle]]:
        return [one for one in self.set if not one[1].cancelled()]

    def run_until(self, end: float) -> None:
        """Let time go on; each timer runs when it is due, none is early."""
        while due := [one for one in self.pending if one[0] <= end + 1e-9]:
            first = min(due, key=lambda one: one[0])
            self.set.remove(first)
            self.now = max(self.now, first[0])
            first[1]._run()
        self.now = max(self.now, end)

    def stall(self, seconds: float) -> None:
        """Time goes on, and no timer runs."""
        self.now += seconds


class Bench:
    """A downlink on a manual clock, and what it sent: payload, timestamp, marker."""

    def __init__(
        self, *, fec: bool = False, max_bitrate: int | None = None, start: bool = True
    ) -> None:
        self.timers = Timers()
        self.playout = PlayoutBuffer()
        self.metrics = Metrics()
        self.headroom = Headroom()
        self.frames: list[tuple[PlayoutFrame, float]] = []
        self.packets: list[tuple[bytes, int, bool]] = []
        self.downlink = Downlink(
            self.playout,
            fec=fec,
            max_bitrate=max_bitrate,
            on_frame=lambda frame, at: self.frames.append((frame, at)),
            metrics=self.metrics,
            headroom=self.headroom,
            clock=lambda: self.timers.now,
        )
        self.downlink._loop = self.timers  # type: ignore[assignment]
        if start:
            self.start()

    def start(self) -> None:
        self.downlink.start(lambda *packet: self.packets.append(packet))
        self.run(0)

    @property
    def now(self) -> float:
        return self.timers.now

    def write(self, pcm: bytes, rate: int = 24_000, turn: int = 1) -> None:
        self.playout.write(turn, pcm, rate, self.now)
        self.downlink.wake()

    def speak(self, pcm: bytes, rate: int = 24_000, turn: int = 1) -> None:
        self.playout.write(turn, pcm, rate, self.now)
        self.playout.finish(turn)
        self.downlink.wake()

    def run(self, seconds: float) -> None:
        self.timers.run_until(self.now + seconds)


async def test_frames_leave_as_packets_every_20_ms() -> None:
    """960 ticks of 1/48000 s each, the marker on the first, each reported as it leaves."""
    bench = Bench()
    bench.speak(tone(500, 0.1, rate=24_000))
    bench.run(0.2)
    assert [ticks for _, ticks, _ in bench.packets] == [960 * n for n in range(6)]
    assert [marker for _, _, marker in bench.packets] == [True] + [False] * 5
    assert [frame.closing for frame, _ in bench.frames] == [False] * 5 + [True]
    assert [at for _, at in bench.frames] == pytest.approx([100 + 0.02 * n for n in range(6)])
    assert sample(bench.metrics, "rtc_packets_total", direction="downlink") == 6
    assert sample(bench.metrics, "rtc_frames_late_total") == 0


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
async def test_audio_of_any_rate_is_sent(rate: int) -> None:
    bench = Bench()
    bench.speak(tone(500, 0.5, rate=rate), rate)
    bench.run(1.0)
    decoder = OpusDecoder()
    pcm = b"".join(decoder.decode(payload) for payload, _, _ in bench.packets[:-1])
    assert dominant_frequency(pcm[1600:-1600], DECODED_RATE) == pytest.approx(500, abs=10)


async def test_idle_no_timer_runs_and_the_first_frame_leaves_at_once() -> None:
    """Not at the next tick of an idle clock."""
    bench = Bench()
    assert bench.timers.pending == []
    bench.run(60.007)
    bench.speak(tone(500, 0.02, rate=24_000))
    bench.run(0)
    assert bench.frames[0][1] == bench.now
    bench.run(1)
    assert bench.timers.pending == []


async def test_wake_sends_nothing_before_it_has_returned() -> None:
    """It is called in the midst of what the bridge does with an event."""
    bench = Bench()
    bench.speak(tone(500, 0.02, rate=24_000))
    bench.downlink.wake()
    assert bench.packets == []
    assert len(bench.timers.pending) == 1


async def test_nothing_is_read_before_the_connection_is_up() -> None:
    bench = Bench(start=False)
    bench.speak(tone(500, 0.1, rate=24_000))
    bench.run(1)
    assert bench.frames == []
    bench.start()
    assert len(bench.frames) == 1


async def test_each_talk_spurt_begins_with_the_marker() -> None:
    """RFC 3551 section 4.1; the timestamp counts the pause."""
    bench = Bench()
    bench.speak(tone(500, 0.04, rate=24_000))
    bench.run(1.0)
    bench.speak(tone(500, 0.04, rate=24_000), turn=2)
    bench.run(1.0)
    assert [marker for _, _, marker in bench.packets] == [True, False, False] * 2
    assert bench.packets[3][1] == 48_000


async def test_a_tail_shorter_than_a_frame_leaves_without_a_further_wake() -> None:
    """The agent wrote 10 ms and nothing more: it is sent when it is due by time."""
    bench = Bench()
    bench.write(tone(500, 0.01, rate=24_000))
    bench.run(0.2)
    assert bench.frames[0][0].audible
    assert len([one for one, _ in bench.frames if not one.closing]) == 1


async def test_a_piece_that_comes_a_little_late_goes_on_without_a_pause() -> None:
    """It leaves as it comes, in the rhythm's next timestamp: nothing is closed, nothing waits."""
    bench = Bench()
    for late_s in (0.0, 0.004, 0.009, 0.001):
        bench.run(late_s)
        bench.write(tone(500, 0.04, rate=24_000))
        bench.run(0.0)
        assert bench.frames[-1][1] == pytest.approx(bench.now)
        bench.run(0.04 - late_s)
    assert [frame.closing for frame, _ in bench.frames] == [False] * 8
    assert [ticks for _, ticks, _ in bench.packets] == [960 * n for n in range(8)]


async def test_a_turn_that_falls_silent_is_closed_10_ms_after_its_last_frame_was_played() -> None:
    """The encoder's look-ahead is emptied before the listener misses it; then no timer runs."""
    bench = Bench()
    bench.write(tone(500, 0.04, rate=24_000))
    bench.run(0.3)
    assert [frame.closing for frame, _ in bench.frames] == [False, False, True]
    assert bench.frames[-1][1] == pytest.approx(100.05)
    assert not bench.timers.pending


@pytest.mark.parametrize("end", ["finish", "flush"])
async def test_a_turn_that_ends_while_it_is_waited_for_is_closed_at_once(end: str) -> None:
    """By its end as by an interruption."""
    bench = Bench()
    bench.write(tone(500, 0.02, rate=24_000))
    bench.run(0.023)
    if end == "finish":
        bench.playout.finish(1)
    else:
        bench.playout.flush()
    bench.downlink.wake()
    bench.run(0.0)
    assert [frame.closing for frame, _ in bench.frames] == [False, True]
    assert bench.frames[-1][1] == pytest.approx(100.023)


async def test_after_a_flush_only_the_closing_frame_leaves() -> None:
    """At most one old frame: none, when the flush comes before it is read."""
    bench = Bench()
    bench.speak(tone(500, 5.0, rate=24_000))
    bench.run(0.05)
    assert len(bench.frames) == 3
    bench.playout.flush()
    bench.downlink.wake()
    bench.run(1)
    assert bench.frames[-1][0].closing
    assert len(bench.frames) == 4


async def test_a_frame_after_a_stall_is_counted_late_and_no_burst_follows() -> None:
    bench = Bench()
    bench.speak(tone(500, 1.0, rate=24_000))
    bench.run(0)
    bench.timers.stall(0.3)
    bench.run(0.1)
    assert len(bench.frames) == 1 + 6
    assert sample(bench.metrics, "rtc_frames_late_total") == 1
    assert bench.packets[1][1] == 14_400


async def test_lateness_does_not_add_up() -> None:
    """A frame is due 20 ms after the one before was due, not after it left."""
    bench = Bench()
    bench.speak(tone(500, 2.0, rate=24_000))
    bench.run(0)
    for _ in range(50):
        due = min(at for at, _ in bench.timers.pending)
        bench.timers.now = due + 0.003
        bench.run(0)
    assert bench.frames[50][1] == pytest.approx(100 + 50 * 0.02 + 0.003)


async def test_one_encoder_a_rate_is_kept_for_the_call() -> None:
    bench = Bench()
    for turn, rate in enumerate((24_000, 16_000, 24_000)):
        bench.speak(tone(500, 0.04, rate=rate), rate, turn)
    bench.run(1)
    assert len(bench.downlink._encoders) == 2


async def test_fec_is_encoded_only_where_the_caller_takes_it() -> None:
    """The same speech makes other packets with it."""
    packets: dict[bool, list[bytes]] = {}
    for fec in (False, True):
        bench = Bench(fec=fec)
        bench.speak(tone(200, 0.4, rate=24_000))
        bench.run(0)
        bench.downlink.on_loss(0.1)
        bench.run(1)
        packets[fec] = [payload for payload, _, _ in bench.packets]
    encoder = OpusEncoder(24_000)
    assert packets[False] == [encoder.encode(frame.pcm) for frame, _ in bench.frames]
    assert packets[True] != packets[False]


class LossyEncoder(OpusEncoder):
    """Remembers what it was told."""

    told: list[int]

    def set_packet_loss(self, percent: int) -> None:
        self.told.append(percent)
        super().set_packet_loss(percent)


async def test_no_more_is_sent_than_the_caller_wants_on_average() -> None:
    """Of a busy sound; where nothing is asked for more is sent."""

    def sent_bits_a_second(max_bitrate: int | None) -> float:
        bench = Bench(max_bitrate=max_bitrate)
        noise = np.random.default_rng(5).integers(-8000, 8000, 48_000).astype("<i2").tobytes()
        bench.speak(noise)
        bench.run(3.0)
        return sum(len(payload) * 8 for payload, _, _ in bench.packets[:-1]) / 2.0

    assert sent_bits_a_second(16_000) < 18_000
    assert sent_bits_a_second(None) > 50_000
    assert sent_bits_a_second(510_000) == sent_bits_a_second(None)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What encoders are told of packet loss, in per cent."""
    monkeypatch.setattr("rtc_server.peer.downlink.OpusEncoder", LossyEncoder)
    LossyEncoder.told = []
    return LossyEncoder.told


async def test_fec_is_as_strong_as_the_loss_that_the_caller_reports(told: list[int]) -> None:
    """It rises at once and falls slowly: losses come in bursts."""
    bench = Bench(fec=True)
    bench.speak(tone(200, 0.1, rate=24_000))
    bench.run(1)
    bench.downlink.on_loss(0.1)
    bench.downlink.on_loss(0.0)
    bench.downlink.on_loss(1.0)
    assert told[-3:] == [10, 9, 30]


async def test_fec_protects_the_first_words_until_the_caller_reports_no_loss(
    told: list[int],
) -> None:
    """Of a network that nothing is known of yet the worse is assumed."""
    bench = Bench(fec=True)
    bench.speak(tone(200, 0.4, rate=24_000))
    bench.run(0.1)
    assert told == [10]
    bench.downlink.on_loss(0.0)
    assert told == [10, 0]
    assert any(has_fec(payload) for payload, _, _ in bench.packets)


async def test_without_fec_losses_change_nothing(told: list[int]) -> None:
    bench = Bench()
    bench.speak(tone(200, 0.1, rate=24_000))
    bench.run(1)
    bench.downlink.on_loss(0.1)
    assert told == []


async def test_an_exception_downstream_is_logged_once_and_the_voice_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One frame is worth less than the call."""
    bench = Bench()

    def broken(payload: bytes, ticks: int, marker: bool) -> None:
        bench.packets.append((payload, ticks, marker))
        raise RuntimeError("broken")

    bench.downlink._send = broken
    bench.speak(tone(500, 0.1, rate=24_000))
    bench.run(1)
    assert len(bench.packets) == 6
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1


async def test_stopped_it_sends_nothing_and_has_no_timer() -> None:
    bench = Bench()
    bench.speak(tone(500, 1.0, rate=24_000))
    bench.run(0.05)
    sent = len(bench.packets)
    bench.downlink.stop()
    bench.downlink.stop()
    assert bench.timers.pending == []
    bench.downlink.wake()
    bench.run(1)
    assert len(bench.packets) == sent


async def test_encoding_costs_less_under_load_and_sounds_as_before_after_it() -> None:
    """From the next frame on, in the midst of a talk spurt; not one frame is lost by it."""
    speech = tone(500, 4.0, rate=24_000)
    bench = Bench()
    expected = OpusEncoder(24_000)
    frames = [speech[n : n + 960] for n in range(0, len(speech), 960)]
    bench.speak(speech)
    sent = 0
    at = wanted_s = 0.0
    for load, complexity in ((0.1, None), (0.75, 0), (0.1, None)):
        for _ in range(60):
            at, wanted_s = at + 0.1, wanted_s + load * 0.1
            bench.headroom.beat(at, wanted_s=wanted_s, lag_s=0.0, calls=10)
        expected.set_complexity(complexity)
        bench.run(1.0)
        until = len(bench.packets)
        assert until - sent >= 49
        payloads = [one[0] for one in bench.packets[sent:until]]
        assert payloads == [expected.encode(one) for one in frames[sent:until]]
        sent = until
