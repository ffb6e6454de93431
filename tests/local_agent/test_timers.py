"""How long, what for, and how timers are kept."""

from __future__ import annotations

import pytest

from rtc_server.local_agent.timers import (
    Timer,
    TimerRequest,
    find_requests,
    instruction_line,
    read_instruction,
    read_timers,
    say_duration,
)


@pytest.mark.parametrize(
    ("said", "seconds", "label", "reminder"),
    [
        ("Set a timer for ten seconds.", 10, "", False),
        ("set a ten second timer", 10, "", False),
        ("set timer 10 seconds", 10, "", False),
        ("set a timer for for seconds", 4, "", False),
        ("Set a timer for one minute and thirty seconds", 90, "", False),
        ("Set a timer for an hour and a half", 5400, "", False),
        ("set a timer for half an hour", 1800, "", False),
        ("set a timer for 2.5 minutes", 150, "", False),
        ("Set a pasta timer for eight minutes.", 480, "pasta", False),
        ("set a timer for the eggs for 3 minutes", 180, "eggs", False),
        ("start a 5 minute timer for tea", 300, "tea", False),
        ("Remind me to call my mother in ten minutes", 600, "call your mother", True),
        ("remind me in a minute to take it out of the oven", 60, "take it out of the oven", True),
        ("remind me in ten minutes to call Bob", 600, "call bob", True),
    ],
)
def test_request_is_read(said: str, seconds: int, label: str, reminder: bool) -> None:
    assert find_requests(said) == [TimerRequest(seconds, label, reminder)]


def test_two_timers_in_one_sentence_are_two() -> None:
    for said in (
        "set two timers, one for five minutes and one for ten minutes",
        "set a timer for 5 minutes and another one for ten minutes",
    ):
        assert [request.seconds for request in find_requests(said)] == [300, 600]


def test_request_without_a_time_is_none() -> None:
    assert find_requests("set a timer") == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds"), (1, "1 second"), (90, "1 minute and 30 seconds"), (3600, "1 hour")],
)
def test_duration_is_said(seconds: int, said: str) -> None:
    assert say_duration(seconds) == said


def test_timers_survive_the_instruction() -> None:
    timers = [Timer("a", 10, 1_700_000_010.5, "the \N{HOT BEVERAGE}\nkettle"), Timer("b", 1, 2.0)]
    assert read_instruction(f"Be kind.\n{instruction_line(timers)}\nThank you.") == timers
    assert read_instruction("Be kind.") == []


@pytest.mark.parametrize(
    "state",
    [
        None,
        "x",
        7,
        {"a": 1},
        [None, {}, {"id": "a"}, {"id": "a", "seconds": "x", "due": 1}],
        [{"id": "a", "seconds": 1, "due": float("nan")}],
    ],
)
def test_malformed_state_holds_no_timers(state: object) -> None:
    assert read_timers(state) == []
