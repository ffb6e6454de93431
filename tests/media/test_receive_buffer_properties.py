"""What the receive buffer promises whatever the network does: properties of any sound policy.

No constant of the present one is asked for, but for the bound that listeners are promised: a
packet behind a gap waits at most 60 ms.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from rtc_server.media.receive_buffer import (
    Ended,
    Frame,
    Lost,
    ReceiveBuffer,
    Received,
    RtpPacket,
    Silence,
)

MOST_WAIT_S = 0.06
EPSILON_S = 1e-4
PTIME_S = 0.02
TOCS = (9 << 3, 8 << 3, 10 << 3, 11 << 3, 28 << 3, 29 << 3, 9 << 3 | 4)
"""20, 10, 40, 60, 2.5 and 5 ms, and stereo."""

TICKS = {9: 960, 8: 480, 10: 1920, 11: 2880, 28: 120, 29: 240}

thorough = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,  # the same everywhere; what is new is found by a fuzz run
    database=None,
)


def ticks_of(payload: bytes) -> int:
    return TICKS[payload[0] >> 3]


def number_of(payload: bytes) -> int:
    """Which packet it was, in the order of sending."""
    return int.from_bytes(payload[1:5], "big")


@dataclass
class Driven:
    """A buffer whose deadlines are kept, by a timer that is late now and then."""

    buffer: ReceiveBuffer = field(default_factory=ReceiveBuffer)
    came: list[tuple[float, Received]] = field(default_factory=list)
    arrived: list[RtpPacket] = field(default_factory=list)
    now: float = 0.0

    def run_until(self, now: float, late_s: float = 0.0) -> None:
        for _ in range(100_000):
            deadline = self.buffer.deadline
            if deadline is None or (at := max(self.now, deadline + late_s)) >= now:
                return
            self.now = at
            out = self.buffer.poll(at)
            assert out or self.buffer.deadline != deadline, "a deadline at which nothing is due"
            self.came += [(at, item) for item in out]
        raise AssertionError("the deadlines do not move on")

    def push(self, packet: RtpPacket) -> None:
        now = self.now = packet.arrived_at
        self.arrived.append(packet)
        self.came += [(now, item) for item in self.buffer.push(packet, now)]

    @property
    def frames(self) -> list[tuple[float, Frame]]:
        return [(at, item) for at, item in self.came if isinstance(item, Frame)]


@st.composite
def networks(draw: st.DrawFn) -> tuple[int, int, list[tuple[float, int, int]]]:
    """The first sequence number and timestamp, and arrivals: time, number of sending, TOC.

    Jitter, loss, duplicates, reordering and stalls, over a wraparound now and then.
    """
    tocs = draw(st.lists(st.sampled_from(TOCS), min_size=1, max_size=60))
    arrivals: list[tuple[float, int, int]] = []
    sent_at, stalled_until = 100.0, 0.0
    for n, toc in enumerate(tocs):
        fate = draw(st.integers(0, 19))
        delay = draw(st.sampled_from((0.0, 0.0, 0.0, 0.004, 0.015, 0.03, 0.07, 0.15)))
        if fate == 0:
            stalled_until = sent_at + draw(st.sampled_from((0.05, 0.3, 3.0)))
        if fate not in (1, 2):  # these are lost
            arrivals.append((max(sent_at + delay, stalled_until), n, toc))
        if fate == 3:
            copy_delay = draw(st.sampled_from((0.0, 0.02, 0.2)))
            arrivals.append((sent_at + delay + copy_delay, n, toc))
        sent_at += TICKS[toc >> 3] / 48_000
        if fate == 4:  # DTX
            sent_at += draw(st.sampled_from((0.4, 2.5)))
    arrivals.sort(key=lambda one: one[0])
    number = draw(st.sampled_from((0, 1000, *range(0xFFF4, 0x10000))))
    timestamp = draw(st.sampled_from((0, 0xFFFF_FF00, 0x7FFF_FFF0)))
    return number, timestamp, arrivals


def packet(first: int, stamp: int, arrival: tuple[float, int, int]) -> RtpPacket:
    at, n, toc = arrival
    payload = bytes((toc,)) + n.to_bytes(4, "big")
    return RtpPacket((first + n) & 0xFFFF, (stamp + 960 * n) & 0xFFFFFFFF, 7, payload, at)


def lived_through(
    network: tuple[int, int, list[tuple[float, int, int]]],
    late_s: float = 0.0,
) -> Driven:
    number, stamp, arrivals = network
    driven = Driven()
    for arrival in arrivals:
        driven.run_until(arrival[0], late_s)
        driven.push(packet(number, stamp, arrival))
    driven.run_until(1e6)
    return driven


@thorough
@given(networks())
def test_each_packet_goes_on_once_in_order_or_is_counted(
    network: tuple[int, int, list[tuple[float, int, int]]],
) -> None:
    """What is passed on is so once, its copies are duplicates, and all else came too late."""
    driven = lived_through(network)
    numbers = [number_of(frame.payload) for _, frame in driven.frames]
    assert numbers == sorted(set(numbers))
    statistics = driven.buffer.statistics()
    assert statistics.received == len(driven.arrived)
    came_at_all = Counter(number_of(one.payload) for one in driven.arrived)
    assert statistics.duplicated == sum(came_at_all[number] - 1 for number in numbers)
    assert statistics.late == sum(came_at_all.values()) - sum(came_at_all[n] for n in numbers)
    if numbers:
        assert statistics.lost == numbers[-1] - numbers[0] + 1 - len(numbers)
    assert statistics.resets == 0


@thorough
@given(networks())
def test_no_packet_waits_longer_than_60_ms(
    network: tuple[int, int, list[tuple[float, int, int]]],
) -> None:
    """And one that is next in order not at all."""
    driven = lived_through(network)
    known = {number_of(one.payload): one.arrived_at for one in reversed(driven.arrived)}
    expected: int | None = None
    for at, frame in driven.frames:
        number = number_of(frame.payload)
        assert at - frame.arrived_at <= MOST_WAIT_S + EPSILON_S
        assert frame.arrived_at == known[number], "the copy that came first"
        if number == expected and at > frame.arrived_at:
            # It waited: for one that was before it, and came or was given up at that moment.
            assert any(
                other == at and number_of(one.payload) < number
                for other, one in driven.frames
                if one is not frame
            ) or any(other == at and isinstance(one, Lost) for other, one in driven.came)
        expected = number + 1


@thorough
@given(networks())
def test_what_is_made_up_is_counted_and_never_more_than_the_time_that_passed(
    network: tuple[int, int, list[tuple[float, int, int]]],
) -> None:
    """A pause of any length is followed by its end, once, and nothing after that."""
    driven = lived_through(network)
    statistics = driven.buffer.statistics()
    losses = [item for _, item in driven.came if isinstance(item, Lost)]
    silences = [item for _, item in driven.came if isinstance(item, Silence)]
    assert statistics.concealed_ms == sum(item.duration_ms for item in losses)
    assert statistics.silence_ms == sum(item.duration_ms for item in silences)
    assert all(item.duration_ms > 0 for item in losses + silences)
    if not driven.frames:
        assert not driven.came
        return
    assert isinstance(driven.came[-1][1], Ended)
    assert driven.buffer.deadline is None
    span_ms = (driven.came[-1][0] - driven.came[0][0]) * 1000
    assert statistics.silence_ms <= span_ms + 20
    ends = [n for n, (_, item) in enumerate(driven.came) if isinstance(item, Ended)]
    for end in ends[:-1]:
        assert not isinstance(driven.came[end + 1][1], Silence | Ended)


@thorough
@given(networks(), st.integers(1, 400))
def test_a_timer_that_is_late_changes_no_order_and_loses_nothing(
    network: tuple[int, int, list[tuple[float, int, int]]], late_ms: int
) -> None:
    """The loop is busy now and then."""
    driven = lived_through(network, late_ms / 1000)
    numbers = [number_of(frame.payload) for _, frame in driven.frames]
    assert numbers == sorted(set(numbers))
    statistics = driven.buffer.statistics()
    assert statistics.received == len(numbers) + statistics.late + statistics.duplicated
    times = [at for at, _ in driven.came]
    assert times == sorted(times)


@thorough
@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF),
            st.integers(0, 0xFFFF_FFFF),
            st.integers(0, 2),
            st.binary(max_size=8),
            st.sampled_from((0.0, 0.001, 0.02, 0.1, 5.0)),
        ),
        max_size=40,
    )
)
def test_any_packets_at_all_are_accounted_for(
    packets: list[tuple[int, int, int, bytes, float]],
) -> None:
    """Numbers, timestamps, sources and payloads at random: nothing raises, repeats or stays."""
    driven = Driven()
    now = 100.0
    for number, timestamp, ssrc, payload, pause in packets:
        driven.run_until(now)
        driven.push(RtpPacket(number, timestamp, ssrc, payload, now))
        now += pause
    driven.run_until(1e6)
    statistics = driven.buffer.statistics()
    sounding = sum(bool(payload) for _, _, _, payload, _ in packets)
    frames = len(driven.frames)
    # The last one may be a stranger that its successor would have made the first of a stream.
    dropped = statistics.late + statistics.duplicated
    assert statistics.received == len(packets)
    assert frames <= sounding
    assert len(packets) - 1 <= frames + (len(packets) - sounding) + dropped
    assert frames + dropped <= len(packets)
    assert all(at - frame.arrived_at <= MOST_WAIT_S + EPSILON_S for at, frame in driven.frames)
