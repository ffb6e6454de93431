"""What the agent owes an answer to, on a manual clock."""

from __future__ import annotations

from rtc_server.open_question import OpenQuestion


def test_a_cough_asks_nothing() -> None:
    asked = OpenQuestion()
    asked.speak(100.0, 180)
    asked.end_speech(100.2)
    assert not asked.is_asked
    asked.speak(101.0, 20)
    asked.end_speech(101.1)
    assert asked.is_asked


def test_what_an_answer_is_to_is_open_no_longer() -> None:
    asked = OpenQuestion()
    asked.type(100.0)
    assert asked.waiting_since(is_heard=False) == 100.0
    assert asked.take(101.0).asked_at == 100.0
    assert not asked.is_asked
    assert asked.waiting_since(is_heard=False) is None


def test_an_answer_to_a_prompt_leaves_what_the_user_asked_open() -> None:
    asked = OpenQuestion(prompted_at=100.0)
    asked.type(100.5)
    assert asked.take(101.0).kind is None
    assert asked.prompted_at is None
    assert asked.take(102.0).kind == "text"


def test_a_model_that_turns_to_the_user_answers_no_prompt() -> None:
    asked = OpenQuestion(prompted_at=100.0)
    asked.speak(100.5, 20)
    asked.transcribe(101.0, final=True)
    assert asked.prompted_at is None
    assert asked.take(101.5).kind == "speech"


def test_a_question_that_was_given_up_is_not_awaited_until_it_is_asked_again() -> None:
    asked = OpenQuestion()
    asked.type(100.0)
    assert asked.is_awaited
    asked.is_given_up = True
    assert not asked.is_awaited
    asked.type(140.0)
    assert asked.is_awaited


def test_each_text_is_one_that_an_answer_may_be_to() -> None:
    """In order; the time for the answer counts from the last that was put."""
    asked = OpenQuestion()
    for at in (100.0, 101.0, 102.0):
        asked.type(at)
    assert asked.waiting_since(is_heard=False) == 102.0
    assert [asked.take(103.0).asked_at for _ in range(4)] == [100.0, 101.0, 102.0, None]


def test_text_that_waited_counts_from_its_message_and_is_owed_since_it_was_put() -> None:
    asked = OpenQuestion()
    asked.type(120.0, came_at=100.0)
    assert asked.waiting_since(is_heard=False) == 120.0
    assert asked.take(121.0).asked_at == 100.0


def test_texts_beside_speech_are_answered_with_it() -> None:
    asked = OpenQuestion()
    asked.type(100.0)
    asked.type(101.0)
    asked.speak(102.0, 600)
    asked.end_speech(102.5)
    assert asked.take(103.0).asked_at == 102.0
    assert asked.take(104.0).asked_at is None


def test_text_after_one_that_was_given_up_stands_alone() -> None:
    asked = OpenQuestion()
    asked.type(100.0)
    asked.is_given_up = True
    asked.type(140.0)
    assert asked.take(141.0).asked_at == 140.0
    assert asked.take(142.0).asked_at is None


def test_text_is_open_again_unless_the_user_has_said_something_since() -> None:
    """What began was the rest of the answer before."""
    asked = OpenQuestion()
    asked.type(100.0)
    question = asked.take(100.5)
    asked.reopen(question, 101.0)
    assert asked.take(101.0).asked_at == 100.0
    asked.speak(101.0, 600)
    asked.reopen(question, 101.0)
    assert asked.question.text_at is None


def test_text_that_interrupts_the_answer_to_one_before_it_is_open() -> None:
    """For as long as a text may be what interrupted it."""
    asked = OpenQuestion()
    for at in (100.0, 100.2, 100.4):
        asked.type(at)
    assert asked.take(100.5).asked_at == 100.0
    asked.reopen(None, 101.5)
    assert not asked.is_asked
    asked.reopen(None, 101.3)
    assert asked.waiting_since(is_heard=False) == 100.4
    assert [asked.take(102.0).asked_at for _ in range(3)] == [100.2, 100.4, None]


def test_text_after_the_rest_of_an_answer_and_the_one_behind_it_are_both_open() -> None:
    asked = OpenQuestion()
    asked.type(100.0)
    asked.type(100.2)
    question = asked.take(100.5)
    asked.reopen(question, 100.6)
    assert [asked.take(102.0).asked_at for _ in range(3)] == [100.0, 100.2, None]


def test_texts_that_are_remembered_are_bounded() -> None:
    asked = OpenQuestion()
    for at in range(1000):
        asked.type(float(at))
    assert len(asked.question.earlier) <= 32


def test_speech_whose_transcript_is_never_finished_waits_since_its_last_packet() -> None:
    asked = OpenQuestion()
    asked.speak(100.0, 600)
    asked.transcribe(100.5, final=False)
    assert asked.waiting_since(is_heard=False) is None
    assert asked.waiting_since(is_heard=True) == 100.0
