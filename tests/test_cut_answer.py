"""What is discarded of an answer that was cut off, and for how long, on a manual clock."""

from __future__ import annotations

import pytest

from rtc_server.answer import Question, ToolRound
from rtc_server.conversation_rules import ConversationRules
from rtc_server.cut_answer import CutAnswer

RULES = ConversationRules(modality="audio", boundary_timeout_s=5.0, answer_timeout_s=30.0)
NOTHING = Question()
ASKED_ANEW = Question(text_at=100.0)


def forgotten_after_s(cut: CutAnswer, question: Question) -> float | None:
    times = range(100, 200)
    first = next((t for t in times if cut.is_forgotten(question, float(t), RULES)), None)
    return None if first is None else first - 1 - cut.since


@pytest.mark.parametrize(
    ("has_begun", "running", "question", "seconds"),
    [
        (True, False, NOTHING, 5.0),
        (True, True, NOTHING, 30.0),
        (False, False, NOTHING, 30.0),
        (True, True, ASKED_ANEW, 5.0),
        (False, False, ASKED_ANEW, 5.0),
    ],
)
def test_a_model_at_work_is_waited_for_unless_it_was_asked_anew(
    has_begun: bool, running: bool, question: Question, seconds: float
) -> None:
    tools = ToolRound({"one"} if running else set())
    assert forgotten_after_s(CutAnswer(100.0, has_begun, tools), question) == seconds


def test_each_word_of_the_model_puts_the_end_off() -> None:
    cut = CutAnswer(100.0, True, ToolRound())
    cut.swallow(104.0)
    assert not cut.is_forgotten(NOTHING, 109.0, RULES)
    assert cut.is_forgotten(NOTHING, 109.1, RULES)


def test_an_interruption_that_is_announced_is_waited_for() -> None:
    cut = CutAnswer(100.0, True, ToolRound(), interrupted_ahead=True)
    assert forgotten_after_s(cut, NOTHING) is None
    assert not cut.is_over(ASKED_ANEW, 101.0)


def test_the_end_of_a_round_of_tools_is_not_its_end() -> None:
    cut = CutAnswer(100.0, True, ToolRound({"one"}))
    assert not cut.is_over(NOTHING, 101.0)
    cut.tools.give_back("one")
    assert not cut.is_over(NOTHING, 102.0)
    assert cut.is_over(ASKED_ANEW, 102.0)
    cut.swallow(103.0)
    assert cut.is_over(NOTHING, 104.0)


@pytest.mark.parametrize(
    ("cut", "has_stalled"),
    [
        (CutAnswer(100.0, True, ToolRound(), said_at=98.0), True),
        (CutAnswer(100.0, True, ToolRound(), said_at=99.5), False),
        (CutAnswer(100.0, False, ToolRound(), said_at=98.0), False),
        (CutAnswer(100.0, True, ToolRound({"one"}), said_at=98.0), False),
        (CutAnswer(100.0, True, ToolRound(), said_at=98.0, interrupted_ahead=True), False),
    ],
)
def test_what_was_left_in_the_middle_before_it_was_cut_off_is_not_waited_for(
    cut: CutAnswer, *, has_stalled: bool
) -> None:
    """Unless the model is at work on it, or has not begun it."""
    assert cut.has_stalled(100.0, for_s=1.0) is has_stalled
