"""A model that takes its tool calls back says no more of the answer that waited for them."""

from __future__ import annotations

import pytest

from rtc_server.agent import live_events as live
from tests.conversation_stage import Stage

TAKEN_BACK = (live.ToolCancelled("1", "ask"), live.CallsTakenBack(("1",)))


@pytest.fixture
def stage() -> Stage:
    """A tool works for the first answer, of which nothing was said."""
    stage = Stage()
    stage.types("look it up")
    stage.agent(live.ToolCalled("1", "ask", {}))
    return stage


def is_answered(stage: Stage) -> bool:
    """Whether the model's next words are heard to the end of their turn, and nothing is missed."""
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    heard_ms = stage.play(200)
    stage.wait(60)
    return heard_ms == 100 and not stage.sent("error")


@pytest.mark.parametrize("ends_turn", ["before", "behind", "never"])
def test_what_is_asked_aloud_over_a_tool_is_answered_in_the_next_turn(
    stage: Stage, ends_turn: str
) -> None:
    """Whenever the model ends the turn of a tool call."""
    if ends_turn == "before":
        stage.agent(live.ModelTurnComplete())
    stage.user_speaks()
    stage.agent(*TAKEN_BACK)
    if ends_turn == "behind":
        stage.agent(live.ModelTurnComplete())
    stage.user_says("what time", final=False)
    assert is_answered(stage)
    assert stage.turns() == [(1, ends_turn != "behind"), (2, False)]
    assert {one["turn"] for one in stage.sent("transcript")} == {2}
    assert [one["phase"] for one in stage.sent("tool")] == ["call", "cancelled"]


@pytest.mark.parametrize("ends_turn", [True, False])
def test_a_text_after_an_interruption_is_answered_where_the_call_is_taken_back(
    stage: Stage, *, ends_turn: bool
) -> None:
    """Whether or not the model ends the turn of a tool call."""
    if ends_turn:
        stage.agent(live.ModelTurnComplete())
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.types("never mind")
    stage.agent(*TAKEN_BACK)
    assert is_answered(stage)
    assert stage.turns() == [(1, True), (2, False)]


def test_the_end_of_a_turn_behind_what_was_taken_back_is_no_answer(stage: Stage) -> None:
    """ADK passes it on when the tool is over."""
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.types("never mind")
    stage.agent(*TAKEN_BACK, live.ModelTurnComplete())
    assert stage.turns() == [(1, True)]
    assert is_answered(stage)
    assert stage.turns() == [(1, True), (2, False)]


def test_a_result_that_the_model_does_not_want_any_more_is_spoken_of_by_nobody(
    stage: Stage,
) -> None:
    """A question to the caller that was interrupted has a result at once."""
    stage.agent(live.ModelTurnComplete())
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.agent(live.ToolReturned("1", "ask", {"error": "no answer"}))
    stage.types("never mind")
    stage.agent(live.CallsTakenBack(("1",)))
    assert is_answered(stage)
    assert stage.turns() == [(1, True), (2, False)]


def test_a_model_that_takes_its_calls_back_unasked_goes_on_with_its_answer(stage: Stage) -> None:
    stage.agent(*TAKEN_BACK)
    assert is_answered(stage)
    assert stage.turns() == [(1, False)]


def test_an_answer_goes_on_while_another_of_its_tools_works(stage: Stage) -> None:
    stage.agent(live.ToolCalled("2", "look", {}), live.ModelTurnComplete())
    stage.agent(*TAKEN_BACK)
    assert stage.turns() == []
    stage.agent(live.ToolReturned("2", "look", {}))
    assert is_answered(stage)
    assert stage.turns() == [(1, False)]


def test_a_call_of_an_answer_that_is_over_ends_no_other(stage: Stage) -> None:
    """A tool in the background that is taken back."""
    stage.agent(live.ToolReturned("1", "ask", {}), live.CallsTakenBack(("0",)))
    assert is_answered(stage)
    assert stage.turns() == [(1, False)]
