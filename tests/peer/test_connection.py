"""The peer connection against a real aiortc client over real UDP."""

from __future__ import annotations

import asyncio
import time

import pytest

from rtc_server.errors import CallEnded, CandidateError, OfferError, Outcome, ServerBusy
from rtc_server.media.opus import DECODED_RATE
from rtc_server.messages import ClientText, Text
from rtc_server.peer import aiortc_internals
from rtc_server.settings import Limits, Settings

from .rtc_client import RtcClient, dominant_frequency, tone
from .support import Peer, call, sample, until


async def test_voice_and_messages_go_both_ways() -> None:
    """Tones survive in both directions, a message is echoed, and the counters count."""
    async with call() as (peer, client):
        assert (await client.next_message())["type"] == "ready"
        client.send({"type": "ping", "t": 7})
        assert await client.next_message("pong") == {"type": "pong", "t": 7}

        client.microphone.tone(440, seconds=0.6)
        peer.speak(tone(1000, 0.6, rate=24_000))
        await until(lambda: len(peer.sink.frames) == 31 and client.microphone.is_silent)
        await client.wait_for(lambda: len(client.packets) == 31)
        await until(lambda: len(peer.sink.audio) >= 32)

        heard = client.pcm()
        assert dominant_frequency(heard[9600:48000]) == pytest.approx(1000, abs=10)
        # The tone begins somewhere in the first frames and lasts 600 ms.
        loud = max(range(len(peer.sink.audio) - 20), key=lambda n: _energy(peer, n, 20))
        spoken = b"".join(one.pcm for one in peer.sink.audio[loud : loud + 20])
        assert dominant_frequency(spoken, DECODED_RATE) == pytest.approx(440, abs=10)
        assert any(one.speech for one in peer.sink.audio)

        statistics = await peer.connection.stats()
        assert statistics["state"] == "connected"
        assert statistics["uplink"]["packets"] >= 32
        assert statistics["downlink"]["packets"] == 31
        assert statistics["candidate_pairs"][0]["local"]["type"] == "host"
        assert sample(peer.metrics, "rtc_packets_total", direction="downlink") == 31
        assert sample(peer.metrics, "rtc_packets_total", direction="uplink") >= 32
        assert sample(peer.metrics, "rtc_packets_lost_total", direction="uplink") == 0


def _energy(peer: Peer, start: int, count: int) -> int:
    return sum(
        sum(map(abs, one.pcm))
        if False
        else sum(
            abs(int.from_bytes(one.pcm[i : i + 2], "little", signed=True))
            for i in range(0, 640, 64)
        )
        for one in peer.sink.audio[start : start + count]
    )


@pytest.mark.parametrize("losses", [{25}, set(range(25, 30))], ids=["one", "five in a row"])
async def test_a_loss_delays_nothing_that_follows(losses: set[int]) -> None:
    """After packets were lost, each packet brings its piece as it did before the loss."""
    async with call() as (peer, client):
        first: list[int] = []

        def is_lost(sequence_number: int) -> bool:
            first.append(sequence_number)
            return (sequence_number - first[0]) % 65536 in losses

        client.drop = is_lost
        await until(lambda: len(first) >= 60)
        # Two packets in a row whose pieces come out as they arrive.
        client.microphone.paused = True
        await until(lambda: _decoded(peer) == len(first) - len(losses))
        assert peer.connection.uplink is not None
        counts = peer.connection.uplink.statistics()
        assert counts.lost == len(losses)
        assert counts.concealed_ms == 20 * len(losses)
        assert sample(peer.metrics, "rtc_packets_lost_total", direction="uplink") == len(losses)

        before, after = _delays(peer, 5, 20), _delays(peer, 40, 55)
        assert max(after) < max(before) + 0.02


def _decoded(peer: Peer) -> int:
    return sum(one.arrived_at is not None for one in peer.sink.audio)


def _delays(peer: Peer, start: int, end: int) -> list[float]:
    arrived = [at for at in peer.sink.arrived_to_handed if at is not None]
    return arrived[start:end]
