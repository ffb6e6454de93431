"""The pacing of frames, on a manual clock."""

from __future__ import annotations

import pytest

from rtc_server.peer.pacer import Pacer


def send(pacer: Pacer, now: float) -> tuple[int, float]:
    pacer.begin(now)
    return pacer.sent(now)


def test_the_first_frame_is_due_at_once() -> None:
    pacer = Pacer()
    assert pacer.due is None
    assert pacer.begin(5.0) == 5.0
    assert pacer.sent(5.0) == (0, 0.0)


def test_frames_follow_every_20_ms_without_drift() -> None:
    """A thousand frames, each sent 3 ms late, keep the rhythm of the first."""
    pacer = Pacer()
    pacer.begin(1.0)
    for n in range(1000):
        assert pacer.due == pytest.approx(1.0 + 0.02 * n)
        timestamp, late_s = pacer.sent(1.0 + 0.02 * n + 0.003)
        assert timestamp == 960 * n
        assert late_s == pytest.approx(0.003)


def test_a_late_frame_is_followed_by_one_frame_of_catching_up_and_no_burst() -> None:
    """After 50 ms nothing but one frame more is due at once, then the rhythm goes on."""
    pacer = Pacer()
    send(pacer, 0.0)
    timestamp, late_s = pacer.sent(0.07)
    assert timestamp == 960
    assert late_s == pytest.approx(0.05)
    assert pacer.due == 0.07
    assert pacer.sent(0.07)[0] == round(0.07 * 48_000)
    assert pacer.due == pytest.approx(0.09)
    assert pacer.sent(0.09)[0] == round(0.07 * 48_000) + 960


def test_nothing_is_caught_up_after_a_stall() -> None:
    """The frame that comes 200 ms late begins the rhythm anew."""
    pacer = Pacer()
    send(pacer, 0.0)
    _, late_s = pacer.sent(0.22)
    assert late_s == pytest.approx(0.2)
    assert pacer.due == pytest.approx(0.24)
    assert pacer.sent(0.24)[1] == 0.0
    assert pacer.due == pytest.approx(0.26)


def test_the_timestamp_jumps_over_a_stall_with_the_first_frame_behind_it() -> None:
    """No packet may look 200 ms late: a browser would play all that follow 200 ms later."""
    pacer = Pacer()
    assert send(pacer, 0.0)[0] == 0
    assert pacer.sent(0.22)[0] == round(0.22 * 48_000)
    assert pacer.sent(0.24)[0] == round(0.22 * 48_000) + 960


@pytest.mark.parametrize("stall_s", [0.03, 0.05, 0.1, 0.2, 1.0])
def test_no_packet_looks_later_than_what_a_jitter_buffer_holds(stall_s: float) -> None:
    """Whatever stalls, arrival and timestamp differ by less than three frames more than before."""
    pacer = Pacer()
    now = 0.0
    pacer.begin(now)
    for n in range(200):
        now = max(now, pacer.begin(now)) + (stall_s if n % 50 == 49 else 0.0)
        timestamp, _ = pacer.sent(now)
        assert -0.02 <= now - timestamp / 48_000 <= 0.0601


def test_the_timestamp_counts_the_silence_between_two_spurts() -> None:
    pacer = Pacer()
    send(pacer, 10.0)
    pacer.end()
    assert pacer.due is None
    assert send(pacer, 13.0)[0] == 3 * 48_000


def test_a_new_spurt_waits_for_the_end_of_the_last_frame() -> None:
    """Audio written 5 ms after the last frame is due 15 ms later, with the next timestamp."""
    pacer = Pacer()
    send(pacer, 0.0)
    pacer.end()
    assert pacer.begin(0.005) == pytest.approx(0.02)
    assert pacer.sent(0.02)[0] == 960


def test_looking_in_vain_changes_nothing() -> None:
    """A spurt that was begun and ended without a frame leaves no trace."""
    pacer = Pacer()
    send(pacer, 0.0)
    for now in (0.03, 0.5, 0.9):
        pacer.begin(now)
        pacer.end()
    assert send(pacer, 1.0) == (48_000, 0.0)


def test_timestamps_never_go_backwards() -> None:
    """Whatever the clock does between frames, they are at least a frame apart."""
    pacer = Pacer()
    last = -960
    now = 0.0
    for n in range(500):
        now += (0.0, 0.001, 0.02, 0.07, 0.5)[n * 7 % 5]
        if n % 3 == 0:
            pacer.end()
        timestamp, _ = send(pacer, max(now, pacer.begin(now)))
        assert timestamp >= last + 960
        last = timestamp
