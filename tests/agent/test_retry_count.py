"""Failures in a row without progress, with the time as an argument."""

from __future__ import annotations

from rtc_server.agent.retry_rules import RetryCount, RetryRules

RULES = RetryRules(attempts=3, stable_s=10.0)


def failed(times: int) -> RetryCount:
    count = RetryCount(RULES)
    for _ in range(times):
        count.failed(0.0, waits=False)
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
    count.failed(1.0, waits=False)
    assert not count.answer_is_over()
    assert count.failures == 2
    count.output()
    count.nothing_came()
    assert not count.answer_is_over()


def test_a_connection_that_held_is_progress() -> None:
    """Whatever the model said on it; one that did not hold is none."""
    count = failed(2)
    count.connected(100.0)
    count.failed(109.0, waits=False)
    assert count.failures == 3
    count.connected(200.0)
    count.failed(211.0, waits=False)
    assert count.failures == 1


def test_a_model_that_is_away_is_waited_for_by_time_and_not_by_tries() -> None:
    """A lone call, too; refusals before and after it count as they do without it."""
    count = failed(2)
    for n in range(50):
        count.failed(n * 1.0, waits=True)
    assert count.failures == 52
    assert not count.is_exhausted
    assert count.patience_s(100.0) == RULES.patience_s - 100.0
    count.failed(100.0, waits=False)
    assert count.is_exhausted


def test_patience_begins_anew_with_progress() -> None:
    """An answer, or a connection that held; also where the run that follows was no failure."""
    count = RetryCount(RULES)
    count.connects(0.0)
    assert count.patience_s(7.0) == RULES.patience_s - 7.0
    count.connected(10.0)
    count.connects(100.0)
    assert count.patience_s(101.0) == RULES.patience_s - 1.0
    count.output()
    count.answer_is_over()
    assert count.patience_s(1000.0) == RULES.patience_s


def test_a_row_of_failures_is_told_once_and_the_next_row_again() -> None:
    count = failed(1)
    count.is_told = True
    count.failed(1.0, waits=True)
    assert count.is_told
    count.output()
    count.answer_is_over()
    assert not count.is_told


def test_pauses_stay_bounded_however_many_there_were() -> None:
    assert RetryRules(random=lambda: 1.0).delay_s(5000) == 8.0
