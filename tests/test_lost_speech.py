"""Speech that has reached no model, in a conversation on a manual clock."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_server.agent import live_events as live

from .conversation_stage import RATE, TONE_20_MS, Stage

LISTENS = {"owes_signs": True}
"""Of a model that gives a sign of whatever it hears."""


def stage(**rules: Any) -> Stage:
    """A call whose model is there."""
    found = Stage(rules=rules)
    found.agent(live.ModelAway(2.5))
    found.now += 0.2
    found.agent(live.ModelBack())
    return found


def codes(stage: Stage) -> list[str]:
    return [one["code"] for one in stage.sent("error")]


def reconnect(stage: Stage, seconds: float = 0.2) -> None:
    stage.agent(live.ModelAway())
    stage.wait(seconds)
    stage.agent(live.ModelBack())


# What is lost ---------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.2, 3.0, 60.0])
def test_what_was_said_into_a_connection_that_is_lost_is_told_once(seconds: float) -> None:
    """However soon the next one is there; the model has had no word of it."""
    call = stage(**LISTENS)
    call.user_speaks(800)
    reconnect(call, seconds)
    assert codes(call) == []
    call.wait(3.0)
    (error,) = call.sent("error")
    assert (error["code"], error["retryable"]) == ("speech_not_heard", True)
    reconnect(call)
    call.wait(60.0)
    assert len(call.sent("error")) == 1
    assert call.turns() == []


def test_a_sentence_in_the_middle_of_which_the_connection_is_lost_is_one() -> None:
    call = stage(**LISTENS)
    call.user_speaks(300)
    call.agent(live.ModelAway())
    call.user_speaks(300)
    call.agent(live.ModelBack())
    call.wait(3.0)
    assert codes(call) == ["speech_not_heard"]


def test_what_was_said_while_the_model_was_away_is_told_whatever_the_model() -> None:
    """No sound waits for it; also where it may stay silent."""
    for rules in ({}, LISTENS, {"may_stay_silent": True}):
        call = stage(**rules)
        call.agent(live.ModelAway())
        call.user_speaks(800)
        call.agent(live.ModelBack())
        call.wait(3.0)
        assert codes(call) == ["speech_not_heard"]


def test_a_connection_that_is_lost_again_at_once_takes_no_word_of_it_back() -> None:
    """Until there is one that holds the caller is not told to say it again."""
    call = stage(**LISTENS)
    call.user_speaks(800)
    for _ in range(4):
        reconnect(call, 5.0)
        call.wait(0.6)
    assert codes(call) == []
    call.wait(2.0)
    assert codes(call) == ["speech_not_heard"]


def test_what_was_said_over_an_answer_that_still_plays_is_told() -> None:
    call = stage(**LISTENS)
    call.types("hello")
    call.speak(4000)
    call.agent(live.ModelTurnComplete())
    call.play(1000)
    for _ in range(40):
        call.play(20)
        call.conversation.on_user_speech(call.now, 20)
    reconnect(call)
    call.play(3000)
    call.wait(3.0)
    assert codes(call) == ["speech_not_heard"]
    assert call.turns() == [(1, False)]


def test_a_spoken_turn_that_is_known_to_have_ended_ends_before_the_error() -> None:
    """Push-to-talk: the button was released, and no transcript came."""
    call = stage()
    call.actions += call.conversation.on_user_activity("start", call.now)
    call.user_speaks(800)
    call.actions += call.conversation.on_user_activity("end", call.now)
    assert call.states()[-1] == "thinking"
    reconnect(call)
    call.wait(3.0)
    assert call.turns() == [(1, True)]
    assert codes(call) == ["speech_not_heard"]
    kinds = [getattr(one, "type", "") for one in call.actions]
    assert kinds.index("turn") < kinds.index("error")
    assert call.states()[-1] == "listening"


def test_an_interruption_is_no_sign_that_the_words_were_heard() -> None:
    """The model heard somebody begin; the connection was lost before it said what."""
    call = stage(**LISTENS)
    call.types("hello")
    call.speak(400)
    call.play(200)
    call.user_speaks(300)
    call.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    call.play(40)
    call.user_speaks(300)
    reconnect(call)
    call.wait(3.0)
    assert codes(call) == ["speech_not_heard"]


def test_what_waited_for_a_first_connection_that_failed_is_told() -> None:
    call = Stage(rules=LISTENS)
    call.agent(live.ModelAway(2.5))
    call.user_speaks(800)
    call.agent(live.AgentFailed("agent_unreachable", "No.", retryable=True))
    call.wait(1.0)
    call.agent(live.ModelBack())
    call.wait(3.0)
    assert codes(call) == ["agent_unreachable", "speech_not_heard"]


def test_what_was_said_long_before_a_first_connection_is_told() -> None:
    """Two seconds of sound are kept."""
    call = Stage(rules=LISTENS)
    call.agent(live.ModelAway(2.5))
    call.user_speaks(800)
    call.wait(4.0)
    call.agent(live.ModelBack())
    call.wait(2.0)
    assert codes(call) == ["speech_not_heard"]


def test_the_watchdog_waits_for_the_model_that_is_back() -> None:
    """Speech that was too old to be lost with the connection; the time away does not count."""
    call = stage(owes_signs=True, answer_timeout_s=30.0)
    call.user_speaks(800)
    call.wait(12.0)
    reconnect(call, 60.0)
    call.wait(29.0)
    assert codes(call) == []
    call.wait(2.0)
    assert codes(call) == ["agent_timeout"]


# What is not ----------------------------------------------------------------------


def assert_nothing_is_told(call: Stage) -> None:
    reconnect(call)
    call.wait(8.0)
    assert codes(call) == []


def test_coughs_and_silence_are_not_told() -> None:
    call = stage(**LISTENS)
    for _ in range(5):
        call.user_speaks(300)
        call.wait(2.5)
    assert_nothing_is_told(call)
    call.agent(live.ModelAway())
    call.user_speaks(300)
    call.wait(3.0)
    call.user_speaks(300)
    call.agent(live.ModelBack())
    call.wait(8.0)
    assert codes(call) == []


def test_noise_at_which_the_model_said_nothing_is_not_told_when_the_connection_goes_later() -> None:
    """It was there and had ten seconds; a ``goAway`` comes every few minutes."""
    call = stage(owes_signs=True, answer_timeout_s=1000.0)
    call.user_speaks(3000)
    call.wait(11.0)
    assert_nothing_is_told(call)


def test_speech_that_the_model_has_transcribed_is_not_told() -> None:
    """However late, and with whatever it says first."""
    for sign in (
        live.UserTranscript("hello", final=False),
        live.AgentAudio(TONE_20_MS, RATE),
        live.ToolCalled("1", "dig", {}),
    ):
        call = stage(**LISTENS)
        call.user_speaks(800)
        call.wait(5.0)
        call.agent(sign)
        reconnect(call)
        call.wait(8.0)
        assert "speech_not_heard" not in codes(call)


def test_a_bare_end_of_a_turn_is_a_sign() -> None:
    """The model made nothing of the noise."""
    call = stage(**LISTENS)
    call.user_speaks(800)
    call.agent(live.ModelTurnComplete())
    assert_nothing_is_told(call)


def test_a_model_that_may_stay_silent_has_heard_what_was_said_to_it() -> None:
    call = stage(may_stay_silent=True)
    call.user_speaks(800)
    assert_nothing_is_told(call)


def test_a_model_that_is_not_known_to_listen_has_heard_what_was_said_to_it() -> None:
    call = stage()
    call.user_speaks(800)
    assert_nothing_is_told(call)


def test_what_is_said_with_the_button_up_is_meant_for_nobody() -> None:
    """Push-to-talk."""
    call = stage()
    call.actions += call.conversation.on_user_activity("start", call.now)
    call.actions += call.conversation.on_user_activity("end", call.now)
    call.user_speaks(2000)
    assert_nothing_is_told(call)


def test_the_echo_of_an_answer_is_no_speech() -> None:
    """It is there for most of the sound that is left, and ends with it."""
    call = stage(**LISTENS)
    call.types("hello")
    call.speak(3000)
    call.agent(live.ModelTurnComplete())
    for n in range(150):
        call.play(20)
        if n % 4:
            call.conversation.on_user_speech(call.now, 20)
    assert_nothing_is_told(call)


def test_who_goes_on_speaking_to_the_new_connection_is_heard_by_it() -> None:
    """Told or not told by it: what it heard is its own affair."""
    call = stage(**LISTENS)
    call.user_speaks(1000)
    call.agent(live.ModelAway())
    call.user_speaks(200)
    call.agent(live.ModelBack())
    call.user_speaks(1000)
    call.wait(4.0)
    assert codes(call) == []
    call.user_says("the rest of it")
    call.speak(400)
    call.agent(live.ModelTurnComplete())
    call.play(600)
    call.wait(20.0)
    assert codes(call) == []
    assert call.turns() == [(1, False)]


def test_a_question_that_the_new_connection_answers_all_the_same_is_not_told_to_be_lost() -> None:
    """The model's session knew of it."""
    call = stage(**LISTENS)
    call.user_speaks(800)
    reconnect(call)
    call.wait(0.8)
    call.speak(400)
    call.agent(live.ModelTurnComplete())
    call.play(600)
    call.wait(20.0)
    assert codes(call) == []
    assert call.turns() == [(1, False)]


def test_what_is_said_before_the_first_connection_waits_for_it() -> None:
    """Two seconds of sound are kept for that one."""
    for rules in ({}, LISTENS):
        call = Stage(rules=rules)
        call.agent(live.ModelAway(2.5))
        call.wait(1.0)
        call.user_speaks(800)
        call.wait(1.0)
        call.agent(live.ModelBack())
        call.wait(8.0)
        assert codes(call) == []


def test_who_was_told_to_ask_again_is_not_told_twice() -> None:
    """His words were lost with an answer, or the watchdog has spoken."""
    call = stage(**LISTENS)
    call.types("hello")
    call.speak(400)
    call.user_speaks(800)
    call.agent(live.ModelAway(), live.AgentFailed("agent_lost", "Gone.", retryable=True))
    call.agent(live.ModelBack())
    call.wait(8.0)
    assert codes(call) == ["agent_lost"]
    call = stage(owes_signs=True, answer_timeout_s=5.0)
    call.user_speaks(800)
    call.wait(8.0)
    reconnect(call)
    call.wait(8.0)
    assert codes(call) == ["agent_timeout"]


def test_what_is_said_after_a_loss_was_told_is_a_new_loss() -> None:
    call = stage(**LISTENS)
    call.types("hello")
    call.agent(live.ModelAway(), live.AgentFailed("agent_lost", "Gone.", retryable=True))
    call.user_speaks(800)
    call.agent(live.ModelBack())
    call.wait(8.0)
    assert codes(call) == ["agent_lost", "speech_not_heard"]


def test_what_a_tool_says_is_no_sign_of_the_model() -> None:
    """A streaming tool goes on when the connection is dead."""
    call = stage(**LISTENS)
    call.user_speaks(800)
    call.agent(live.ToolProgressed("1", "watch", {"n": 1}))
    reconnect(call)
    call.wait(3.0)
    assert codes(call) == ["speech_not_heard"]
