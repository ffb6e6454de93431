"""When the idle prompt is due, on a manual clock."""

from __future__ import annotations

from rtc_server.idle_prompt import IdlePrompt


def due(prompt: IdlePrompt, now: float, **more: float | bool) -> str | None:
    facts: dict[str, float | bool] = {"quiet_since": 100.0, "user_said_at": 90.0}
    facts |= {"is_listening": True, **more}
    return prompt.due(now, **facts)  # type: ignore[arg-type]


def test_prompt_is_due_when_neither_side_has_spoken_for_long_enough() -> None:
    prompt = IdlePrompt("Anybody there?", after_s=20.0)
    assert due(prompt, 119.9) is None
    assert due(prompt, 120.0) == "Anybody there?"


def test_prompt_is_not_due_while_the_agent_is_busy_or_the_call_is_ending() -> None:
    assert due(IdlePrompt("Hello?", after_s=20.0), 150.0, is_listening=False) is None


def test_without_a_prompt_none_is_due() -> None:
    assert due(IdlePrompt(None, after_s=20.0), 1000.0) is None


def test_prompt_is_put_once_until_the_user_says_something() -> None:
    prompt = IdlePrompt("Hello?", after_s=20.0)
    assert due(prompt, 120.0)
    assert due(prompt, 160.0, quiet_since=125.0) is None  # its own answer was 125.0
    assert due(prompt, 220.0, quiet_since=200.0, user_said_at=198.0)
    assert due(prompt, 260.0, quiet_since=225.0, user_said_at=198.0) is None


def test_answer_to_the_prompt_does_not_keep_the_call_alive() -> None:
    prompt = IdlePrompt("Hello?", after_s=20.0)
    assert prompt.idle_since(quiet_since=100.0, user_said_at=90.0) == 100.0
    assert due(prompt, 120.0)
    assert prompt.idle_since(quiet_since=125.0, user_said_at=90.0) == 100.0
    assert prompt.idle_since(quiet_since=131.0, user_said_at=131.0) == 131.0
