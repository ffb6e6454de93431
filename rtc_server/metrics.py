"""The Prometheus metrics of the contract, in a registry of their own.

One :class:`Metrics` is made per server, so that two servers in a process (and every
test) count apart.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from prometheus_client.core import Metric

__all__ = ["Exposition", "Metrics"]

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_SHORT_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
_LONG_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)


class Exposition(Protocol):
    """What ``/metrics`` needs."""

    content_type: str

    async def scrape(self) -> bytes:
        """All metrics in Prometheus' text format."""
        ...


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
        self.uplink = Histogram(
            "rtc_uplink_seconds",
            "From a packet's arrival to its samples being handed to the agent.",
            buckets=_SHORT_SECONDS,
            registry=registry,
        )
        self.barge_in = Histogram(
            "rtc_barge_in_seconds",
            "From an interruption known to the last old packet sent.",
            buckets=_SHORT_SECONDS,
            registry=registry,
        )
        self.packets = Counter("rtc_packets", "RTP packets.", ["direction"], registry=registry)
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
        for direction in ("uplink", "downlink"):
            self.packets.labels(direction)
            self.packets_lost.labels(direction)

    def collect(self) -> Iterable[Metric]:
        """All metrics as they are now."""
        return self._registry.collect()

    async def scrape(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return self.exposition()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
