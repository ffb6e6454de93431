"""Numbers as people say them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rtc_server.local_agent.numbers import format_number, merge_numbers, tokenize


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("17", 17),
        ("seventeen", 17),
        ("thirty-four", 34),
        ("thirty four", 34),
        ("one hundred and twenty three", 123),
        ("a hundred", 100),
        ("two thousand and five", 2005),
        ("two million three hundred thousand and five", 2_300_005),
        ("17 million", 17_000_000),
        ("2.5 million", 2_500_000),
        ("1,250.5", Fraction(2501, 2)),
        ("point five", Fraction(1, 2)),
        ("three point one four", Fraction("3.14")),
        ("three point oh five", Fraction("3.05")),
        ("seven and a half", Fraction(15, 2)),
        ("three quarters", Fraction(3, 4)),
        ("half", Fraction(1, 2)),
        ("a dozen", 12),
        ("zero", 0),
    ],
)
def test_number_is_read_however_it_is_written(said: str, value: Fraction | int) -> None:
    assert merge_numbers(tokenize(said)) == [Fraction(value)]


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ("five five", [5, 5]),
        ("two nine three four zero", [2, 9, 3, 4, 0]),
        ("What's 17 times 4?", ["what", "is", 17, "times", 4]),
        ("a fox", ["a", "fox"]),
        ("Eight of spades, four of clubs.", [8, "of", "spades", 4, "of", "clubs"]),
        ("10-3", [10, "-", 3]),
        ("20\N{DEGREE SIGN}C", [20, "degrees", "c"]),
    ],
)
def test_words_around_numbers_stay(said: str, tokens: list[str | int]) -> None:
    assert merge_numbers(tokenize(said)) == tokens


@pytest.mark.parametrize(
    ("value", "text", "exact"),
    [
        (Fraction(68), "68", True),
        (Fraction(1024), "1,024", True),
        (Fraction(-4), "minus 4", True),
        (Fraction(25, 2), "12.5", True),
        (Fraction(1, 3), "0.3333", False),
        (Fraction(1, 1000), "0.001", True),
        (Fraction(10) ** 30, "1 times 10 to the power of 30", False),
        (Fraction(1, 10**12), "0", False),
    ],
)
def test_number_is_written_so_that_a_voice_reads_it(
    value: Fraction, text: str, exact: bool
) -> None:
    assert format_number(value) == (text, exact)
