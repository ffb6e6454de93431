"""Speech that has reached no model: what else may be going on, on a manual clock."""

from __future__ import annotations

from rtc_server.agent import live_events as live
from rtc_server.conversation import Conversation, ConversationRules
from rtc_server.media.playout_buffer import PlayoutBuffer
from rtc_server.messages import Error

from .conversation_stage import Stage
from .test_lost_speech import LISTENS, codes, reconnect, stage


def hold_and_say(call: Stage, ms: int = 800) -> None:
    """Push-to-talk."""
    call.actions += call.conversation.on_user_activity("start", call.now)
    call.user_speaks(ms)
    call.actions += call.conversation.on_user_activity("end", call.now)


def test_who_pauses_between_two_words_is_not_told_in_the_middle_of_his_sentence() -> None:
    call = stage(**LISTENS)
    call.user_speaks(800)
    reconnect(call)
    for _ in range(3):
        call.wait(1.4)
        call.user_speaks(100)
    assert codes(call) == []
    call.wait(2.4)
    assert codes(call) == ["speech_not_heard"]


def test_what_waited_for_the_first_connection_is_not_lost_with_the_next() -> None:
    """Nothing is known of what such a model heard."""
    call = Stage()
    call.agent(live.ModelAway(2.5))
    call.user_speaks(800)
    call.agent(live.ModelBack())
    call.wait(0.4)
    reconnect(call)
    call.wait(8.0)
    assert codes(call) == []


def test_a_model_of_which_no_connection_is_told_has_one_once_it_speaks() -> None:
    call = Stage(rules=LISTENS)
    call.speak(400)
    call.agent(live.ModelTurnComplete())
    call.play(600)
    call.user_speaks(800)
    reconnect(call)
    call.wait(3.0)
    assert codes(call) == ["speech_not_heard"]


def test_a_model_that_may_stay_silent_may_do_so_when_the_button_was_held() -> None:
    call = stage(may_stay_silent=True)
    hold_and_say(call)
    reconnect(call)
    call.wait(8.0)
    assert codes(call) == []


def test_what_is_said_with_the_button_held_is_no_echo() -> None:
    """However much of the agent's sound it covers."""
    call = stage()
    call.types("hello")
    call.speak(1000)
    call.agent(live.ModelTurnComplete())
    call.actions += call.conversation.on_user_activity("start", call.now)
    for _ in range(50):
        call.play(20)
        call.conversation.on_user_speech(call.now, 20)
    call.actions += call.conversation.on_user_activity("end", call.now)
    reconnect(call)
    call.wait(3.0)
    assert codes(call) == ["speech_not_heard"]


def test_a_lost_turn_ends_no_answer_that_still_plays_and_no_question_that_was_typed() -> None:
    call = stage()
    call.types("hello")
    call.speak(9000)
    call.agent(live.ModelTurnComplete())
    call.play(1000)
    hold_and_say(call)
    reconnect(call)
    call.wait(3.0)
    assert codes(call) == ["speech_not_heard"]
    assert call.turns() == []
    call = stage()
    call.types("hello")
    hold_and_say(call)
    reconnect(call)
    call.wait(3.0)
    assert codes(call) == ["speech_not_heard"]
    assert call.turns() == []
    assert call.states()[-1] == "thinking"


def test_what_was_told_to_be_lost_is_told_once_however_short_the_watchdogs_time_is() -> None:
    call = stage(owes_signs=True, answer_timeout_s=0.5)
    call.user_speaks(800)
    reconnect(call, 5.0)
    call.wait(30.0)
    assert codes(call) == ["speech_not_heard"]


def test_what_turns_out_to_be_no_echo_is_told_once() -> None:
    """Half of the sound up to the reconnect, and then the sound goes on alone."""
    call = stage(**LISTENS)
    call.types("hello")
    call.speak(6000)
    call.agent(live.ModelTurnComplete())
    for n in range(50):
        call.play(20)
        if n % 4:
            call.conversation.on_user_speech(call.now, 20)
    reconnect(call)
    call.play(5000)
    call.wait(60.0)
    assert codes(call) == ["speech_not_heard"]


def test_what_was_said_before_the_agent_was_ready_is_the_states_affair() -> None:
    """``initializing`` says that nobody listens yet."""
    talk = Conversation(PlayoutBuffer(), ConversationRules(modality="audio", owes_signs=True))
    for n in range(50):
        talk.on_user_speech(100.0 + 0.02 * n, 20)
    talk.start(101.0)
    talk.on_live_event(live.ModelAway(2.5), 101.0)
    talk.on_live_event(live.ModelBack(), 105.0)
    told = [one for n in range(50) for one in talk.tick(105.0 + 0.2 * n)]
    assert not any(isinstance(one, Error) for one in told)


def test_a_failure_that_loses_nothing_or_another_question_says_nothing_of_what_was_said() -> None:
    """What was typed is answered yet, or put again; what was said is gone."""
    for failure in (
        live.AgentFailed("agent_lost", "Gone.", retryable=True, keeps_question=True),
        live.AgentFailed("agent_lost", "Gone.", retryable=True, asks_again=True),
    ):
        call = stage(**LISTENS)
        call.types("hello")
        call.user_speaks(800)
        call.agent(live.ModelAway(), failure, live.ModelBack())
        call.wait(3.0)
        assert codes(call) == ["agent_lost", "speech_not_heard"]
    call = stage(**LISTENS)
    call.user_speaks(800)
    call.agent(live.ModelAway())
    call.agent(live.AgentFailed("agent_unreachable", "No.", retryable=True))
    call.agent(live.ModelBack())
    call.wait(3.0)
    assert codes(call) == ["agent_unreachable", "speech_not_heard"]


def test_an_answer_that_comes_after_a_loss_was_told_is_none_to_what_was_lost() -> None:
    """It has no response time."""
    call = stage(**LISTENS)
    call.user_speaks(800)
    reconnect(call)
    call.wait(3.0)
    call.speak(400)
    call.play(200)
    (latency,) = call.sent("latency")
    assert latency.get("response_ms") is None


def test_the_answer_to_a_text_that_waited_is_none_to_what_was_said_meanwhile() -> None:
    """The user spoke to a model that was away, and typed when nobody answered; or a prompt."""
    for typed in (True, False):
        call = stage(**LISTENS)
        call.agent(live.ModelAway())
        call.wait(1.0)
        call.user_speaks(800)
        call.wait(2.0)
        if typed:
            call.types("hello")
        else:
            call.actions += call.conversation.on_prompt("go on", call.now)
        call.agent(live.ModelBack())
        call.wait(0.4)
        call.speak(400)
        call.play(200)
        call.say("Hello.")
        call.speak(400)
        call.agent(live.ModelTurnComplete())
        call.play(800)
        call.wait(3.0)
        assert codes(call) == ["speech_not_heard"]
        assert call.turns() == [(1, False)]


def test_a_transcript_is_a_sign_beside_a_text_too() -> None:
    """It is of what was said, and of nothing else."""
    call = stage(**LISTENS)
    call.user_speaks(800)
    call.types("hello")
    call.agent(live.ModelAway(), live.ModelBack())
    call.user_says("what I said")
    call.wait(8.0)
    assert codes(call) == []


def test_a_model_that_passes_over_a_voice_without_words_is_given_up_at_the_second() -> None:
    """What a cascade does with a hum."""
    for passes_over_voice, told in ((False, ["agent_timeout"]), (True, [])):
        call = stage(owes_signs=True, passes_over_voice=passes_over_voice, answer_timeout_s=10.0)
        call.user_speaks(800)
        call.wait(13.0)
        assert codes(call) == told
    call.user_speaks(800)
    call.wait(3.0)
    call.user_speaks(800)
    call.wait(13.0)
    assert codes(call) == ["agent_timeout"]
