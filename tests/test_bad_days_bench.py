"""The bench of bad days counts what it says: a caller's books, and the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from benches.bad_day_callers import OPEN_S, Report, question, silence
from benches.bad_days import (
    Footprint,
    Growth,
    Run,
    broken_by_outages,
    broken_by_reconnects,
    growth,
    judge,
    most_in,
    most_in_outages,
)
from benches.call_account import WORD_S, CallAccount, Outcome
from benches.weighed_server import Weight, held
from rtc_server.agent.models.circuit_breaker import BreakerRules
from rtc_server.lost_speech import LostSpeech
from rtc_server.media.opus import OpusDecoder
from rtc_server.media.speech_detector import FRAME_BYTES, SpeechDetector

PATIENCE_S = 10.0


def turn(interrupted: bool = False) -> dict[str, Any]:
    return {"type": "turn", "turn": 1, "turn_complete": True, "interrupted": interrupted}


def error(code: str = "agent_lost", retryable: bool = True) -> dict[str, Any]:
    return {"type": "error", "code": code, "message": "-", "retryable": retryable}


def model(state: str) -> dict[str, Any]:
    return {"type": "model", "state": state}


def books(
    *messages: dict[str, Any], cut: bool = False, aloud: bool = False, after_s: float = 1.0
) -> CallAccount:
    """A call in which one question was asked at 0, and then these messages came."""
    account = CallAccount(PATIENCE_S)
    account.ask(0.0, is_aloud=aloud)
    if cut:
        account.cut()
    for number, message in enumerate(messages, 1):
        account.on_message(message, number * after_s)
    return account


@pytest.mark.parametrize(
    ("account", "outcome"),
    [
        (books(turn()), Outcome.ANSWERED),
        (books(turn(interrupted=True), error()), Outcome.LOST),
        (books(error(), turn(interrupted=True)), Outcome.LOST),
        (books(error(), turn()), Outcome.ANSWERED),
        (books(error("agent_timeout")), Outcome.LOST),
        (books(turn(interrupted=True), cut=True), Outcome.CUT),
        (books(turn(interrupted=True)), None),
        (books({"type": "state", "state": "thinking"}), None),
    ],
)
def test_what_became_of_a_turn(account: CallAccount, outcome: Outcome | None) -> None:
    assert account.turns[0].outcome is outcome


def test_an_interruption_without_a_word_is_a_broken_promise() -> None:
    account = books(turn(interrupted=True))
    account.tick(1.0 + WORD_S)
    assert account.is_waiting
    account.tick(1.1 + WORD_S)
    assert account.turns[0].outcome is Outcome.UNTOLD


def typed_over() -> CallAccount:
    """A second question, while the first is being answered."""
    account = CallAccount(PATIENCE_S)
    account.on_message({"type": "state", "state": "speaking"}, 0.0)
    account.ask(0.0)
    return account


def test_a_question_over_another_one_interrupts_that_and_is_answered() -> None:
    account = typed_over()
    account.on_message(turn(interrupted=True), 0.1)
    account.tick(1.0 + WORD_S)
    assert account.is_waiting
    account.on_message(turn(), 5.0)
    assert account.turns[0].outcome is Outcome.ANSWERED


def test_an_error_that_goes_with_the_interruption_is_of_both_questions() -> None:
    account = typed_over()
    account.on_message(turn(interrupted=True), 0.1)
    account.on_message(error("agent_reconnected"), 0.1)
    assert account.turns[0].outcome is Outcome.LOST


def test_a_cut_is_a_cut_though_it_was_typed_over() -> None:
    account = typed_over()
    account.cut()
    account.on_message(turn(interrupted=True), 0.1)
    assert account.turns[0].outcome is Outcome.CUT


def test_silence_beyond_the_watchdogs_time_is_a_broken_promise() -> None:
    account = books({"type": "transcript"})
    account.on_message({"type": "state", "state": "thinking"}, 9.0)  # tells the caller nothing new
    account.tick(11.0)
    assert account.is_waiting
    account.tick(11.1)
    assert account.turns[0].outcome is Outcome.SILENT
    assert account.turns[0].silent_s == pytest.approx(10.1)


@pytest.mark.parametrize("aloud", [False, True], ids=["typed", "aloud"])
@pytest.mark.parametrize("code", ["agent_reconnected", "agent_lost", "agent_unreachable"])
def test_an_error_is_no_excuse_for_the_silence_after_it(aloud: bool, code: str) -> None:
    account = books(error(code), aloud=aloud)
    account.tick(11.0)
    assert account.is_waiting
    account.tick(11.1)
    assert account.turns[0].outcome is Outcome.SILENT


def test_neither_is_it_for_an_interruption_long_after_it() -> None:
    account = books(error("agent_reconnected"))
    account.on_message(turn(interrupted=True), 1.1 + WORD_S)
    account.tick(1.2 + 2 * WORD_S)
    assert account.turns[0].outcome is Outcome.UNTOLD


def test_what_is_said_aloud_while_the_model_is_away_is_owed_a_word_too() -> None:
    account = books(model("away"), model("back"), aloud=True)
    account.tick(12.1)
    assert account.turns[0].outcome is Outcome.SILENT


def test_what_was_not_heard_is_lost_unless_the_rest_of_it_is_answered() -> None:
    words = model("away"), model("back"), error("speech_not_heard")
    account = books(*words, aloud=True)
    account.tick(3.0 + WORD_S)
    assert account.is_waiting
    account.tick(3.1 + WORD_S)
    assert account.turns[0].outcome is Outcome.LOST
    account = books(*words, {"type": "transcript"}, turn(), aloud=True)
    assert account.turns[0].outcome is Outcome.ANSWERED


def test_a_typed_question_is_not_lost_with_speech() -> None:
    account = books(error("speech_not_heard"))
    account.tick(11.1)
    assert account.turns[0].outcome is Outcome.SILENT


def test_a_question_that_is_withdrawn_before_it_was_heard_is_cut() -> None:
    """One that is cut while the agent thinks is owed a word."""
    account = books(cut=True)
    account.tick(WORD_S)
    assert account.is_waiting
    account.tick(0.1 + WORD_S)
    assert account.turns[0].outcome is Outcome.CUT
    account = books({"type": "state", "state": "thinking"})
    account.cut()
    account.tick(12.0)
    assert account.turns[0].outcome is Outcome.SILENT


def test_a_call_that_ends_says_why_or_breaks_a_promise() -> None:
    told = books(error("agent_unreachable", retryable=False))
    told.on_end(2.0)
    assert (told.turns[0].outcome, told.last_word) == (Outcome.ENDED, "agent_unreachable")
    untold = books()
    untold.on_end(2.0)
    assert untold.turns[0].outcome is Outcome.UNTOLD


def test_an_answer_that_nobody_asked_for_is_counted() -> None:
    account = books(turn(), turn())
    assert account.unasked == 1


def judged_speech_ms(packets: Sequence[bytes]) -> int:
    decoder, detector = OpusDecoder(), SpeechDetector()
    pcm = b"".join(map(decoder.decode, packets))
    whole = range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)
    return 20 * sum(detector.push(pcm[at : at + FRAME_BYTES]) for at in whole)


def test_what_the_callers_say_is_a_sentence_to_the_server_if_their_microphone_was_open() -> None:
    """Else it hears nothing but a noise floor: it would owe them no word of what is lost."""
    said = question()[:60]
    before = silence()[: round(OPEN_S / 0.02)]
    assert judged_speech_ms([*before, *said]) == pytest.approx(800, abs=60)
    assert judged_speech_ms(said) < LostSpeech.LEAST_MS


def test_the_most_connections_in_a_window_are_held_to_the_cap() -> None:
    times = [0.0, 0.1, 0.2, 5.0, 5.9, 6.0]
    assert most_in(times, 1.0) == 3
    assert most_in([], 1.0) == 0
    rules = BreakerRules(connects_per_s=1.0, burst=2)
    assert broken_by_reconnects(times, rules) == []
    assert len(broken_by_reconnects([*times, 6.0, 6.0], rules)) == 1


def test_a_model_that_is_known_to_be_away_is_only_probed() -> None:
    """In the second half of an outage, with pauses of 0.5, 1, 2 s at least: three times in 3 s."""
    rules = BreakerRules()
    first_half = [10.0 + n / 100 for n in range(40)]
    probes = [13.0, 14.0, 16.0]
    outages = [(10.0, 6.0)]
    assert most_in_outages([*first_half, *probes, 16.1], outages) == 3
    assert broken_by_outages([*first_half, *probes], outages, rules) == []
    assert len(broken_by_outages([*first_half, *probes, 15.9], outages, rules)) == 1
    assert broken_by_outages([], [], rules) == []


def seen(**changes: Any) -> Run:
    """What was seen of a run in which no promise was broken."""
    report = Report(
        calls=1,
        refused=0,
        turns=1,
        outcomes={"answered": 1},
        errors={},
        ends={},
        unasked=0,
        worst_lateness_s=0.0,
        late_share=0.0,
        longest_silence_s=1.0,
        silences_s=(1.0, 1.0),
        broken=[],
        stories=[],
    )
    quiet = Footprint(0.0, 100.0, 4, 50, 0)
    run = Run(
        report=report,
        prints=[quiet],
        weights=[Weight(0.0, 100.0, 0, 1.0, 5_000), Weight(240.0, 101.0, 9, 1.5, 5_100)],
        waited={},
        before=quiet,
        after=quiet,
        stand_in={"attempted_at": [1.0], "refused_at": [], "outages": [[10.0, 6.0]]},
    )
    return replace(run, **changes)


STORM = [13.0 + n / 10 for n in range(30)]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, 0),
        ({"stand_in": {"attempted_at": [], "refused_at": STORM, "outages": [[10.0, 6.0]]}}, 1),
        ({"stand_in": {"attempted_at": [], "refused_at": STORM, "outages": []}}, 0),
        ({"stand_in": {"attempted_at": [], "refused_at": [1.0] * 51, "outages": []}}, 1),
        ({"after": Footprint(0.0, 100.0, 4, 90, 0)}, 1),
        ({"after": Footprint(0.0, 100.0, 44, 50, 0)}, 1),
        ({"weights": [Weight(0.0, 1.0, 0, 1.0, 0), Weight(240.0, 1.0, 0, 1.0, 9_000)]}, 1),
    ],
)
def test_a_run_is_judged_by_all_that_was_seen(changes: dict[str, Any], broken: int) -> None:
    assert len(judge(seen(**changes))[1]) == broken


def test_growth_is_that_of_weights_and_what_events_hold_is_history() -> None:
    weights = [
        Weight(0.0, 100.0, 0, 1.0, 50_000),
        Weight(60.0, 150.0, 500, 2.0, 50_100),
        Weight(120.0, 110.0, 1000, 3.0, 50_020),
    ]
    assert growth(weights) == Growth(mb=5.0, history_mb=1.0, objects=10.0)


@pytest.mark.parametrize(
    ("grown", "broken"),
    [
        (Growth(mb=5.9, history_mb=4.0, objects=490.0), 0),
        (Growth(mb=6.1, history_mb=4.0, objects=490.0), 1),
        (Growth(mb=5.9, history_mb=4.0, objects=510.0), 1),
    ],
)
def test_what_grows_and_is_no_history_is_a_leak(grown: Growth, broken: int) -> None:
    assert len(grown.broken) == broken


def test_what_hangs_on_an_object_is_weighed_once() -> None:
    """Lists in two places, and no class."""
    shared = [bytes(100_000)]
    assert 100_000 <= sum(held([{"a": shared}, {"b": shared}]).values()) < 102_000
    assert not held([dict, held])
