"""Video packets to encoded frames; pure.

The packets of a frame have its timestamp, and the last one has the marker bit (RFC 7741
section 4.1, RFC 6184 section 5.1).  A frame is complete when all between its first packet and
its last are there, in whatever order they came: nothing waits for a frame that has a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from .sequence_gaps import SequenceGaps
from .video_payload import Fragment

__all__ = ["MAX_FRAME_BYTES", "EncodedFrame", "FrameAssembler"]

MAX_FRAME_BYTES = 1_000_000
"""A longer frame is given up."""

_MAX_PACKETS = 1500
_MAX_PARTIALS = 8
"""Frames that packets are missing of; the oldest gives way."""

_MAX_MARKERS = 64


class EncodedFrame(NamedTuple):
    """A frame for the decoder, and the sequence numbers it came with, counted on past 65535."""

    data: bytes
    is_key: bool
    first: int
    last: int


@dataclass(slots=True)
class _Partial:
    fragments: dict[int, Fragment] = field(default_factory=dict)
    size: int = 0
    first: int | None = None
    last: int | None = None
    is_key: bool = False
    touched_at: float = 0.0


class FrameAssembler:
    """Puts frames together, with bounded memory whatever arrives.

    Args:
        parse: reads a packet of the codec.

    Attributes:
        gaps: the packets that are missing.
        completed: frames that were complete.
        malformed: packets that made no sense.
        given_up: frames that were not complete in time, or too long.
    """

    def __init__(self, parse: Callable[[bytes], Fragment | None]) -> None:
        self.completed = 0
        self.malformed = 0
        self.given_up = 0
        self.gaps = SequenceGaps()
        self._parse = parse
        self._partials: dict[int, _Partial] = {}
        self._finished: deque[int] = deque(maxlen=2 * _MAX_PARTIALS)  # timestamps
        self._markers: dict[int, None] = {}  # where frames ended: the next begins behind
        self._highest: int | None = None

    def push(
        self, sequence_number: int, timestamp: int, marker: bool, payload: bytes, now: float
    ) -> EncodedFrame | None:
        """Take a packet; the frame that it completes, if it does."""
        number = self._unwrap(sequence_number)
        self.gaps.push(number, now)
        if not payload:  # padding that probes the network
            return None
        fragment = self._parse(payload)
        if fragment is None:
            self.malformed += 1
            return None
        if timestamp in self._finished:
            return None
        partial = self._partials.get(timestamp)
        if partial is None:
            partial = self._begin(timestamp)
        if number in partial.fragments:
            return None
        partial.touched_at = now
        partial.fragments[number] = fragment
        partial.size += len(fragment.data)
        if partial.size > MAX_FRAME_BYTES or len(partial.fragments) > _MAX_PACKETS:
            self._give_up(timestamp)
            return None
        if fragment.begins and (partial.first is None or number < partial.first):
            partial.first = number
            partial.is_key = fragment.is_key
        if marker:
            partial.last = number
            self._remember_end(number)
        return self._complete(timestamp, partial)

    def is_losing_key_frame(self, now: float, patience_s: float) -> bool:
        """Whether a key frame has begun and nothing came of it for so long: it has a gap."""
        return any(
            one.is_key and now - one.touched_at >= patience_s for one in self._partials.values()
        )

    def forget(self) -> None:
        """Give up what is incomplete: packets are about to be left out."""
        self._partials.clear()
        self._finished.clear()
        self._markers.clear()
        self.gaps.forget()

    def _begin(self, timestamp: int) -> _Partial:
        while len(self._partials) >= _MAX_PARTIALS:
            self._give_up(next(iter(self._partials)))
        partial = self._partials[timestamp] = _Partial()
        return partial

    def _give_up(self, timestamp: int) -> None:
        del self._partials[timestamp]
        self._finished.append(timestamp)
        self.given_up += 1

    def _complete(self, timestamp: int, partial: _Partial) -> EncodedFrame | None:
        last = partial.last
        if last is None:
            return None
        lowest = min(partial.fragments)
        first = partial.first
        if first is None and lowest - 1 in self._markers:
            first = lowest
        if first != lowest or last - lowest + 1 != len(partial.fragments):
            return None
        if max(partial.fragments) != last:
            return None
        del self._partials[timestamp]
        self._finished.append(timestamp)
        self.completed += 1
        data = b"".join(partial.fragments[one].data for one in range(lowest, last + 1))
        return EncodedFrame(data, partial.is_key, lowest, last)

    def _remember_end(self, number: int) -> None:
        self._markers[number] = None
        if len(self._markers) > _MAX_MARKERS:
            del self._markers[next(iter(self._markers))]

    def _unwrap(self, sequence_number: int) -> int:
        """The sequence number, counted on past 65535; the nearest to the highest so far."""
        if self._highest is None:
            self._highest = sequence_number + 0x10000
            return self._highest
        step = (sequence_number - self._highest) & 0xFFFF
        number = self._highest + (step if step < 0x8000 else step - 0x10000)
        self._highest = max(self._highest, number)
        return number
