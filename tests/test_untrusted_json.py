"""What of JSON from outside is taken: depth, numbers, text."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from rtc_server.messages import (
    ClientToolResult,
    Confirmation,
    MessageError,
    SessionState,
    parse_client_message,
)
from rtc_server.untrusted_json import MAX_DEPTH, UnfitJson, is_deeper_than, parse_json


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (nested(MAX_DEPTH), json.loads(nested(MAX_DEPTH))),
        ('{"a": [1, -2.5, 1e3, true, null, "\\u00fc"]}', {"a": [1, -2.5, 1000.0, True, None, "ü"]}),
        (b'"Gr\xc3\xbc\xc3\x9fe"', "Grüße"),
        ('"\\ud83d\\ude00"', "😀"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775807", -(2**63) + 1),
        ("1e-999", 0.0),
    ],
)
def test_what_every_reader_takes_passes_as_it_is(raw: str | bytes, value: Any) -> None:
    assert parse_json(raw) == value


def test_a_whole_number_of_more_than_64_bits_is_a_float_as_in_javascript() -> None:
    """SQLAlchemy and JSON's other readers know no larger ones."""
    for digits in ("9223372036854775808", "-9223372036854775808", "1" + "0" * 300):
        value = parse_json(digits)
        assert isinstance(value, float)
        assert value == float(digits)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (nested(MAX_DEPTH + 1), "16 arrays"),
        ('{"a":' * 17 + "1" + "}" * 17, "16 arrays"),
        (nested(900), "16 arrays"),
        (nested(100_000), "16 arrays"),
        ("1e999", "number"),
        ('{"a": [-1e999]}', "number"),
        ("1" + "0" * 400, "number"),
        ("1" + "0" * 9000, "number"),
        ("NaN", "JSON"),
        ("[-Infinity]", "JSON"),
        ("{", "JSON"),
        ("", "JSON"),
        (b"\xff", "JSON"),
        ('{"a":1}'.encode("utf-16"), "JSON"),
        ('"\\ud800"', "Unicode"),
        ('{"sdp": "\\uDBFF"}', '"sdp"'),
        ('{"a": {"b": ["\\udc00\\ud800"]}}', '"a"'),
        ('{"a": {"\\ud800": 1}}', '"a"'),
        ('{"\\ud800": 1}', "a field"),
        ('{"a": "\\u0000"}', '"a"'),
        ('{"a": "\ud800"}', '"a"'),
    ],
)
def test_what_some_reader_would_trip_over_is_refused_in_words(raw: str | bytes, words: str) -> None:
    with pytest.raises(UnfitJson, match=words):
        parse_json(raw)


def test_unfit_text_may_be_replaced_wherever_it_stands() -> None:
    """Half a character stands at the end of what JavaScript has cut."""
    raw = '{"\\ud800k": ["a\\ud83d", "b\\u0000c", "\\ud83d\\ude00", 1], "d": {"e": "\\udfff"}}'
    assert parse_json(raw, unfit_text="replace") == {
        "\ufffdk": ["a\ufffd", "b\ufffdc", "😀", 1],
        "d": {"e": "\ufffd"},
    }


def test_an_escape_that_is_escaped_is_text() -> None:
    assert parse_json(r'"\\ud800 \\u0000"') == r"\ud800 \u0000"


def test_depth_is_found_without_recursion() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert is_deeper_than(MAX_DEPTH, deep)
    assert not is_deeper_than(0, 1)
    assert is_deeper_than(0, [])


DEEP = nested(900)


@pytest.mark.parametrize(
    "raw",
    [
        '{"type":"session_state","delta":{"a":%s}}',
        '{"type":"confirm","id":"1","confirmed":true,"payload":%s}',
        '{"type":"client_tool_result","id":"1","result":{"a":%s}}',
        '{"type":"interrupt","of the future":%s}',
    ],
)
@pytest.mark.parametrize("value", [nested(17), DEEP, "1e999", "[NaN]"])
def test_no_place_of_a_message_takes_what_adk_cannot_copy_or_store(raw: str, value: str) -> None:
    """ADK copies the state of a session with ``deepcopy``, at every run from then on."""
    with pytest.raises(MessageError) as refused:
        parse_client_message(raw % value)
    assert refused.value.error.code == "bad_message"


def test_half_a_character_is_replaced_in_every_place_of_a_message() -> None:
    """No database takes it, nor does a model."""
    state = parse_client_message('{"type":"session_state","delta":{"a\\ud800":["\\u0000"]}}')
    assert state == SessionState({"a\ufffd": ["\ufffd"]})
    result = '{"type":"client_tool_result","id":"1","result":{"a":"\\ud800"}}'
    assert parse_client_message(result) == ClientToolResult("1", {"a": "\ufffd"})
    failure = '{"type":"client_tool_result","id":"1","error":"\\ud800"}'
    assert parse_client_message(failure) == ClientToolResult("1", None, "\ufffd")
    answer = '{"type":"confirm","id":"1","confirmed":true,"payload":"\\ud800"}'
    assert parse_client_message(answer) == Confirmation("1", True, "\ufffd")


def test_what_is_taken_can_be_copied() -> None:
    deep = json.loads(nested(MAX_DEPTH - 2))
    message = parse_client_message(json.dumps({"type": "session_state", "delta": {"a": deep}}))
    assert isinstance(message, SessionState)
    assert copy.deepcopy(message.delta) == message.delta
