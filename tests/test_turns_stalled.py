"""Answers that their model leaves in the middle, and what is asked then, on a manual clock."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_server.actions import InterruptModel, SendText
from rtc_server.agent import live_events as live
from rtc_server.conversation_rules import ConversationRules

from .conversation_stage import Stage

STALL_S = ConversationRules(modality="audio").stall_s
BOUNDARY_S = ConversationRules(modality="audio").boundary_timeout_s


@pytest.fixture(params=["audio", "text"])
def half(request: pytest.FixtureRequest) -> Stage:
    """The model has said half of an answer, and the caller has heard it."""
    return half_answer(Stage(modality=request.param))


def half_answer(stage: Stage) -> Stage:
    stage.types("what is it?")
    give(stage, "half")
    return stage


def give(stage: Stage, words: str, *, complete: bool = False) -> None:
    """Words of the model, heard to their end."""
    stage.now += 0.01
    if stage.modality == "text":
        stage.agent(live.AgentText(words))
    else:
        stage.speak(200)
        stage.say(words)
    if complete:
        stage.agent(live.ModelTurnComplete())
    if stage.modality == "audio":
        stage.play(300)


def said(stage: Stage) -> dict[int, str]:
    """The words of each answer."""
    words: dict[int, str] = {}
    for one in stage.sent("text"):
        words[one["turn"]] = words.get(one["turn"], "") + one["data"]
    for one in stage.sent("transcript"):
        if one["role"] == "agent":
            words[one["turn"]] = one["text"]
    return words


def asked(stage: Stage) -> list[Any]:
    """Whether each answer has a response time."""
    return ["response_ms" in one for one in stage.sent("latency")]


def test_text_after_a_stalled_answer_is_answered_by_what_comes_next(half: Stage) -> None:
    """The answer was heard to its last word: it is over, and nothing is cut off."""
    half.wait(STALL_S + 0.5)
    half.types("next?")
    assert half.turns() == [(1, False)]
    give(half, "next", complete=True)
    assert half.turns() == [(1, False), (2, False)]
    assert said(half) == {1: "half", 2: "next"}
    assert asked(half) == [True, True]
    half.wait(60)
    assert half.sent("error") == []


def test_words_after_a_stalled_answer_are_answered_by_what_comes_next(half: Stage) -> None:
    """Typed or spoken, in a call with sound or in one with text: it is the same."""
    half.wait(STALL_S + 0.5)
    half.user_speaks()
    half.user_says("next?")
    give(half, "next", complete=True)
    assert half.turns() == [(1, False), (2, False)]
    assert said(half) == {1: "half", 2: "next"}
    half.wait(60)
    assert half.sent("error") == []


def test_model_is_told_that_the_rest_of_a_stalled_answer_is_not_wanted(half: Stage) -> None:
    half.wait(STALL_S + 0.5)
    half.types("next?")
    told = [one for one in half.actions if isinstance(one, InterruptModel | SendText)]
    assert told[-2:] == [InterruptModel(), SendText("next?")]


def test_late_end_of_a_stalled_answer_does_not_end_the_next(half: Stage) -> None:
    half.wait(STALL_S + 0.5)
    half.types("next?")
    half.agent(live.ModelTurnComplete())
    assert half.turns() == [(1, False)]
    give(half, "next", complete=True)
    assert said(half) == {1: "half", 2: "next"}
    assert asked(half) == [True, True]


def test_rest_of_an_answer_that_has_just_paused_is_still_discarded(half: Stage) -> None:
    """Within the time that a model may take between two sentences the text cuts it off."""
    half.wait(STALL_S - 0.4)
    half.types("next?")
    assert half.turns() == [(1, True)]
    give(half, " rest", complete=True)
    give(half, "next", complete=True)
    assert said(half) == {1: "half", 2: "next"}
    assert half.turns() == [(1, True), (2, False)]


def test_rest_that_comes_all_the_same_before_the_interruption_costs_no_answer(half: Stage) -> None:
    """A model says that the text has interrupted it: what came so far was no answer to it."""
    half.wait(STALL_S + 0.5)
    half.types("next?")
    asked_at = half.now
    half.now += 0.1
    if half.modality == "text":
        half.agent(live.AgentText(" rest"))
    else:
        half.speak(600)
        half.say(" rest")
        half.play(100)
    half.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    half.play(40)
    assert half.turns() == [(1, False), (2, True)]
    assert half.conversation.state == "thinking"
    give(half, "next", complete=True)
    assert said(half)[3] == "next"
    assert asked(half) == [True, True, True]
    expected = (half.now - asked_at) * 1000
    assert half.sent("latency")[-1]["response_ms"] == pytest.approx(expected, abs=301)


def test_model_that_noise_interrupts_later_owes_no_second_answer(half: Stage) -> None:
    half.wait(STALL_S + 0.5)
    half.types("next?")
    half.wait(2.0)
    give(half, "next")
    half.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    half.wait(60)
    assert half.turns() == [(1, False), (2, True)]
    assert half.sent("error") == []


def test_tool_at_work_is_no_stall(half: Stage) -> None:
    """What the tool gives is spoken of in the answer that was cut off."""
    half.agent(live.ToolCalled("1", "slow", {}))
    half.wait(STALL_S + 4.0)
    half.types("next?")
    half.agent(live.ToolReturned("1", "slow", {}))
    give(half, " rest", complete=True)
    give(half, "next", complete=True)
    assert said(half) == {1: "half", 2: "next"}


def test_tool_result_that_the_model_says_nothing_to_is_a_stall_after_longer(half: Stage) -> None:
    half.agent(live.ToolCalled("1", "slow", {}), live.ToolReturned("1", "slow", {}))
    half.wait(BOUNDARY_S + 0.5)
    half.types("next?")
    give(half, "next", complete=True)
    assert said(half) == {1: "half", 2: "next"}


def test_text_that_waits_goes_to_the_model_when_the_answer_before_has_stalled() -> None:
    """It need not wait for the answer to be overdue; the patience is longer than that of one
    that interrupts."""
    stage = half_answer(Stage(rules={"text_during_speech": "queue"}))
    stage.wait(STALL_S + 0.5)
    stage.types("next?")
    typed_at = stage.now
    assert stage.actions.count(SendText("next?")) == 0
    assert stage.conversation.state == "thinking"
    stage.wait(BOUNDARY_S)
    assert stage.actions.count(SendText("next?")) == 1
    give(stage, "next", complete=True)
    assert said(stage) == {1: "half", 2: "next"}
    expected = (stage.now - typed_at) * 1000
    assert stage.sent("latency")[-1]["response_ms"] == pytest.approx(expected, abs=301)


def test_text_after_an_interruption_of_a_silent_model_is_answered(half: Stage) -> None:
    """The user said stop before he asked; of the old answer nothing has come for long."""
    half.wait(STALL_S + 0.5)
    half.actions += half.conversation.on_user_interrupt(half.now)
    half.types("next?")
    give(half, "next", complete=True)
    assert half.turns() == [(1, True), (2, False)]
    assert said(half) == {1: "half", 2: "next"}


# Words that the model has not put an end between ------------------------------


def test_words_of_a_stalled_answer_do_not_begin_the_next() -> None:
    """The model goes on with one transcript, as it has ended no answer."""
    stage, answer = half_answer(Stage()), object()
    transcripts(stage, answer, "half")
    stage.user_speaks()
    stage.user_says("next")
    stage.speak(200)
    transcripts(stage, answer, "half w0", "half w0 w1")
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    assert said(stage) == {1: "half", 2: "w0 w1"}


def test_words_that_were_swallowed_do_not_begin_the_next_answer() -> None:
    """The answer was cut off, and forgotten after a silence."""
    stage, answer = Stage(), object()
    stage.speak(1000)
    transcripts(stage, answer, "one")
    stage.types("wait")
    transcripts(stage, answer, "one two")
    stage.wait(BOUNDARY_S + 0.5)
    stage.speak(200)
    transcripts(stage, answer, "one two three")
    assert said(stage)[2] == "three"


def test_words_after_an_answer_that_was_overdue_are_those_of_the_next() -> None:
    stage, answer = half_answer(Stage()), object()
    transcripts(stage, answer, "half")
    stage.wait(40)
    stage.speak(200)
    transcripts(stage, answer, "half w0")
    assert said(stage)[2] == "w0"


def test_transcript_that_begins_anew_is_taken_as_it_is() -> None:
    """The same first words again, in an answer of its own or in a whole that corrects it."""
    stage = half_answer(Stage())
    transcripts(stage, object(), "half")
    stage.agent(live.ModelTurnComplete())
    stage.speak(200)
    another = object()
    transcripts(stage, another, "half past two")
    assert said(stage)[2] == "half past two"
    stage.play(300)
    stage.wait(40)
    stage.speak(200)
    transcripts(stage, another, "quarter past")
    assert said(stage)[3] == "quarter past"


def transcripts(stage: Stage, answer: object, *texts: str) -> None:
    for text in texts:
        stage.agent(live.AgentTranscript(text, text, final=False, answer=answer))
