"""The turn-taking, on a manual clock, for the orders of events that models have."""

from __future__ import annotations

import pytest

from rtc_server.actions import Spoken
from rtc_server.agent import live_events as live
from rtc_server.messages import ServerMessage

from .conversation_stage import RATE, TONE_20_MS, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def text_stage() -> Stage:
    return Stage(modality="text")


def test_a_turn_ends_after_its_last_packet_and_not_when_the_model_is_done(stage: Stage) -> None:
    stage.user_speaks()
    stage.user_says("hello")
    stage.speak(400)
    stage.agent(live.ModelTurnComplete())
    assert stage.turns() == []
    stage.play(380)
    assert stage.turns() == []
    stage.play(20)
    assert stage.turns() == [(1, False)]


def test_a_turn_whose_audio_was_played_ends_when_the_model_is_done(stage: Stage) -> None:
    stage.speak(200)
    stage.play(400)
    assert stage.turns() == []
    stage.agent(live.ModelTurnComplete())
    assert stage.turns() == [(1, False)]


def test_speaking_spans_the_time_that_audio_is_on_the_wire(stage: Stage) -> None:
    stage.user_speaks()
    stage.user_says("hello")
    stage.speak(200)
    assert stage.states() == ["listening", "thinking"]
    stage.play(20)
    assert stage.states()[-1] == "speaking"
    stage.agent(live.ModelTurnComplete())
    stage.play(180)
    assert stage.states()[-1] == "speaking"
    stage.play(40)
    assert stage.states() == ["listening", "thinking", "speaking", "listening"]


def test_every_spoken_answer_carries_its_timings_and_their_parts_add_up(stage: Stage) -> None:
    stage.user_speaks()
    asked_at = stage.now
    stage.now += 0.3
    stage.user_says("hello")
    stage.now += 0.2
    stage.speak(200)
    stage.play(100)
    (latency,) = stage.sent("latency")
    assert latency["turn"] == 1
    assert latency["endpoint_ms"] == pytest.approx(300)
    assert latency["agent_ms"] == pytest.approx(200)
    assert latency["playout_ms"] == pytest.approx(20)
    assert latency["response_ms"] == pytest.approx(520)
    assert latency["uplink_ms"] == pytest.approx(1.5)
    assert asked_at < stage.now


def test_leading_silence_counts_as_waiting(stage: Stage) -> None:
    stage.user_speaks()
    stage.user_says("hello")
    stage.agent(live.AgentAudio(bytes(len(TONE_20_MS)) * 5, RATE))
    stage.speak(100)
    stage.play(200)
    (latency,) = stage.sent("latency")
    assert latency["playout_ms"] == pytest.approx(20)
    assert latency["response_ms"] == pytest.approx(120)


def test_speech_that_nobody_asked_for_has_no_response_time(stage: Stage) -> None:
    stage.user_speaks(100)  # a cough
    stage.speak(200)
    stage.play(100)
    (latency,) = stage.sent("latency")
    assert "response_ms" not in latency
    assert latency["playout_ms"] == pytest.approx(20)


def test_a_second_answer_does_not_inherit_the_question_of_the_first(stage: Stage) -> None:
    stage.user_speaks()
    stage.user_says("hello")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    stage.speak(100)
    stage.play(100)
    first, second = stage.sent("latency")
    assert "response_ms" in first
    assert "response_ms" not in second


def test_a_round_of_tools_belongs_to_the_answer_it_serves(stage: Stage) -> None:
    stage.user_speaks()
    stage.user_says("what time is it")
    stage.speak(100)
    stage.agent(live.ToolCalled("1", "clock", {}), live.ModelTurnComplete())
    stage.agent(live.ToolReturned("1", "clock", {"time": "noon"}), live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == []
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == [(1, False)]
    assert [one["phase"] for one in stage.sent("tool")] == ["call", "result"]


def test_words_on_their_way_to_the_wire_are_not_announced_as_listening(stage: Stage) -> None:
    stage.speak(100)
    stage.agent(live.ToolCalled("1", "clock", {}))
    stage.play(200)
    stage.agent(live.ToolReturned("1", "clock", {}))
    stage.speak(100)
    stage.play(60)
    assert stage.states() == ["listening", "thinking", "speaking", "thinking", "speaking"]


def test_a_tool_that_leads_to_no_more_words_ends_the_turn_after_a_while(stage: Stage) -> None:
    stage.speak(100)
    stage.agent(live.ToolCalled("1", "light", {}), live.ToolReturned("1", "light", {}))
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    stage.wait(8)
    assert stage.turns() == [(1, False)]
    assert stage.sent("error") == []


def test_a_long_running_tool_does_not_hold_the_turn_open(stage: Stage) -> None:
    stage.speak(100)
    stage.agent(live.ToolCalled("1", "approve", {}, long_running=True), live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == [(1, False)]


def test_tool_arguments_are_shown_only_to_whom_they_may_be(stage: Stage) -> None:
    stage.agent(live.ToolCalled("1", "clock", {"zone": "UTC"}))
    assert "args" not in stage.sent("tool")[0]
    shown = Stage(rules={"show_tools": True})
    shown.agent(live.ToolCalled("1", "clock", {"zone": "UTC"}))
    assert shown.sent("tool")[0]["args"] == {"zone": "UTC"}


def test_large_tool_results_are_shortened() -> None:
    stage = Stage(rules={"show_tools": True})
    stage.agent(live.ToolReturned("1", "read", {"page": "x" * 20_000}))
    (tool,) = stage.sent("tool")
    assert tool["truncated"] is True
    assert len(tool["result"]) <= 16 * 1024


def test_answers_play_one_after_another(stage: Stage) -> None:
    stage.speak(200)
    stage.agent(live.ModelTurnComplete())
    stage.speak(200)
    stage.agent(live.ModelTurnComplete())
    stage.play(220)
    assert stage.turns() == [(1, False)]
    stage.play(240)
    assert stage.turns() == [(1, False), (2, False)]


def test_a_failure_ends_the_answer_and_says_so_in_that_order(stage: Stage) -> None:
    stage.speak(500)
    stage.play(100)
    stage.agent(live.AgentFailed("agent_failed", "The agent failed.", retryable=True))
    kinds = [one.type for one in stage.actions if isinstance(one, ServerMessage)]
    assert kinds[-2:] == ["turn", "error"]
    assert stage.turns() == [(1, True)]
    stage.user_speaks()
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    assert stage.turns() == [(1, True), (2, False)]


def test_a_failure_leaves_a_complete_answer_to_be_played_to_its_end(stage: Stage) -> None:
    stage.speak(400)
    stage.agent(live.ModelTurnComplete())
    stage.play(100)
    stage.agent(live.AgentFailed("agent_lost", "The agent is away.", retryable=True))
    assert stage.play(400) == 300
    assert stage.turns() == [(1, False)]


def test_a_failure_ends_the_turn_that_was_asked_for_and_not_begun(stage: Stage) -> None:
    stage.types("hello")
    stage.agent(live.AgentFailed("agent_failed", "The agent failed.", retryable=True))
    assert stage.turns() == [(1, True)]


def test_an_answer_without_a_word_still_ends(stage: Stage) -> None:
    stage.types("hello")
    stage.agent(live.ModelTurnComplete())
    assert stage.turns() == [(1, False)]


def test_a_text_call_gets_the_text_and_its_timings(text_stage: Stage) -> None:
    stage = text_stage
    stage.types("hello")
    stage.now += 0.1
    stage.agent(live.AgentText("Good "), live.AgentText("day."), live.ModelTurnComplete())
    assert "".join(one["data"] for one in stage.sent("text")) == "Good day."
    (latency,) = stage.sent("latency")
    assert latency["response_ms"] == pytest.approx(100)
    assert stage.turns() == [(1, False)]


def test_a_text_call_of_an_agent_that_only_speaks_gets_its_transcript_once(
    text_stage: Stage,
) -> None:
    stage = text_stage
    stage.types("hello")
    stage.speak(500)
    stage.agent(
        live.AgentTranscript("Good ", "Good ", final=False),
        live.AgentTranscript("Good day.", "day.", final=False),
        live.AgentTranscript("Good day.", "", final=True),
        live.ModelTurnComplete(),
    )
    assert "".join(one["data"] for one in stage.sent("text")) == "Good day."
    assert stage.sent("transcript") == []
    assert stage.playout.is_empty
    assert not [one for one in stage.actions if isinstance(one, Spoken)]
    assert stage.turns() == [(1, False)]


def test_only_allowed_keys_of_the_session_state_cross() -> None:
    stage = Stage(rules={"allow_state": frozenset({"mood"})})
    stage.agent(live.StateChanged({"mood": "good", "secret": 1}))
    stage.agent(live.StateChanged({"secret": 2}))
    assert stage.sent("session_state") == [{"type": "session_state", "delta": {"mood": "good"}}]


def test_usage_belongs_to_the_answer_it_was_spent_on(stage: Stage) -> None:
    stage.speak(100)
    stage.agent(live.UsageReported(10, 20, 30))
    assert stage.sent("usage") == [
        {
            "type": "usage",
            "turn": 1,
            "prompt_tokens": 10,
            "response_tokens": 20,
            "total_tokens": 30,
        }
    ]


def test_audio_of_length_zero_begins_nothing(stage: Stage) -> None:
    stage.agent(live.AgentAudio(b"", RATE))
    assert stage.conversation.answers == 0


def test_the_end_of_the_call_ends_every_answer_and_utterance_once(stage: Stage) -> None:
    stage.speak(400)
    stage.agent(live.ModelTurnComplete())
    stage.speak(400)
    stage.play(100)
    stage.user_speaks(200)
    stage.user_says("and then", final=False)
    for _ in range(2):
        stage.actions += stage.conversation.end(stage.now)
    assert [(one["turn"], one["heard_ms"]) for one in stage.sent("turn")] == [(1, 100), (2, 0)]
    assert [(one["turn"], one["final"]) for one in stage.sent("transcript")] == [
        (3, False),
        (3, True),
    ]
    assert stage.playout.is_empty
