"""Messages that are larger than a client takes: in pieces, shortened, or an ``error`` instead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .server import (
    TOOL_JSON_LIMIT_BYTES,
    Code,
    Confirm,
    Error,
    Picture,
    ServerMessage,
    Text,
    Thought,
    Tool,
    json_of,
)

__all__ = ["fitted"]

_PICTURE_TOO_LARGE = Error(
    code="picture_too_large",
    message="The agent sent a picture that is too large for this call.",
    retryable=False,
)


def fitted(message: ServerMessage, max_bytes: int) -> Iterator[ServerMessage]:
    """What is sent for ``message``, each of at most ``max_bytes``; itself where it fits.

    Text goes in pieces, which it is made of anyway.  What has ``truncated`` is shortened.
    Nothing comes of what not even the error fits for.
    """
    if _fits(message, max_bytes):
        yield message
        return
    match message:
        case Text(data=str(text)) | Thought(text=str(text)) if len(text) > 1:
            name = "data" if isinstance(message, Text) else "text"
            middle = len(text) // 2
            for piece in (text[:middle], text[middle:]):
                changed: dict[str, Any] = {name: piece}
                yield from fitted(replace(message, **changed), max_bytes)
            return
        case Tool() | Confirm() | Code():
            shortened = _shortened(message, max_bytes)
            if shortened is not None:
                yield shortened
                return
    error = _error_of(message)
    if _fits(error, max_bytes):
        yield error


def _fits(message: ServerMessage, max_bytes: int) -> bool:
    text = message.to_json()
    return len(text) * 4 <= max_bytes or len(text.encode()) <= max_bytes


def _shortened(message: Tool | Confirm | Code, max_bytes: int) -> ServerMessage | None:
    limit = TOOL_JSON_LIMIT_BYTES
    while limit:
        limit //= 2
        changed: dict[str, Any] = {"truncated": True}
        for name in ("args", "result", "payload", "code", "output", "hint"):
            value = getattr(message, name, None)
            if value is not None:
                changed[name] = _beginning(value, limit)
        shortened = replace(message, **changed)
        if _fits(shortened, max_bytes):
            return shortened
    return None


def _beginning(value: Any, limit: int) -> Any:
    text = value if isinstance(value, str) else json_of(value)
    raw = text.encode(errors="replace")
    return value if len(raw) <= limit else raw[:limit].decode(errors="ignore")


def _error_of(message: ServerMessage) -> Error:
    if isinstance(message, Picture):
        return _PICTURE_TOO_LARGE
    return Error(
        code="message_too_large",
        message=f"A {message.type} message is larger than your client takes.",
        retryable=False,
    )
