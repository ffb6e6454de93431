"""The receive buffer, on a manual clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from rtc_server.media.receive_buffer import (
    Frame,
    Lost,
    ReceiveBuffer,
    Received,
    RtpPacket,
    Silence,
)

TOC_20_MS, TOC_60_MS, TOC_2_5_MS = 9 << 3, 11 << 3, 28 << 3
PTIME = 0.02


def payload(number: int, toc: int = TOC_20_MS) -> bytes:
    return bytes((toc,)) + number.to_bytes(4, "big")


@dataclass
class Stream:
    """A sender of one packet each 20 ms and a buffer driven by its deadlines."""

    buffer: ReceiveBuffer = field(default_factory=ReceiveBuffer)
    sequence_number: int = 1000
    timestamp: int = 50_000
    ssrc: int = 1
    start: float = 100.0
    came: list[tuple[float, Received]] = field(default_factory=list)
    now: float = 0.0

    def packet(self, n: int, at: float | None = None) -> RtpPacket:
        """The n-th packet, on time unless ``at`` is given."""
        return RtpPacket(
            sequence_number=(self.sequence_number + n) % 0x10000,
            timestamp=(self.timestamp + 960 * n) % 0x1_0000_0000,
            ssrc=self.ssrc,
            payload=payload(n),
            arrived_at=self.start + PTIME * n if at is None else self.start + at,
        )

    def run_until(self, now: float) -> None:
        """Polls at each deadline up to ``now``, as a timer would."""
        while (deadline := self.buffer.deadline) is not None and deadline < now:
            out = self.buffer.poll(deadline)
            assert out or self.buffer.deadline != deadline, "a deadline at which nothing is due"
            self.came += [(deadline - self.start, item) for item in out]
        self.now = now

    def push(self, packet: RtpPacket) -> list[Received]:
        self.run_until(packet.arrived_at)
        out = self.buffer.push(packet, packet.arrived_at)
        self.came += [(packet.arrived_at - self.start, item) for item in out]
        return out

    def send(self, *numbers: int) -> None:
        for n in numbers:
            self.push(self.packet(n))

    @property
    def kinds(self) -> str:
        return "".join(type(item).__name__[0] for _, item in self.came)

    @property
    def frames(self) -> list[int]:
        return [number_of(item) for _, item in self.came if isinstance(item, Frame)]

    def delays(self) -> dict[int, int]:
        """Milliseconds each frame was held back, by its number."""
        return {
            number_of(item): round((at + self.start - item.arrived_at) * 1000)
            for at, item in self.came
            if isinstance(item, Frame)
        }


def number_of(frame: Frame) -> int:
    return int.from_bytes(frame.payload[1:], "big")


@pytest.fixture
def stream() -> Stream:
    return Stream()


# In order


def test_packets_in_order_go_on_with_the_push_that_brings_them(stream: Stream) -> None:
    for n in range(50):
        out = stream.push(stream.packet(n))
        assert out == [Frame(payload(n), stream.packet(n).arrived_at)]


def test_there_is_no_deadline_before_the_first_packet(stream: Stream) -> None:
    assert stream.buffer.deadline is None
    assert stream.buffer.poll(1e9) == []


def test_jitter_below_the_pause_is_passed_on_as_it_comes(stream: Stream) -> None:
    jitter = (0, 0.03, 0.05, 0.001, 0.049, 0.0, 0.02, 0.04)
    for n, late in enumerate(jitter):
        at = max(PTIME * n + late, PTIME * (n - 1) + jitter[n - 1] if n else 0)
        stream.push(stream.packet(n, at=at))
    assert stream.kinds == "F" * len(jitter)
    assert set(stream.delays().values()) == {0}


def test_sequence_number_and_timestamp_wrap_around() -> None:
    stream = Stream(sequence_number=0xFFFE, timestamp=0xFFFF_FFFF - 1000)
    stream.send(0, 1, 2, 3, 5, 4, 6)
    assert stream.frames == [0, 1, 2, 3, 4, 5, 6]
    assert stream.kinds == "F" * 7


def test_a_loss_across_the_wraparound_is_concealed_once() -> None:
    stream = Stream(sequence_number=0xFFFE, timestamp=0xFFFF_FFFF - 1000)
    stream.send(0, 1, 3, 4, 5, 6)
    assert stream.kinds == "FFLFFFF"


# Loss


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 5, 10])
def test_a_loss_is_concealed_in_time_and_leaves_no_latency_behind(
    stream: Stream, lost: int
) -> None:
    """However many in a row: later packets wait for nothing."""
    first = 10
    stream.send(*range(first), *range(first + lost, first + lost + 50))
    delays = stream.delays()
    behind = [n for n, delay in delays.items() if delay]
    assert max(delays.values()) <= 60
    assert behind == list(range(first + lost, first + lost + len(behind)))
    assert len(behind) <= 3, "only what came while the gap was open waited"
    assert all(delays[n] == 0 for n in range(first + lost + 3, first + lost + 50))
    statistics = stream.buffer.statistics()
    assert statistics.lost == lost
    assert statistics.concealed_ms + statistics.silence_ms == lost * 20
    assert stream.frames == sorted(stream.frames)


def test_a_loss_is_given_up_10_ms_after_the_next_packet_where_none_was_overtaken(
    stream: Stream,
) -> None:
    stream.send(0, 1, 3)
    assert stream.buffer.deadline == pytest.approx(stream.start + 0.06 + 0.01)
    stream.run_until(stream.start + 0.08)
    at, lost = stream.came[2]
    assert at == pytest.approx(0.07)
    assert lost == Lost(20, payload(3))
    assert stream.frames == [0, 1, 3]


def test_a_packet_that_came_too_late_makes_the_next_one_waited_for(stream: Stream) -> None:
    """The network reorders: by 25 ms, and so for a gap it is waited a quarter longer."""
    stream.send(0, 2)
    stream.push(stream.packet(1, at=0.065))
    assert stream.buffer.statistics().late == 1
    for n, at in ((3, 0.066), (4, 0.08), (6, 0.12), (5, 0.145), (7, 0.146)):
        stream.push(stream.packet(n, at=at))
    assert stream.frames == [0, 2, 3, 4, 5, 6, 7]
    statistics = stream.buffer.statistics()
    assert (statistics.lost, statistics.reordered) == (1, 1)
    assert statistics.gap_wait_ms == round(25 * 1.25)


def test_overtaking_in_time_lengthens_the_wait_too(stream: Stream) -> None:
    for n, at in ((0, 0.0), (2, 0.04), (1, 0.0495), (3, 0.06)):
        stream.push(stream.packet(n, at=at))
    assert stream.buffer.statistics().gap_wait_ms == 12
    assert stream.kinds == "FFFF"


def test_no_wait_is_longer_than_60_ms_whatever_the_network_did(stream: Stream) -> None:
    stream.send(0, 2, 3, 4)
    stream.push(stream.packet(1, at=0.095))
    assert stream.buffer.statistics().gap_wait_ms == 60


def test_a_packet_that_no_wait_would_have_caught_lengthens_none(stream: Stream) -> None:
    """It would buy every later loss 60 ms of delay for nothing."""
    stream.send(0, 2, 3, 4)
    stream.push(stream.packet(1, at=1.0))
    assert stream.buffer.statistics().gap_wait_ms == 10


def test_an_overtaking_is_forgotten_after_a_minute(stream: Stream) -> None:
    stream.send(0, 2)
    stream.push(stream.packet(1, at=0.09))
    stream.send(*range(5, 1000), *range(1001, 2500), *range(2501, 4500), *range(4501, 4510))
    assert stream.delays()[1001] >= 40, "20 s later it is still known"
    assert stream.delays()[4501] == 10, "90 s later it is not"
    assert stream.buffer.statistics().gap_wait_ms == 10


def test_a_stray_duplicate_of_what_was_heard_says_nothing_of_the_network(stream: Stream) -> None:
    stream.send(0, 1, 2)
    stream.push(stream.packet(1, at=0.5))
    assert stream.buffer.statistics().gap_wait_ms == 10


def test_nothing_is_due_a_moment_before_the_deadline(stream: Stream) -> None:
    stream.send(0, 2)
    deadline = stream.buffer.deadline
    assert deadline is not None
    assert stream.buffer.poll(deadline - 0.001) == []
    assert stream.buffer.poll(deadline) != []


def test_a_packet_ends_the_wait_when_the_timer_did_not(stream: Stream) -> None:
    """A push after the deadline does what the poll would have done."""
    stream.send(0, 2)
    late = stream.packet(3, at=0.5)
    out = stream.buffer.push(late, late.arrived_at)
    assert [type(item) for item in out] == [Lost, Frame, Frame]


def test_only_the_last_of_several_lost_names_the_next_payload(stream: Stream) -> None:
    """In-band FEC repeats one frame, the one before."""
    buffer = ReceiveBuffer(shortest_wait_s=0.2, longest_wait_s=0.2, silence_after_s=0.2)
    stream.buffer = buffer
    stream.send(0, 4)
    stream.run_until(stream.start + 1)
    losses = [item for _, item in stream.came if isinstance(item, Lost)]
    assert [item.next_payload for item in losses] == [None, None, payload(4)]


def test_two_gaps_are_given_up_each_in_its_time(stream: Stream) -> None:
    stream.send(0, 2, 4)
    stream.run_until(stream.start + 0.3)
    assert stream.kinds[:5] == "FLFLF"
    assert stream.frames == [0, 2, 4]
    assert stream.buffer.statistics().lost == 2


def test_lost_frames_are_as_long_as_the_timestamps_say(stream: Stream) -> None:
    """Of 60 ms packets one lost is 60 ms."""
    for n in (0, 1, 3):
        packet = stream.packet(3 * n)
        stream.push(
            packet._replace(
                sequence_number=stream.sequence_number + n, payload=payload(n, TOC_60_MS)
            )
        )
    stream.run_until(stream.start + 0.5)
    assert [item.duration_ms for _, item in stream.came if isinstance(item, Lost)] == [60]


def test_a_burst_with_a_long_hole_is_concealed_for_a_bounded_time(stream: Stream) -> None:
    stream.send(0)
    for n in range(50, 60):
        stream.push(stream.packet(n, at=0.02))
    stream.run_until(stream.start + 0.081)
    assert sum(item.duration_ms for _, item in stream.came if isinstance(item, Lost)) == 120
    assert stream.frames == [0, *range(50, 60)]
    assert stream.buffer.statistics().lost == 49


# Order


def test_a_packet_that_comes_late_but_in_time_is_put_in_its_place(stream: Stream) -> None:
    for n, at in ((0, 0.0), (2, 0.04), (1, 0.05), (3, 0.06)):
        stream.push(stream.packet(n, at=at))
    assert stream.frames == [0, 1, 2, 3]
    assert stream.kinds == "FFFF"
    statistics = stream.buffer.statistics()
    assert (statistics.reordered, statistics.lost, statistics.late) == (1, 0, 0)


def test_a_shuffled_burst_after_a_stall_is_put_in_order(stream: Stream) -> None:
    """All of it is overdue, and yet the first gap is given its time."""
    stream.send(0)
    for n in (3, 1, 5, 2, 4, 6):
        stream.push(stream.packet(n, at=0.3))
    assert stream.frames == [0, 1, 2, 3, 4, 5, 6]
    assert stream.buffer.statistics().lost == 0


def test_a_second_copy_is_dropped_and_counted(stream: Stream) -> None:
    stream.send(0, 1, 1, 0, 3)
    stream.push(stream.packet(3, at=0.061))
    stream.push(stream.packet(2, at=0.062))
    assert stream.frames == [0, 1, 2, 3]
    assert stream.buffer.statistics().duplicated == 3


def test_a_packet_that_comes_after_it_was_concealed_is_dropped_and_counted(stream: Stream) -> None:
    stream.send(0, 2, 3, 4, 5)
    stream.push(stream.packet(1, at=0.12))
    stream.send(7)
    assert stream.frames == [0, 2, 3, 4, 5]
    statistics = stream.buffer.statistics()
    assert (statistics.lost, statistics.late, statistics.duplicated) == (1, 1, 0)


def test_padding_moves_the_order_and_makes_no_sound(stream: Stream) -> None:
    """A packet without payload is neither decoded nor missed."""
    stream.send(0)
    padding = stream.packet(1)._replace(payload=b"", timestamp=stream.packet(0).timestamp)
    stream.push(padding)
    behind = stream.packet(2)._replace(timestamp=stream.packet(1).timestamp)
    stream.push(behind)
    assert stream.kinds == "FF"
    assert stream.buffer.statistics().lost == 0


# New streams


def test_another_ssrc_begins_a_new_stream_at_once(stream: Stream) -> None:
    stream.send(0, 1, 3)
    other = RtpPacket(7, 9, 2, payload(100), stream.start + 0.065)
    out = stream.push(other)
    assert [number_of(item) for item in out if isinstance(item, Frame)] == [3, 100]
    assert stream.kinds == "FFFF", "what was held goes on, its gap is not concealed"
    assert stream.buffer.statistics().resets == 1


@pytest.mark.parametrize("jump", [5000, 1000, 30_000, -200, -20_000])
def test_a_jump_of_the_sequence_number_is_believed_with_its_second_packet(
    stream: Stream, jump: int
) -> None:
    """Neither is a thousand frames concealed, nor is one lost."""
    stream.send(0, 1, 2)
    stream.sequence_number += jump
    assert stream.push(stream.packet(3)) == []
    stream.send(4, 5)
    assert stream.frames == [0, 1, 2, 3, 4, 5]
    assert "L" not in stream.kinds
    statistics = stream.buffer.statistics()
    assert (statistics.resets, statistics.lost) == (1, 0)


def test_one_stray_packet_changes_nothing(stream: Stream) -> None:
    stream.send(0, 1)
    stray = stream.packet(2)._replace(sequence_number=40_000)
    stream.push(stray)
    stream.send(2, 3)
    assert stream.frames == [0, 1, 2, 3]
    assert stream.buffer.statistics().late == 1


# Pauses


def test_a_pause_is_filled_every_20_ms_for_its_time_and_ends_once(stream: Stream) -> None:
    stream.send(0)
    stream.run_until(stream.start + 60)
    assert stream.kinds == "F" + "S" * 100 + "E"
    assert all(item.duration_ms == 20 for _, item in stream.came if isinstance(item, Silence))
    times = [round(at * 1000) for at, _ in stream.came]
    assert times == [0, *range(80, 80 + 100 * 20, 20), 2080]
    assert stream.buffer.deadline is None
    assert stream.buffer.statistics().silence_ms == 2000


def test_after_the_end_the_next_packet_resumes_and_another_pause_ends_again(
    stream: Stream,
) -> None:
    stream.send(0)
    stream.run_until(stream.start + 10)
    for n in (1, 2):  # the sequence goes on, the timestamp has jumped
        packet = stream.packet(n, at=10 + PTIME * n)
        stream.push(packet._replace(timestamp=packet.timestamp + 480_000))
    stream.run_until(stream.start + 20)
    assert stream.frames == [0, 1, 2]
    assert stream.kinds == ("F" + "S" * 100 + "E") + ("FF" + "S" * 100 + "E")


def test_dtx_is_filled_with_silence_and_counts_as_no_loss(stream: Stream) -> None:
    """The timestamp jumps, the sequence does not; each packet goes on as it comes."""
    for n in range(5):
        packet = stream.packet(n, at=0.39 * n)
        stream.push(packet._replace(timestamp=stream.timestamp + 18_720 * n))
    assert stream.kinds == ("F" + "S" * 16) * 4 + "F"
    assert set(stream.delays().values()) == {0}
    assert stream.buffer.statistics().lost == 0


def test_a_packet_lost_within_dtx_is_one_frame_of_concealment(stream: Stream) -> None:
    """The pause around it is no loss."""
    stream.send(0)
    behind = stream.packet(2, at=0.021)._replace(
        timestamp=stream.timestamp + 48_000
    )  # a second further on
    stream.push(behind)
    stream.run_until(stream.start + 0.081)
    assert stream.kinds == "FLF"


def test_a_burst_after_a_stall_goes_on_at_once(stream: Stream) -> None:
    stream.send(*range(10))
    for n in range(10, 60):
        stream.push(stream.packet(n, at=1.2))
    stream.send(*range(61, 70))
    assert stream.frames[:60] == list(range(60))
    assert set(stream.delays()[n] for n in range(60)) == {0}


def test_silence_that_filled_a_gap_is_not_filled_again(stream: Stream) -> None:
    """20 packets lost: silence while they were missing, concealment of the rest at most."""
    stream.send(*range(5), *range(25, 40))
    statistics = stream.buffer.statistics()
    assert statistics.lost == 20
    assert statistics.silence_ms + statistics.concealed_ms == 400


def test_a_poll_after_a_stall_of_the_process_fills_one_frame(stream: Stream) -> None:
    """The packets of that time are about to be read from the socket."""
    stream.send(0)
    now = stream.start + 5.0
    assert stream.buffer.poll(now) == [Silence(20)]
    assert stream.buffer.deadline == pytest.approx(now + 0.02)


def test_no_silence_is_filled_while_packets_wait_behind_a_gap() -> None:
    stream = Stream(ReceiveBuffer(shortest_wait_s=1.0, longest_wait_s=1.0))
    stream.send(0, 2)
    stream.run_until(stream.start + 0.5)
    assert stream.kinds == "F"


# Bounds


def test_what_waits_is_bounded() -> None:
    stream = Stream(ReceiveBuffer(shortest_wait_s=1e6, longest_wait_s=1e6, capacity=8))
    stream.send(0, *range(2, 11))
    assert stream.frames == [0, *range(2, 11)], "the ninth packet that would wait ends the wait"
    assert stream.buffer.statistics().lost == 1


def test_statistics_count_everything_pushed(stream: Stream) -> None:
    stream.send(0, 1, 1, 3, 4)
    assert stream.buffer.statistics().received == 5


def test_frames_of_other_lengths_set_the_time_the_next_is_due(stream: Stream) -> None:
    packet = stream.packet(0)._replace(payload=payload(0, TOC_60_MS))
    stream.push(packet)
    assert stream.buffer.deadline == pytest.approx(stream.start + 0.06 + 0.06)


def test_concealment_of_frames_below_a_millisecond_boundary_is_bounded(stream: Stream) -> None:
    """2.5 ms frames are concealed in whole milliseconds."""
    for n in (0, 1, 9, 10):
        stream.push(RtpPacket(n, 120 * n, 1, payload(n, TOC_2_5_MS), stream.start + 0.0025 * n))
    stream.run_until(stream.start + 0.075)
    concealed = sum(item.duration_ms for _, item in stream.came if isinstance(item, Lost))
    assert concealed <= 17


@pytest.mark.parametrize("seed", range(20))
def test_any_network_gives_each_frame_once_in_order_and_in_time(seed: int) -> None:
    """Loss, jitter, reordering, duplicates and stalls at random."""
    generator = random.Random(seed)
    stream = Stream(sequence_number=0xFF00, timestamp=0xFFFF_0000)
    arrivals: list[tuple[float, int]] = []
    stall = 0.0
    for n in range(1500):
        if generator.random() < 0.003:
            stall = PTIME * n + generator.uniform(0, 0.8)
        if generator.random() < 0.05 and n:
            continue
        at = max(stall, PTIME * n + generator.expovariate(1 / 0.008))
        arrivals.append((at, n))
        if generator.random() < 0.02:
            arrivals.append((at + generator.uniform(0, 0.3), n))
    for at, n in sorted(arrivals):
        stream.push(stream.packet(n, at=at))
    stream.run_until(stream.start + 60)
    assert stream.frames == sorted(set(stream.frames))
    assert max(stream.delays().values()) <= 60
    assert stream.kinds.count("E") == 1
    statistics = stream.buffer.statistics()
    dropped = statistics.late + statistics.duplicated
    assert statistics.received == len(arrivals) == len(stream.frames) + dropped
    assert statistics.lost == stream.frames[-1] - stream.frames[0] + 1 - len(stream.frames)
