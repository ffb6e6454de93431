"""Failures in a row without progress, with the time as an argument."""

from __future__ import annotations

from rtc_server.agent.retry_rules import RetryCount, RetryRules

RULES = RetryRules(attempts=3, stable_s=10.0)


def failed(times: int) -> RetryCount:
    count = RetryCount(RULES)
    for _ in range(times):
        count.failed(0.0)
    return count


def test_failures_in_a_row_exhaust_a_call() -> None:
    """It takes as many as the rules say, and not one less."""
    assert not failed(2).is_exhausted
    assert failed(3).is_exhausted


def test_an_answer_given_to_its_end_is_progress() -> None:
    """The count begins anew; the end of an answer that had nothing in it changes nothing."""
    count = failed(2)
    assert not count.answer_is_over()
    assert count.failures == 2
    count.output()
    assert count.answer_is_over()
    assert count.failures == 0
    assert not count.answer_is_over()


def test_an_answer_that_is_cut_off_is_no_progress() -> None:
    """A model that fails in the middle of every answer is not asked for ever."""
    count = failed(1)
    count.output()
    count.failed(1.0)
    assert not count.answer_is_over()
    assert count.failures == 2
    count.output()
    count.nothing_came()
    assert not count.answer_is_over()


def test_a_connection_that_held_is_progress() -> None:
    """Whatever the model said on it; one that did not hold is none."""
    count = failed(2)
    count.connected(100.0)
    count.failed(109.0)
    assert count.failures == 3
    count.connected(200.0)
    count.failed(211.0)
    assert count.failures == 1


def test_a_failure_that_is_everybodys_exhausts_no_call() -> None:
    """One more of the call's own does."""
    count = failed(3)
    count.spare()
    assert not count.is_exhausted
    count.failed(0.0)
    assert count.is_exhausted
