"""Which words were heard."""

from __future__ import annotations

import pytest

from rtc_server.media.playout_ledger import TICK_RATE, TurnLedger

WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliet"


def ledger(*steps: str | float, complete: bool = False) -> TurnLedger:
    """A turn in the order things came: text marks and seconds of audio."""
    turn = TurnLedger()
    for step in steps:
        if isinstance(step, str):
            turn.mark(step)
        else:
            turn.written_ticks += round(step * TICK_RATE)
    turn.complete = complete
    return turn


def heard(turn: TurnLedger, seconds: float) -> str:
    turn.read_ticks = round(seconds * TICK_RATE)
    return turn.heard(1).text


def test_nothing_is_heard_before_audio_is_sent() -> None:
    assert heard(ledger(WORDS, 4.0), 0.0) == ""


def test_text_ahead_of_its_audio_is_spread_over_it() -> None:
    turn = ledger(WORDS, 4.0)
    assert heard(turn, 2.0) == "alpha bravo charlie delta echo"
    assert heard(turn, 4.0) == WORDS


def test_text_ahead_is_spoken_up_to_the_next_mark() -> None:
    """A sentence and its audio, the next sentence and its audio."""
    turn = ledger("one two.", 1.0, "one two. three four.", 3.0)
    assert heard(turn, 0.5) == "one"
    assert heard(turn, 1.0) == "one two."
    assert heard(turn, 2.5) == "one two. three"
    assert heard(turn, 4.0) == "one two. three four."


def test_text_behind_its_audio_is_what_that_audio_said() -> None:
    turn = ledger(1.0, "one two.", 3.0, "one two. three four.")
    assert heard(turn, 0.5) == "one"
    assert heard(turn, 1.0) == "one two."
    assert heard(turn, 2.5) == "one two. three"
    assert heard(turn, 4.0) == "one two. three four."


def test_audio_whose_text_is_not_known_yet_adds_no_words() -> None:
    turn = ledger(1.0, "one two.", 3.0)
    assert heard(turn, 3.0) == "one two."


def test_a_long_text_whose_audio_has_just_begun_is_not_taken_for_spoken() -> None:
    """A voice makes 20 characters a second at most: the first half second is not half the text."""
    turn = ledger(WORDS * 3, 1.0)
    assert heard(turn, 0.5) == "alpha"
    turn.complete = True
    assert len(heard(turn, 0.5)) > 60, "if that is all there is, it was spoken in it"


def test_the_whole_text_is_heard_once_all_of_a_complete_turn_is() -> None:
    turn = ledger(1.0, "one two.", 1.0, "one two. three four. ", complete=True)
    assert heard(turn, 2.0) == "one two. three four."


def test_a_final_copy_of_the_transcript_moves_nothing() -> None:
    turn = ledger(1.0, "one two three four", 3.0, "one two three four")
    assert heard(turn, 0.5) == "one two"
    assert heard(turn, 1.0) == "one two three four"


def test_a_transcript_that_is_corrected_replaces_the_one_before() -> None:
    turn = ledger(1.0, "one too", 1.0, "one two three", 0.5, "One, two.", complete=True)
    assert heard(turn, 2.5) == "One, two."
    assert heard(turn, 0.2) == ""


def test_several_marks_at_one_place_are_one() -> None:
    turn = ledger("one", "one two", "one two three four", 1.0)
    assert heard(turn, 0.5) == "one two"


@pytest.mark.parametrize("mark", ["", "   "])
def test_an_empty_transcript_is_no_words(mark: str) -> None:
    assert heard(ledger(mark, 1.0, complete=True), 0.5) == ""
    assert heard(ledger(mark, 1.0, complete=True), 1.0) == ""


def test_audio_without_transcript_is_no_words() -> None:
    assert heard(ledger(1.0, complete=True), 1.0) == ""


def test_words_are_never_cut() -> None:
    turn = ledger(WORDS, 4.0)
    for step in range(401):
        said = heard(turn, step / 100)
        assert WORDS.startswith(said)
        assert not said or said.split() == WORDS.split()[: len(said.split())]


def test_what_was_heard_never_shrinks_as_more_is_read() -> None:
    for steps in ((WORDS, 4.0), (1.0, WORDS[:20], 3.0, WORDS), (WORDS[:9], 2.0, WORDS, 2.0)):
        turn = ledger(*steps)
        lengths = [len(heard(turn, step / 100)) for step in range(401)]
        assert lengths == sorted(lengths)


def test_scripts_without_spaces_are_cut_between_characters() -> None:
    turn = ledger("今日はとても良い天気です", 1.2)
    assert heard(turn, 0.6) == "今日はとても"


def test_milliseconds_are_those_that_were_read() -> None:
    turn = ledger(1.0)
    turn.read_ticks = 960 * 3
    assert turn.heard(9).ms == 60
    assert turn.heard(9).turn == 9
