"""Which turn the words belong to that were heard, on a manual clock."""

from __future__ import annotations

import pytest

from rtc_server.agent import live_events as live
from rtc_server.messages import ServerMessage

from .conversation_stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_users_transcript_carries_the_turn_it_leads_to(stage: Stage) -> None:
    stage.user_speaks()
    stage.user_says("what", final=False)
    stage.user_says("what time", final=True)
    stage.speak(1000)
    stage.play(200)
    stage.user_speaks()
    stage.user_says("stop", final=False)
    stage.agent(live.ModelInterrupted())
    stage.user_says("stop it", final=True)
    stage.speak(100)
    assert [(one["turn"], one["text"], one["final"]) for one in stage.sent("transcript")] == [
        (1, "what", False),
        (1, "what time", True),
        (2, "stop", False),
        (2, "stop it", True),
    ]


def test_a_transcript_that_comes_after_the_audio_belongs_to_the_answer_it_led_to(
    stage: Stage,
) -> None:
    stage.user_speaks()
    stage.speak(200)
    stage.user_says("hello there", final=False)
    stage.user_says("hello there", final=True)
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    assert {one["turn"] for one in stage.sent("transcript")} == {1}


def test_geminis_finished_copy_after_the_answer_opens_no_new_turn(stage: Stage) -> None:
    stage.user_speaks()
    stage.user_says("hello", final=False)
    stage.speak(200)
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    stage.user_says("hello", final=True)
    assert [(one["turn"], one["final"]) for one in stage.sent("transcript")] == [
        (1, False),
        (1, True),
    ]


def test_the_same_word_said_twice_is_two_utterances(stage: Stage) -> None:
    for _ in range(2):
        stage.user_speaks()
        stage.user_says("yes", final=True)
        stage.speak(100)
        stage.agent(live.ModelTurnComplete())
        stage.play(200)
    assert [one["turn"] for one in stage.sent("transcript")] == [1, 2]


def test_an_agents_transcript_ahead_of_its_audio_begins_no_answer_of_its_own(
    stage: Stage,
) -> None:
    stage.say("hello")
    assert stage.sent("transcript") == []
    stage.speak(100)
    assert [(one["turn"], one["text"]) for one in stage.sent("transcript")] == [(1, "hello")]


def test_a_late_copy_of_the_agents_transcript_begins_no_answer(stage: Stage) -> None:
    stage.speak(100)
    stage.say("hello")
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    stage.agent(live.AgentTranscript("hello", "", final=True))
    stage.speak(100)
    assert [one["turn"] for one in stage.sent("transcript")] == [1, 1]


def test_a_spoken_question_whose_transcript_is_never_finished_is_not_waited_on_for_ever(
    stage: Stage,
) -> None:
    stage.user_speaks()
    stage.user_says("hello", final=False)
    stage.wait(5)
    assert stage.states()[-1] == "thinking"
    stage.wait(60)
    assert [one["code"] for one in stage.sent("error")] == ["agent_timeout"]
    assert stage.states()[-1] == "listening"


def test_a_transcript_of_an_answer_that_was_interrupted_unheard_is_not_the_next_ones(
    stage: Stage,
) -> None:
    stage.say("words that never became sound at all")
    stage.agent(live.ModelInterrupted())
    stage.speak(100)
    stage.say("short")
    assert [one["text"] for one in stage.sent("transcript")] == ["short"]


def test_a_failure_ends_an_utterance_that_was_being_heard(stage: Stage) -> None:
    stage.user_says("what ti", final=False)
    stage.agent(live.AgentFailed("agent_lost", "The connection was lost.", retryable=True))
    assert stage.sent("transcript")[-1]["final"] is True


def test_a_question_that_the_model_was_still_hearing_is_lost_as_a_turn(stage: Stage) -> None:
    """It was asked, although the connection went before its transcript was finished."""
    stage.user_speaks()
    stage.user_says("What time is it", final=False)
    stage.agent(live.AgentFailed("agent_lost", "Gone.", retryable=True))
    assert stage.turns() == [(1, True)]
    told = [one.type for one in stage.actions if isinstance(one, ServerMessage)]
    assert told[-2:] == ["turn", "error"]


def test_an_answer_that_the_model_forgot_to_end_ends_with_the_users_next_words(
    stage: Stage,
) -> None:
    for n in (1, 2):
        stage.user_speaks()
        stage.user_says(f"question {n}")
        stage.speak(200)
        stage.play(400)
    assert stage.turns() == [(1, False)]
    assert [one["turn"] for one in stage.sent("latency")] == [1, 2]
    assert all(one["response_ms"] < 1000 for one in stage.sent("latency"))
    assert [one["turn"] for one in stage.sent("transcript")] == [1, 2]


def test_a_late_turn_complete_of_an_answer_ended_by_the_users_words_ends_nothing(
    stage: Stage,
) -> None:
    stage.speak(200)
    stage.play(400)
    stage.user_speaks()
    stage.user_says("next")
    stage.agent(live.ModelTurnComplete())
    stage.speak(200)
    stage.agent(live.ModelTurnComplete())
    stage.play(400)
    assert stage.turns() == [(1, False), (2, False)]


def test_noise_long_ago_did_not_ask_for_an_answer(stage: Stage) -> None:
    stage.user_speaks(400)
    stage.wait(60)
    stage.speak(200)
    stage.play(100)
    (latency,) = stage.sent("latency")
    assert "response_ms" not in latency


def test_a_late_transcript_of_a_word_too_short_to_be_noticed_opens_no_question(
    stage: Stage,
) -> None:
    stage.user_speaks(120)
    stage.speak(200)
    stage.user_says("yes")
    stage.agent(live.ModelTurnComplete())
    stage.play(400)
    stage.wait(60)
    assert [one["turn"] for one in stage.sent("transcript")] == [1]
    assert stage.sent("error") == []
