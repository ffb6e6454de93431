"""What JSON lacks is written out, and what it has is left alone."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Any

import pytest
from pydantic import BaseModel

from rtc_server.json_values import is_plain_json, json_of, written_out


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float
    seen: set[int]


class Place(BaseModel):
    name: str
    at: datetime.datetime
    note: str | None = None


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("secret")


NOON = datetime.datetime(2026, 1, 2, 12, 0)


@pytest.mark.parametrize(
    "value",
    [None, True, 1, 1.5, "Grüße 日本 😀", [], {"a": [1, {"b": (2, 3)}]}, {"a": {1: "b"}}, "\\"],
)
def test_what_json_has_is_plain_and_written_as_it_is(value: Any) -> None:
    assert is_plain_json(value)
    assert json.loads(json_of(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        ("a\0b\ud800", "a\ufffdb\ufffd"),
        ({"a\ud800": "\0"}, {"a\ufffd": "\ufffd"}),
        ({1: "a", ("b", 2): "c"}, {"1": "a", "('b', 2)": "c"}),
        (b"\0\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        ({1}, [1]),
        (frozenset(), []),
        (NOON, "2026-01-02T12:00:00"),
        (NOON.date(), "2026-01-02"),
        (Colour.RED, "red"),
        (Point(float("inf"), {2}), {"x": None, "seen": [2]}),
        (Place(name="here", at=NOON), {"name": "here", "at": "2026-01-02T12:00:00"}),
        (complex(1, 2), "(1+2j)"),
        (Broken(), "<Broken>"),
        (Place, "<class 'tests.test_json_values.Place'>"),
    ],
)
def test_what_json_lacks_is_written_out(value: Any, written: Any) -> None:
    """Alone, and wherever it stands in what is plain."""
    assert not is_plain_json(value)
    assert not is_plain_json({"a": [value]}) or isinstance(value, dict)
    assert written_out(value) == written
    around = written_out({"a": [value], "b": "plain"})
    assert around == {"a": [written], "b": "plain"}
    assert is_plain_json(around)


def test_what_is_to_be_kept_is_not_touched() -> None:
    """It is said of each how many arrays and objects it lies in."""
    levels: list[int] = []

    def keep(value: Any, level: int) -> bool:
        levels.append(level)
        return isinstance(value, set)

    kept = {1}
    assert written_out({"a": [kept]}, keep=keep)["a"][0] is kept
    assert levels == [0, 1, 2]


def test_what_holds_itself_is_cut_short() -> None:
    value: list[Any] = []
    value.append(value)
    assert written_out(value, depth=2) == [["…"]]
