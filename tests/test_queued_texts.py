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
