"""Whether a server that has run for long has grown: arithmetic on samples of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

__all__ = ["Sample", "Verdict", "judge", "robust_slope", "thinned"]

MOST_MB_AN_HOUR = 10.0
"""Beyond the histories that ADK keeps in memory.  The server places 370 calls in that hour: a
leak of 28 kB a call is found, which is less than one call's decoder, encoder and buffers
weigh; so is one of 6 bytes in each packet (1.8 million come in that hour)."""

MOST_DESCRIPTORS, MOST_THREADS = 3, 2
"""More at the end than at the beginning: a call has a socket and a log or a poll comes and goes."""

LEAST_MINUTES = 45.0
"""A shorter run says nothing of megabytes an hour.  What a call leaves are cycles of objects,
which wait for a full garbage collection: until the first one memory rises with each call, and
is to be used again from then on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The server at one moment, and how it did since the last one."""

    minutes: float
    calls: int
    """As the server counts them: those that vanished and are not given up yet are among them."""
    placed: int
    """Calls placed since the beginning."""
    events: int
    """Of their sessions' histories, by what the callers did."""
    resident_mb: float
    threads: int
    descriptors: int
    cpu_ms: float
    """Per call-second."""
    lag_p99_ms: float | None = None
    """Of the event loop; the upper end of the histogram's bucket."""
    gap_p99_ms: float | None = None
    latency_ms: float | None = None
    """The median of one call's chirps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the samples say; no ``failures``: it did not grow."""

    minutes: float
    mb_an_hour: float
    history_mb_an_hour: float
    """What the sessions that are kept in memory add by nature."""
    descriptors: int | None
    """More at the end, at the same number of calls; None: never the same number."""
    threads: int | None
    failures: list[str] = field(default_factory=list)
    is_long_enough: bool = True


def robust_slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (Theil and Sen); 0 of fewer than two."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1]
    return statistics.median(slopes) if slopes else 0.0


def judge(samples: Sequence[Sample], *, event_kb: float) -> Verdict:
    """The growth over the last two thirds of the run.

    Args:
        event_kb: what an event of a session weighs in the server's memory.
    """
    minutes = samples[-1].minutes - samples[0].minutes
    later = [one for one in samples if one.minutes - samples[0].minutes >= minutes / 3]
    mb_an_hour = 60 * robust_slope([(one.minutes, one.resident_mb) for one in later])
    events_an_hour = 60 * robust_slope([(one.minutes, float(one.events)) for one in later])
    history_mb = events_an_hour * event_kb / 1024
    is_long_enough = minutes >= LEAST_MINUTES
    third = max(1, len(samples) // 3)
    first, last = samples[:third], samples[-third:]
    descriptors = _more(_by_calls(first, "descriptors"), _by_calls(last, "descriptors"))
    threads = _more(_by_calls(first, "threads"), _by_calls(last, "threads"))
    failures = []
    if is_long_enough and mb_an_hour - history_mb > MOST_MB_AN_HOUR:
        failures.append(
            f"memory grows by {mb_an_hour:.1f} MB an hour, {history_mb:.1f} of them history"
        )
    if descriptors is not None and descriptors > MOST_DESCRIPTORS:
        failures.append(f"{descriptors} more descriptors at the end")
    if threads is not None and threads > MOST_THREADS:
        failures.append(f"{threads} more threads at the end")
    if is_long_enough and None in (descriptors, threads):
        failures.append("never as many calls at the end as at the beginning")
    return Verdict(
        minutes=minutes,
        mb_an_hour=mb_an_hour,
        history_mb_an_hour=history_mb,
        descriptors=descriptors,
        threads=threads,
        failures=failures,
        is_long_enough=is_long_enough,
    )


def _by_calls(samples: Iterable[Sample], figure: str) -> dict[int, float]:
    """The median of a figure for each number of calls."""
    found: dict[int, list[int]] = {}
    for one in samples:
        found.setdefault(one.calls, []).append(getattr(one, figure))
    return {calls: statistics.median(values) for calls, values in found.items()}


def _more(first: dict[int, float], last: dict[int, float]) -> int | None:
    """The greatest difference at the same number of calls."""
    return max((round(last[calls] - first[calls]) for calls in first.keys() & last), default=None)


def thinned(samples: Sequence[Sample], every_minutes: float = 1.0) -> list[Sample]:
    """The first of each such span, and the last of all."""
    kept: list[Sample] = []
    for one in samples:
        if not kept or one.minutes - kept[-1].minutes >= every_minutes - 0.01:
            kept.append(one)
    if samples and kept[-1] is not samples[-1]:
        kept.append(samples[-1])
    return kept
