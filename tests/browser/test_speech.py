"""The ears of the browser tests."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.speech import RATE, numbers_in, recognise, word_error_rate


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("17 times 4 is 68.", [17, 4, 68]),
        ("Twenty-five times four is one hundred.", [25, 4, 100]),
        ("one hundred sixty-eight", [168]),
        ("It is one thousand, one hundred and two", [1102]),
        ("1,102", [1102]),
        ("three hundred thirty-sixths", [336]),
        ("two and three", [2, 3]),
        ("Nothing of the sort.", []),
    ],
)
def test_numbers_are_read_in_digits_and_in_words(text: str, numbers: list[int]) -> None:
    assert numbers_in(text) == numbers


def test_word_error_rate_counts_what_is_changed_missing_and_added() -> None:
    assert word_error_rate("He was not ill-disposed", "he was not ill disposed.") == 0
    assert word_error_rate("one two three four", "one too four four five") == 0.75
    assert word_error_rate("one two", "") == 1


def test_nothing_is_recognised_in_silence() -> None:
    assert recognise(np.zeros(2 * RATE, np.int16)) == ""
