"""An answer that is overdue, on a manual clock: the turn that is lost is told, and then why."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_server.actions import RenewModel, SendText
from rtc_server.agent import live_events as live
from rtc_server.messages import Error, Turn

from .conversation_stage import RATE, TONE_20_MS, Stage

PATIENCE_S = 30
"""The watchdog's time, if nobody says otherwise."""

LATE: list[list[live.LiveEvent]] = [
    [live.AgentAudio(TONE_20_MS, RATE)],
    [live.AgentTranscript("late", "late", final=False)],
    [live.AgentText("late")],
    [live.ToolCalled("1", "late", {}), live.ToolReturned("1", "late", {})],
    [live.ModelInterrupted()],
    [live.ModelTurnComplete()],
    [live.AgentAudio(TONE_20_MS, RATE), live.ModelTurnComplete()],
]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def endings(stage: Stage) -> list[Any]:
    """What is said of turns and failures, and done about them, in order."""
    told: list[Any] = []
    for one in stage.actions:
        match one:
            case Turn():
                told.append((one.turn, one.interrupted, one.heard_ms, one.heard_text))
            case Error():
                told.append((one.code, one.retryable))
            case RenewModel():
                told.append("renewed")
    return told


NOTHING_HEARD = (1, True, 0, "")
TIMED_OUT = [("agent_timeout", True), "renewed"]


def speaks_half(stage: Stage) -> None:
    """The agent says 400 ms of its answer, which are heard, and stops."""
    stage.speak(400)
    stage.say("One, two")
    stage.play(600)


def test_an_answer_that_stops_halfway_is_told_to_be_cut_and_then_why(stage: Stage) -> None:
    """Nobody takes the half of it for the whole: not the page, the history or the trace."""
    stage.types("Count.")
    speaks_half(stage)
    stage.wait(PATIENCE_S + 1)
    assert endings(stage) == [(1, True, 400, "One, two"), *TIMED_OUT]
    assert stage.states()[-1] == "listening"
    (*_, final) = stage.sent("transcript")
    assert (final["text"], final["final"]) == ("One, two", True)


def test_of_an_answer_that_stops_ahead_of_its_words_those_heard_are_told(stage: Stage) -> None:
    """A transcript may know more than was spoken."""
    stage.types("Count.")
    stage.say("one two three four five six seven eight nine ten")
    stage.speak(200)
    stage.play(400)
    stage.wait(PATIENCE_S + 1)
    ((_, interrupted, heard_ms, heard_text), *_) = endings(stage)
    assert (interrupted, heard_ms) == (True, 200)
    assert heard_text in ("one", "")


def test_an_answer_that_never_begins_is_told_as_a_turn_that_is_lost(stage: Stage) -> None:
    """Once, however long it goes on."""
    stage.types("Count.")
    stage.wait(3 * PATIENCE_S)
    assert endings(stage) == [NOTHING_HEARD, *TIMED_OUT]
    assert stage.states()[-1] == "listening"


@pytest.mark.parametrize("final", [True, False])
def test_a_spoken_turn_that_is_never_answered_is_told_as_a_turn_that_is_lost(
    stage: Stage, final: bool
) -> None:
    """Its transcript is told to its end before."""
    stage.user_speaks()
    stage.user_says("Count", final=final)
    stage.wait(2 * PATIENCE_S + 1)
    assert endings(stage) == [NOTHING_HEARD, *TIMED_OUT]
    (*_, said) = stage.sent("transcript")
    assert (said["role"], said["turn"], said["final"]) == ("user", 1, True)


def test_in_a_text_call_the_text_that_was_sent_is_what_was_heard() -> None:
    stage = Stage(modality="text")
    stage.types("Count.")
    stage.agent(live.AgentText("One, "), live.AgentText("two"))
    stage.wait(PATIENCE_S + 1)
    assert endings(stage) == [(1, True, 0, "One, two"), *TIMED_OUT]


def test_a_turn_over_an_answer_that_has_stopped_is_lost_with_it(stage: Stage) -> None:
    """The connection is renewed: the question that it had taken is gone as well."""
    stage.types("Count.")
    speaks_half(stage)
    stage.wait(PATIENCE_S - 2)
    stage.user_speaks()
    stage.user_says("And on", final=False)
    stage.wait(3)
    assert endings(stage) == [(1, True, 400, "One, two"), (2, True, 0, ""), *TIMED_OUT]
    stage.wait(2 * PATIENCE_S)
    assert len(stage.sent("error")) == 1


@pytest.mark.parametrize("late", LATE, ids=lambda late: type(late[0]).__name__)
@pytest.mark.parametrize("begun", [True, False], ids=["half said", "never begun"])
def test_what_the_model_says_late_is_no_answer_to_the_next_question(
    stage: Stage, begun: bool, late: list[live.LiveEvent]
) -> None:
    """It is on its way when the turn is given up; the next connection speaks of the next turn."""
    stage.types("Count.")
    if begun:
        speaks_half(stage)
    stage.wait(PATIENCE_S + 1)
    told = endings(stage)
    stage.agent(*late)
    assert stage.play(200) == 0
    assert endings(stage) == told
    stage.agent(live.ModelAway(), live.ModelBack())
    stage.types("And now?")
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    assert endings(stage)[len(told) :] == [(2, False, None, None)]


def test_a_text_that_waits_for_the_end_of_an_answer_is_put_when_that_is_given_up() -> None:
    """And after the connection is renewed, so that it is not lost with it."""
    stage = Stage(rules={"text_during_speech": "queue"})
    stage.types("Count.")
    stage.types("And now?")
    stage.wait(PATIENCE_S + 1)
    done = [one for one in stage.actions if isinstance(one, RenewModel | SendText)]
    assert done == [SendText("Count."), RenewModel(), SendText("And now?")]
    stage.agent(live.ModelAway(), live.ModelBack())
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(200)
    assert stage.turns() == [(1, True), (2, False)]


def test_of_a_model_that_may_stay_silent_no_turn_is_lost() -> None:
    """It owes no answer."""
    stage = Stage(rules={"may_stay_silent": True})
    stage.types("Count.")
    stage.wait(PATIENCE_S + 1)
    assert endings(stage) == []
