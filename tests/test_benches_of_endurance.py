"""The benches that run for long find what they look for: broken promises, growth, lag."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from benches.fuzz_packets import BrokenPromise, fuzz
from benches.growth import Sample, judge, robust_slope, thinned
from benches.session_weight import event_kb
from benches.soak import lag_p99_ms, parse_metrics


@pytest.mark.parametrize("decoder", ["pyav", "libopus"])
def test_the_packet_path_keeps_its_promises_whatever_is_sent(
    decoder: Literal["pyav", "libopus"],
) -> None:
    """Some thousand datagrams of every kind; a million are sent by hand."""
    tally = fuzz(decoder, 6000, seed=11, longest_flood=600)
    assert tally.datagrams >= 6000
    assert tally.bouts == 3
    assert min(tally.sent[kind] for kind in ("valid", "mutated Opus", "RTCP", "STUN")) > 10
    assert min(tally.fates.values()) > 0
    assert tally.given_s > 60


def test_a_broken_promise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget of ten times as much is too much."""
    monkeypatch.setattr("rtc_server.peer.uplink.BURST_S", 100.0)
    with pytest.raises(BrokenPromise, match="more than the budget"):
        fuzz("libopus", 30_000, seed=1)


def soaked(
    minutes: int, *, mb_a_minute: float = 0.0, events_a_minute: int = 0, more: int = 0
) -> list[Sample]:
    """A sample a minute of a server that grows so much; every fifth an 11th call lingers."""
    return [
        Sample(
            minutes=float(n),
            calls=10 + (n % 5 == 0),
            placed=10 + 3 * n,
            events=events_a_minute * n,
            # It warms up, and now and then the allocator takes a lot and gives it back.
            resident_mb=150 + min(n, 10) * 3 + mb_a_minute * n + 40 * (n % 9 == 8),
            threads=2,
            descriptors=28 + 2 * (n % 5 == 0) + more * n // minutes,
            cpu_ms=30.0,
        )
        for n in range(minutes + 1)
    ]


def test_the_slope_is_that_of_most_points() -> None:
    """A few that lie far off do not move it."""
    assert robust_slope([(float(n), 2.0 * n + 1000 * (n == 7)) for n in range(20)]) == 2.0
    assert robust_slope([(1.0, 5.0)]) == 0.0


def test_a_server_that_is_warm_and_stays_has_not_grown() -> None:
    """Nor has one in which ADK's history alone grows, or a call lingers."""
    assert judge(soaked(60), event_kb=3.0).failures == []
    history = judge(soaked(60, mb_a_minute=0.3, events_a_minute=100), event_kb=3.0)
    assert history.mb_an_hour == pytest.approx(18.0, abs=0.5)
    assert history.history_mb_an_hour == pytest.approx(17.6, abs=0.1)
    assert history.failures == []


def test_a_server_that_grows_is_found() -> None:
    """By its memory, by its descriptors."""
    assert "memory grows by 18.0 MB" in judge(soaked(60, mb_a_minute=0.3), event_kb=3.0).failures[0]
    assert "descriptors" in judge(soaked(60, more=20), event_kb=3.0).failures[0]


def test_a_short_run_says_nothing_of_memory() -> None:
    """The allocator is still warming up."""
    verdict = judge(soaked(5, mb_a_minute=3.0), event_kb=3.0)
    assert not verdict.is_long_enough
    assert verdict.failures == []


def test_a_series_is_thinned_to_one_sample_a_minute_and_the_last() -> None:
    """Four a minute were taken."""
    series = [replace(soaked(1)[0], minutes=n / 4) for n in range(10)]
    assert [one.minutes for one in thinned(series)] == [0.0, 1.0, 2.0, 2.25]


def test_lag_is_read_from_the_difference_of_two_scrapes() -> None:
    """What was before does not count."""
    text = """# TYPE rtc_calls_active gauge
rtc_calls_active 7.0
# TYPE rtc_event_loop_lag_seconds histogram
rtc_event_loop_lag_seconds_bucket{le="0.01"} %d
rtc_event_loop_lag_seconds_bucket{le="0.05"} %d
rtc_event_loop_lag_seconds_bucket{le="+Inf"} %d
"""
    before, after = parse_metrics(text % (100, 200, 300)), parse_metrics(text % (198, 300, 400))
    assert after.calls == 7
    assert lag_p99_ms(before, after) == 50.0
    assert lag_p99_ms(after, after) is None


def test_an_event_of_adks_history_weighs_some_kilobytes() -> None:
    """What a soak takes off."""
    assert 0.5 < event_kb() < 20
