"""Days and times of day as people name them."""

from __future__ import annotations

from datetime import date

import pytest

from rtc_server.local_agent.dates import find_clock_time, find_day, resolve_day

MONDAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("what day is tomorrow", date(2026, 11, 24)),
        ("what day is to-morrow", date(2026, 11, 24)),
        ("what was the date the day before yesterday", date(2026, 11, 21)),
        ("what day is it in three days", date(2026, 11, 26)),
        ("what date was it 2 weeks ago", date(2026, 11, 9)),
        ("what is the date in three months", date(2027, 2, 23)),
        ("what date is next Friday", date(2026, 11, 27)),
        ("what date was last Monday", date(2026, 11, 16)),
        ("when is Christmas", date(2026, 12, 25)),
        ("how many days until the first of January", date(2027, 1, 1)),
        ("what day is December twenty fifth", date(2026, 12, 25)),
        ("what day is the 29th of February", date(2028, 2, 29)),
    ],
)
def test_day_is_found_and_resolved(said: str, day: date) -> None:
    words = find_day(said)
    assert words is not None
    assert resolve_day(words, MONDAY) == day


def test_day_that_does_not_exist_is_none() -> None:
    assert find_day("what day is it today") is None
    for words in ("february 31", "in 9999 years", "nonsense", ""):
        assert resolve_day(words, MONDAY) is None


@pytest.mark.parametrize(
    ("said", "time"),
    [
        ("set an alarm for 7 a.m.", (7, 0, "am")),
        ("wake me at seven thirty", (7, 30, "")),
        ("remind me at 18:45 to leave", (6, 45, "pm")),
        ("remind me at six o'clock to leave", (6, 0, "")),
        ("set an alarm for half past six in the evening", (6, 30, "pm")),
        ("wake me at quarter to seven", (6, 45, "")),
        ("set an alarm for noon", (12, 0, "pm")),
        ("set a timer for 5 minutes", None),
        ("set an alarm for 25", None),
    ],
)
def test_time_of_day_is_read(said: str, time: tuple[int, int, str] | None) -> None:
    assert find_clock_time(said) == time
