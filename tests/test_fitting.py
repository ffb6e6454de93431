"""Messages that are larger than a client takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtc_server.messages import (
    Code,
    Confirm,
    Error,
    Picture,
    ServerMessage,
    SessionStateDelta,
    State,
    Text,
    Tool,
    fitted,
)

LIMIT = 4096


def parts(message: ServerMessage) -> list[dict[str, Any]]:
    found = list(fitted(message, LIMIT))
    assert all(text == one.to_json() and len(text.encode()) <= LIMIT for one, text in found)
    return [one.to_dict() for one, _ in found]


def test_message_that_fits_stays() -> None:
    """It is the same object."""
    message = State(state="listening")
    assert list(fitted(message, LIMIT)) == [(message, message.to_json())]


@pytest.mark.parametrize("letter", ["a", "ü", "\u0001", '"', "\U0001f600"])
def test_text_goes_in_pieces_without_loss(letter: str) -> None:
    """However many bytes a character takes in JSON."""
    pieces = parts(Text(data=letter * 5_000, turn=3))
    assert "".join(one["data"] for one in pieces) == letter * 5_000
    assert {one["turn"] for one in pieces} == {3}


def test_what_a_tool_is_given_is_shortened_and_says_so() -> None:
    """A question to the caller keeps what it can of each part."""
    args = {"text": '"' * 9_000}
    (tool,) = parts(Tool(phase="call", id="1", name="write", args=args))
    assert tool["truncated"]
    assert json.dumps(args).startswith(tool["args"])
    (asked,) = parts(
        Confirm(id="1", name="pay", hint="h" * 4096, args=args, payload={"tip": 1}, seconds=60)
    )
    assert asked["truncated"]
    assert asked["payload"] == {"tip": 1}
    assert asked["args"]
    (code,) = parts(Code(turn=1, phase="call", code="x" * 5_000))
    assert code["truncated"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Picture(turn=1, mime_type="image/png", data="A" * 5_000), "picture_too_large"),
        (SessionStateDelta(delta={"notes": "a" * 5_000}), "message_too_large"),
    ],
)
def test_what_can_neither_be_cut_nor_shortened_is_told_of(message: Any, code: str) -> None:
    """By an error that names it."""
    (error,) = parts(message)
    assert (error["type"], error["code"]) == ("error", code)


def test_nothing_comes_of_what_not_even_an_error_fits_for() -> None:
    """A client that takes a dozen bytes takes no message."""
    assert list(fitted(Error(code="a", message="b" * 50, retryable=False), 12)) == []
