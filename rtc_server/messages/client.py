"""What a client says on the data channel: untrusted, checked field by field."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from ..untrusted_json import UnfitJson, is_fit_number, parse_json
from .server import Error

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Activity",
    "ClientMessage",
    "ClientText",
    "ClientToolResult",
    "Confirmation",
    "Image",
    "Interrupt",
    "MessageError",
    "MicrophoneAudio",
    "Mute",
    "Ping",
    "SessionState",
    "parse_client_message",
]

MAX_MESSAGE_BYTES = 256 * 1024
"""A data-channel message may have this many bytes of UTF-8."""

MAX_ERROR_CHARACTERS = 32 * 1024
"""Of what a client says about a tool that failed, so much goes to the model."""

MAX_ID_CHARACTERS = 256
"""The id of a tool call is made by the model or by ADK."""


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


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The caller's answer to a ``confirm``."""

    id: str
    confirmed: bool
    payload: Any = None


@dataclass(frozen=True, slots=True)
class ClientToolResult:
    """What the client's tool gave, or why it gave nothing."""

    id: str
    result: Mapping[str, Any] | None
    error: str | None = None


ClientMessage = (
    ClientText
    | MicrophoneAudio
    | Image
    | Activity
    | Mute
    | Interrupt
    | SessionState
    | Ping
    | Confirmation
    | ClientToolResult
)


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
        body = parse_json(raw, unfit_text="replace")
    except UnfitJson as error:
        raise MessageError("bad_message", f"The message cannot be taken. {error}") from None
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
        case "confirm":
            confirmed = body.get("confirmed")
            if not isinstance(confirmed, bool):
                raise MessageError("bad_message", '"confirmed" is true or false.')
            return Confirmation(_id(body), confirmed, body.get("payload"))
        case "client_tool_result":
            return _client_tool_result(body)
        case _:
            raise MessageError("unknown_type", "The server does not know this type of message.")


def _id(body: dict[str, Any]) -> str:
    id = body.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= MAX_ID_CHARACTERS:
        raise MessageError("bad_message", '"id" is the id of the tool call.')
    return id


def _client_tool_result(body: dict[str, Any]) -> ClientToolResult:
    result, error = body.get("result"), body.get("error")
    if error is not None:
        if not isinstance(error, str):
            raise MessageError("bad_message", '"error" is a string.')
        return ClientToolResult(_id(body), None, error[:MAX_ERROR_CHARACTERS])
    if not isinstance(result, dict):
        raise MessageError("bad_message", '"result" is an object.')
    return ClientToolResult(_id(body), result)


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number that JavaScript has, too: JSON's whole numbers know no bound."""
    return is_fit_number(value)


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
    return text


def _base64(body: dict[str, Any]) -> bytes:
    data = body.get("data")
    if not isinstance(data, str):
        raise MessageError("bad_message", "The data is base64.")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise MessageError("bad_message", "The data is base64.") from None
