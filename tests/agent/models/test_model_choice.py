"""When a call asks the fallback, and when it goes back: on a manual clock."""

from __future__ import annotations

from rtc_server.agent.models.model_choice import ModelChoice


def on_fallback(now: float = 0.0) -> ModelChoice:
    choice = ModelChoice(has_fallback=True)
    assert not choice.failed(now)
    assert choice.failed(now)
    assert choice.on_fallback
    return choice


def test_without_a_fallback_nothing_is_chosen() -> None:
    """Whatever fails."""
    choice = ModelChoice()
    assert not any(choice.failed(n, is_down=True) for n in range(10))
    assert not choice.turned_away(0.0, is_own_there=False)
    assert not choice.on_fallback


def test_two_failures_in_a_row_lead_to_the_fallback_and_progress_forgives_one() -> None:
    """One failure is retried with the same model."""
    choice = ModelChoice(has_fallback=True)
    assert not choice.failed(0.0)
    choice.progressed()
    assert not choice.failed(1.0)
    assert choice.failed(2.0)


def test_model_that_is_down_for_everybody_is_left_at_the_first_failure() -> None:
    """And where the call is turned away, without any."""
    choice = ModelChoice(has_fallback=True)
    assert choice.failed(0.0, is_down=True)
    choice = ModelChoice(has_fallback=True)
    assert choice.turned_away(0.0, is_own_there=False)
    assert choice.on_fallback
    assert not choice.turned_away(0.0, is_own_there=False)  # both are away: it waits
    assert choice.turned_away(1.0, is_own_there=True)
    assert not choice.on_fallback


def test_call_goes_back_when_another_has_found_the_model_well_or_after_a_minute() -> None:
    """Not while it is down, and not by news from before."""
    choice = on_fallback(100.0)
    assert not choice.returns(130.0, is_down=False, well_at=99.0)
    assert not choice.returns(130.0, is_down=True, well_at=None)
    assert choice.returns(130.0, is_down=False, well_at=120.0)
    assert not choice.on_fallback
    assert on_fallback(100.0).returns(161.0, is_down=False, well_at=None)


def test_call_tries_a_model_that_is_down_for_all_when_somebody_is_to() -> None:
    """No minute is waited for: nobody else might ask it."""
    choice = on_fallback(100.0)
    assert not choice.returns(101.0, is_down=True, well_at=None)
    assert choice.returns(102.0, is_down=False, well_at=None, is_due=True)
    assert choice.failed(103.0)
    assert choice.on_fallback


def test_model_on_trial_is_left_at_its_first_failure() -> None:
    """It has had its chance; a failure that comes after an answer is one like any other."""
    choice = on_fallback(0.0)
    assert choice.returns(61.0, is_down=False, well_at=None)
    assert choice.failed(62.0)
    assert choice.returns(200.0, is_down=False, well_at=None)
    choice.progressed()
    assert not choice.failed(201.0)


def test_fallback_that_fails_too_leads_back() -> None:
    """Unless the first model is known to be down."""
    choice = on_fallback(0.0)
    assert not choice.failed(1.0)
    assert not choice.failed(2.0, is_down=True)
    assert choice.failed(3.0)
    assert not choice.on_fallback
