"""The data-channel messages of the public contract, both directions.

Server messages are small frozen dataclasses with ``to_json()``; client messages
are parsed by :func:`parse_client_message`.  Absent optional fields are left out of
the JSON.  Source: ``docs/contract.md``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, NoReturn, TypeGuard

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Activity",
    "Agent",
    "ClientMessage",
    "ClientText",
    "Error",
    "GoAway",
    "Image",
    "Interrupt",
    "Latency",
    "MessageError",
    "MicrophoneAudio",
    "Mute",
    "Ping",
    "Pong",
    "Ready",
    "ServerMessage",
    "SessionState",
    "SessionStateDelta",
    "State",
    "Text",
    "Tool",
    "Transcript",
    "Turn",
    "Usage",
    "parse_client_message",
]

MAX_MESSAGE_BYTES = 256 * 1024
"""A data-channel message may have this many bytes of UTF-8."""

MAX_TEXT_CHARACTERS = 32 * 1024
"""A typed text turn may have this many characters."""

TOOL_JSON_LIMIT_BYTES = 16 * 1024
"""``args`` and ``result`` of a tool message are shortened above this size."""


# --------------------------------------------------------------------------
# Server to client
# --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMessage:
    """One JSON object from the server; ``None`` fields are absent on the wire."""

    type: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The message as a JSON-serialisable dictionary."""
        body: dict[str, Any] = {"type": self.type}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None:
                body[one.name] = value
        return body

    def to_json(self) -> str:
        """The message as it goes over the data channel."""
        return _dumps(self.to_dict(), separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(ServerMessage):
    """First message of every call."""

    type: ClassVar[str] = "ready"
    call_id: str
    session_id: str
    agent: str
    modality: Literal["audio", "text"]
    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class State(ServerMessage):
    """What the agent is doing; ``speaking`` spans the time its audio is on the wire."""

    type: ClassVar[str] = "state"
    state: Literal["initializing", "listening", "thinking", "speaking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(ServerMessage):
    """A piece of the agent's text answer, never sent twice."""

    type: ClassVar[str] = "text"
    data: str
    turn: int
    mime_type: str = "text/plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript(ServerMessage):
    """The whole of an utterance so far; a later one replaces it."""

    type: ClassVar[str] = "transcript"
    role: Literal["user", "agent"]
    text: str
    final: bool
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(ServerMessage):
    """The end of answer ``turn``, after its last audio was sent or flushed."""

    type: ClassVar[str] = "turn"
    turn: int
    turn_complete: bool
    interrupted: bool
    heard_ms: int | None = None
    heard_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(ServerMessage):
    """The agent's tool use."""

    type: ClassVar[str] = "tool"
    phase: Literal["call", "result", "cancelled"]
    id: str
    name: str
    args: Any = None
    result: Any = None
    truncated: bool | None = None

    @staticmethod
    def shortened(value: Any) -> tuple[Any, bool]:
        """``value`` if its JSON fits 16 KiB, else its JSON's beginning as a string."""
        text = _dumps(value)
        raw = text.encode()
        if len(raw) <= TOOL_JSON_LIMIT_BYTES:
            return json.loads(text), False
        return raw[:TOOL_JSON_LIMIT_BYTES].decode(errors="ignore"), True


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStateDelta(ServerMessage):
    """The agent changed keys of the session state that the operator allows."""

    type: ClassVar[str] = "session_state"
    delta: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(ServerMessage):
    """Another agent took over."""

    type: ClassVar[str] = "agent"
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(ServerMessage):
    """The timings of an answer in milliseconds, as ``docs/contract.md`` defines them."""

    type: ClassVar[str] = "latency"
    turn: int
    response_ms: float | None = None
    endpoint_ms: float | None = None
    agent_ms: float | None = None
    playout_ms: float | None = None
    uplink_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(ServerMessage):
    """Token counts of an answer, where the model reports them."""

    type: ClassVar[str] = "usage"
    turn: int
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(ServerMessage):
    """What went wrong, in words for a person."""

    type: ClassVar[str] = "error"
    code: str
    message: str
    retryable: bool
    dropped: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway(ServerMessage):
    """The call will end in ``seconds``."""

    type: ClassVar[str] = "goaway"
    reason: Literal["drain", "max_duration", "idle", "replaced"]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(ServerMessage):
    """The answer to a ping, with the same ``t``."""

    type: ClassVar[str] = "pong"
    t: float


# --------------------------------------------------------------------------
# Client to server
# --------------------------------------------------------------------------


class MessageError(Exception):
    """A client message that cannot be taken; ``error`` is what the client is told."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = Error(code=code, message=message, retryable=False)


@dataclass(frozen=True, slots=True)
class ClientText:
    """A user's text turn."""

    text: str


@dataclass(frozen=True, slots=True)
class MicrophoneAudio:
    """16 kHz mono s16 little-endian PCM, for a call without an audio section."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Image:
    """A picture for the agent."""

    mime_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Activity:
    """Push-to-talk: the user's activity starts or ends."""

    state: Literal["start", "end"]


@dataclass(frozen=True, slots=True)
class Mute:
    """The microphone was muted or opened."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop speaking now."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """A change to the ADK session state."""

    delta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered by a pong with the same number."""

    t: float


ClientMessage = (
    ClientText | MicrophoneAudio | Image | Activity | Mute | Interrupt | SessionState | Ping
)


def _dumps(value: Any, **options: Any) -> str:
    """JSON of what an agent's tool or session state may hold, which need not be JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    except (TypeError, ValueError):
        text = json.dumps(_json_value(value), ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair is to be met in streamed text: JSON can only escape it.
        text = json.dumps(json.loads(text), **options)
    return text


def _json_value(value: Any, depth: int = 12) -> Any:
    """``value`` with what JSON lacks written out: keys and objects as strings, NaN as null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _json_value(one, depth - 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(one, depth - 1) for one in value]
    return str(value)


def parse_client_message(raw: str | bytes) -> ClientMessage:
    """Parse one data-channel message of a client.

    Args:
        raw: the message as it arrived; bytes are taken as UTF-8.

    Raises:
        MessageError: with code ``too_large``, ``bad_message`` or ``unknown_type``.
    """
    size = len(raw) if isinstance(raw, bytes) else len(raw.encode(errors="surrogatepass"))
    if size > MAX_MESSAGE_BYTES:
        raise MessageError("too_large", f"A message may have {MAX_MESSAGE_BYTES} bytes at most.")
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MessageError("bad_message", "The message is not JSON in UTF-8.") from None
    if not isinstance(body, dict):
        raise MessageError("bad_message", "The message is not a JSON object.")

    kind = body.get("type")
    if kind is None:
        return _sample_form(body)
    if not isinstance(kind, str):
        raise MessageError("bad_message", "The message's type is not a string.")
    match kind:
        case "text":
            mime_type = body.get("mime_type", "text/plain")
            if mime_type != "text/plain":
                raise MessageError("unknown_type", "A text message carries text/plain.")
            return ClientText(_text(body))
        case "image":
            mime_type = body.get("mime_type")
            if mime_type not in ("image/jpeg", "image/png", "image/webp"):
                raise MessageError(
                    "unknown_type", "An image is image/jpeg, image/png or image/webp."
                )
            data = _base64(body)
            if not data:
                raise MessageError("bad_message", "The image is empty.")
            return Image(mime_type, data)
        case "activity":
            state = body.get("state")
            if state not in ("start", "end"):
                raise MessageError("bad_message", 'An activity is "start" or "end".')
            return Activity(state)
        case "mute":
            muted = body.get("muted")
            if not isinstance(muted, bool):
                raise MessageError("bad_message", '"muted" is true or false.')
            return Mute(muted)
        case "interrupt":
            return Interrupt()
        case "session_state":
            delta = body.get("delta")
            if not isinstance(delta, dict):
                raise MessageError("bad_message", '"delta" is an object.')
            return SessionState(delta)
        case "ping":
            t = body.get("t")
            if not _is_number(t):
                raise MessageError("bad_message", '"t" is a number.')
            return Ping(t)
        case _:
            raise MessageError("unknown_type", "The server does not know this type of message.")


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number that JavaScript has, too: JSON's whole numbers know no bound."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _refuse_constant(name: str) -> NoReturn:
    """Python's json takes NaN and Infinity, which are not JSON (RFC 8259, section 6)."""
    raise ValueError(name)


def _sample_form(body: dict[str, Any]) -> ClientMessage:
    """A message in the form of ADK's WebSocket sample, without ``type``."""
    mime_type = body.get("mime_type")
    if mime_type is None:
        raise MessageError("bad_message", "The message has no type.")
    if mime_type == "text/plain":
        return ClientText(_text(body))
    if isinstance(mime_type, str) and mime_type.partition(";")[0].strip() == "audio/pcm":
        return MicrophoneAudio(_base64(body))
    raise MessageError("unknown_type", "The server does not know this mime_type.")


def _text(body: dict[str, Any]) -> str:
    text = body.get("data")
    if not isinstance(text, str) or not text.strip():
        raise MessageError("bad_message", "A text message has its text in data.")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise MessageError(
            "too_large", f"A text may have {MAX_TEXT_CHARACTERS} characters at most."
        )
    # A lone surrogate is valid JSON and invalid UTF-8: the model's client would fail on it.
    return text.encode("utf-8", errors="replace").decode()


def _base64(body: dict[str, Any]) -> bytes:
    data = body.get("data")
    if not isinstance(data, str):
        raise MessageError("bad_message", "The data is base64.")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise MessageError("bad_message", "The data is base64.") from None
