"""A model that is away, as the caller sees and hears it: on a manual clock."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_server.actions import RenewModel, SendText
from rtc_server.agent import live_events as live
from rtc_server.media.away_notice import load_notice
from rtc_server.media.playout_buffer import PlayoutFrame

from .conversation_stage import Stage

TONE = load_notice("tone")


class Line(Stage):
    """A stage whose downlink plays in real time, and remembers the frames."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.frames: list[PlayoutFrame] = []

    def live(self, seconds: float) -> None:
        for n in range(round(seconds * 50)):
            if n % 10 == 0:
                self.actions += self.conversation.tick(self.now)
            self.now += 0.02
            frame = self.playout.read(self.now)
            if frame is not None:
                self.frames.append(frame)
                self.actions += self.conversation.on_frame_sent(frame, self.now)

    @property
    def audible(self) -> int:
        return sum(one.audible for one in self.frames)

    def models(self) -> list[tuple[str, Any]]:
        return [(one["state"], one.get("name")) for one in self.sent("model")]


@pytest.fixture
def line() -> Line:
    return Line(rules={"away_notice": TONE})


def test_short_absence_is_neither_told_nor_heard(line: Line) -> None:
    """A reconnect takes 0.2 s."""
    line.agent(live.ModelAway())
    line.live(0.4)
    line.agent(live.ModelBack())
    line.live(2)
    assert line.models() == []
    assert line.frames == []


def test_long_absence_is_told_and_heard_every_few_seconds(line: Line) -> None:
    """A short sound and a pause, again and again; no turn, no state, no transcript."""
    before = len(line.actions)
    line.agent(live.ModelAway())
    line.live(12)
    assert line.models() == [("away", None)]
    assert {one.turn for one in line.frames} == {0}
    assert 2 * 20 < line.audible < 3 * 36
    kinds = {type(one).__name__ for one in line.actions[before:]}
    assert kinds == {"Model", "Spoken"}


def test_notice_stops_at_once_when_the_model_is_back(line: Line) -> None:
    """In the middle of the sound: one closing frame of silence, and no more."""
    line.agent(live.ModelAway())
    line.live(1.2)
    heard = line.audible
    assert heard > 0
    line.agent(live.ModelBack("other"))
    line.live(1)
    assert line.audible == heard
    assert line.frames[-1].closing
    assert line.models() == [("away", None), ("back", "other")]


def test_another_model_is_told_also_after_a_short_absence(line: Line) -> None:
    """The caller may hear another voice."""
    line.agent(live.ModelAway(), live.ModelBack("other"))
    assert line.models() == [("back", "other")]


def test_answer_silences_the_notice(line: Line) -> None:
    """What the agent says begins with its first frame, and `speaking` with it."""
    line.agent(live.ModelAway())
    line.live(1.0)
    line.speak(200)
    line.live(0.5)
    turns = [one.turn for one in line.frames]
    assert turns.index(1) > 0
    assert 0 not in turns[turns.index(1) :]
    assert line.states().count("speaking") == 1


def test_notice_waits_for_the_answer_that_still_plays(line: Line) -> None:
    """It was complete when the model went away."""
    line.speak(2_000)
    line.agent(live.ModelTurnComplete(), live.ModelAway())
    line.live(1.9)
    assert {one.turn for one in line.frames} == {1}
    line.live(2)
    turns = [one.turn for one in line.frames]
    assert turns == sorted(turns, key=lambda turn: turn == 0)
    assert 0 in turns
    assert line.turns() == [(1, False)]
    assert line.states()[-1] == "listening"


def test_notice_is_not_what_was_heard_of_an_answer(line: Line) -> None:
    """An interruption during the notice has nothing to flush."""
    line.agent(live.ModelAway())
    line.live(1.0)
    line.actions += line.conversation.on_user_interrupt(line.now)
    assert line.turns() == []
    line.live(6)
    assert line.audible > 40  # and the next notice is heard


def test_without_a_notice_the_caller_is_told_and_hears_nothing() -> None:
    """``--away-notice none``, and text calls."""
    line = Line()
    line.agent(live.ModelAway())
    line.live(5)
    assert line.models() == [("away", None)]
    assert line.frames == []


def test_absence_does_not_count_against_the_time_for_an_answer(line: Line) -> None:
    """What was typed waits for the model; the watchdog begins anew when it is back."""
    line.types("hello")
    line.agent(live.ModelAway())
    line.live(60)
    assert line.sent("error") == []
    line.agent(live.ModelBack())
    line.live(29)
    assert line.sent("error") == []
    line.live(2)
    assert [one["code"] for one in line.sent("error")] == ["agent_timeout"]


def test_absence_that_nobody_was_told_of_counts_against_the_time_for_an_answer(line: Line) -> None:
    """The caller hears nothing meanwhile, however often the model is away for a moment."""
    line.types("hello")
    for _ in range(10):
        line.agent(live.ModelAway())
        line.live(0.4)
        line.agent(live.ModelBack())
        line.live(2.5)
    assert line.sent("error") == []
    line.live(2)
    assert [one["code"] for one in line.sent("error")] == ["agent_timeout"]


def test_short_absence_that_an_error_told_of_does_not_count(line: Line) -> None:
    """The question is kept, and the model has its whole time from when it is there."""
    line.types("hello")
    line.live(20)
    line.agent(live.ModelAway())
    line.agent(live.AgentFailed("agent_lost", "Gone.", retryable=True, keeps_question=True))
    line.live(0.4)
    line.agent(live.ModelBack())
    line.live(29)
    assert [one["code"] for one in line.sent("error")] == ["agent_lost"]
    line.live(2)
    assert [one["code"] for one in line.sent("error")] == ["agent_lost", "agent_timeout"]


def test_overdue_answer_has_the_model_renewed() -> None:
    """One that never began, and one that stopped halfway."""
    line = Line()
    line.types("hello")
    line.live(31)
    assert line.actions.count(RenewModel()) == 1
    line.types("again")
    line.speak(200)
    line.live(32)
    assert line.actions.count(RenewModel()) == 2
    assert line.turns() == [(1, True), (2, True)]
    assert [one["code"] for one in line.sent("error")] == ["agent_timeout"] * 2


def test_tool_holds_up_an_answer_only_so_long() -> None:
    """It never returns, and nobody has given it up."""
    line = Line(rules={"tool_timeout_s": 50.0})
    line.types("hello")
    line.agent(live.ToolCalled("1", "dig", {}))
    line.live(78)
    assert line.turns() == []
    line.live(5)
    assert line.turns() == [(1, True)]
    assert [one["code"] for one in line.sent("error")] == ["agent_timeout"]
    assert RenewModel() in line.actions


def test_turn_that_is_asked_again_ends_and_its_answer_is_a_new_one(line: Line) -> None:
    """The caller sees: interrupted, error, then thinking and the answer."""
    line.types("hello")
    line.speak(200)
    line.agent(live.AgentFailed("agent_lost", "Gone.", retryable=True, asks_again=True))
    assert line.turns() == [(1, True)]
    assert line.states()[-1] == "thinking"
    line.speak(200)
    line.agent(live.ModelTurnComplete())
    line.live(1)
    assert line.turns() == [(1, True), (2, False)]
    assert [one["turn"] for one in line.sent("latency")] == [2]
    assert [one for one in line.actions if isinstance(one, SendText)] == [SendText("hello")]


def test_question_typed_since_a_connection_was_lost_is_none_of_what_was_lost(line: Line) -> None:
    """The failure was noticed before the text came, and is told after it."""
    failed_at = line.now
    line.live(0.1)
    line.types("hello")
    line.agent(live.AgentFailed("agent_lost", "Gone.", retryable=True, at=failed_at))
    assert line.turns() == []
    line.agent(live.AgentFailed("agent_lost", "Gone.", retryable=True, at=line.now))
    assert line.turns() == [(1, True)]


def test_question_that_has_not_reached_the_model_stays_open(line: Line) -> None:
    """A failed attempt to connect ends no turn that will yet be answered."""
    line.types("hello")
    line.agent(live.AgentFailed("agent_lost", "Gone.", retryable=True, keeps_question=True))
    assert line.turns() == []
    assert line.states()[-1] == "thinking"
    line.speak(200)
    line.agent(live.ModelTurnComplete())
    line.live(1)
    assert line.turns() == [(1, False)]


def test_what_was_typed_and_withdrawn_while_the_model_is_away_has_no_answer(line: Line) -> None:
    """Its turn ends at once, and the next answer is the next text's, with its time."""
    line.agent(live.ModelAway())
    line.types("one")
    line.actions += line.conversation.on_user_interrupt(line.now)
    assert line.turns() == [(1, True)]
    line.now += 10.0
    line.types("two")
    line.agent(live.ModelBack())
    line.now += 0.3
    line.speak()
    line.agent(live.ModelTurnComplete())
    line.live(1.0)
    assert line.turns() == [(1, True), (2, False)]
    (latency,) = line.sent("latency")
    assert latency["turn"] == 2
    assert latency["response_ms"] < 1000
