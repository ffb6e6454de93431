"""The timings of one answer."""

from __future__ import annotations

from rtc_server.answer import Answer, Question


def test_answer_that_begins_with_silence_is_played_before_it_is_heard() -> None:
    """The parts go to its first packet, the whole to its first audible sample."""
    answer = Answer(1, Question(text_at=1.0), 1.4, 1.5, first_audio_at=1.5, first_packet_at=1.625)
    told = answer.latency(2.0, 0.25)
    assert (told.response_ms, told.agent_ms, told.playout_ms) == (1000.0, 500.0, 125.0)
    assert (told.endpoint_ms, told.uplink_ms) == (None, 0.2)


def test_end_of_speech_that_is_known_parts_the_models_time_from_the_users() -> None:
    """From the last speech to the end of the turn, and from there to the first audio."""
    question = Question(speech_at=1.0, speech_ms=600, endpoint_at=1.25)
    answer = Answer(1, question, 1.4, 1.5, first_audio_at=1.5, first_packet_at=1.625)
    told = answer.latency(1.625, None)
    assert (told.response_ms, told.endpoint_ms, told.agent_ms) == (625.0, 250.0, 250.0)
