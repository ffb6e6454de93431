"""What callers say about themselves, and how it is found again."""

from __future__ import annotations

import pytest

from rtc_server.local_agent.facts import find_fact, find_question, select_facts


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ("I have two cats.", ("note", "you have two cats")),
        ("I was born in 1984", ("note", "you were born in 1984")),
        ("I'm allergic to peanuts.", ("note", "you are allergic to peanuts")),
        ("Actually, my name is Mary", ("name", "Mary")),
        ("I have a question", None),
        ("I have no idea", None),
        ("I have to go", None),
        ("I'm a bit tired", None),
        ("What is my name?", None),
    ],
)
def test_statement_is_a_fact(said: str, fact: tuple[str, str] | None) -> None:
    assert find_fact(said) == fact


FACTS = {
    "name": "Ada",
    "note 1": "you have two cats",
    "note 2": "the key is under the mat",
    "note 3": "you were born in 1984",
}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("how many cats do i have", "note 1"),
        ("do i have a cat", "note 1"),
        ("where is the key", "note 2"),
        ("when was i born", "note 3"),
    ],
)
def test_note_is_found_by_the_words_of_a_question(asked: str, found: str) -> None:
    about = find_question(asked)
    assert about is not None
    assert list(select_facts(FACTS, about)) == [found]


def test_question_that_no_note_answers_finds_none() -> None:
    about = find_question("who is the president of france")
    assert about is not None
    assert select_facts(FACTS, about) == {}
    assert find_question("what is your favourite colour") is None
    assert find_question("the quick brown fox") is None
