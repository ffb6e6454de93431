"""Answers that are cut off or spoken over, and texts that wait for their end."""

from __future__ import annotations

import pytest

from rtc_server.actions import InterruptModel, SendText
from rtc_server.agent import live_events as live

from .conversation_stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_an_interruption_flushes_and_says_what_was_heard(stage: Stage) -> None:
    stage.speak(1000)
    stage.say("one two three four five")
    stage.play(600)
    stage.agent(live.ModelInterrupted())
    (turn,) = stage.sent("turn")
    assert turn == {
        "type": "turn",
        "turn": 1,
        "turn_complete": True,
        "interrupted": True,
        "heard_ms": 600,
        "heard_text": turn["heard_text"],
    }
    assert "one two" in turn["heard_text"]
    assert "five" not in turn["heard_text"]
    assert stage.play(1000) == 0
    final = [one for one in stage.sent("transcript") if one["final"]]
    assert final[-1]["text"] == turn["heard_text"]


def test_geminis_turn_complete_after_interrupted_ends_nothing_twice(stage: Stage) -> None:
    stage.speak(1000)
    stage.play(200)
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    stage.user_speaks()
    stage.user_says("stop")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    assert stage.turns() == [(1, True), (2, False)]


def test_cascades_heard_prefix_before_interrupted_is_overruled_by_the_ledger(stage: Stage) -> None:
    stage.speak(1000)
    stage.say("one two three four five")
    stage.play(800)
    stage.agent(live.AgentTranscript("one", "", final=True), live.ModelInterrupted())
    (turn,) = stage.sent("turn")
    assert len(turn["heard_text"]) > len("one")


def test_an_interruption_after_the_model_is_done_still_stops_the_playout(stage: Stage) -> None:
    stage.speak(1000)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    stage.agent(live.ModelInterrupted())
    assert stage.play(500) == 0
    assert stage.turns() == [(1, True)]


def test_an_interruption_of_nothing_says_nothing(stage: Stage) -> None:
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    assert stage.sent("turn") == []


def test_typed_text_cuts_the_answer_off_and_the_rest_of_it_is_swallowed(stage: Stage) -> None:
    stage.speak(1000)
    stage.play(100)
    stage.types("wait")
    assert [type(one) for one in stage.actions if isinstance(one, InterruptModel | SendText)] == [
        InterruptModel,
        SendText,
    ]
    assert stage.turns() == [(1, True)]
    stage.speak(500)  # of the old answer
    stage.say("the rest")
    assert stage.play(200) == 0
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]
    assert "response_ms" in stage.sent("latency")[-1]
    assert not [one for one in stage.sent("transcript") if one["text"] == "the rest"]


def test_typed_text_waits_for_the_end_of_the_answer_where_the_operator_wants_it() -> None:
    stage = Stage(rules={"text_during_speech": "queue"})
    stage.speak(200)
    stage.types("wait")
    assert not [one for one in stage.actions if isinstance(one, SendText)]
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    assert [one.text for one in stage.actions if isinstance(one, SendText)] == ["wait"]
    assert stage.turns() == [(1, False)]


def test_texts_that_wait_are_bounded() -> None:
    stage = Stage(rules={"text_during_speech": "queue", "queued_texts": 2})
    stage.speak(200)
    for _ in range(3):
        stage.types("again")
    assert [one["code"] for one in stage.sent("error")] == ["too_many_texts"]


def test_text_typed_before_the_first_word_does_not_cost_the_answer(stage: Stage) -> None:
    stage.types("one")
    stage.agent(live.AgentThought("hm"))
    stage.types("two")
    assert stage.turns() == []
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    stage.wait(60)
    assert stage.turns() == [(1, False)]
    assert stage.sent("error") == []


def test_interrupt_discards_what_is_left_of_an_answer(stage: Stage) -> None:
    stage.speak(1000)
    stage.play(100)
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    assert stage.turns() == [(1, True)]
    stage.speak(500)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(500) == 0
    stage.types("go on")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == [(1, True), (2, False)]


def test_interrupt_while_the_agent_thinks_discards_the_answer_to_come(stage: Stage) -> None:
    stage.types("a long question")
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.speak(500)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(100) == 0
    assert stage.turns() == [(1, True)]


def test_interrupt_of_nothing_does_nothing(stage: Stage) -> None:
    assert stage.conversation.on_user_interrupt(stage.now) == []


def test_a_model_that_never_says_the_old_answer_is_over_is_listened_to_again(stage: Stage) -> None:
    stage.speak(1000)
    stage.types("wait")
    stage.wait(6)
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]


def test_an_interrupted_round_of_tools_is_discarded_to_its_end(stage: Stage) -> None:
    stage.types("look it up")
    stage.speak(100)
    stage.agent(live.ToolCalled("1", "search", {}))
    stage.play(200)
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.agent(live.ModelTurnComplete())
    stage.wait(12)
    stage.agent(live.ToolReturned("1", "search", {}))
    stage.speak(500)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 0
    assert [one["phase"] for one in stage.sent("tool")] == ["call", "result"]
    stage.types("go on")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]


def test_a_text_interrupts_an_answer_that_waits_for_a_tool(stage: Stage) -> None:
    """Nothing was said of it, so nothing is discarded: one answer may serve both."""
    stage.types("one")
    stage.agent(live.ToolCalled("1", "slow", {}))
    stage.wait(1)
    stage.types("two")
    assert stage.turns() == [(1, True)]
    assert [type(one).__name__ for one in stage.actions[-2:]] == ["InterruptModel", "SendText"]
    stage.agent(live.ToolReturned("1", "slow", {}))
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    stage.wait(60)
    assert stage.turns() == [(1, True), (2, False)]
    assert stage.sent("error") == []


def test_the_end_of_a_round_of_tools_that_a_text_cut_off_is_no_answer_to_the_text(
    stage: Stage,
) -> None:
    """ADK passes it on once the tool is over, behind the text."""
    stage.types("look it up")
    stage.agent(live.ToolCalled("1", "search", {}))
    stage.types("never mind")
    stage.agent(live.ToolCancelled("1", "search"), live.ModelTurnComplete())
    assert stage.turns() == [(1, True)]
    assert stage.states()[-1] == "thinking"
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]
    assert [(one["turn"], "response_ms" in one) for one in stage.sent("latency")] == [(2, True)]


def test_a_round_of_tools_whose_end_was_told_ends_no_other_answer(stage: Stage) -> None:
    """So the next end is that of an answer without a word."""
    stage.types("look it up")
    stage.agent(live.ToolCalled("1", "search", {}), live.ModelTurnComplete())
    stage.types("never mind")
    stage.agent(live.ToolCancelled("1", "search"), live.ModelTurnComplete())
    assert stage.turns() == [(1, True), (2, False)]


def test_what_a_model_says_while_the_tool_of_a_cut_answer_works_is_the_next_answer(
    stage: Stage,
) -> None:
    """The answer that was cut off goes on with the tool's result; that is its own turn then."""
    stage.speak(500)
    stage.agent(live.ToolCalled("1", "search", {}))
    stage.play(100)
    stage.types("what time is it?")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    stage.agent(live.ToolReturned("1", "search", {}))
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False), (3, False)]


def test_what_is_asked_aloud_while_a_tool_works_is_answered_in_a_turn_of_its_own(
    stage: Stage,
) -> None:
    """The model says of no interruption: it takes its answer for spoken."""
    stage.types("look it up")
    stage.agent(live.ToolCalled("1", "search", {}))
    stage.user_speaks()
    stage.user_says("what time is it?")
    assert stage.turns() == []
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    stage.agent(live.ToolReturned("1", "search", {}))
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False), (3, False)]
    (latency,) = [one for one in stage.sent("latency") if one["turn"] == 2]
    assert latency["response_ms"] > 0


def test_a_tool_that_works_on_keeps_the_agent_at_work(stage: Stage) -> None:
    """Its answer was interrupted, and the next one is over: the call is not idle."""
    stage.speak(500)
    stage.agent(live.ToolCalled("1", "search", {}))
    stage.play(100)
    stage.agent(live.ModelInterrupted(ahead=True), live.ModelInterrupted())
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    stage.wait(10)
    assert stage.states()[-1] == "listening"
    assert stage.conversation.is_at_work
    stage.agent(live.ToolReturned("1", "search", {}))
    assert not stage.conversation.is_at_work


def test_the_next_answer_comes_after_the_place_where_the_interruption_is_said(stage: Stage) -> None:
    """What was announced ahead is not swallowed twice."""
    stage.speak(1000)
    stage.agent(live.ToolCalled("1", "search", {}))
    stage.play(200)
    stage.agent(live.ModelInterrupted(ahead=True))
    assert stage.turns() == [(1, True)]
    stage.types("what time is it?")
    stage.speak(500)
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(700) == 100
    assert stage.turns() == [(1, True), (2, False)]


def test_an_answer_discarded_before_it_began_is_discarded_however_late_it_comes(
    stage: Stage,
) -> None:
    stage.types("a long question")
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.wait(12)
    stage.speak(500)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(100) == 0
    assert stage.turns() == [(1, True)]


def test_a_new_question_does_not_wait_long_for_the_end_of_a_discarded_answer(
    stage: Stage,
) -> None:
    stage.types("a long question")
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.types("another")
    stage.wait(6)
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]


def test_the_end_of_a_cut_off_answer_may_come_after_the_next_question(stage: Stage) -> None:
    stage.speak(1000)
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.wait(20)
    stage.types("go on")
    stage.agent(live.ModelTurnComplete())
    assert stage.turns() == [(1, True)]
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == [(1, True), (2, False)]


def test_an_answer_to_what_was_said_over_another_does_not_wait_for_its_end(
    stage: Stage,
) -> None:
    """A model that takes its answer for over when it was sent never says interrupted."""
    stage.speak(10_000)
    stage.agent(live.ModelTurnComplete())
    stage.play(1000)
    stage.user_speaks()
    stage.user_says("something else")
    stage.speak(200)
    stage.agent(live.ModelTurnComplete())
    stage.play(400)
    assert stage.turns() == [(1, True), (2, False)]
    assert stage.sent("turn")[0]["heard_ms"] == 1000


def test_a_text_that_waits_is_passed_on_when_the_one_before_got_no_answer() -> None:
    stage = Stage(rules={"text_during_speech": "queue"})
    stage.speak(200)
    stage.types("one")
    stage.types("two")
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    stage.wait(40)
    assert [one.text for one in stage.actions if isinstance(one, SendText)] == ["one", "two"]
