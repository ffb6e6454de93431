"""What the playout buffer promises whatever is written, read and flushed.

Properties of any sound policy: what a read takes out of the buffer is what was played of it, at
whatever speed.
"""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rtc_server.media.opus import ENCODER_RATES
from rtc_server.media.playout_buffer import PlayoutBuffer, PlayoutFrame

CAPACITY_S = 2.0
TURNS = st.integers(1, 4)
WORDS = "one two three four five six seven"


class Playing(RuleBasedStateMachine):
    """An agent that writes, a downlink that reads, a caller that interrupts."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = PlayoutBuffer(capacity_s=CAPACITY_S)
        self.now = 100.0
        self.offered_s = self.read_s = self.dropped_s = self.flushed_s = self.forgotten_s = 0.0
        self.last: PlayoutFrame | None = None
        self.flushed: set[int] = set()
        self.heard_ms: dict[int, int] = {}

    @rule(
        turn=TURNS,
        rate=st.sampled_from(ENCODER_RATES),
        samples=st.sampled_from((0, 1, 159, 160, 480, 500, 961, 5000)),
    )
    def write(self, turn: int, rate: int, samples: int) -> None:
        """At a rate of Opus' own, so that each sample counts."""
        before = self.buffer.buffered_s
        dropped = self.buffer.write(turn, b"\x01\x10" * samples, rate, self.now)
        assert dropped >= 0
        if turn in self.flushed:
            assert self.buffer.buffered_s == before
            return
        self.offered_s += samples / rate
        self.dropped_s += dropped

    @rule(advances_ms=st.lists(st.sampled_from((0, 1, 20, 20, 20, 80)), min_size=1, max_size=30))
    def read(self, advances_ms: list[int]) -> None:
        """Each frame is 20 ms at a rate of Opus; a spurt closes once and keeps its rate."""
        for advance_ms in advances_ms:
            self.read_one(advance_ms)

    def read_one(self, advance_ms: int) -> None:
        self.now += advance_ms / 1000
        before = self.buffer.buffered_s
        was_empty = self.buffer.is_empty
        frame = self.buffer.read(self.now)
        consumed = before - self.buffer.buffered_s
        self.read_s += consumed
        assert consumed >= -1e-9
        if frame is None:
            assert consumed == 0
        else:
            assert frame.rate in ENCODER_RATES
            assert len(frame.pcm) == frame.rate // 50 * 2
            assert frame.turn not in self.flushed or frame.closing
            if frame.closing:
                assert self.last is not None
                assert not self.last.closing
                assert not any(frame.pcm)
                assert consumed == 0
            else:
                assert not was_empty
                assert consumed > 0
            if self.last is not None and not self.last.closing:
                assert frame.rate == self.last.rate
        self.last = frame if frame is not None else self.last

    @rule(turn=TURNS)
    def finish(self, turn: int) -> None:
        self.buffer.finish(turn)

    @rule(turn=TURNS, count=st.integers(0, 7))
    def mark(self, turn: int, count: int) -> None:
        self.buffer.mark_text(turn, " ".join(WORDS.split()[:count]))

    @rule()
    def flush(self) -> None:
        """All that waits is gone, and the account of what was heard stays."""
        before = self.buffer.buffered_s
        heard = {turn: self.buffer.heard(turn) for turn in range(1, 5)}
        cut_off = self.buffer.flush()
        self.flushed_s += before
        assert self.buffer.is_empty
        assert self.buffer.buffered_s == 0
        assert [one for one in cut_off if one != heard[one.turn]] == []
        assert all(self.buffer.drained(turn) for turn in range(1, 5))
        self.flushed |= {one.turn for one in cut_off}

    @rule(turn=TURNS)
    def forget(self, turn: int) -> None:
        before = self.buffer.buffered_s
        self.buffer.forget(turn)
        self.forgotten_s += before - self.buffer.buffered_s
        self.heard_ms.pop(turn, None)
        self.flushed.discard(turn)
        assert self.buffer.drained(turn)

    @invariant()
    def every_sample_has_one_fate(self) -> None:
        fates = self.read_s + self.dropped_s + self.flushed_s + self.forgotten_s
        assert math.isclose(
            self.offered_s, fates + self.buffer.buffered_s, rel_tol=1e-9, abs_tol=1e-6
        )

    @invariant()
    def what_waits_is_bounded(self) -> None:
        assert 0 <= self.buffer.buffered_s <= CAPACITY_S + 1e-9
        assert self.buffer.is_empty == (self.buffer.buffered_s == 0)

    @invariant()
    def the_ledger_only_grows(self) -> None:
        for turn in range(1, 5):
            heard = self.buffer.heard(turn)
            assert heard.ms >= self.heard_ms.get(turn, 0)
            assert WORDS.startswith(heard.text)
            self.heard_ms[turn] = heard.ms
        assert sum(self.heard_ms.values()) <= self.read_s * 1000 + 1e-6


Playing.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
TestPlaying = Playing.TestCase


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.integers(0, 4001), min_size=1, max_size=20),
    st.sampled_from(ENCODER_RATES),
)
def test_bytes_come_out_as_they_went_in(sizes: list[int], rate: int) -> None:
    """Cut anywhere, half samples too, all of it written before the first is read."""
    buffer = PlayoutBuffer()
    written = bytearray()
    for n, size in enumerate(sizes):
        piece = bytes((n + at) % 251 for at in range(size))
        written += piece
        buffer.write(1, piece, rate, 0.0)
    buffer.finish(1)
    played = bytearray()
    while (frame := buffer.read(0.0)) is not None:
        if not frame.closing:
            played += frame.pcm
    whole = len(written) // 2 * 2
    assert played[:whole] == written[:whole]
    assert not any(played[whole:])
    assert buffer.drained(1)
