"""The metrics as Prometheus reads them."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rtc_server.metrics import Metrics, TallyHistogram


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Every sample by name and by the value of its only label."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def test_packets_are_written_for_both_directions_from_the_start() -> None:
    """A rate needs a first value of 0."""
    metrics = Metrics()
    found = samples(metrics)
    assert found["rtc_packets_total", "uplink"] == found["rtc_packets_total", "downlink"] == 0
    metrics.packets["uplink"].inc()
    metrics.packets["uplink"].inc()
    found = samples(metrics)
    assert (found["rtc_packets_total", "uplink"], found["rtc_packets_total", "downlink"]) == (2, 0)


def test_the_uplink_histogram_is_cumulative_and_adds_up() -> None:
    """A value on a bound is below it, one above all bounds is in the last bucket."""
    metrics = Metrics()
    for value in (0.0001, 0.001, 0.0015, 7.0):
        metrics.uplink.observe(value)
    found = samples(metrics)
    assert found["rtc_uplink_seconds_bucket", "0.001"] == 2
    assert found["rtc_uplink_seconds_bucket", "0.002"] == 3
    assert found["rtc_uplink_seconds_bucket", "1.0"] == 3
    assert found["rtc_uplink_seconds_bucket", "+Inf"] == 4
    assert found["rtc_uplink_seconds_count", ""] == 4
    assert math.isclose(found["rtc_uplink_seconds_sum", ""], 7.0026)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0, 1.5, 2.0, 3.0])
def test_every_value_is_in_one_bucket(value: float) -> None:
    histogram = TallyHistogram((1.0, 2.0))
    histogram.observe(value)
    assert sum(histogram.counts) == 1
    below = [bound for bound, count in zip((1.0, 2.0), histogram.counts, strict=False) if count]
    assert all(value <= bound for bound in below)
