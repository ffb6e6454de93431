"""Sums in words."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rtc_server.local_agent.arithmetic import (
    CannotCalculate,
    evaluate,
    find_expression,
    say_expression,
)


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ("What is seventeen times four?", 68),
        ("What is 17 times 4?", 68),
        ("whats 17 x 4", 68),
        ("17 \N{MULTIPLICATION SIGN} 4 =", 68),
        ("What is seventeen time four.", 68),
        ("seventeen times for", 68),
        ("What is two plus to?", 4),
        ("add 12 and 30", 42),
        ("Add twelve, thirty and five.", 47),
        ("what's 100 divided by 8", Fraction(25, 2)),
        ("divide 100 by 8", Fraction(25, 2)),
        ("ninety nine minus a hundred and one", -2),
        ("subtract five from twelve", 7),
        ("take 3 away from 10", 7),
        ("10 take away 3", 7),
        ("square root of 144", 12),
        ("what is the square root of sixteen plus one", 5),
        ("20 percent of 50", 10),
        ("What is 15% of 80?", 12),
        ("half of 10", 5),
        ("a third of nine", 3),
        ("double 21", 42),
        ("what is nine squared", 81),
        ("2 to the power of ten", 1024),
        ("two plus three times four", 14),
        ("(2+3)*4", 20),
        ("What is minus 5 plus 3", -2),
        ("point five plus 1.25", Fraction(7, 4)),
        ("two million plus one", 2_000_001),
        ("the sum of 3 and 4", 7),
        ("the difference between 9 and 4", 5),
        ("Could you calculate six times seven for me, please?", 42),
    ],
)
def test_sum_is_found_and_worked_out(said: str, result: Fraction | int) -> None:
    expression = find_expression(said)
    assert expression is not None
    assert evaluate(expression) == result


@pytest.mark.parametrize(
    "said",
    [
        "what is my name",
        "what is 5",
        "what time is it",
        "set a timer for ten seconds",
        "eight of spades four of clubs",
        "",
        "two nine three four zero",
    ],
)
def test_what_is_no_sum_is_left_alone(said: str) -> None:
    assert find_expression(said) is None


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("5 / 0", "zero"),
        ("0 ^ -1", "zero"),
        ("sqrt -4", "negative"),
        ("2 ^ 100000", "too large"),
        ("9 ^ 9 ^ 9", "too large"),
        ("__import__('os')", "cannot read"),
        ("1 +", "cannot read"),
        ("1" * 300, "too long"),
    ],
)
def test_what_cannot_be_worked_out_is_said_in_words(expression: str, reason: str) -> None:
    with pytest.raises(CannotCalculate, match=reason):
        evaluate(expression)


def test_root_of_two_is_rounded_not_refused() -> None:
    assert abs(float(evaluate("sqrt 2")) - 2**0.5) < 1e-12


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("17 * 4", "17 times 4"),
        ("sqrt 144", "the square root of 144"),
        ("9 ^ 2", "9 squared"),
        ("20% of 50", "20% of 50"),
        ("(3 + 4) * 5", "3 plus 4, times 5"),
        ("20% off 50", "20% off 50"),
        ("(1 / 3) of 9", "a third of 9"),
        ("1250 + 1", "1,250 plus 1"),
    ],
)
def test_sum_is_read_back_in_words(expression: str, said: str) -> None:
    assert say_expression(expression) == said
