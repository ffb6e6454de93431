"""When a call ends for its length or its silence, on a manual clock."""

from __future__ import annotations

from rtc_server.call_limits import CallLimits, Ending


def check(limits: CallLimits, now: float, *, idle_since: float = 100.0) -> list[Ending]:
    return list(limits.check(now, started_at=100.0, idle_since=idle_since))


def test_without_limits_a_call_lasts_as_long_as_it_likes() -> None:
    assert check(CallLimits(None, None), 1e6) == []


def test_end_of_a_long_call_is_told_once_ten_seconds_before() -> None:
    limits = CallLimits(60.0, None)
    assert check(limits, 149.0) == []
    assert not limits.is_ending
    assert check(limits, 150.0) == [Ending("max_duration", 10.0)]
    assert limits.is_ending
    assert check(limits, 155.0) == []
    assert check(limits, 160.0) == [Ending("max_duration")]


def test_end_of_a_short_call_is_told_when_half_of_it_is_over() -> None:
    assert check(CallLimits(4.0, None), 101.9) == []
    assert check(CallLimits(4.0, None), 102.0) == [Ending("max_duration", 2.0)]


def test_who_is_told_of_an_idle_call_and_says_something_is_told_anew() -> None:
    limits = CallLimits(None, 30.0)
    assert check(limits, 121.0) == [Ending("idle", 9.0)]
    assert limits.is_ending
    assert check(limits, 122.0, idle_since=122.0) == []
    assert not limits.is_ending
    assert check(limits, 142.0, idle_since=122.0) == [Ending("idle", 10.0)]
    assert check(limits, 152.0, idle_since=122.0) == [Ending("idle")]


def test_both_limits_are_told_of_at_once() -> None:
    assert check(CallLimits(30.0, 30.0), 125.0) == [
        Ending("max_duration", 5.0),
        Ending("idle", 5.0),
    ]
