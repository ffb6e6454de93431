"""Which turn is lost with a connection, and may be asked again: plain code."""

from __future__ import annotations

from rtc_server.agent.lost_turn import OpenTurn


def test_typed_and_spoken_words_are_one_turn() -> None:
    """In the order of speech, then text; the transcript is whole each time."""
    turn = OpenTurn()
    turn.heard("What", 0.0)
    turn.heard("What is this?", 0.5)
    turn.typed("a cat", 1.0)
    assert turn.is_open(1.0)
    assert turn.lose(1.0) == "What is this?\na cat"


def test_answered_turn_is_closed_and_its_late_transcript_opens_nothing() -> None:
    """Some models finish a transcript after the answer."""
    turn = OpenTurn()
    turn.heard("What is", 0.0)
    turn.output(1.0)
    turn.heard("What is this?", 2.0)
    turn.completed()
    assert not turn.is_open(2.0)
    turn.heard("What is this?", 2.1)
    assert not turn.is_open(2.1)
    turn.heard("And that?", 3.0)
    assert turn.lose(3.0) == "And that?"


def test_what_is_said_over_an_answer_is_the_next_turn() -> None:
    """Its transcript may come before the interruption."""
    turn = OpenTurn()
    turn.typed("tell me a story", 0.0)
    turn.output(1.0)
    turn.heard("stop, another one", 2.0)
    turn.interrupted(2.1)
    assert turn.lose(2.1) == "stop, another one"


def test_text_typed_into_an_answer_replaces_the_turn() -> None:
    """The old one was cut off by the user himself."""
    turn = OpenTurn()
    turn.typed("one", 0.0)
    turn.output(1.0)
    turn.typed("two", 2.0)
    assert turn.lose(2.0) == "two"


def test_turn_is_asked_again_once_and_never_after_a_tool() -> None:
    """Nor when it has grown old."""
    turn = OpenTurn()
    turn.typed("one", 0.0)
    assert turn.lose(1.0) == "one"
    assert turn.is_open(1.0)
    assert turn.lose(2.0) is None

    turn = OpenTurn()
    turn.typed("one", 0.0)
    turn.output(0.5, tool=True)
    assert turn.lose(1.0) is None

    turn = OpenTurn()
    turn.typed("one", 0.0)
    assert turn.lose(OpenTurn.STALE_S) is None


def test_turn_is_bounded() -> None:
    """What is kept and asked again has a size."""
    turn = OpenTurn()
    turn.typed("x" * 3 * OpenTurn.LONGEST, 0.0)
    words = turn.lose(0.0)
    assert words is not None
    assert len(words) == OpenTurn.LONGEST
