"""What of a backlog is delay for nothing, and what is speech still to be heard."""

from __future__ import annotations

from rtc_server.media.surplus_delay import SurplusDelay

FRAME_S = 0.02


class Stream:
    """A stream written in pieces of 40 ms and read a frame every 20 ms."""

    def __init__(self) -> None:
        self.delay = SurplusDelay()
        self.now = 0.0
        self.left_s = 0.0
        self.taken_s = 0.0

    def go_on(self, seconds: float, *, speed: float = 1.0) -> None:
        """The agent says ``speed`` seconds a second."""
        end = self.now + seconds
        number = 0
        while self.now < end - 1e-9:
            if number % 2 == 0:
                self.delay.wrote()
                self.left_s += 2 * FRAME_S * speed
            self.left_s -= FRAME_S
            self.delay.read(self.left_s, self.now)
            self.now += FRAME_S
            number += 1

    def stall(self, seconds: float) -> None:
        """The server stands still, and the agent goes on."""
        self.now += seconds
        self.left_s += seconds

    def take(self) -> float:
        """Take out all that may be."""
        surplus_s = self.delay.surplus_s
        if surplus_s:
            self.left_s -= surplus_s
            self.delay.took(surplus_s)
        self.taken_s += surplus_s
        return surplus_s


def test_a_stream_in_time_has_no_surplus() -> None:
    stream = Stream()
    stream.left_s = 0.015
    for _ in range(10):
        stream.go_on(1.0)
        assert stream.delay.surplus_s == 0


def test_what_a_stall_left_behind_is_surplus_once_it_is_steady() -> None:
    """Down to what the stream had before, and no further."""
    stream = Stream()
    stream.left_s = 0.01
    stream.go_on(3.0)
    stream.stall(0.06)
    stream.go_on(3.0)
    assert abs(stream.delay.surplus_s - 0.06) < 1e-6
    stream.take()
    stream.go_on(5.0)
    assert stream.delay.surplus_s == 0


def test_an_agent_that_speaks_faster_than_real_time_has_no_surplus() -> None:
    """What waits grows: it is speech."""
    for speed in (1.03, 1.1, 1.5, 3.0):
        stream = Stream()
        for _ in range(8):
            stream.go_on(1.0, speed=speed)
            assert stream.delay.surplus_s == 0, speed


def test_the_end_of_an_answer_has_no_surplus() -> None:
    """Nothing is written any more, and what is left gets less."""
    stream = Stream()
    stream.go_on(1.0, speed=1.4)
    while stream.left_s > FRAME_S:
        stream.left_s -= FRAME_S
        stream.delay.read(stream.left_s, stream.now)
        stream.now += FRAME_S
        assert stream.delay.surplus_s == 0


def test_a_long_backlog_is_no_delay() -> None:
    stream = Stream()
    stream.left_s = 2.0
    stream.go_on(10.0)
    assert stream.delay.surplus_s == 0


def test_a_stream_that_ran_dry_again_is_given_a_little_more() -> None:
    """Else every hiccup of an agent would be heard anew; it is forgotten in time."""
    stream = Stream()
    stream.go_on(2.0)
    for _ in range(10):
        stream.delay.ran_dry()
    stream.left_s += 0.03
    stream.go_on(4.0)
    first = stream.take()
    assert 0.02 < first < 0.03
    for _ in range(60):
        stream.go_on(1.0)
        stream.take()
    assert first < stream.taken_s <= 0.03 + 1e-6


def test_the_lead_that_an_agent_builds_is_its_own() -> None:
    """It speaks faster at first, then in real time: what waits is its own jitter buffer."""
    stream = Stream()
    stream.go_on(1.0, speed=1.4)
    for _ in range(10):
        stream.go_on(1.0)
        assert stream.delay.surplus_s == 0


def test_a_stall_longer_than_half_a_second_is_not_kept_either() -> None:
    stream = Stream()
    stream.left_s = 0.01
    stream.go_on(3.0)
    stream.stall(0.7)
    stream.go_on(3.0)
    assert abs(stream.delay.surplus_s - 0.7) < 1e-6


def test_a_stall_at_the_very_start_of_a_turn_is_not_kept() -> None:
    """The stream ran dry, and so had no slack of its own."""
    stream = Stream()
    stream.go_on(0.4)
    stream.delay.ran_dry()
    stream.left_s += 0.4
    stream.go_on(4.0)
    assert stream.delay.surplus_s > 0.38
