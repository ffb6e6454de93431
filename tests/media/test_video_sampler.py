"""Which frames are decoded, and when a key frame is asked for, on a clock of the test."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from rtc_server.media.frame_assembler import FrameAssembler
from rtc_server.media.video_payload import parse_vp8
from rtc_server.media.video_sampler import MAX_REQUESTS, VideoSampler

thorough = settings(deadline=None, derandomize=True, database=None)

KEY = b"\x10\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00"
DELTA = b"\x10\x11\x02\x00"
FRAME_S = 1 / 30


@dataclass
class Sender:
    """A camera of 30 frames a second, a packet each, and a sampler that watches it."""

    interval_s: float = 1.0
    answers: bool = True
    """Whether a request for a key frame brings one, a tenth of a second later."""

    every: int | None = None
    """Key frames come by themselves, each so many frames."""

    now: float = 100.0
    number: int = 0
    taken: list[tuple[float, list[bytes]]] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    looked_at: int = 0

    def __post_init__(self) -> None:
        self.sampler = VideoSampler(FrameAssembler(parse_vp8), self.interval_s)
        self._key_at: float | None = self.now

    def frame(self, *, lost: bool = False) -> None:
        """Send the next frame."""
        is_key = self.every is not None and self.number % self.every == 0
        if self._key_at is not None and self.now >= self._key_at:
            is_key, self._key_at = True, None
        payload = (KEY if is_key else DELTA) + self.number.to_bytes(4, "big")
        if not lost and self.sampler.wants(self.now):
            self.looked_at += 1
            frames = self.sampler.push(self.number & 0xFFFF, self.number, True, payload, self.now)
            if frames is not None:
                self.taken.append((self.now, frames))
                self.sampler.done()
        self.look()
        self.number += 1
        self.now += FRAME_S

    def look(self) -> None:
        """What the timer does."""
        if self.sampler.asks(self.now):
            self.asked.append(self.now)
            if self.answers and self._key_at is None:
                self._key_at = self.now + 0.1

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / FRAME_S)):
            self.frame()


def test_only_key_frames_are_decoded_once_a_second() -> None:
    """Each is asked for when it is due; the packets between are not looked at."""
    sender = Sender()
    sender.run(10.0)
    assert 9 <= len(sender.taken) <= 10
    assert all(len(frames) == 1 and frames[0][:1] == KEY[1:2] for _, frames in sender.taken)
    times = [at for at, _ in sender.taken]
    assert all(b - a >= 1.0 for a, b in itertools.pairwise(times))
    assert len(sender.asked) == len(sender.taken) - 1  # the first came by itself
    assert sender.looked_at < 60


def test_a_key_frame_that_does_not_come_is_asked_for_again() -> None:
    sender = Sender(answers=False)
    sender.run(3.0)
    waits = [b - a for a, b in itertools.pairwise(sender.asked)]
    assert len(waits) >= 2
    assert all(0.5 <= wait < 0.6 for wait in waits)


def test_a_stream_that_ends_is_not_asked_for_ever() -> None:
    """A few requests, and then none until packets come again."""
    sender = Sender()
    sender.run(1.05)
    before = len(sender.asked)
    for _ in range(1000):
        sender.now += 0.1
        sender.look()
    assert len(sender.asked) - before <= MAX_REQUESTS
    assert len(sender.taken) == 1
    sender.run(1.0)
    assert len(sender.taken) == 2


def test_a_sender_that_does_not_know_requests_is_followed() -> None:
    """From its next key frame on everything is decoded, a second's worth at once."""
    sender = Sender(answers=False, every=300)
    sender.run(40.0)
    late = [(at, frames) for at, frames in sender.taken if at > 100.0 + 20.5]
    assert 17 <= len(late) <= 20
    numbers = [int.from_bytes(one[-4:], "big") for _, frames in late for one in frames]
    # A key frame makes those before it needless; else none is left out.
    assert all(b == a + 1 or b % 300 == 0 for a, b in itertools.pairwise(numbers))


def test_after_a_loss_a_followed_sender_is_taken_up_at_a_key_frame() -> None:
    """What builds upon a lost frame is not decoded."""
    sender = Sender(answers=False, every=90)
    sender.run(20.0)
    sender.frame(lost=True)
    taken = len(sender.taken)
    sender.run(6.0)
    assert len(sender.taken) > taken
    assert sender.taken[taken][1][0][:1] == KEY[1:2]


def test_more_than_two_pictures_a_second_are_had_by_following() -> None:
    """One key frame is enough."""
    sender = Sender(interval_s=0.2)
    sender.run(5.0)
    assert 20 <= len(sender.taken) <= 26
    assert len(sender.asked) == 0
    numbers = [int.from_bytes(one[-4:], "big") for _, frames in sender.taken for one in frames]
    assert numbers == list(range(len(numbers)))


def test_nothing_is_due_while_a_picture_is_made() -> None:
    sampler = VideoSampler(FrameAssembler(parse_vp8), 1.0)
    assert sampler.wants(0.0)
    assert sampler.push(1, 1, True, KEY, 0.0) is not None
    assert not sampler.wants(5.0)
    assert not sampler.asks(5.0)
    sampler.done()
    assert sampler.wants(5.1)
    assert sampler.asks(5.1)


@thorough
@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF),
            st.integers(0, 5),
            st.booleans(),
            st.sampled_from([KEY, DELTA, b"\x00x", b"", b"\xff"]),
            st.floats(0, 2),
            st.booleans(),
        ),
        max_size=150,
    ),
    st.sampled_from([0.1, 1.0]),
)
def test_whatever_arrives_there_are_no_more_pictures_than_wanted(
    packets: list[tuple[int, int, bool, bytes, float, bool]], interval_s: float
) -> None:
    """And nothing raises."""
    sampler = VideoSampler(FrameAssembler(parse_vp8), interval_s)
    now = 0.0
    taken: list[float] = []
    for number, timestamp, marker, payload, pause_s, is_broken in packets:
        now += pause_s
        if sampler.wants(now) and sampler.push(number, timestamp, marker, payload, now):
            taken.append(now)
            sampler.done(broken=is_broken)
        sampler.asks(now)
    assert all(b - a >= interval_s - 1e-9 for a, b in itertools.pairwise(taken))


def test_gap_of_frames_that_are_over_is_not_asked_for() -> None:
    """The picture is there: nothing of what was missing before it is wanted any more."""
    sender = Sender(answers=False)
    sender._key_at = None
    sender.frame()
    sender.frame(lost=True)
    sender.frame()
    sender._key_at = sender.now
    sender.frame()  # the key frame, of which the picture is made
    assert len(sender.taken) == 1
    sender.frame()  # not wanted
    assert sender.sampler.assembler.gaps.due(sender.now + 0.1) == []


def test_frames_after_a_rest_do_not_join_those_before() -> None:
    """While nobody takes pictures packets are left out without being counted as lost."""
    sender = Sender(interval_s=0.1)  # every frame is followed
    sender.run(0.5)
    before = len(sender.taken)
    sender.sampler.rest()
    sender.answers = False
    sender.run(0.5)
    assert len(sender.taken) == before
    sender.answers = True
    sender.run(10.0)
    assert len(sender.taken) > before
