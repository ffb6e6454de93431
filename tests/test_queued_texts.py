"""Texts that the user types faster than the agent answers, on a manual clock."""

from __future__ import annotations

import pytest

from rtc_server.actions import SendPrompt, SendText
from rtc_server.agent import live_events as live

from .conversation_stage import Stage


@pytest.fixture
def queue() -> Stage:
    return Stage(rules={"text_during_speech": "queue"})


def put(stage: Stage) -> list[str]:
    """What has gone to the model."""
    return [one.text for one in stage.actions if isinstance(one, SendText | SendPrompt)]


def answer(stage: Stage) -> None:
    stage.now += 0.5
    stage.speak(200)
    stage.agent(live.ModelTurnComplete())
    stage.play(300)


def test_second_text_waits_although_the_first_answer_has_not_begun(queue: Stage) -> None:
    """Each is answered by an answer of its own, and the agent thinks until the last of them."""
    queue.types("one")
    queue.types("two")
    assert put(queue) == ["one"]
    answer(queue)
    assert put(queue) == ["one", "two"]
    assert queue.states()[-1] == "thinking"
    answer(queue)
    assert [("response_ms" in one) for one in queue.sent("latency")] == [True, True]
    assert queue.states()[-1] == "listening"


def test_text_waits_for_the_answer_to_a_greeting_that_has_not_begun(queue: Stage) -> None:
    """What was put to the agent by the operator comes first."""
    queue.actions += queue.conversation.on_prompt("Greet the caller.", queue.now)
    queue.types("one")
    assert put(queue) == ["Greet the caller."]
    answer(queue)
    assert put(queue) == ["Greet the caller.", "one"]


def test_text_waits_for_the_answer_to_what_was_said(queue: Stage) -> None:
    """A spoken question is as open as a typed one."""
    queue.user_speaks(600)
    queue.user_says("What is new?")
    queue.types("one")
    assert put(queue) == []
    answer(queue)
    assert put(queue) == ["one"]


def test_answer_that_may_be_to_two_texts_is_followed_by_a_while_of_thinking() -> None:
    """The second may have an answer of its own; if none comes, nobody is told of a failure."""
    stage = Stage()
    stage.actions += stage.conversation.on_prompt("Greet the caller.", stage.now)
    stage.types("What is new?")
    answer(stage)
    assert stage.states()[-1] == "thinking"
    stage.wait(60)
    assert stage.states()[-1] == "listening"
    assert stage.sent("error") == []


def test_response_time_counts_from_the_text_message_although_the_text_had_to_wait(
    queue: Stage,
) -> None:
    """The user has waited since then, whatever the agent did meanwhile."""
    queue.types("one")
    typed_at = queue.now
    queue.types("two")
    for _ in range(2):
        answer(queue)
    first, second = queue.sent("latency")
    expected = (queue.now - 0.3 + 0.02 - typed_at) * 1000
    assert second["response_ms"] == pytest.approx(expected, abs=1)
    assert second["agent_ms"] + second["playout_ms"] == pytest.approx(expected, abs=1)
    assert second["response_ms"] > first["response_ms"] + 700


def test_time_for_which_a_text_waited_is_not_the_models(queue: Stage) -> None:
    """The model has all of its time from when the text was put to it."""
    queue.types("one")
    queue.wait(20)
    queue.types("two")
    queue.wait(5)
    answer(queue)
    queue.wait(28)
    assert queue.sent("error") == []
    queue.wait(3)
    assert [one["code"] for one in queue.sent("error")] == ["agent_timeout"]


def test_each_of_several_texts_at_once_has_its_response_time() -> None:
    """They go to the model at once, which answers one after another."""
    stage = Stage()
    typed_at = []
    for text in ("one", "two", "three"):
        typed_at.append(stage.now)
        stage.types(text)
        stage.now += 0.01
    assert put(stage) == ["one", "two", "three"]
    for _ in range(3):
        stage.speak(200)
        stage.agent(live.ModelTurnComplete())
    began = stage.now
    stage.play(700)
    assert stage.turns() == [(1, False), (2, False), (3, False)]
    times = [one["response_ms"] for one in stage.sent("latency")]
    expected = [(began + 0.02 + 0.2 * n - at) * 1000 for n, at in enumerate(typed_at)]
    assert times == pytest.approx(expected, abs=21)
    assert all("agent_ms" in one for one in stage.sent("latency"))
    stage.wait(60)
    assert stage.sent("error") == []


def test_answer_to_several_texts_counts_from_the_first_and_leaves_none_open() -> None:
    """Nobody knows which of them it is to; the user has waited since the first."""
    stage = Stage()
    stage.types("one")
    typed_at = stage.now
    stage.now += 1.0
    stage.types("two")
    stage.now += 1.0
    answer(stage)
    assert stage.conversation.state == "listening"
    (latency,) = stage.sent("latency")
    assert latency["response_ms"] == pytest.approx((stage.now - 0.28 - typed_at) * 1000, abs=1)
    stage.wait(60)
    assert stage.sent("error") == []


@pytest.mark.parametrize("what", ["a pause", "another text", "an interruption", "a failure"])
def test_text_that_was_answered_beside_another_does_not_claim_a_later_answer(what: str) -> None:
    """What comes without being asked for has no response time."""
    stage = Stage()
    stage.types("one")
    stage.types("two")
    answer(stage)
    unasked_after = 1
    match what:
        case "a pause":
            stage.wait(6)
        case "another text":
            stage.types("three")
            answer(stage)
            unasked_after = 2
        case "an interruption":
            stage.types("three")
            stage.speak(1000)
            stage.play(100)
            stage.actions += stage.conversation.on_user_interrupt(stage.now)
            stage.agent(live.ModelInterrupted())
            unasked_after = 2
        case "a failure":
            stage.agent(live.AgentFailed("agent_lost", "Gone.", retryable=True))
    answer(stage)
    asked = ["response_ms" in one for one in stage.sent("latency")]
    assert asked == [True] * unasked_after + [False]


def test_text_that_interrupts_the_beginning_of_the_answer_to_the_one_before_is_waited_for() -> None:
    """The first words were on their way when it was put; the model says what it thinks of it."""
    stage = Stage()
    stage.types("one")
    stage.now += 0.2
    stage.types("two")
    typed_at = stage.now
    stage.speak(400)
    stage.play(100)
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    stage.play(40)
    assert stage.turns() == [(1, True)]
    assert stage.states()[-1] == "thinking"
    answer(stage)
    latency = stage.sent("latency")[-1]
    assert latency["response_ms"] == pytest.approx((stage.now - 0.28 - typed_at) * 1000, abs=1)
    assert stage.states()[-1] == "listening"


def test_text_that_comes_during_an_answer_interrupts_it_and_one_before_it_does_not() -> None:
    """Before its first word there is nothing to cut off: both texts are with the model."""
    stage = Stage()
    stage.types("one")
    stage.types("two")
    stage.speak(400)
    stage.play(100)
    assert stage.turns() == []
    stage.types("three")
    assert stage.turns() == [(1, True)]
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    typed_at = stage.now
    answer(stage)
    latency = stage.sent("latency")[-1]
    assert latency["response_ms"] == pytest.approx((stage.now - 0.28 - typed_at) * 1000, abs=1)
