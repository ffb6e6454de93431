"""The turn-taking, on a manual clock, for the orders of events that models have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from rtc_server.actions import Action, InterruptModel, SendText, Spoken
from rtc_server.agent import live_events as live
from rtc_server.conversation import Conversation, ConversationRules
from rtc_server.media.playout_buffer import PlayoutBuffer
from rtc_server.messages import ServerMessage

RATE = 24000
TONE_20_MS = b"\x00\x20" * (RATE // 50)


@dataclass
class Stage:
    """A conversation with a clock that only the test moves, and the downlink's part."""

    modality: Any = "audio"
    rules: dict[str, Any] = field(default_factory=dict)
    now: float = 100.0
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.playout = PlayoutBuffer()
        self.conversation = Conversation(
            self.playout,
            ConversationRules(modality=self.modality, **self.rules),
            uplink_ms=lambda: 1.5,
        )
        self.actions += self.conversation.start(self.now)

    def agent(self, *events: live.LiveEvent) -> None:
        for event in events:
            self.actions += self.conversation.on_live_event(event, self.now)

    def speak(self, ms: int = 400) -> None:
        """The agent's audio comes in one burst."""
        self.agent(live.AgentAudio(TONE_20_MS * (ms // 20), RATE))

    def say(self, text: str) -> None:
        self.agent(live.AgentTranscript(text, text, final=False))

    def user_speaks(self, ms: int = 600) -> None:
        for _ in range(ms // 20):
            self.now += 0.02
            self.conversation.on_user_speech(self.now, 20)

    def user_says(self, text: str, *, final: bool = True) -> None:
        self.agent(live.UserTranscript(text, final))

    def types(self, text: str) -> None:
        self.actions += self.conversation.on_user_text(text, self.now)

    def play(self, ms: int) -> int:
        """Lets frames out for ``ms``; says how many milliseconds of old and new audio left."""
        played = 0
        for _ in range(ms // 20):
            self.now += 0.02
            frame = self.playout.read(self.now)
            if frame is not None:
                played += 0 if frame.closing else 20
                self.actions += self.conversation.on_frame_sent(frame, self.now)
        return played

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.2
            self.actions += self.conversation.tick(self.now)

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [
            one.to_dict()
            for one in self.actions
            if isinstance(one, ServerMessage) and one.type == kind
        ]

    def states(self) -> list[str]:
        return [one["state"] for one in self.sent("state")]

    def turns(self) -> list[tuple[int, bool]]:
        return [(one["turn"], one["interrupted"]) for one in self.sent("turn")]


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


def test_an_interruption_flushes_and_says_what_was_heard(stage: Stage) -> None:
    stage.speak(1000)
    stage.say("one two three four five")
    stage.play(600)
    stage.agent(live.ModelInterrupted())
    (turn,) = stage.sent("turn")
    assert turn == {
        "type": "turn",
        "turn": 1,
        "turn_complete": True,
        "interrupted": True,
        "heard_ms": 600,
        "heard_text": turn["heard_text"],
    }
    assert "one two" in turn["heard_text"]
    assert "five" not in turn["heard_text"]
    assert stage.play(1000) == 0
    final = [one for one in stage.sent("transcript") if one["final"]]
    assert final[-1]["text"] == turn["heard_text"]


def test_geminis_turn_complete_after_interrupted_ends_nothing_twice(stage: Stage) -> None:
    stage.speak(1000)
    stage.play(200)
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    stage.user_speaks()
    stage.user_says("stop")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    assert stage.turns() == [(1, True), (2, False)]


def test_cascades_heard_prefix_before_interrupted_is_overruled_by_the_ledger(stage: Stage) -> None:
    stage.speak(1000)
    stage.say("one two three four five")
    stage.play(800)
    stage.agent(live.AgentTranscript("one", "", final=True), live.ModelInterrupted())
    (turn,) = stage.sent("turn")
    assert len(turn["heard_text"]) > len("one")


def test_an_interruption_after_the_model_is_done_still_stops_the_playout(stage: Stage) -> None:
    stage.speak(1000)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    stage.agent(live.ModelInterrupted())
    assert stage.play(500) == 0
    assert stage.turns() == [(1, True)]


def test_an_interruption_of_nothing_says_nothing(stage: Stage) -> None:
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    assert stage.sent("turn") == []


def test_typed_text_cuts_the_answer_off_and_the_rest_of_it_is_swallowed(stage: Stage) -> None:
    stage.speak(1000)
    stage.play(100)
    stage.types("wait")
    assert [type(one) for one in stage.actions if isinstance(one, InterruptModel | SendText)] == [
        InterruptModel,
        SendText,
    ]
    assert stage.turns() == [(1, True)]
    stage.speak(500)  # of the old answer
    stage.say("the rest")
    assert stage.play(200) == 0
    stage.agent(live.ModelInterrupted(), live.ModelTurnComplete())
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]
    assert "response_ms" in stage.sent("latency")[-1]
    assert not [one for one in stage.sent("transcript") if one["text"] == "the rest"]


def test_typed_text_waits_for_the_end_of_the_answer_where_the_operator_wants_it() -> None:
    stage = Stage(rules={"text_during_speech": "queue"})
    stage.speak(200)
    stage.types("wait")
    assert not [one for one in stage.actions if isinstance(one, SendText)]
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    assert [one.text for one in stage.actions if isinstance(one, SendText)] == ["wait"]
    assert stage.turns() == [(1, False)]


def test_texts_that_wait_are_bounded() -> None:
    stage = Stage(rules={"text_during_speech": "queue", "queued_texts": 2})
    stage.speak(200)
    for _ in range(3):
        stage.types("again")
    assert [one["code"] for one in stage.sent("error")] == ["too_many_texts"]


def test_text_typed_before_the_first_word_does_not_cost_the_answer(stage: Stage) -> None:
    stage.types("one")
    stage.agent(live.ToolCalled("1", "slow", {}))
    stage.types("two")
    assert stage.turns() == []
    stage.agent(live.ToolReturned("1", "slow", {}))
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    stage.wait(60)
    assert stage.turns() == [(1, False)]
    assert stage.sent("error") == []


def test_interrupt_discards_what_is_left_of_an_answer(stage: Stage) -> None:
    stage.speak(1000)
    stage.play(100)
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    assert stage.turns() == [(1, True)]
    stage.speak(500)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(500) == 0
    stage.types("go on")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == [(1, True), (2, False)]


def test_interrupt_while_the_agent_thinks_discards_the_answer_to_come(stage: Stage) -> None:
    stage.types("a long question")
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.speak(500)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(100) == 0
    assert stage.turns() == [(1, True)]


def test_interrupt_of_nothing_does_nothing(stage: Stage) -> None:
    assert stage.conversation.on_user_interrupt(stage.now) == []


def test_a_model_that_never_says_the_old_answer_is_over_is_listened_to_again(stage: Stage) -> None:
    stage.speak(1000)
    stage.types("wait")
    stage.wait(6)
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]


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


def test_an_agent_that_never_answers_is_named_once(stage: Stage) -> None:
    stage.types("hello")
    stage.wait(90)
    assert [one["code"] for one in stage.sent("error")] == ["agent_timeout"]
    assert stage.states()[-1] == "listening"
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == [(1, False)]


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


def test_a_turn_that_never_ends_is_ended(stage: Stage) -> None:
    stage.speak(100)
    stage.play(200)
    stage.wait(40)
    assert stage.turns() == [(1, False)]
    stage.agent(live.ModelTurnComplete())
    assert stage.turns() == [(1, False)]


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


def test_a_transcript_of_an_answer_that_was_interrupted_unheard_is_not_the_next_ones(
    stage: Stage,
) -> None:
    stage.say("words that never became sound at all")
    stage.agent(live.ModelInterrupted())
    stage.speak(100)
    stage.say("short")
    assert [one["text"] for one in stage.sent("transcript")] == ["short"]


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


def test_a_failure_ends_an_utterance_that_was_being_heard(stage: Stage) -> None:
    stage.user_says("what ti", final=False)
    stage.agent(live.AgentFailed("agent_lost", "The connection was lost.", retryable=True))
    assert stage.sent("transcript")[-1]["final"] is True


def test_an_interrupted_round_of_tools_is_discarded_to_its_end(stage: Stage) -> None:
    stage.types("look it up")
    stage.speak(100)
    stage.agent(live.ToolCalled("1", "search", {}))
    stage.play(200)
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.agent(live.ModelTurnComplete())
    stage.wait(12)
    stage.agent(live.ToolReturned("1", "search", {}))
    stage.speak(500)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 0
    assert [one["phase"] for one in stage.sent("tool")] == ["call", "result"]
    stage.types("go on")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]


def test_an_answer_discarded_before_it_began_is_discarded_however_late_it_comes(
    stage: Stage,
) -> None:
    stage.types("a long question")
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.wait(12)
    stage.speak(500)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(100) == 0
    assert stage.turns() == [(1, True)]


def test_a_new_question_does_not_wait_long_for_the_end_of_a_discarded_answer(
    stage: Stage,
) -> None:
    stage.types("a long question")
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.types("another")
    stage.wait(6)
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    assert stage.play(200) == 100
    assert stage.turns() == [(1, True), (2, False)]


def test_the_end_of_a_cut_off_answer_may_come_after_the_next_question(stage: Stage) -> None:
    stage.speak(1000)
    stage.actions += stage.conversation.on_user_interrupt(stage.now)
    stage.wait(20)
    stage.types("go on")
    stage.agent(live.ModelTurnComplete())
    assert stage.turns() == [(1, True)]
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == [(1, True), (2, False)]


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


def test_an_answer_to_what_was_said_over_another_does_not_wait_for_its_end(
    stage: Stage,
) -> None:
    """A model that takes its answer for over when it was sent never says interrupted."""
    stage.speak(10_000)
    stage.agent(live.ModelTurnComplete())
    stage.play(1000)
    stage.user_speaks()
    stage.user_says("something else")
    stage.speak(200)
    stage.agent(live.ModelTurnComplete())
    stage.play(400)
    assert stage.turns() == [(1, True), (2, False)]
    assert stage.sent("turn")[0]["heard_ms"] == 1000


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


def test_a_text_that_waits_is_passed_on_when_the_one_before_got_no_answer() -> None:
    stage = Stage(rules={"text_during_speech": "queue"})
    stage.speak(200)
    stage.types("one")
    stage.types("two")
    stage.agent(live.ModelTurnComplete())
    stage.play(300)
    stage.wait(40)
    assert [one.text for one in stage.actions if isinstance(one, SendText)] == ["one", "two"]
