"""What the agent says without being asked is told as that, whatever the user does meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_server.actions import RenewModel, SendPrompt
from rtc_server.agent import live_events as live

from .conversation_stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


def prompt(stage: Stage, text: str = "Greet the caller.") -> None:
    stage.actions += stage.conversation.on_prompt(text, stage.now)


def answer(stage: Stage, text: str = "Hello.") -> None:
    stage.now += 0.5
    stage.speak()
    stage.say(text)
    stage.agent(live.ModelTurnComplete())
    stage.play(600)


def response_ms(stage: Stage) -> list[Any]:
    """Of each answer so far; None: nobody asked for it."""
    return [one.get("response_ms") for one in stage.sent("latency")]


def test_prompt_goes_to_the_agent_and_not_to_the_caller(stage: Stage) -> None:
    """Its answer is a turn like any other, without a response time; its words are nobody's."""
    prompt(stage)
    answer(stage)
    assert stage.states()[:2] == ["listening", "thinking"]
    assert stage.states()[-2:] == ["speaking", "listening"]
    assert SendPrompt("Greet the caller.", again=False) in stage.actions
    assert stage.turns() == [(1, False)]
    assert response_ms(stage) == [None]
    assert {one["role"] for one in stage.sent("transcript")} == {"agent"}


def test_speech_during_a_greeting_that_has_not_begun_is_not_answered_by_it(stage: Stage) -> None:
    """The user's question keeps its time for the answer that follows."""
    prompt(stage)
    stage.user_speaks(600)
    spoken_at = stage.now
    answer(stage)
    stage.user_says("What is new?")
    asked_for = stage.now
    stage.speak()
    stage.play(20)
    assert response_ms(stage)[0] is None
    expected = (asked_for + 0.02 - spoken_at) * 1000
    assert response_ms(stage)[1] == pytest.approx(expected, abs=1)


def test_text_typed_before_the_greeting_has_begun_is_answered_after_it(stage: Stage) -> None:
    """In the order in which the model was given both."""
    prompt(stage)
    stage.types("What is new?")
    answer(stage)
    answer(stage, "Nothing.")
    assert [one is None for one in response_ms(stage)] == [True, False]


@pytest.mark.parametrize("sign", [live.ModelInterrupted(), live.UserTranscript("Hey", final=False)])
def test_model_that_turned_to_the_user_answers_the_user(stage: Stage, sign: Any) -> None:
    """It was interrupted before it began to greet, or has understood words since."""
    prompt(stage)
    stage.user_speaks(600)
    stage.agent(sign)
    stage.user_says("Hey")
    answer(stage)
    assert [one is None for one in response_ms(stage)] == [False]


def test_prompt_that_is_never_answered_is_forgotten_without_an_error(stage: Stage) -> None:
    """Nobody waits for it, but the model is dead: its connection is renewed."""
    prompt(stage)
    stage.wait(31)
    assert stage.conversation.state == "listening"
    assert stage.sent("error") == []
    assert stage.actions.count(RenewModel()) == 1
    stage.types("Hello?")
    answer(stage)
    assert response_ms(stage) != [None]


def test_greeting_that_is_never_answered_is_put_once_more_and_then_told(stage: Stage) -> None:
    """In words that fit somebody who has asked nothing; the agent thinks meanwhile."""
    stage.actions += stage.conversation.on_prompt("Greet.", stage.now, is_greeting=True)
    stage.wait(31)
    assert stage.actions[-1] == RenewModel("Greet.")
    assert stage.conversation.state == "thinking"
    stage.wait(31)
    (error,) = stage.sent("error")
    assert error["code"] == "agent_timeout"
    assert "ask again" not in error["message"]
    assert stage.states()[-1] == "listening"
    assert stage.actions.count(RenewModel("Greet.")) == 1
    stage.wait(60)
    assert len(stage.sent("error")) == 1


def test_greeting_gives_way_to_a_question_that_waits_as_well(stage: Stage) -> None:
    """A renewed connection would lose it; it has a time of its own."""
    stage.actions += stage.conversation.on_prompt("Greet.", stage.now, is_greeting=True)
    stage.wait(10)
    stage.types("What is new?")
    stage.wait(21)
    assert not [one for one in stage.actions if isinstance(one, RenewModel)]
    stage.wait(10)
    assert [one for one in stage.actions if isinstance(one, RenewModel)] == [RenewModel()]


def test_model_that_may_stay_silent_is_not_renewed_for_it() -> None:
    """It decides itself whether to greet."""
    stage = Stage(rules={"may_stay_silent": True})
    stage.actions += stage.conversation.on_prompt("Greet.", stage.now, is_greeting=True)
    stage.wait(70)
    assert not [one for one in stage.actions if isinstance(one, RenewModel)]
    assert stage.sent("error") == []


def test_empty_answer_to_a_prompt_is_no_turn(stage: Stage) -> None:
    """A model may have nothing to say to it."""
    prompt(stage)
    stage.agent(live.ModelTurnComplete())
    assert stage.turns() == []
    assert stage.conversation.state == "listening"


def test_interrupt_discards_the_greeting_to_come(stage: Stage) -> None:
    """As it does an answer that was asked for."""
    prompt(stage)
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    answer(stage)
    assert stage.turns() == [(1, True)]
    assert stage.sent("latency") == []


def test_prompt_lost_with_the_model_does_not_claim_the_next_answer(stage: Stage) -> None:
    """The user's question after the failure is answered as such."""
    prompt(stage)
    stage.agent(live.AgentFailed("agent_lost", "Gone.", retryable=True))
    stage.types("Hello?")
    answer(stage)
    assert len(response_ms(stage)) == 1
    assert response_ms(stage)[0] is not None


def test_cough_is_not_something_the_user_said(stage: Stage) -> None:
    """The idle prompt waits for words, typed or spoken."""
    stage.user_speaks(100)
    assert stage.conversation.user_said_at == 0.0
    stage.user_speaks(200)
    assert stage.conversation.user_said_at == pytest.approx(stage.now)
    stage.now += 5
    stage.types("Hello")
    assert stage.conversation.user_said_at == stage.now


# Who may stay silent, and who says himself when he has spoken -----------------


def test_model_that_may_stay_silent_owes_no_answer() -> None:
    """The agent listens again without a word."""
    stage = Stage(rules={"may_stay_silent": True})
    stage.user_speaks(600)
    stage.user_says("So I said to her")
    assert stage.conversation.state == "thinking"
    stage.wait(31)
    assert stage.states()[-1] == "listening"
    assert stage.sent("error") == []


def test_end_of_activity_is_the_end_of_the_users_turn(stage: Stage) -> None:
    """Said by the model or by the user's button; a transcript that comes later changes nothing."""
    stage.user_speaks(600)
    spoken_at = stage.now
    stage.now += 0.3
    stage.agent(live.UserActivity("end"))
    assert stage.conversation.state == "thinking"
    stage.now += 0.2
    stage.user_says("What is new?")
    stage.speak()
    stage.play(20)
    (latency,) = stage.sent("latency")
    assert latency["endpoint_ms"] == pytest.approx(300, abs=1)
    assert latency["response_ms"] == pytest.approx((stage.now - spoken_at) * 1000, abs=1)


def test_activity_without_speech_asks_nothing(stage: Stage) -> None:
    """A button that was touched, or a cough."""
    stage.actions += stage.conversation.on_user_activity("start", stage.now)
    stage.actions += stage.conversation.on_user_activity("end", stage.now)
    assert stage.conversation.state == "listening"
    stage.wait(31)
    assert stage.sent("error") == []


@pytest.mark.parametrize("before", ["greeting", "two texts that one answer served"])
@pytest.mark.parametrize("how", ["typed", "spoken"])
def test_next_question_is_waited_for_as_any_other(stage: Stage, before: str, how: str) -> None:
    """What was said unasked, or served two questions at once, says nothing of the next one."""
    if before == "greeting":
        prompt(stage)
        answer(stage)
    else:
        stage.types("One?")
        stage.agent(live.AgentThought("hm"))  # at work, and silent so far
        stage.types("Two?")
        answer(stage)
        stage.wait(6.0)
    assert stage.states()[-1] == "listening"
    if how == "typed":
        stage.types("What is new?")
    else:
        stage.user_speaks(600)
        stage.user_says("What is new?")
    stage.wait(20.0)
    assert stage.states()[-1] == "thinking"
    stage.wait(20.0)
    assert [one["code"] for one in stage.sent("error")] == ["agent_timeout"]
    assert RenewModel() in stage.actions


def test_question_after_a_greeting_can_be_withdrawn_before_its_answer(stage: Stage) -> None:
    prompt(stage)
    answer(stage)
    stage.types("What is new?")
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    assert stage.turns() == [(1, False), (2, True)]
