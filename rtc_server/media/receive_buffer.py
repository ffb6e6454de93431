"""Puts received RTP packets in order and says when one is given up.

A model is listening, not a loudspeaker: nothing is held back to smooth jitter. A packet
that is next in order goes on at once; only a gap makes those behind it wait, and that
for a bounded time. Times are seconds of any one monotonic clock, given as arguments.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .opus_packet import CLOCK_RATE, duration_ticks

__all__ = [
    "LONGEST_WAIT_S",
    "SHORTEST_WAIT_S",
    "Ended",
    "Frame",
    "Lost",
    "ReceiveBuffer",
    "ReceiveStatistics",
    "Received",
    "RtpPacket",
    "Silence",
]

_TICKS_PER_MS = CLOCK_RATE // 1000

_MAX_DROPOUT = 100
"""A sequence number further ahead than this is believed only with its successor behind it."""

_MAX_MISORDER = 100
"""The same for one further behind; nearer ones are late or duplicates (RFC 3550, A.1)."""

SHORTEST_WAIT_S = 0.01
"""How long a packet waits for one that it overtook, on a network that has not reordered any."""

LONGEST_WAIT_S = 0.06
"""The same on a network that does, at most."""

_REORDER_MARGIN = 1.25
"""What is waited beyond the longest overtaking that was seen lately."""

_REORDER_SPAN_S = 30.0
"""An overtaking is remembered for one to two of these."""

_TOLERANCE_S = 1e-6
"""A timer set for :attr:`ReceiveBuffer.deadline` may fire this much early by rounding."""


class RtpPacket(NamedTuple):
    """One RTP packet of Opus, decrypted."""

    sequence_number: int
    """16 bits."""

    timestamp: int
    """32 bits, of the 48 kHz clock."""

    ssrc: int
    payload: bytes
    arrived_at: float
    """When it was read from the socket."""


class Frame(NamedTuple):
    """Decode this."""

    payload: bytes
    arrived_at: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Conceal this: a packet was given up."""

    duration_ms: int
    next_payload: bytes | None
    """The packet behind the lost one, where in-band FEC of it would be; None: lost as well."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Fill this: the stream pauses (DTX, mute, or the network stalls)."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The pause lasted: nothing is filled any more until packets come again."""


Received = Frame | Lost | Silence | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveStatistics:
    """Counts since the buffer was made."""

    received: int = 0
    """Packets pushed, whatever became of them."""

    lost: int = 0
    """Packets given up; one that came later is among :attr:`late` too."""

    late: int = 0
    """Packets that came after they were given up, or from nowhere near, and were dropped."""

    duplicated: int = 0
    """Packets that came twice, the second being dropped."""

    reordered: int = 0
    """Packets that came after their successor and yet in time."""

    resets: int = 0
    """Times the stream began anew: another SSRC, or a jump of the sequence numbers."""

    concealed_ms: int = 0
    silence_ms: int = 0
    gap_wait_ms: int = 0
    """How long a packet behind a gap waits at present."""


class _ReorderWait:
    """How long it is worth waiting for a packet that was overtaken.

    Few networks reorder: there a gap is a loss as soon as the next packet is here, and each
    millisecond of waiting is one of delay.  Those that do reorder do it by about the same time
    again and again.  So the wait is the longest overtaking of the last 30 to 60 s and a quarter,
    within bounds; a packet that came too late counts as well, and the next one is waited for.
    (RFC 8985 section 6.2 sizes TCP's reordering window by the same thought.)
    """

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._seen_s = self._seen_before_s = 0.0  # in this span and in the one before
        self._span_ends = 0.0
        self.wait_s = shortest_s

    def overtaken(self, by_s: float, now: float) -> None:
        """A packet came ``by_s`` after the first one that had overtaken it.

        One that no wait would have caught says nothing.
        """
        self.refresh(now)
        if by_s > self._longest_s:
            return
        self._seen_s = max(self._seen_s, by_s)
        self._update()

    def refresh(self, now: float) -> None:
        """Forget what was too long ago; to be called when a gap opens."""
        if now < self._span_ends:
            return
        is_next = now < self._span_ends + _REORDER_SPAN_S
        self._seen_before_s, self._seen_s = self._seen_s if is_next else 0.0, 0.0
        self._span_ends = now + _REORDER_SPAN_S
        self._update()

    def _update(self) -> None:
        longest_seen_s = max(self._seen_s, self._seen_before_s)
        wanted_s = longest_seen_s * _REORDER_MARGIN
        self.wait_s = min(self._longest_s, max(self._shortest_s, wanted_s))


class _State(Enum):
    WAITING = "no packet yet"
    FLOWING = "packets come"
    PAUSED = "silence fills the gap"
    ENDED = "the pause lasted"


class ReceiveBuffer:
    """Orders the packets of one stream; the caller decodes, conceals or fills what it returns.

    * A packet next in order is returned by the :meth:`push` that brings it.
    * Behind a gap packets wait for the missing one for as long as the network was seen to
      reorder lately: ``shortest_wait_s`` where it was not, ``longest_wait_s`` at most. Then it is
      :class:`Lost` and all go on. What comes later is not delayed.
    * When nothing comes and the next packet is ``silence_after_s`` overdue, the stream
      pauses: :class:`Silence` each ``ptime_ms``, for ``silence_for_s``, then :class:`Ended`
      once. The next packet in order goes on at once; a jump of its timestamp is what a
      sender's DTX looks like, and no loss.
    * Another SSRC begins a new stream at once, an implausible jump of the sequence number
      with its second packet in a row (RFC 3550, appendix A.1). Neither counts as loss.

    At most ``capacity`` packets wait; one more gives the gap up at once. Concealment of
    one gap lasts ``max_concealed_ms`` at most, less what silence has filled of it already.
    """

    def __init__(
        self,
        *,
        shortest_wait_s: float = SHORTEST_WAIT_S,
        longest_wait_s: float = LONGEST_WAIT_S,
        silence_after_s: float = 0.06,
        silence_for_s: float = 2.0,
        ptime_ms: int = 20,
        max_concealed_ms: int = 120,
        capacity: int = 64,
    ) -> None:
        self._reorder = _ReorderWait(shortest_wait_s, longest_wait_s)
        self._silence_after_s = silence_after_s
        self._silence_s = ptime_ms / 1000
        self._silences_per_pause = max(0, round(silence_for_s * 1000 / ptime_ms))
        self._ptime_ms = ptime_ms
        self._max_concealed_ms = max_concealed_ms
        self._capacity = capacity

        self._state = _State.WAITING
        self._ssrc = 0
        self._next = 0  # sequence number that is next in order
        self._next_timestamp = 0
        self._frame_ticks = ptime_ms * _TICKS_PER_MS  # of the last packet that went on
        self._due = 0.0  # when the next packet in order is expected
        self._held: dict[int, RtpPacket] = {}  # behind the gap, by sequence number
        self._gap_opened_at = 0.0  # when the first of those held came
        # Given up lately, with the time at which the one behind it came; the oldest go first.
        self._given_up: dict[int, float] = {}
        self._suspect: RtpPacket | None = None  # after an implausible jump
        self._passed: deque[int] = deque(maxlen=_MAX_MISORDER)  # the last ones that went on
        self._silences = 0  # in this pause
        self._silence_due = 0.0

        self._received = self._lost = self._late = self._duplicated = self._reordered = 0
        self._resets = self._concealed_ms = self._silence_ms = 0

    # Input

    def push(self, packet: RtpPacket, now: float) -> list[Received]:
        """Takes a packet and returns what can go on, in order."""
        self._received += 1
        if (
            packet.sequence_number == self._next
            and packet.ssrc == self._ssrc
            and packet.payload
            and self._state is not _State.WAITING
            and self._suspect is None
            and not self._held
        ):
            # Nearly every packet: the next one, and nothing waits for it.
            return [self._next_frame(packet)]
        out: list[Received] = []
        if self._state is _State.WAITING:
            self._begin(packet)
        elif packet.ssrc != self._ssrc:
            self._begin_anew(packet, out)
        elif not self._is_plausible(packet) and not self._follows_suspect(packet, out):
            self._drop_suspect()
            self._suspect = packet
            return out
        self._drop_suspect()
        self._take(packet, out)
        self._give_up_overdue(now, out)
        return out

    def poll(self, now: float) -> list[Received]:
        """Returns what became due by time alone; call it at :attr:`deadline`.

        A call that comes late catches up on nothing: it fills one frame of silence and
        goes on counting from ``now``, since the packets of a stalled process are about
        to be pushed.
        """
        out: list[Received] = []
        self._give_up_overdue(now, out)
        deadline = self._pause_deadline()
        if not self._held and deadline is not None and now >= deadline - _TOLERANCE_S:
            is_late = now >= deadline + self._silence_s
            self._fill(now if is_late else deadline, out)
        return out

    @property
    def deadline(self) -> float | None:
        """When :meth:`poll` is to be called next.

        None: only a packet can change anything (before the first one, and after :class:`Ended`).
        """
        return self._gap_deadline() if self._held else self._pause_deadline()

    @property
    def has_gap(self) -> bool:
        """Whether packets wait for one that is missing."""
        return bool(self._held)

    def statistics(self) -> ReceiveStatistics:
        """The counts so far."""
        return ReceiveStatistics(
            received=self._received,
            lost=self._lost,
            late=self._late,
            duplicated=self._duplicated,
            reordered=self._reordered,
            resets=self._resets,
            concealed_ms=self._concealed_ms,
            silence_ms=self._silence_ms,
            gap_wait_ms=round(self._reorder.wait_s * 1000),
        )

    # Order

    def _begin(self, packet: RtpPacket) -> None:
        self._state = _State.FLOWING
        self._ssrc = packet.ssrc
        self._next = packet.sequence_number
        self._next_timestamp = packet.timestamp
        self._due = packet.arrived_at
        self._passed.clear()
        self._given_up.clear()

    def _begin_anew(self, packet: RtpPacket, out: list[Received]) -> None:
        """Lets go of what the old stream still held, without concealing its gaps."""
        for held in sorted(self._held, key=self._distance):
            self._pass_on(self._held[held], out)
        self._held.clear()
        self._resets += 1
        self._begin(packet)

    def _distance(self, sequence_number: int) -> int:
        """How far ahead of the next in order; negative: behind it."""
        return (sequence_number - self._next + 0x8000) % 0x10000 - 0x8000

    def _is_plausible(self, packet: RtpPacket) -> bool:
        return -_MAX_MISORDER <= self._distance(packet.sequence_number) <= _MAX_DROPOUT

    def _follows_suspect(self, packet: RtpPacket, out: list[Received]) -> bool:
        """Whether two in a row have jumped alike; the stream then begins with the first of them."""
        first = self._suspect
        if first is None or packet.sequence_number != first.sequence_number + 1 & 0xFFFF:
            return False
        self._suspect = None
        self._begin_anew(first, out)
        self._take(first, out)
        return True

    def _drop_suspect(self) -> None:
        self._late += self._suspect is not None
        self._suspect = None

    def _take(self, packet: RtpPacket, out: list[Received]) -> None:
        number = packet.sequence_number
        if number in self._held or number in self._passed:
            self._duplicated += 1
        elif self._distance(number) < 0:
            self._late += 1
            overtaken_at = self._given_up.pop(number, None)
            if overtaken_at is not None:
                self._reorder.overtaken(packet.arrived_at - overtaken_at, packet.arrived_at)
        elif number == self._next:
            self._note_overtaking(packet)
            self._pass_on(packet, out)
            self._pass_on_contiguous(out)
        else:
            self._note_overtaking(packet)
            self._held[number] = packet
            if len(self._held) == 1:
                self._gap_opened_at = packet.arrived_at
                self._reorder.refresh(packet.arrived_at)
            if len(self._held) > self._capacity:
                self._give_up_gap(out)

    def _note_overtaking(self, packet: RtpPacket) -> None:
        """Whether the packet comes behind one that should come after it, and how long behind."""
        distance = self._distance(packet.sequence_number)
        overtook_at = [
            held.arrived_at
            for number, held in self._held.items()
            if self._distance(number) > distance
        ]
        if overtook_at:
            self._reordered += 1
            self._reorder.overtaken(packet.arrived_at - min(overtook_at), packet.arrived_at)

    def _pass_on(self, packet: RtpPacket, out: list[Received]) -> None:
        if packet.payload:
            out.append(self._next_frame(packet))
            return
        # Padding: it has a number and no sound.
        self._next = (packet.sequence_number + 1) & 0xFFFF
        self._next_timestamp = packet.timestamp
        self._passed.append(packet.sequence_number)

    def _next_frame(self, packet: RtpPacket) -> Frame:
        number, timestamp, _, payload, arrived_at = packet
        self._next = (number + 1) & 0xFFFF
        self._passed.append(number)
        self._frame_ticks = ticks = duration_ticks(payload) or self._frame_ticks
        self._next_timestamp = timestamp + ticks
        self._due = arrived_at + ticks / CLOCK_RATE
        self._state = _State.FLOWING
        self._silences = 0
        return Frame(payload, arrived_at)

    def _pass_on_contiguous(self, out: list[Received]) -> None:
        """What waits behind the packet that went on; a gap behind that opened with its first."""
        while (packet := self._held.pop(self._next, None)) is not None:
            self._pass_on(packet, out)
        if self._held:
            self._gap_opened_at = min(packet.arrived_at for packet in self._held.values())

    # Gaps

    def _gap_deadline(self) -> float:
        return self._gap_opened_at + self._reorder.wait_s

    def _give_up_overdue(self, now: float, out: list[Received]) -> None:
        while self._held and now >= self._gap_deadline() - _TOLERANCE_S:
            self._give_up_gap(out)

    def _give_up_gap(self, out: list[Received]) -> None:
        """Conceals up to the first packet held, and passes on what follows without a gap."""
        first = self._held[min(self._held, key=self._distance)]
        missing = self._distance(first.sequence_number)
        self._lost += missing
        for number in range(self._next, self._next + min(missing, _MAX_MISORDER)):
            self._given_up[number & 0xFFFF] = self._gap_opened_at
        while len(self._given_up) > _MAX_MISORDER:
            del self._given_up[next(iter(self._given_up))]
        self._conceal(missing, first, out)
        self._next = first.sequence_number
        self._pass_on_contiguous(out)

    def _conceal(self, missing: int, first: RtpPacket, out: list[Received]) -> None:
        frame_ms = max(1, self._frame_ticks // _TICKS_PER_MS)
        ticks = _signed_32(first.timestamp - self._next_timestamp)
        # The timestamps tell more than the numbers where frames got shorter, and less where
        # the sender paused meanwhile.
        gap_ms = missing * frame_ms
        if 0 < ticks < gap_ms * _TICKS_PER_MS:
            gap_ms = ticks // _TICKS_PER_MS
        left_ms = min(gap_ms - self._silences * self._ptime_ms, self._max_concealed_ms)
        while left_ms > 0:
            duration_ms = min(frame_ms, left_ms)
            left_ms -= duration_ms
            self._concealed_ms += duration_ms
            out.append(Lost(duration_ms, first.payload if left_ms <= 0 else None))

    # Pauses

    def _pause_deadline(self) -> float | None:
        if self._state is _State.FLOWING:
            return self._due + self._silence_after_s
        return self._silence_due if self._state is _State.PAUSED else None

    def _fill(self, due: float, out: list[Received]) -> None:
        if self._state is _State.FLOWING:
            self._state = _State.PAUSED
            self._silences = 0
        if self._silences >= self._silences_per_pause:
            self._state = _State.ENDED
            out.append(Ended())
            return
        self._silences += 1
        self._silence_ms += self._ptime_ms
        self._silence_due = due + self._silence_s
        out.append(Silence(self._ptime_ms))


def _signed_32(difference: int) -> int:
    return (difference + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
