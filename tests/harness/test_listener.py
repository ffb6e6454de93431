"""What is heard, from packets with times of the test's own."""

from __future__ import annotations

import numpy as np
import pytest

from rtc_harness.aiortc_internals import ReceivedPacket
from rtc_harness.levels import SAMPLE_RATE, audible_span
from rtc_harness.listener import HeardPacket, Listener
from rtc_harness.opus import FRAME_SAMPLES, OpusEncoder

from .stand_in_server import silence, tone


def packets(
    samples: np.ndarray, *, at: float, first: int = 0, interval: float = 0.02
) -> list[ReceivedPacket]:
    encoder = OpusEncoder()
    return [
        ReceivedPacket(
            (first + index) & 0xFFFF,
            index * FRAME_SAMPLES,
            encoder.encode(samples[index * FRAME_SAMPLES :][:FRAME_SAMPLES]),
            at + index * interval,
        )
        for index in range(len(samples) // FRAME_SAMPLES)
    ]


def push_all(listener: Listener, stream: list[ReceivedPacket]) -> list[HeardPacket]:
    heard = [listener.push(packet) for packet in stream]
    return [one for one in heard if one is not None]


def test_listener_times_the_first_audible_sample() -> None:
    """Sound begins within the packet that carries it, at its offset in the packet."""
    heard = push_all(
        Listener(started_at=0.0), packets(np.concatenate([silence(0.1), tone(0.1)]), at=5.0)
    )
    first = next(one for one in heard if one.began_at is not None)
    assert first.arrived_at == pytest.approx(5.1)
    assert first.began_at is not None
    assert 5.1 < first.began_at < 5.11  # Opus's look-ahead, 6.5 ms, later
    assert [one.began_at for one in heard[:5]] == [None] * 5


def test_listener_records_in_time() -> None:
    """Pauses of the sender are silence in the recording; delays on the way are not."""
    listener = Listener(started_at=100.0)
    push_all(listener, packets(tone(0.2), at=100.5, interval=0.021))
    push_all(listener, packets(tone(0.2), at=102.0, first=10))
    recording = listener.recording()
    assert len(recording) == pytest.approx(2.2 * SAMPLE_RATE, abs=FRAME_SAMPLES)
    assert audible_span(recording[: int(0.5 * SAMPLE_RATE)]) is None
    first = audible_span(recording[:SAMPLE_RATE])
    assert first is not None
    assert first[1] - first[0] <= int(0.2 * SAMPLE_RATE)  # 1 ms late each: nothing in between
    assert audible_span(recording[int(0.75 * SAMPLE_RATE) : 2 * SAMPLE_RATE]) is None
    assert audible_span(recording[2 * SAMPLE_RATE :]) is not None


def test_listener_fills_what_was_lost() -> None:
    """A lost packet is counted and leaves its 20 ms of silence, so that nothing moves."""
    listener = Listener(started_at=0.0)
    stream = packets(tone(0.2), at=0.0)
    push_all(listener, stream[:4] + stream[6:])
    assert listener.missing == 2
    assert len(listener.recording()) == int(0.2 * SAMPLE_RATE)


def test_listener_hears_late_and_doubled_packets_once() -> None:
    """Packets that come twice, or after their successor, are counted and not decoded."""
    listener = Listener(started_at=0.0)
    stream = packets(tone(0.1), at=0.0, first=65_534)  # across the wrap
    push_all(listener, [stream[0], stream[1], stream[1], stream[2], stream[0], *stream[3:]])
    assert listener.late == 2
    assert listener.missing == 0
    assert listener.packets == 5


def test_listener_passes_over_what_is_not_opus() -> None:
    """Garbage is neither heard nor fatal."""
    listener = Listener(started_at=0.0)
    assert listener.push(ReceivedPacket(1, 0, b"\xff" * 3, 0.0)) is None
    assert listener.packets == 0


def test_listener_without_a_recording_keeps_nothing() -> None:
    """For many calls at once the recording can be left out."""
    listener = Listener(started_at=0.0, keep_audio=False)
    assert push_all(listener, packets(tone(0.1), at=3.0))
    assert listener.recording().size == 0


def test_recording_is_bounded() -> None:
    """A call of any length keeps a bounded recording."""
    listener = Listener(started_at=0.0, max_seconds=0.1)
    push_all(listener, packets(tone(0.5), at=0.0))
    assert listener.recording().size <= SAMPLE_RATE // 10
