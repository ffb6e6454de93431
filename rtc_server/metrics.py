"""The Prometheus metrics of the contract, in a registry of their own.

One :class:`Metrics` is made per server, so that two servers in a process (and every
test) count apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["Exposition", "Metrics", "Tally", "TallyHistogram"]

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_SHORT_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
_LONG_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)


class Exposition(Protocol):
    """What ``/metrics`` needs."""

    content_type: str

    async def scrape(self) -> bytes:
        """All metrics in Prometheus' text format."""
        ...


class Tally:
    """A count of what happens for every packet: a plain number, without a lock.

    The event loop's thread alone counts; a scrape reads.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        """Count one."""
        self.value += 1


class TallyHistogram:
    """A histogram of what happens for every packet, without a lock, as :class:`Tally`.

    Args:
        bounds: upper bounds of the buckets, rising; the last bucket is above them all.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Upper bound and how many values are at or below it, as Prometheus writes them."""
        labels = [*map(str, self.bounds), "+Inf"]
        return list(zip(labels, map(float, accumulate(self.counts)), strict=True))


class _PacketMetrics(Collector):
    """Writes the tallies when they are asked for."""

    def __init__(self, packets: Mapping[str, Tally], uplink: TallyHistogram) -> None:
        self._packets = packets
        self._uplink = uplink

    def collect(self) -> Iterator[Metric]:
        packets = CounterMetricFamily("rtc_packets", "RTP packets.", labels=["direction"])
        for direction, tally in self._packets.items():
            packets.add_metric([direction], tally.value)
        yield packets
        uplink = HistogramMetricFamily(
            "rtc_uplink_seconds",
            "From a packet's arrival to its samples being handed to the agent.",
        )
        uplink.add_metric([], buckets=self._uplink.cumulative(), sum_value=self._uplink.sum)
        yield uplink


class Metrics:
    """Counters of one server; names and labels are fixed by ``docs/contract.md``."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.calls_active = Gauge("rtc_calls_active", "Calls going on.", registry=registry)
        self.calls = Counter(
            "rtc_calls", "Calls that ended, by outcome.", ["outcome"], registry=registry
        )
        self.call_setup = Histogram(
            "rtc_call_setup_seconds",
            "From the offer to a connected peer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.call_duration = Histogram(
            "rtc_call_duration_seconds",
            "Length of calls.",
            buckets=_LONG_SECONDS,
            registry=registry,
        )
        self.response = Histogram(
            "rtc_response_seconds",
            "From the end of the user's turn to the first audible sample (or text) sent.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.packets = {"uplink": Tally(), "downlink": Tally()}
        self.uplink = TallyHistogram(_SHORT_SECONDS)
        registry.register(_PacketMetrics(self.packets, self.uplink))
        self.barge_in = Histogram(
            "rtc_barge_in_seconds",
            "From an interruption known to the last old packet sent.",
            buckets=_SHORT_SECONDS,
            registry=registry,
        )
        self.packets_lost = Counter(
            "rtc_packets_lost", "RTP packets lost.", ["direction"], registry=registry
        )
        self.frames_late = Counter(
            "rtc_frames_late",
            "Outbound frames sent over 20 ms after they were due.",
            registry=registry,
        )
        self.audio_dropped = Counter(
            "rtc_audio_dropped_seconds",
            "Audio that was thrown away.",
            ["direction", "reason"],
            registry=registry,
        )
        self.agent_errors = Counter(
            "rtc_agent_errors", "Failures of the agent, by code.", ["code"], registry=registry
        )
        self.agent_reconnects = Counter(
            "rtc_agent_reconnects", "Live runs started again after a failure.", registry=registry
        )
        self.model_connects = Counter(
            "rtc_agent_connects",
            "Connections to a model, by what came of them: taken, failed.",
            ["model", "outcome"],
            registry=registry,
        )
        self.model_down = Gauge(
            "rtc_agent_model_down",
            "1 while a model counts as down for everybody and one call tries it at a time.",
            ["model"],
            registry=registry,
        )
        self.agent_fallbacks = Counter(
            "rtc_agent_fallbacks", "Calls that went on with the fallback model.", registry=registry
        )
        self.asked_again = Counter(
            "rtc_agent_asked_again", "Lost turns put to the model again.", registry=registry
        )
        self._sync_tools = Gauge(
            "rtc_sync_tools",
            "Synchronous tools in their threads, or waiting for one.",
            ["state"],
            registry=registry,
        )
        self.events_dropped = Counter(
            "rtc_agent_events_dropped",
            "What the agent did and a call that reads too slowly was not told.",
            registry=registry,
        )
        self.event_loop_lag = Histogram(
            "rtc_event_loop_lag_seconds",
            "How late the event loop woke from a sleep.",
            buckets=_SHORT_SECONDS,
            registry=registry,
        )
        self.load = Gauge(
            "rtc_load_ratio",
            "Of the event loop's time, how much it needed in the last seconds.",
            registry=registry,
        )
        self.worker_crashes = Counter(
            "rtc_worker_crashes",
            "Worker processes that ended unasked (with several workers).",
            registry=registry,
        )
        # A label that was never counted has no line in the exposition: make them all at start.
        for direction in self.packets:
            self.packets_lost.labels(direction)
        self.count_sync_tools(0, 0, 0)

    def count_sync_tools(self, at_work: int, waiting: int, given_up: int) -> None:
        """How many there are now; may be called in any thread."""
        self._sync_tools.labels("at_work").set(at_work)
        self._sync_tools.labels("waiting").set(waiting)
        self._sync_tools.labels("given_up").set(given_up)

    def collect(self) -> Iterable[Metric]:
        """All metrics as they are now."""
        return self._registry.collect()

    async def scrape(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return self.exposition()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
