"""Who may connect to a model that is down, and how fast those come back who waited."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc_server.agent.models.circuit_breaker import BreakerRules, CircuitBreaker

RULES = BreakerRules(
    failures=3,
    calls=2,
    first_pause_s=1.0,
    early_pause_s=3.0,
    early_s=10.0,
    max_pause_s=8.0,
    probe_s=20.0,
    random=lambda: 1.0,
)


def opened() -> CircuitBreaker:
    """A breaker that three failures of two calls have opened at 0 s."""
    breaker = CircuitBreaker(RULES)
    for call in ("a", "b", "a"):
        assert breaker.wait_s(call, 0.0) == 0.0
        breaker.failed(call, 0.0)
    return breaker


def test_failures_of_one_call_do_not_open_it() -> None:
    """It may have itself to blame."""
    breaker = CircuitBreaker(RULES)
    for n in range(10):
        breaker.failed("a", n * 0.1)
    assert not breaker.is_open
    breaker.failed("b", 1.0)
    assert breaker.is_open


def test_success_and_time_forget_failures() -> None:
    """Only failures in a row count, and only those of late."""
    breaker = CircuitBreaker(RULES)
    breaker.failed("a", 0.0)
    breaker.failed("b", 0.0)
    breaker.proved("c", 0.1)
    breaker.failed("a", 0.2)
    breaker.failed("b", 0.2)
    assert not breaker.is_open
    breaker.failed("c", 0.2 + RULES.window_s + 1)
    assert not breaker.is_open


def test_open_breaker_lets_one_call_probe_after_a_pause() -> None:
    """The others wait, and ask again at bounded intervals."""
    breaker = opened()
    assert breaker.is_open
    assert breaker.wait_s("a", 0.9) == pytest.approx(0.1)
    assert breaker.wait_s("a", 1.0) == 0.0
    assert not breaker.may_probe(1.0)
    assert 0 < breaker.wait_s("b", 1.0) <= 0.5


def pauses_of(breaker: CircuitBreaker, probes: int) -> list[float]:
    """Between probes that all fail."""
    now, pauses = 0.0, []
    for _ in range(probes):
        begun = now
        while (wait := breaker.wait_s("a", now)) > 0:
            now += wait
        pauses.append(round(now - begun, 6))
        breaker.failed("a", now)
    return pauses


def test_pause_grows_with_each_probe_that_fails_and_is_bounded() -> None:
    """For ten seconds 1 s, 2 s, 3 s, 3 s …, then what doubling has come to, 8 s at most."""
    assert pauses_of(opened(), 7) == [1.0, 2.0, 3.0, 3.0, 3.0, 8.0, 8.0]


def test_each_outage_has_an_early_time_of_its_own() -> None:
    """A model that was down for long, was well, and is down again is tried often at first."""
    breaker = opened()
    assert pauses_of(breaker, 6)[-1] == 8.0
    assert breaker.wait_s("a", 40.0) == 0.0
    breaker.proved("a", 40.0)
    for call in ("a", "b", "a"):
        breaker.failed(call, 50.0)
    for begun, pause in ((50.0, 1.0), (51.0, 2.0), (53.0, 3.0), (56.0, 3.0)):
        assert breaker.wait_s("a", begun + pause - 0.01) > 0
        assert breaker.wait_s("a", begun + pause) == 0.0
        breaker.failed("a", begun + pause)


@given(seed=st.integers(0, 2**32), outage_s=st.floats(0.0, 59.0))
@settings(max_examples=60, deadline=None)
def test_model_that_was_down_for_less_than_a_minute_is_found_within_five_seconds(
    seed: int, outage_s: float
) -> None:
    """From its coming back to the probe that finds it."""
    rules = BreakerRules(random=random.Random(seed).random)
    breaker = CircuitBreaker(rules)
    for n in range(rules.failures):
        breaker.failed(n, 0.0)
    now = 0.0
    while True:
        wait = breaker.wait_s("a", now)
        if wait == 0.0:
            if now >= outage_s:
                break
            breaker.failed("a", now)
        now += wait
    assert now - outage_s <= 5.0


def test_pauses_are_jittered() -> None:
    """Servers do not try in step."""
    assert BreakerRules(random=lambda: 0.0).pause_s(0) == 0.5
    assert BreakerRules(random=lambda: 1.0).pause_s(0) == 1.0
    assert BreakerRules(random=lambda: 0.0).pause_s(9, down_s=90.0) == 15.0


def test_probe_that_is_taken_and_dropped_proves_nothing() -> None:
    """A model that accepts and crashes is down."""
    breaker = opened()
    assert breaker.wait_s("a", 1.0) == 0.0
    breaker.connected("a", 1.1)
    assert breaker.wait_s("b", 1.2) > 0
    breaker.failed("a", 1.3)
    assert breaker.is_open
    assert breaker.wait_s("b", 1.4) > 0


def test_probe_that_holds_or_speaks_lets_the_others_in_one_by_one() -> None:
    """Not all at once: ten a second."""
    breaker = opened()
    assert breaker.wait_s("a", 1.0) == 0.0
    breaker.connected("a", 1.0)
    assert breaker.wait_s("b", 1.5) == 0.0  # it has held
    waits = [breaker.wait_s(n, 1.5) for n in range(3)]
    assert waits == pytest.approx([0.1, 0.2, 0.3])
    assert breaker.wait_s(0, 1.6) == 0.0

    breaker = opened()
    assert breaker.wait_s("a", 1.0) == 0.0
    breaker.proved("a", 1.1)
    assert not breaker.is_open


def test_probe_that_withdraws_or_is_never_heard_of_again_hands_on() -> None:
    """Its call has ended; the next one tries at once."""
    breaker = opened()
    assert breaker.wait_s("a", 1.0) == 0.0
    breaker.withdrew("a", 1.1)
    assert breaker.wait_s("b", 1.1) == 0.0
    assert breaker.wait_s("c", 1.2) > 0
    assert breaker.wait_s("c", 1.2 + RULES.probe_s) == 0.0


def test_connection_that_held_and_is_lost_is_no_failure() -> None:
    """Something else ended it."""
    breaker = CircuitBreaker(RULES)
    for n in range(10):
        breaker.connected(n, 0.0)
    for n in range(10):
        breaker.failed(n, 1.0)
    assert not breaker.is_open
    assert breaker.succeeded_at == 1.0


def test_connections_that_held_and_are_lost_one_after_the_other_open_nothing() -> None:
    """A network that breaks drops all of them within some milliseconds; none had failed."""
    breaker = CircuitBreaker(RULES)
    for n in range(5):
        breaker.connected(n, 0.0)
    for n in range(5):
        breaker.failed(n, 60.0 + n * 0.001)
    assert not breaker.is_open
    breaker.connected(0, 61.0)
    breaker.failed(0, 61.1)
    breaker.failed(1, 61.1)
    breaker.failed(2, 61.1)
    assert breaker.is_open  # the next ones are new


@given(seed=st.integers(0, 2**32), calls=st.integers(2, 80), up_at=st.floats(1.0, 60.0))
@settings(max_examples=60, deadline=None)
def test_model_that_comes_back_serves_everybody_without_a_storm(
    seed: int, calls: int, up_at: float
) -> None:
    """Whatever the timing: connects stay under the cap, and every call is served in the end."""
    chance = random.Random(seed)
    rules = BreakerRules(random=chance.random)
    breaker = CircuitBreaker(rules)
    connects: list[float] = []
    served: set[int] = set()
    tries = dict.fromkeys(range(calls), 0)
    todo = [(chance.random(), call) for call in range(calls)]
    heapq.heapify(todo)
    while todo:
        now, call = heapq.heappop(todo)
        assert now < up_at + 2 * rules.max_pause_s + calls / rules.connects_per_s + 10.0
        wait = breaker.wait_s(call, now)
        assert wait >= 0.0
        if wait > 0:
            heapq.heappush(todo, (now + wait, call))
            continue
        connects.append(now)
        if now >= up_at:
            breaker.connected(call, now)
            breaker.proved(call, now)
            served.add(call)
            continue
        breaker.failed(call, now)
        tries[call] += 1
        heapq.heappush(todo, (now + 0.25 * 2 ** min(tries[call], 5) * chance.random(), call))
    assert len(served) == calls
    for first in range(len(connects)):
        within = [at for at in connects[first:] if at < connects[first] + 1.0]
        assert len(within) <= rules.burst + rules.connects_per_s
