"""The agent's audio between the moment it is made and the moment it is sent.

Written as fast as the agent speaks, read every 20 ms. The buffer alone knows what went
out; :mod:`.playout_ledger` puts that into milliseconds and words.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from .opus import ENCODER_RATES
from .pcm import BYTES_PER_SAMPLE, Resampler, is_audible
from .playout_ledger import TICK_RATE, Heard, TurnLedger
from .surplus_delay import SurplusDelay
from .time_compression import LONGEST_CUT_S, SHORTEST_CUT_S, shorten

__all__ = ["Heard", "PlayoutBuffer", "PlayoutFrame"]

_FALLBACK_RATE = 24_000  # for audio of a rate that Opus does not take
_SMALL_BYTES = 1 << 12  # blocks are put together up to this size

_TAIL_WAIT_S = 0.06
"""A tail shorter than a frame waits this long for the rest of the frame."""

_FRAMES_BETWEEN_CUTS = 3
"""A frame in four is shortened at most: speech goes a tenth faster, which is not noticed."""


class PlayoutFrame(NamedTuple):
    """20 ms to be encoded and sent."""

    pcm: bytes
    """s16le mono."""

    rate: int
    """One of the rates Opus takes; constant from the first frame of a spurt to its closing one."""

    turn: int
    audible: bool
    closing: bool
    """Silence after the last frame: it empties the encoder's look-ahead."""


class _SampleQueue:
    """Bytes in, bytes out, first in first out; both in time proportional to their number."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._offset = 0  # in the first block
        self.size = 0

    def append(self, data: bytes) -> None:
        self.size += len(data)
        if self._blocks and len(self._blocks[-1]) + len(data) <= _SMALL_BYTES:
            self._blocks[-1] += data
        elif data:
            self._blocks.append(data)

    def take(self, count: int) -> bytes:
        """At most ``count`` bytes."""
        piece = self._take_piece(count)
        if len(piece) == count or not self._blocks:
            return piece
        pieces = [piece]
        count -= len(piece)
        while count and self._blocks:
            pieces.append(self._take_piece(count))
            count -= len(pieces[-1])
        return b"".join(pieces)

    def put_back(self, data: bytes) -> None:
        """Give back what was taken too much; it is first again."""
        if self._offset:
            self._blocks[0] = self._blocks[0][self._offset :]
            self._offset = 0
        self._blocks.appendleft(data)
        self.size += len(data)

    def _take_piece(self, count: int) -> bytes:
        """At most ``count`` bytes, of the first block alone."""
        if not self._blocks:
            return b""
        block = self._blocks[0]
        end = self._offset + count
        piece = block[self._offset : end]
        self.size -= len(piece)
        self._offset = end
        if end >= len(block):
            self._blocks.popleft()
            self._offset = 0
        return piece


class _Segment:
    """Audio of one turn and one rate, played without a gap."""

    def __init__(self, turn: int, rate: int) -> None:
        self.turn = turn
        self.rate = rate
        self.frame_bytes = rate // 50 * BYTES_PER_SAMPLE
        self.samples = _SampleQueue()
        self._ticks_per_sample = TICK_RATE // rate

    def ticks(self, size_bytes: int) -> int:
        return size_bytes // BYTES_PER_SAMPLE * self._ticks_per_sample

    def bytes_of(self, ticks: int) -> int:
        """The whole samples that fit."""
        return ticks // self._ticks_per_sample * BYTES_PER_SAMPLE


class _Input:
    """What of a turn is not yet samples for Opus: half a sample, the resampler's delay."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.is_native = rate in ENCODER_RATES
        self.rate_out = rate if self.is_native else _FALLBACK_RATE
        self._resampler = None if self.is_native else Resampler(rate, _FALLBACK_RATE)
        self._half = b""

    def convert(self, pcm: bytes) -> bytes:
        data = self._half + pcm if self._half else pcm
        whole = len(data) - len(data) % BYTES_PER_SAMPLE
        if whole != len(data) or self._half:
            self._half = data[whole:]
            data = data[:whole]
        return self._resampler.resample(data) if self._resampler else data

    def flush(self) -> bytes:
        self._half = b""
        return self._resampler.flush() if self._resampler else b""


class _Turn:
    def __init__(self) -> None:
        self.ledger = TurnLedger()
        self.input: _Input | None = None
        self.delay = SurplusDelay()
        self.frames_since_cut = 0
        self.unread_ticks = 0
        self.written_at = 0.0
        self.finished = False
        self.flushed = False


class PlayoutBuffer:
    """Holds the unsent audio of all turns and keeps the ledger of what was sent.

    Turns play in the order of their audio's writing. A spurt is audio without a pause;
    after its last frame one closing frame of silence is read, then None until there is
    audio again. At most ``capacity_s`` of audio waits; what is written beyond is dropped
    and reported, so that a write never blocks. Where a stream in real time carries a delay
    along that it does not need (:mod:`.surplus_delay`), its sound goes a little faster until
    the delay is gone (:mod:`.time_compression`). Times are seconds of one monotonic clock.
    """

    def __init__(self, *, capacity_s: float = 600.0) -> None:
        self._capacity_ticks = round(capacity_s * TICK_RATE)
        self._buffered_ticks = 0
        self._segments: deque[_Segment] = deque()
        self._turns: dict[int, _Turn] = {}
        self._spurt: PlayoutFrame | None = None  # the last frame of a spurt that goes on

    # Writing

    def write(self, turn: int, pcm: bytes, rate: int, now: float) -> float:
        """Adds s16le mono audio of any rate; returns the seconds dropped because it is full.

        An odd last byte waits for the next write of that turn. Rates that Opus cannot take
        are resampled to 24 kHz. What is written to a flushed turn is left out silently: its
        listener has interrupted it.

        :raises ValueError: a rate outside 4 to 192 kHz.
        """
        entry = self._turn(turn)
        if entry.flushed:
            return 0.0
        dropped = 0
        if entry.input is None or entry.input.rate != rate:
            if entry.input is not None:
                dropped += self._append(turn, entry, entry.input.flush(), entry.input.rate_out)
            entry.input = _Input(rate)
        converted = entry.input.convert(pcm)
        dropped += self._append(turn, entry, converted, entry.input.rate_out)
        entry.written_at = now
        entry.delay.wrote()
        return dropped / TICK_RATE

    def mark_text(self, turn: int, text: str) -> None:
        """Says that ``text`` is the whole transcript of the turn up to the audio written so far.

        Of a flushed turn it is left out: what was heard of it stays as :meth:`flush` said.
        """
        entry = self._turn(turn)
        if not entry.flushed:
            entry.ledger.mark(text)

    def finish(self, turn: int) -> None:
        """Says that the turn is complete: its tail is padded and played at once."""
        entry = self._turn(turn)
        if entry.flushed:
            return
        if entry.input is not None:
            self._append(turn, entry, entry.input.flush(), entry.input.rate_out)
            entry.input = None
        entry.finished = True
        entry.ledger.complete = True

    def _turn(self, turn: int) -> _Turn:
        entry = self._turns.get(turn)
        if entry is None:
            entry = self._turns[turn] = _Turn()
        return entry

    def _append(self, turn: int, entry: _Turn, pcm: bytes, rate: int) -> int:
        """Puts samples into the queue; returns the ticks that did not fit."""
        if not pcm:
            return 0
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.turn != turn or segment.rate != rate:
            segment = _Segment(turn, rate)
        offered = segment.ticks(len(pcm))
        fitting = segment.bytes_of(max(0, self._capacity_ticks - self._buffered_ticks))
        accepted = segment.ticks(min(len(pcm), fitting))
        if accepted:
            segment.samples.append(pcm[:fitting])
            self._buffered_ticks += accepted
            entry.unread_ticks += accepted
            entry.ledger.written_ticks += accepted
            if not self._segments or segment is not self._segments[-1]:
                self._segments.append(segment)
        return offered - accepted

    # Reading

    def read(self, now: float) -> PlayoutFrame | None:
        """Returns the next 20 ms; None when there is nothing to play now.

        A tail shorter than a frame is filled up with silence once its turn is finished, other
        audio is queued behind it, or nothing was written to the turn for 60 ms. Until then
        None is returned, while :attr:`is_empty` is false: read again a frame later.
        """
        segment = self._segments[0] if self._segments else None
        if segment is None or (self._spurt is not None and self._spurt.rate != segment.rate):
            return self._close_spurt()
        if segment.samples.size < segment.frame_bytes and not self._is_tail_due(segment, now):
            self._turns[segment.turn].delay.ran_dry()
            return None
        return self._read_frame(segment, now)

    def _is_tail_due(self, segment: _Segment, now: float) -> bool:
        entry = self._turns[segment.turn]
        waited = now - entry.written_at >= _TAIL_WAIT_S
        return waited or entry.finished or len(self._segments) > 1

    def _read_frame(self, segment: _Segment, now: float) -> PlayoutFrame:
        entry = self._turns[segment.turn]
        before = segment.samples.size
        pcm = self._take(segment, entry)
        ticks = segment.ticks(before - segment.samples.size)
        self._buffered_ticks -= ticks
        entry.unread_ticks -= ticks
        entry.ledger.read_ticks += ticks
        entry.delay.read(entry.unread_ticks / TICK_RATE, now)
        if not segment.samples.size:
            self._segments.popleft()
        self._spurt = PlayoutFrame(
            pcm.ljust(segment.frame_bytes, b"\0"),
            segment.rate,
            segment.turn,
            is_audible(pcm),
            False,
        )
        return self._spurt

    def _take(self, segment: _Segment, entry: _Turn) -> bytes:
        """A frame of a segment; of a stream that is late for nothing it holds more than that."""
        frame_bytes = segment.frame_bytes
        entry.frames_since_cut += 1
        surplus_s = entry.delay.surplus_s
        if surplus_s < SHORTEST_CUT_S or entry.frames_since_cut <= _FRAMES_BETWEEN_CUTS:
            return segment.samples.take(frame_bytes)
        more_ticks = round(min(surplus_s, LONGEST_CUT_S) * TICK_RATE)
        pcm = segment.samples.take(frame_bytes + segment.bytes_of(more_ticks))
        entry.frames_since_cut = 0
        shortened = shorten(pcm, frame_bytes, segment.rate, surplus_s)
        used = frame_bytes if shortened is None else shortened.used_bytes
        if used < len(pcm):
            segment.samples.put_back(pcm[used:])
        if shortened is None:
            return pcm[:frame_bytes]
        entry.delay.took((used - frame_bytes) / BYTES_PER_SAMPLE / segment.rate)
        return shortened.pcm

    def _close_spurt(self) -> PlayoutFrame | None:
        last, self._spurt = self._spurt, None
        if last is None:
            return None
        entry = self._turns.get(last.turn)
        if entry is not None and not entry.finished:
            entry.delay.ran_dry()
        return PlayoutFrame(bytes(len(last.pcm)), last.rate, last.turn, False, True)

    # The ledger

    def flush(self) -> list[Heard]:
        """Throws away all unsent audio; returns what was heard of the turns this cuts off.

        These are the turns written or marked and not drained, in order of their beginning. They
        take no more audio. A spurt that was going on ends with its closing frame.
        """
        cut_off: list[Heard] = []
        for number, entry in self._turns.items():
            if not self.drained(number):
                cut_off.append(entry.ledger.heard(number))
                entry.flushed = True
                entry.unread_ticks = 0
                entry.input = None
        self._segments.clear()
        self._buffered_ticks = 0
        return cut_off

    def heard(self, turn: int) -> Heard:
        """What was sent of a turn so far; nothing of one that is unknown or forgotten."""
        entry = self._turns.get(turn)
        return entry.ledger.heard(turn) if entry is not None else Heard(turn, 0, "")

    def drained(self, turn: int) -> bool:
        """Whether the turn is finished or flushed and all its audio is read, or it is unknown."""
        entry = self._turns.get(turn)
        if entry is None:
            return True
        return entry.flushed or (entry.finished and not entry.unread_ticks)

    def forget(self, turn: int) -> None:
        """Drops the ledger of a turn that is over, and what should be left of its audio."""
        entry = self._turns.pop(turn, None)
        if entry is not None and entry.unread_ticks:
            self._buffered_ticks -= entry.unread_ticks
            self._segments = deque(each for each in self._segments if each.turn != turn)

    @property
    def buffered_s(self) -> float:
        """Unread audio in seconds."""
        return self._buffered_ticks / TICK_RATE

    @property
    def is_dry(self) -> bool:
        """Whether a spurt that plays has nothing left although its turn goes on."""
        if self._spurt is None or self._segments:
            return False
        entry = self._turns.get(self._spurt.turn)
        return entry is not None and not (entry.finished or entry.flushed)

    @property
    def is_empty(self) -> bool:
        """Whether no audio is left to read; a closing frame may still be."""
        return not self._segments
