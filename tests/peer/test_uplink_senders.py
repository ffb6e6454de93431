"""Senders that are not as they should be, through the whole uplink: real Opus, a clock of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest
from aiortc.rtp import RtpPacket

from benches.fuzz_packets import FrozenLoop
from benches.mutations import foreign_packets
from rtc_server.media.opus_packet import duration_ticks
from rtc_server.metrics import Metrics
from rtc_server.peer.uplink import PIECE_BYTES, Uplink

from .support import RecordingSink, sample

DECODERS: tuple[Literal["pyav", "libopus"], ...] = ("pyav", "libopus")
VOICE = foreign_packets("mono", "20")


@pytest.fixture(params=DECODERS)
def decoder(request: pytest.FixtureRequest) -> Literal["pyav", "libopus"]:
    """Both ways."""
    chosen: Literal["pyav", "libopus"] = request.param
    return chosen


def on_frozen_clock(scenario: Callable[[FrozenLoop], Coroutine[Any, Any, None]]) -> None:
    """Run it on a loop whose time moves when the scenario says so."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FrozenLoop)
        await scenario(loop)

    with asyncio.Runner(loop_factory=FrozenLoop) as runner:
        runner.run(run())


class Call:
    """One caller's uplink."""

    def __init__(self, loop: FrozenLoop, decoder: Literal["pyav", "libopus"] = "pyav") -> None:
        self.loop = loop
        self.sink = RecordingSink()
        self.metrics = Metrics()
        self.uplink = Uplink(
            self.sink, metrics=self.metrics, decoder=decoder, clock=lambda: loop.now
        )

    def send(self, number: int, timestamp: int, payload: bytes, ssrc: int = 1) -> None:
        self.uplink.on_packet(
            RtpPacket(
                payload_type=111,
                sequence_number=number & 0xFFFF,
                timestamp=timestamp & 0xFFFFFFFF,
                ssrc=ssrc,
                payload=payload,
            )
        )

    @property
    def heard(self) -> list[bool]:
        """Of each piece, whether a packet brought it at this very moment."""
        return [one.arrived_at is not None for one in self.sink.audio]

    @property
    def flooded_s(self) -> float:
        return sample(
            self.metrics, "rtc_audio_dropped_seconds_total", direction="uplink", reason="flood"
        )


async def pass_time(loop: FrozenLoop, seconds: float) -> None:
    """Each timer has its turn at its time."""
    until = loop.now + seconds
    while until - loop.now > 1e-9:
        loop.now = min(until, loop.now + 0.005)
        await asyncio.sleep(0)


@pytest.mark.parametrize("period_s", [0.0198, 0.0202], ids=["1 % fast", "1 % slow"])
def test_a_drifting_clock_costs_no_delay_and_no_loss(
    decoder: Literal["pyav", "libopus"], period_s: float
) -> None:
    """Two minutes at 1 %: the agent hears each packet as it comes, and nothing is made up."""

    async def scenario(loop: FrozenLoop) -> None:
        call = Call(loop, decoder)
        for n in range(6000):
            call.send(n, 960 * n, VOICE[n % len(VOICE)])
            assert len(call.sink.audio) == n + 1
            assert call.sink.audio[-1].arrived_at == loop.now
            await pass_time(loop, period_s)
        statistics = call.uplink.statistics()
        assert (statistics.lost, statistics.silence_ms, statistics.concealed_ms) == (0, 0, 0)
        assert call.flooded_s == 0
        call.uplink.close()

    on_frozen_clock(scenario)


@pytest.mark.parametrize("step", [160, 480, 882, 1920, 0])
def test_timestamps_of_another_rate_change_nothing(step: int) -> None:
    """8, 24, 44.1 or 96 kHz, or none at all; one packet in 50 is lost and made up for."""

    async def scenario(loop: FrozenLoop) -> None:
        call = Call(loop)
        for n in range(1000):
            if n % 50 != 25:
                call.send(n, step * n, VOICE[n % len(VOICE)])
            await pass_time(loop, 0.02)
        assert call.uplink.statistics().lost == 20
        assert 980 <= len(call.sink.audio) <= 1000
        assert sum(call.heard) == 980
        call.uplink.close()

    on_frozen_clock(scenario)


def test_a_sender_at_twice_the_rate_is_cut_to_its_budget_and_others_keep_theirs() -> None:
    async def scenario(loop: FrozenLoop) -> None:
        fast, other = Call(loop), Call(loop)
        for n in range(3000):  # a minute
            for half in (0, 1):
                fast.send(2 * n + half, 960 * (2 * n + half), VOICE[n % len(VOICE)])
            other.send(n, 960 * n, VOICE[n % len(VOICE)])
            await pass_time(loop, 0.02)
        given_s = len(fast.sink.audio) * 0.02
        assert given_s <= 10 + 1.25 * 60 + 0.02
        assert given_s + fast.flooded_s == pytest.approx(120.0, abs=0.05)
        assert fast.uplink.statistics().lost == 0
        assert other.heard == [True] * 3000
        assert other.flooded_s == 0
        fast.uplink.close()
        other.uplink.close()

    on_frozen_clock(scenario)


def test_packets_of_all_lengths_mono_and_stereo_are_heard_one_after_the_other(
    decoder: Literal["pyav", "libopus"],
) -> None:
    """From 2.5 to 120 ms; every sample of each, in pieces of 20 ms."""

    async def scenario(loop: FrozenLoop) -> None:
        call = Call(loop, decoder)
        timestamp = sent_ticks = 0
        for n in range(400):
            layout = ("mono", "stereo")[n // 3 % 2]
            ms = ("20", "2.5", "60", "5", "120", "10", "40")[n % 7]
            packets = foreign_packets(layout, ms)
            payload = packets[n % len(packets)]
            call.send(n, timestamp, payload)
            ticks = duration_ticks(payload)
            assert ticks is not None
            timestamp += ticks
            sent_ticks += ticks
            await pass_time(loop, ticks / 48_000)
        assert len(call.sink.audio) == sent_ticks // 960
        assert all(call.heard)
        assert all(len(one.pcm) == PIECE_BYTES for one in call.sink.audio)
        assert call.uplink.statistics().lost == 0
        call.uplink.close()

    on_frozen_clock(scenario)


def test_sources_change_and_numbers_wrap_around_without_a_gap() -> None:
    """Each source begins anywhere; nothing is lost, made up or left out."""

    async def scenario(loop: FrozenLoop) -> None:
        call = Call(loop)
        for n in range(600):
            source = n // 100
            number, timestamp = 0xFFF0 + 7919 * source + n, 0xFFFFF000 + 99_991 * source + 960 * n
            call.send(number, timestamp, VOICE[n % len(VOICE)], ssrc=source)
            await pass_time(loop, 0.02)
        assert call.heard == [True] * 600
        statistics = call.uplink.statistics()
        assert (statistics.resets, statistics.lost) == (5, 0)
        call.uplink.close()

    on_frozen_clock(scenario)


def test_dtx_keeps_the_agents_time() -> None:
    """A packet each 400 ms in the pauses: silence is filled in, and the agent's clock goes on."""

    async def scenario(loop: FrozenLoop) -> None:
        call = Call(loop)
        begun, number, pauses = loop.now, 0, 0
        for spurt in range(5):
            for _ in range(50):
                call.send(number, round((loop.now - begun) * 48_000), VOICE[number % len(VOICE)])
                number += 1
                await pass_time(loop, 0.02)
            for _ in range(3 + spurt):
                call.send(number, round((loop.now - begun) * 48_000), b"\x08")
                number += 1
                pauses += 1
                await pass_time(loop, 0.4)
        elapsed_s = loop.now - begun
        given_s = len(call.sink.audio) * 0.02
        # A pause is told from jitter only after a while, which is bounded.
        assert elapsed_s - pauses * 0.1 <= given_s <= elapsed_s + 0.02
        assert call.uplink.statistics().lost == 0
        call.uplink.close()

    on_frozen_clock(scenario)


def test_rtp_without_end_is_taken_as_it_comes() -> None:
    """Past the wraparound of the numbers each packet gives its piece, and no more."""

    async def scenario(loop: FrozenLoop) -> None:
        call = Call(loop)
        silence = b"\x08"
        for n in range(70_000):
            call.send(n, 960 * n, silence)
            loop.now += 0.02
            if n % 1000 == 999:
                await asyncio.sleep(0)
                assert len(call.sink.audio) == 1000
                call.sink.audio.clear()
        statistics = call.uplink.statistics()
        assert (statistics.received, statistics.lost, statistics.late) == (70_000, 0, 0)
        assert statistics.resets == 0
        call.uplink.close()

    on_frozen_clock(scenario)
