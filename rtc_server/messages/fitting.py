"""Messages that are larger than a client takes: in pieces, shortened, or an ``error`` instead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..json_values import json_of
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
    beginning,
)

__all__ = ["PICTURE_TOO_LARGE", "fitted"]

PICTURE_TOO_LARGE = Error(
    code="picture_too_large",
    message="The agent sent a picture that is too large for this call.",
    retryable=False,
)


def fitted(message: ServerMessage, max_bytes: int) -> Iterator[tuple[ServerMessage, str]]:
    """What is sent for ``message``, each with its JSON; itself where it fits into ``max_bytes``.

    Text goes in pieces, which it is made of anyway.  What has ``truncated`` is shortened.
    Nothing comes of what not even the error fits for.
    """
    if (text := _text_if_fits(message, max_bytes)) is not None:
        yield message, text
        return
    match message:
        case Text(data=str(words)) | Thought(text=str(words)) if len(words) > 1:
            name = "data" if isinstance(message, Text) else "text"
            middle = len(words) // 2
            for piece in (words[:middle], words[middle:]):
                changed: dict[str, Any] = {name: piece}
                yield from fitted(replace(message, **changed), max_bytes)
            return
        case Tool() | Confirm() | Code():
            shortened = _shortened(message, max_bytes)
            if shortened is not None:
                yield shortened
                return
    error = _error_of(message)
    if (text := _text_if_fits(error, max_bytes)) is not None:
        yield error, text


def _text_if_fits(message: ServerMessage, max_bytes: int) -> str | None:
    text = message.to_json()
    is_short = len(text) * 4 <= max_bytes or len(text.encode()) <= max_bytes
    return text if is_short else None


def _shortened(message: Tool | Confirm | Code, max_bytes: int) -> tuple[ServerMessage, str] | None:
    limit = TOOL_JSON_LIMIT_BYTES
    while limit:
        limit //= 2
        changed: dict[str, Any] = {"truncated": True}
        for name in ("args", "result", "payload", "code", "output", "hint"):
            value = getattr(message, name, None)
            if value is not None:
                changed[name] = _beginning(value, limit)
        shortened = replace(message, **changed)
        if (text := _text_if_fits(shortened, max_bytes)) is not None:
            return shortened, text
    return None


def _beginning(value: Any, limit: int) -> Any:
    text = value if isinstance(value, str) else json_of(value)
    short = beginning(text, limit)
    return value if short is text else short


def _error_of(message: ServerMessage) -> Error:
    if isinstance(message, Picture):
        return PICTURE_TOO_LARGE
    return Error(
        code="message_too_large",
        message=f"A {message.type} message is larger than your client takes.",
        retryable=False,
    )
