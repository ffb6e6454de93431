"""The data-channel messages: what is sent, and what of a client's is taken."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from rtc_server.messages import (
    MAX_MESSAGE_BYTES,
    TOOL_JSON_LIMIT_BYTES,
    Activity,
    ClientMessage,
    ClientText,
    Error,
    Image,
    Interrupt,
    MessageError,
    MicrophoneAudio,
    Mute,
    Ping,
    Pong,
    SessionState,
    SessionStateDelta,
    Text,
    Tool,
    Transcript,
    Turn,
    parse_client_message,
)

PCM = b"\1\0\2\0"
PCM_BASE64 = base64.b64encode(PCM).decode()


def refusal(raw: str | bytes) -> Error:
    with pytest.raises(MessageError) as caught:
        parse_client_message(raw)
    return caught.value.error


class TestServerMessages:
    def test_a_message_starts_with_its_type_and_leaves_out_what_is_none(self) -> None:
        message = Turn(turn=1, turn_complete=True, interrupted=False)
        assert message.to_json() == (
            '{"type":"turn","turn":1,"turn_complete":true,"interrupted":false}'
        )

    def test_what_was_heard_is_kept_when_it_is_nothing(self) -> None:
        message = Turn(turn=1, turn_complete=True, interrupted=True, heard_ms=0, heard_text="")
        assert message.to_dict()["heard_ms"] == 0
        assert message.to_dict()["heard_text"] == ""

    def test_text_carries_the_fields_of_the_websocket_sample(self) -> None:
        assert Text(data="hi", turn=2).to_dict() == {
            "type": "text",
            "mime_type": "text/plain",
            "data": "hi",
            "turn": 2,
        }

    def test_letters_of_any_script_are_written_as_they_are(self) -> None:
        message = Transcript(role="user", text="Grüße 日本", final=True, turn=1)
        assert "Grüße 日本" in message.to_json()

    def test_what_is_not_json_is_written_as_json_that_every_browser_reads(self) -> None:
        """A tool of the agent may return anything."""
        result = {"nan": float("nan"), ("a", 1): {1}, "at": object, "half": "\ud83d"}
        shown, cut = Tool.shortened(result)
        assert not cut
        text = Tool(phase="result", id="1", name="odd", result=shown).to_json()
        assert text.encode()
        body = json.loads(text, parse_constant=pytest.fail)["result"]
        assert body["nan"] is None
        assert body["('a', 1)"] == [1]
        assert body["half"] == "\ufffd"

    def test_a_result_that_holds_itself_is_cut_short(self) -> None:
        result: dict[str, Any] = {}
        result["self"] = result
        assert "…" in json.dumps(Tool.shortened(result)[0], ensure_ascii=False)

    def test_the_session_state_may_hold_what_json_lacks(self) -> None:
        text = SessionStateDelta(delta={"seen": {1}, "rate": float("inf")}).to_json()
        assert json.loads(text)["delta"] == {"seen": [1], "rate": None}

    def test_a_pong_carries_the_number_of_its_ping(self) -> None:
        ping = parse_client_message('{"type":"ping","t":12.5}')
        assert isinstance(ping, Ping)
        assert Pong(t=ping.t).to_json() == '{"type":"pong","t":12.5}'

    def test_a_small_tool_result_is_not_shortened(self) -> None:
        assert Tool.shortened({"sum": 42}) == ({"sum": 42}, False)

    def test_a_large_tool_result_is_shortened_within_whole_characters(self) -> None:
        text, truncated = Tool.shortened({"text": "€" * TOOL_JSON_LIMIT_BYTES})
        assert truncated
        assert len(text.encode()) <= TOOL_JSON_LIMIT_BYTES
        assert text.endswith("€")

    def test_a_tool_result_that_is_no_json_is_sent_as_its_text(self) -> None:
        value, truncated = Tool.shortened({"path": complex(1, 2)})
        assert (value, truncated) == ({"path": "(1+2j)"}, False)

    def test_a_tool_result_too_deep_for_json_is_sent_as_far_as_it_goes(self) -> None:
        deep: Any = 1
        for _ in range(2000):
            deep = [deep]
            Tool.shortened(deep)
        value, truncated = Tool.shortened({"a": deep})
        assert (value, truncated) == ({"a": json.loads("[" * 11 + '"…"' + "]" * 11)}, False)
        assert "…" in SessionStateDelta(delta={"a": deep}).to_json()


class TestClientMessages:
    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            ({"type": "text", "mime_type": "text/plain", "data": "hi"}, ClientText("hi")),
            ({"type": "text", "data": " hi "}, ClientText(" hi ")),
            ({"mime_type": "text/plain", "data": "hi"}, ClientText("hi")),
            ({"mime_type": "audio/pcm", "data": PCM_BASE64}, MicrophoneAudio(PCM)),
            ({"mime_type": "audio/pcm;rate=16000", "data": PCM_BASE64}, MicrophoneAudio(PCM)),
            (
                {"type": "image", "mime_type": "image/png", "data": PCM_BASE64},
                Image("image/png", PCM),
            ),
            ({"type": "activity", "state": "start"}, Activity("start")),
            ({"type": "mute", "muted": True}, Mute(True)),
            ({"type": "interrupt"}, Interrupt()),
            ({"type": "session_state", "delta": {"k": 1}}, SessionState({"k": 1})),
            ({"type": "ping", "t": 1}, Ping(1)),
        ],
    )
    def test_every_message_of_the_contract_is_taken(
        self, raw: dict[str, Any], message: ClientMessage
    ) -> None:
        assert parse_client_message(json.dumps(raw)) == message

    def test_bytes_are_taken_as_utf_8(self) -> None:
        raw = '{"type":"text","data":"Grüße"}'
        assert parse_client_message(raw.encode()) == ClientText("Grüße")

    def test_unknown_fields_are_ignored(self) -> None:
        assert parse_client_message('{"type":"interrupt","why":"bored"}') == Interrupt()

    def test_half_a_character_in_a_text_becomes_a_replacement_character(self) -> None:
        assert parse_client_message('{"type":"text","data":"a\\ud800"}') == ClientText("a\ufffd")

    @pytest.mark.parametrize(
        "raw",
        [
            "",
            "hello",
            "[]",
            "7",
            "null",
            '"text"',
            "{}",
            b"\xff\xfe\xfd",
            "[" * 100_000,
            '{"type":7}',
            '{"type":null}',
            '{"type":"text"}',
            '{"type":"text","data":7}',
            '{"type":"text","data":"  "}',
            '{"type":"image","mime_type":"image/png","data":"?"}',
            '{"mime_type":"audio/pcm","data":7}',
            '{"type":"activity","state":"pause"}',
            '{"type":"mute","muted":1}',
            '{"type":"session_state","delta":[]}',
            '{"type":"ping","t":true}',
            '{"type":"ping","t":"1"}',
            '{"type":"ping"}',
            '{"type":"image","mime_type":"image/png","data":""}',
            '{"type":"ping","t":1e999}',
            '{"type":"ping","t":1' + "0" * 400 + "}",
            '{"type":"ping","t":1' + "0" * 9000 + "}",
        ],
    )
    def test_what_is_malformed_is_a_bad_message(self, raw: str | bytes) -> None:
        assert refusal(raw).code == "bad_message"

    @pytest.mark.parametrize(
        "raw",
        [
            '{"type":"dance"}',
            '{"type":"text","mime_type":"text/html","data":"hi"}',
            '{"type":"image","mime_type":"image/tiff","data":""}',
            '{"mime_type":"video/mp4","data":""}',
            '{"mime_type":7,"data":""}',
        ],
    )
    def test_what_is_unknown_is_an_unknown_type(self, raw: str) -> None:
        assert refusal(raw).code == "unknown_type"

    def test_the_size_is_counted_in_bytes_of_utf_8(self) -> None:
        fits = '{"type":"dance","data":"' + "€" * 80_000 + '"}'
        assert refusal(fits).code == "unknown_type"
        assert refusal('"' + "€" * (MAX_MESSAGE_BYTES // 3) + '"').code == "too_large"

    def test_a_text_may_fill_its_message(self) -> None:
        text = "x" * (MAX_MESSAGE_BYTES - 40)
        raw = json.dumps({"type": "text", "data": text})
        assert parse_client_message(raw) == ClientText(text)
        assert refusal(raw + " " * 40).code == "too_large"

    def test_a_refusal_does_not_repeat_what_was_sent(self) -> None:
        for raw in ('{"type":"SENTINEL"}', "SENTINEL", '{"mime_type":"SENTINEL"}'):
            assert "SENTINEL" not in refusal(raw).to_json()

    def test_garbage_is_refused_and_never_another_error(self) -> None:
        draw = random.Random(11)
        valid = b'{"type":"text","mime_type":"text/plain","data":"What is the time?"}'
        for _ in range(2000):
            damaged = bytearray(valid)
            for _ in range(draw.randrange(1, 4)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            try:
                parse_client_message(bytes(damaged))
            except MessageError:
                continue


def test_audio_comes_in_the_form_of_the_sample_only() -> None:
    """The contract has no type of that name."""
    with pytest.raises(MessageError) as refused:
        parse_client_message('{"type":"audio","mime_type":"audio/pcm","data":"AAA="}')
    assert refused.value.error.code == "unknown_type"
