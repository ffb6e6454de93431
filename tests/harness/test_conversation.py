"""Whether a turn was answered, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_harness.conversation import Answer, Conversation, Question
from rtc_harness.report import audible_ms, barge_in_ms, mouth_to_ear_ms, response_ms


def conversation(modality: str = "audio") -> Conversation:
    made = Conversation()
    made.on_message({"type": "ready", "modality": modality, "agent": "a"}, 0.0)
    return made


def asked(at: float, kind: Any = "audio") -> Question:
    return Question(kind, "?", began_at=at - 1.0, ended_at=at, last_sample_at=at - 0.01)


def hear(said: Conversation, begin: float, end: float) -> None:
    """Packets of 20 ms, audible throughout."""
    count = round((end - begin) / 0.02)
    for index in range(count):
        at = begin + index * 0.02
        said.on_audio(at, 0.02)
        said.on_sound(at, at, at + 0.02)


def end_turn(said: Conversation, number: int, at: float, **fields: Any) -> None:
    body = {"type": "turn", "turn": number, "turn_complete": True, "interrupted": False}
    said.on_message(body | fields, at)


def latency(said: Conversation, number: int, response: float | None, at: float) -> None:
    body: dict[str, Any] = {"type": "latency", "turn": number, "playout_ms": 1.0, "uplink_ms": 2.0}
    said.on_message(body if response is None else body | {"response_ms": response}, at)


def answered(said: Conversation, question: Question) -> Answer:
    answer = said.answer_to(question)
    assert answer is not None
    return answer


def test_turn_is_answered_by_new_speech_and_its_turn_message() -> None:
    """Speech after the end of the turn, then its turn message: answered."""
    said, question = conversation(), asked(10.0)
    said.on_message(
        {"type": "transcript", "role": "user", "text": "Hi", "final": True, "turn": 1}, 10.2
    )
    latency(said, 1, 500.0, 10.5)
    hear(said, 10.5, 11.5)
    assert said.answer_to(question) is None
    end_turn(said, 1, 11.6)
    answer = answered(said, question)
    assert answer.user_text == "Hi"
    assert response_ms(question, answer) == 500.0
    assert mouth_to_ear_ms(question, answer) == 510.0
    assert answer.audio_ms == pytest.approx(1000)
    assert audible_ms(answer) == 1000.0


def test_turn_is_not_answered_by_speech_without_a_turn_message() -> None:
    """Speech that no turn message ends is no answer, and the reason says so."""
    said, question = conversation(), asked(10.0)
    hear(said, 10.5, 11.5)
    assert said.answer_to(question) is None
    assert "no turn message" in said.why_unanswered(question)
    assert said.has_begun_to_answer(question)


def test_turn_is_not_answered_by_a_turn_message_without_speech() -> None:
    """A turn message alone is no answer in an audio call."""
    said, question = conversation(), asked(10.0)
    end_turn(said, 1, 11.0)
    assert said.answer_to(question) is None
    assert "without any speech" in said.why_unanswered(question)


def test_turn_is_not_answered_by_a_greeting_that_goes_on() -> None:
    """A greeting that was already running is no answer, not even its next sentence."""
    said, question = conversation(), asked(10.0)
    hear(said, 9.0, 10.3)
    hear(said, 10.8, 11.5)  # after a pause in it
    end_turn(said, 1, 11.6)
    assert said.answer_to(question) is None
    assert "begun to say before" in said.why_unanswered(question) or said.ended[0].had_begun(10.0)


def test_turn_is_not_answered_by_an_answer_written_before_it_is_heard() -> None:
    """What the agent had begun to say in words before the turn ended is not its answer."""
    said, question = conversation(), asked(10.0)
    said.on_message(
        {"type": "transcript", "role": "agent", "text": "Hello", "final": False, "turn": 1}, 9.9
    )
    hear(said, 10.1, 11.0)
    end_turn(said, 1, 11.1)
    assert said.answer_to(question) is None


def test_turn_is_not_answered_by_speech_that_the_server_calls_unasked() -> None:
    """A timer's words, whose latency has no response time, are no answer; what follows is."""
    said, question = conversation(), asked(10.0)
    latency(said, 1, None, 10.5)
    hear(said, 10.5, 11.0)
    end_turn(said, 1, 11.1)
    assert said.answer_to(question) is None
    assert "nobody had asked for" in said.why_unanswered(question)
    latency(said, 2, 1500.0, 11.5)
    hear(said, 11.5, 12.0)
    end_turn(said, 2, 12.1)
    assert answered(said, question).turn == 2


@pytest.mark.parametrize("modality", ["audio", "text"])
def test_unasked_speech_during_a_turn_is_neither_its_answer_nor_its_beginning(
    modality: str,
) -> None:
    """A late greeting, or the answer to an idle prompt: begun, going on or over."""
    said, question = conversation(modality), asked(10.0, modality)

    def say(number: int, begin: float, response: float | None) -> None:
        latency(said, number, response, begin)
        if modality == "text":
            said.on_message({"type": "text", "data": "Hello", "turn": number}, begin)
        else:
            hear(said, begin, begin + 0.5)

    say(1, 10.2, None)
    assert not said.has_begun_to_answer(question)
    end_turn(said, 1, 10.8)
    assert said.answer_to(question) is None
    assert not said.has_begun_to_answer(question)
    assert "nobody had asked for" in said.why_unanswered(question)
    say(2, 11.0, 1000.0)
    assert said.has_begun_to_answer(question)
    end_turn(said, 2, 11.6)
    assert answered(said, question).turn == 2


def test_turn_is_answered_where_its_latency_comes_after_its_end() -> None:
    """Timings may arrive late; without any, the speech and its turn message are enough."""
    said, question = conversation(), asked(10.0)
    hear(said, 10.5, 11.0)
    end_turn(said, 1, 11.1)
    latency(said, 1, 500.0, 11.2)
    assert answered(said, question).latency == {
        "playout_ms": 1.0,
        "uplink_ms": 2.0,
        "response_ms": 500.0,
    }


def test_turn_is_answered_although_a_last_packet_of_the_answer_before_came_late() -> None:
    """A packet overtaken by the turn message before does not make the next answer old."""
    said, question = conversation(), asked(10.0)
    hear(said, 8.0, 9.5)
    end_turn(said, 1, 9.5, interrupted=True)
    hear(said, 9.56, 9.58)
    hear(said, 10.6, 11.0)
    end_turn(said, 2, 11.1)
    assert answered(said, question).turn == 2
    assert response_ms(question, said.ended[1]) == 600.0


def test_last_packet_of_an_interrupted_answer_may_follow_its_turn_message() -> None:
    """A packet that the turn message overtook is counted where it belongs."""
    said = conversation()
    hear(said, 8.0, 9.0)
    end_turn(said, 1, 9.0, interrupted=True, heard_ms=1020)
    hear(said, 9.01, 9.03)
    hear(said, 10.0, 10.1)
    end_turn(said, 2, 10.2)
    assert said.ended[0].audio_ms == pytest.approx(1020)
    assert said.ended[0].sounds[-1].ended_at == pytest.approx(9.03)
    assert said.ended[1].audio_ms == pytest.approx(100)


def test_pauses_are_not_audible() -> None:
    """How long an answer was audible leaves its pauses out."""
    said = conversation()
    hear(said, 8.0, 9.0)
    hear(said, 9.5, 10.0)
    end_turn(said, 1, 10.2)
    assert audible_ms(said.ended[0]) == pytest.approx(1500, abs=1)


def test_answer_serves_one_turn_only() -> None:
    """Two turns cannot both be answered by the same answer."""
    said, first, second = conversation(), asked(10.0), asked(10.1)
    hear(said, 10.5, 11.0)
    end_turn(said, 1, 11.1)
    assert answered(said, first).turn == 1
    assert said.answer_to(second) is None
    assert answered(said, first).turn == 1


def test_turn_that_ended_before_is_no_answer() -> None:
    """An answer that was over before the turn ended is not its answer."""
    said = conversation()
    hear(said, 8.0, 9.0)
    end_turn(said, 1, 9.1)
    assert said.answer_to(asked(10.0)) is None
    assert said.why_unanswered(asked(10.0)) == "it stayed silent"


def test_text_call_is_answered_by_new_text() -> None:
    """In a text call text and its turn message are the answer, whole and once."""
    said, question = conversation("text"), asked(10.0, "text")
    for piece, at in (("It is ", 10.4), ("noon.", 10.6)):
        said.on_message({"type": "text", "data": piece, "turn": 1}, at)
    assert said.answer_to(question) is None
    end_turn(said, 1, 10.7)
    answer = answered(said, question)
    assert answer.said == "It is noon."
    assert response_ms(question, answer) == 400.0
    assert mouth_to_ear_ms(question, answer) is None


def test_text_call_is_not_answered_without_text() -> None:
    """A turn message alone is no answer in a text call either; the error it gave is told."""
    said, question = conversation("text"), asked(10.0, "text")
    said.on_message({"type": "error", "code": "x", "message": "No key.", "retryable": False}, 10.1)
    assert "No key." in said.why_unanswered(question)
    end_turn(said, 1, 10.7)
    assert said.answer_to(question) is None
    assert "without any text" in said.why_unanswered(question)


def test_text_is_no_answer_in_an_audio_call() -> None:
    """In an audio call the answer has to be audible."""
    said, question = conversation(), asked(10.0, "text")
    said.on_message({"type": "text", "data": "Hi", "turn": 1}, 10.4)
    end_turn(said, 1, 10.7)
    assert said.answer_to(question) is None


def test_barge_in_is_timed_to_the_end_of_the_old_sound() -> None:
    """From the beginning of the interrupting speech to the last sound of the old answer."""
    said, story = conversation(), asked(10.0)
    hear(said, 11.0, 15.0)
    end_turn(said, 1, 15.1, interrupted=True, heard_ms=4000, heard_text="Once")
    interruption = Question("audio", "stop", began_at=14.7, ended_at=15.2)
    answer = answered(said, story)
    assert barge_in_ms(interruption, answer) == pytest.approx(300, abs=0.2)
    assert (answer.interrupted, answer.heard_ms, answer.heard_text) == (True, 4000, "Once")


def test_tools_belong_to_the_answer_they_serve() -> None:
    """Tool messages, which carry no turn, are of the turn that ends next."""
    said = conversation()
    said.on_message({"type": "tool", "phase": "call", "id": "1", "name": "clock"}, 1.0)
    end_turn(said, 1, 2.0)
    end_turn(said, 2, 3.0)
    assert [one["name"] for one in said.ended[0].tools] == ["clock"]
    assert said.ended[1].tools == []


def test_idle_is_listening_and_quiet() -> None:
    """The agent is idle when it says that it listens and nothing has been heard for a while."""
    said = conversation()
    assert said.is_idle(0.5, 0.3)
    said.on_message({"type": "state", "state": "thinking"}, 1.0)
    assert not said.is_idle(5.0, 0.3)
    said.on_message({"type": "state", "state": "listening"}, 6.0)
    hear(said, 6.0, 6.2)
    assert not said.is_idle(6.3, 0.3)
    assert said.is_idle(6.6, 0.3)


def test_violations_of_the_contract_are_noted() -> None:
    """What breaks the contract is written down and does no harm."""
    said = Conversation()
    said.on_message({"type": "state", "state": "listening"}, 0.0)
    said.on_message({"type": "ready", "modality": "text"}, 0.1)
    said.on_message({"hello": 1}, 0.2)
    said.on_message({"type": "turn", "turn": "one"}, 0.3)
    said.on_message({"type": "something new"}, 0.3)
    end_turn(said, 1, 0.4)
    end_turn(said, 1, 0.5)
    said.on_message({"type": "text", "data": "late", "turn": 1}, 0.6)
    assert len(said.violations) == 5
    assert len(said.ended) == 1
