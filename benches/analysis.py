"""What the times and packets of a load run say; pure arithmetic.

Definitions, for all servers alike:

* **gap**: between the arrivals of two successive packets of a call.
* **delay against the RTP clock**: how much later a packet arrives than the promptest packet of
  its call in that phase, both measured against their RTP timestamps: what a jitter buffer
  would have to hold back.
* **on time**: p99 gap under 40 ms, p99 delay under 60 ms, 99 % of the packets.
* **latency** of a chirp: from the moment that its first sample could leave the caller (its
  packet is sent) to the moment that its first sample can be heard (its packet has come), as
  far as the server, its codecs' look-ahead included, is the cause: the caller's own encoder
  is in the reference.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from . import libopus
from .light_call import FRAME_S, Received, SentPacket
from .probe_signal import RATE, ProbeSignal, find_chirp

__all__ = [
    "Heard",
    "OnTime",
    "Stream",
    "calls_on_time",
    "chirp_latencies_s",
    "on_time",
    "percentile",
    "tone_share",
    "unwrap",
]

CLOCK_RATE = 48_000
MAX_GAP_MS, MAX_DELAY_MS, LEAST_RECEIVED = 40.0, 60.0, 0.99

_FRAME_SAMPLES = RATE // 50
_CHIRP_FRAMES = 8
_LONGEST_LATENCY_S = 1.8
_LEAST_SCORE = 0.6
_LONGEST_STREAM_S = 600


def percentile(values: Sequence[float], share: float) -> float:
    """Of the values in order, the one below which ``share`` of them lie; nan of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def unwrap(values: Iterable[int], bits: int) -> list[int]:
    """Counters that wrap round as ones that do not; each is near the one before."""
    size = 1 << bits
    unwrapped: list[int] = []
    for value in values:
        if unwrapped:
            before = unwrapped[-1]
            value = before + (value - before + size // 2) % size - size // 2
        unwrapped.append(value)
    return unwrapped


class Stream:
    """What one call received, in RTP order, and as sound once it is asked for."""

    def __init__(self, received: Sequence[Received]) -> None:
        numbers = unwrap((one.sequence_number for one in received), 16)
        times = unwrap((one.timestamp for one in received), 32)
        in_order = sorted(zip(numbers, times, received, strict=True), key=lambda one: one[:2])
        self.packets = [one[2] for one in in_order]
        self.timestamps = [one[1] for one in in_order]

    def within(self, begin: float, end: float) -> list[tuple[float, int]]:
        """Arrival and timestamp of what arrived in that time."""
        return [
            (packet.at, timestamp)
            for packet, timestamp in zip(self.packets, self.timestamps, strict=True)
            if begin <= packet.at < end
        ]

    def gaps_ms(self, begin: float, end: float) -> list[float]:
        """Between arrivals in that time, in order of arrival."""
        arrivals = sorted(at for at, _ in self.within(begin, end))
        return [(b - a) * 1000 for a, b in pairwise(arrivals)]

    def delays_ms(self, begin: float, end: float) -> list[float]:
        """Against the RTP clock, of what arrived in that time."""
        delays = [at - timestamp / CLOCK_RATE for at, timestamp in self.within(begin, end)]
        prompt = min(delays, default=0.0)
        return [(one - prompt) * 1000 for one in delays]

    def heard(self) -> Heard:
        """The sound."""
        return Heard(self)


class Heard:
    """The decoded sound of a stream, each packet at the place of its timestamp."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        decoder = libopus.Decoder(RATE)
        first = min(stream.timestamps, default=0)
        ticks = CLOCK_RATE // RATE
        self.starts = [(one - first) // ticks for one in stream.timestamps]
        length = max(self.starts, default=0) + 6 * _FRAME_SAMPLES
        if length > _LONGEST_STREAM_S * RATE:
            raise ValueError("the RTP timestamps jump")
        self.sound: npt.NDArray[np.float64] = np.zeros(length)
        for start, packet in zip(self.starts, stream.packets, strict=True):
            pcm = np.frombuffer(decoder.decode(packet.payload), "<i2")
            self.sound[start : start + len(pcm)] = pcm
        self._arrivals = [packet.at for packet in stream.packets]

    def span(self, begin: float, end: float) -> tuple[int, int]:
        """The samples that arrived in that time, as a range."""
        starts = [
            start
            for start, at in zip(self.starts, self._arrivals, strict=True)
            if begin <= at < end
        ]
        return (min(starts), max(starts) + _FRAME_SAMPLES) if starts else (0, 0)

    def arrival_of(self, sample: int) -> float:
        """When that sample could first be played, if playing is begun with its packet."""
        index = max(0, bisect_right(self.starts, sample) - 1)
        return self._arrivals[index] + (sample - self.starts[index]) / RATE


def chirp_latencies_s(
    heard: Heard,
    sent: Sequence[SentPacket],
    signal: ProbeSignal,
    begin: float,
    end: float,
) -> list[float]:
    """The latencies of the chirps that were sent from ``begin`` on and heard before ``end``.

    A chirp with a lost packet in it is left out, and one that cannot be told in the sound.
    """
    latencies = []
    by_frame = {onset // _FRAME_SAMPLES: (onset, rising) for onset, rising in signal.onsets}
    for index, packet in enumerate(sent):
        if packet.frame not in by_frame or packet.at < begin:
            continue
        if any(one.lost for one in sent[index : index + _CHIRP_FRAMES]):
            continue
        onset, rising = by_frame[packet.frame]
        said_at = packet.at + onset % _FRAME_SAMPLES / RATE
        if said_at + _LONGEST_LATENCY_S > end:
            continue
        low, high = heard.span(said_at - FRAME_S, said_at + _LONGEST_LATENCY_S)
        place, score = find_chirp(heard.sound[low:high], rising)
        if score >= _LEAST_SCORE:
            latencies.append(heard.arrival_of(low + place) - said_at)
    return latencies


@dataclass(frozen=True, slots=True)
class OnTime:
    """The three figures that decide, over all calls of a phase."""

    gap_p99_ms: float
    delay_p99_ms: float
    received: float

    @property
    def passed(self) -> bool:
        """Whether the calls are on time."""
        return (
            self.gap_p99_ms < MAX_GAP_MS
            and self.delay_p99_ms < MAX_DELAY_MS
            and self.received >= LEAST_RECEIVED
        )


def on_time(streams: Sequence[Stream], begin: float, end: float) -> OnTime:
    """Judges a phase in which a packet was due every 20 ms in every call."""
    gaps = [gap for one in streams for gap in one.gaps_ms(begin, end)]
    delays = [delay for one in streams for delay in one.delays_ms(begin, end)]
    due = len(streams) * (end - begin) / FRAME_S
    received = min(1.0, len(delays) / due) if due else 0.0
    gap = percentile(gaps, 0.99) if gaps else float("inf")
    return OnTime(gap, percentile(delays, 0.99) if delays else float("inf"), received)


def tone_share(samples: npt.NDArray[np.float64], hz: float) -> float:
    """How much of the power of some samples at ``RATE`` is that of a sine of ``hz``."""
    power = float(np.sum(samples**2))
    if power < 1e4 * len(samples):  # below -50 dBFS
        return 0.0
    turning = np.exp(-2j * np.pi * hz * np.arange(len(samples)) / RATE)
    return float(2 * abs(np.sum(samples * turning)) ** 2 / len(samples) / power)


def calls_on_time(
    is_on_time: Callable[[int], bool], guess: int, *, most: int = 120, resolution: int = 1
) -> int:
    """The most calls that are on time: gallops away from the guess, then halves the interval.

    Args:
        is_on_time: places that many calls and judges them.
        guess: where to begin.
        resolution: how far the answer may be below the truth.
    """
    good, bad, number = 0, most + 1, max(1, min(guess, most))
    while bad - good > resolution:
        if is_on_time(number):
            good = number
        else:
            bad = number
        if bad > most and good:
            number = min(most, max(good + 1, round(good * 1.25)))
        elif good == 0:
            number = max(1, round(bad * 0.75)) if bad > 1 else 0
            if number >= bad:
                number = bad - 1
        else:
            number = (good + bad) // 2
        if number < 1:
            break
    return good
