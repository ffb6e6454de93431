"""The metrics of all processes as one.

Counters and histograms are summed over all workers that there are and were: what a crashed
worker had counted when it was last asked stays in the sum, or Prometheus would take the step
down for a restart of everything.  Gauges are summed over those that there are; of the load the
greatest counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import Metric

from ..metrics import Metrics

__all__ = ["Snapshot", "SummedMetrics", "snapshot_of", "sum_snapshots"]

Snapshot = list[dict[str, Any]]
"""Metrics as JSON takes them: ``name``, ``help``, ``type``, ``samples``: name, labels, value."""

_Sample = tuple[str, tuple[tuple[str, str], ...]]

_GREATEST = ("rtc_load_ratio",)
_EARLIEST = ("process_start_time_seconds", "process_max_fds", "python_info")


def snapshot_of(metrics: Metrics) -> Snapshot:
    """The metrics of this process."""
    return [
        {
            "name": one.name,
            "help": one.documentation,
            "type": one.type,
            "samples": [[sample.name, dict(sample.labels), sample.value] for sample in one.samples],
        }
        for one in metrics.collect()
    ]


def sum_snapshots(snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot that says of every sample the sum; of moments and limits the least.

    Of the load it says the greatest.
    """
    families: dict[str, dict[str, Any]] = {}
    sums: dict[str, dict[_Sample, float]] = {}
    for snapshot in snapshots:
        for family in snapshot:
            name = family["name"]
            families.setdefault(name, family)
            samples = sums.setdefault(name, {})
            for sample, labels, value in family["samples"]:
                key = (sample, tuple(labels.items()))
                if key not in samples:
                    samples[key] = value
                elif sample.endswith("_created") or sample in _EARLIEST:
                    samples[key] = min(samples[key], value)
                elif sample in _GREATEST:
                    samples[key] = max(samples[key], value)
                else:
                    samples[key] += value
    return [
        {
            **family,
            "samples": [[sample, dict(labels), value] for (sample, labels), value in one.items()],
        }
        for family, one in ((families[name], one) for name, one in sums.items())
    ]


class SummedMetrics:
    """What ``/metrics`` says where there are several processes.

    A process is known by its id: the worker that replaces another counts anew.

    Args:
        own: the front's metrics.
        ask: asks the workers; gives the snapshots of those that answered, by process.
    """

    content_type = Metrics.content_type

    def __init__(self, own: Metrics, ask: Callable[[], Awaitable[Mapping[int, Snapshot]]]) -> None:
        self._own = own
        self._ask = ask
        self._last: dict[int, Snapshot] = {}
        self._gone: Snapshot = []

    async def scrape(self) -> bytes:
        """All metrics in Prometheus' text format."""
        for process, snapshot in (await self._ask()).items():
            self.put(process, snapshot)
        total = sum_snapshots([snapshot_of(self._own), *self._last.values(), self._gone])
        return generate_latest(_Collected(total))

    def add(self, process: int) -> None:
        """There is a new process."""
        self._last[process] = []

    def put(self, process: int, snapshot: Snapshot) -> None:
        """What a process has counted so far; one that is gone is not counted twice."""
        if process in self._last:
            self._last[process] = snapshot

    def retire(self, process: int) -> None:
        """The process is gone; what it counted stays."""
        last = self._last.pop(process, [])
        kept = [one for one in last if one["type"] in ("counter", "histogram")]
        self._gone = sum_snapshots([self._gone, kept])


class _Collected:
    """Gives Prometheus' own writer what it writes."""

    def __init__(self, snapshot: Sequence[dict[str, Any]]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for family in self._snapshot:
            metric = Metric(family["name"], family["help"], family["type"])
            for name, labels, value in family["samples"]:
                metric.add_sample(name, labels, value)
            yield metric
