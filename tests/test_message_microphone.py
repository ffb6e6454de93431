"""Samples that come in messages: cut into pieces, and no faster than life for long."""

from __future__ import annotations

from rtc_server.message_microphone import MessageMicrophone
from rtc_server.metrics import Metrics
from tests.peer.support import sample

SECOND = bytes(16_000 * 2)


def dropped_s(metrics: Metrics) -> float:
    return sample(metrics, "rtc_audio_dropped_seconds_total", direction="uplink", reason="flood")


def test_samples_are_cut_into_pieces_of_20_ms_across_messages() -> None:
    microphone = MessageMicrophone(Metrics())
    assert microphone.push(bytes(600), 0.0) == []
    pieces = microphone.push(bytes(1000), 0.5)
    assert [len(one.pcm) for one in pieces] == [640, 640]
    assert [one.arrived_at for one in pieces] == [0.5, 0.5]


def test_ten_seconds_at_once_are_taken_and_more_is_dropped_whole_and_counted() -> None:
    """That much is a network that stalled; hundreds would cost the other calls."""
    metrics = Metrics()
    microphone = MessageMicrophone(metrics)
    taken = [len(microphone.push(SECOND * 6, 0.0)) / 50 for _ in range(5)]
    assert taken == [6, 0, 0, 0, 0]
    assert dropped_s(metrics) == 24
    assert len(microphone.push(SECOND * 4, 0.0)) == 200


def test_after_a_flood_a_little_more_than_real_time_is_taken() -> None:
    metrics = Metrics()
    microphone = MessageMicrophone(metrics)
    microphone.push(SECOND * 10, 0.0)
    taken = sum(len(microphone.push(SECOND, 0.1 * n)) / 50 for n in range(1, 801))
    assert 99 <= taken <= 100  # of 80 s
    assert dropped_s(metrics) == 800 - taken
