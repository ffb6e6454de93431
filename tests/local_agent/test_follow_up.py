"""Words that lean on what was said before."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from rtc_server.local_agent.language_model import respond


def calls(*said: str) -> list[tuple[str, dict[str, Any]]]:
    """The tools that the last of ``said`` calls, after the others were answered."""
    contents = []
    for text in said:
        contents.append(types.Content(role="user", parts=[types.Part(text=text)]))
        contents.append(types.Content(role="model", parts=[types.Part(text="An answer.")]))
    return [(call.name, dict(call.args)) for call in respond(contents[:-1]).calls]


@pytest.mark.parametrize(
    ("said", "expression"),
    [
        (("What is 17 times 4?", "And divided by two?"), "68 / 2"),
        (("What is 17 times 4?", "And divided by two.", "plus ten"), "34 + 10"),
        (("What is 3 plus 4?", "What is that squared?"), "7 ^ 2"),
        (("What is 3 plus 4?", "now multiply it by 5"), "7 * 5"),
        (("What is 3 plus 4?", "divide by 2"), "7 / 2"),
        (("What is 3 plus 4?", "add five to that"), "7 + 5"),
        (("What is 3 plus 4?", "subtract two"), "7 - 2"),
        (("What is 3 plus 4?", "half of that"), "0.5 of 7"),
        (("What is 10 divided by 3?", "times three"), "(10 / 3) * 3"),
        (("What is 17 times 4?", "No, I meant times five."), "17 * 5"),
        (("What is 17 times 4?", "No, plus 5"), "17 + 5"),
        (("What is 17 times 4?", "what about five?"), "17 * 5"),
        (("What is 17 times 4?", "What time is it?", "and divided by 2"), "68 / 2"),
        (("What is 17 times 4?", "What is 2 plus 2?"), "2 + 2"),
    ],
)
def test_calculation_goes_on_from_the_last_result(said: tuple[str, ...], expression: str) -> None:
    assert calls(*said) == [("calculate", {"expression": expression})]


@pytest.mark.parametrize(
    ("second", "changed"),
    [
        ("and in inches?", {"to_unit": "inch"}),
        ("And an inches,", {"to_unit": "inch"}),
        ("and to kilometres", {"to_unit": "kilometre"}),
        ("what about three miles", {"value": 3}),
        ("And 20?", {"value": 20}),
        ("and one yard?", {"value": 1, "from_unit": "yard"}),
    ],
)
def test_conversion_takes_another_unit_or_quantity(second: str, changed: dict[str, Any]) -> None:
    first = {"value": 1, "from_unit": "mile", "to_unit": "foot"}
    assert calls("How many feet are in a mile?", second) == [("convert_units", first | changed)]


def test_conversion_does_not_take_a_unit_of_another_measure() -> None:
    assert calls("How many feet are in a mile?", "What is 20 celsius?") == []


FIVE = {"seconds": 300, "label": "", "reminder": False}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("Set a timer.", "Five minutes."), [("set_timer", FIVE)]),
        (("Set a pasta timer.", "for five minutes"), [("set_timer", FIVE | {"label": "pasta"})]),
        (("Set a timer for 5 minutes.", "Cancel it."), [("cancel_timer", {"label": "5 minute"})]),
        (("Set a timer for 5 minutes.", "no, ten minutes"),
         [("cancel_timer", {"label": "5 minute"}), ("set_timer", FIVE | {"seconds": 600})]),
        (("Set a timer for 5 minutes.", "and another one for 10 minutes"),
         [("set_timer", FIVE | {"seconds": 600})]),
        (("Cancel the timer.", "the pasta one"), [("cancel_timer", {"label": "pasta"})]),
        (("Cancel the timer.", "all of them"), [("cancel_timer", {"label": "all"})]),
        (("Cancel the timer.", "set a timer for 5 minutes"), [("set_timer", FIVE)]),
    ],
)  # fmt: skip
def test_timer_is_told_its_time_or_cancelled_in_a_word(
    said: tuple[str, ...], expected: list[tuple[str, dict[str, Any]]]
) -> None:
    assert calls(*said) == expected


def test_another_is_one_more_of_the_same() -> None:
    assert calls("Tell me a story.", "another one") == [("pick_story", {"topic": ""})]
    jokes = [
        respond([types.Content(role="user", parts=[types.Part(text=t)]) for t in said]).text
        for said in (["Tell me a joke."], ["Tell me a joke.", "Another one!"])
    ]
    assert len(set(jokes)) == 2


def test_day_is_asked_for_in_a_word() -> None:
    assert calls("What day is it?", "And tomorrow?") == [("get_date_of", {"day": "tomorrow"})]
    assert calls("What day is it?", "What is 17 times 4?") == [
        ("calculate", {"expression": "17 * 4"})
    ]


def test_name_is_corrected() -> None:
    remembered = [("remember", {"key": "name", "value": "Mary"})]
    assert calls("My name is Maria.", "No, it's Mary.") == remembered
    assert calls("My name is Maria.", "Actually my name is Mary") == remembered


def test_nothing_to_lean_on_is_not_guessed() -> None:
    for text in ("and divided by two", "in inches", "another one", "five minutes", "plus ten"):
        assert calls(text) == []
        assert calls("Hello.", text) == []


def test_sentence_whose_end_comes_after_an_answer_is_understood_as_one() -> None:
    assert calls("What is seventeen times?", "Four.") == [("calculate", {"expression": "17 * 4"})]


def test_sentence_may_lean_on_the_one_before_it_in_the_same_turn() -> None:
    assert calls("What is seven times six? No, I meant times five.") == [
        ("calculate", {"expression": "7 * 6"}),
        ("calculate", {"expression": "7 * 5"}),
    ]
