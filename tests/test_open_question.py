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


def test_speech_whose_transcript_is_never_finished_waits_since_its_last_packet() -> None:
    asked = OpenQuestion()
    asked.speak(100.0, 600)
    asked.transcribe(100.5, final=False)
    assert asked.waiting_since(is_heard=False) is None
    assert asked.waiting_since(is_heard=True) == 100.0
