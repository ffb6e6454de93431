"""What front and worker say to each other: one JSON object a line, over a socket of their own.

The front asks, the worker answers and notifies:

* ``{"id", "do": "place" | "add_candidates" | …, "with": {…}}``
* ``{"id", "result"}`` or ``{"id", "error": {"kind", "message", "retry_after_s"?}}``
* ``{"notice": "open" | "ended" | "refused" | "closing" | "metrics" | "failed", "with": {…}}``

The front's first line is the worker's :class:`Configuration`.  The socket was made in pairs and
inherited: it has no name, and nobody else can reach it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ..call_service import CallOffer
from ..errors import (
    AgentUnreachable,
    BadRequest,
    CallError,
    CallNotFound,
    Forbidden,
    RtcServerError,
    ServerBusy,
    TooManyRequests,
    Unauthorized,
)
from ..logs import LogFormat
from ..settings import Limits, Settings

__all__ = [
    "MAX_LINE_BYTES",
    "Configuration",
    "error_from_wire",
    "error_to_wire",
    "offer_from_wire",
    "offer_to_wire",
    "read_line",
    "to_line",
]

MAX_LINE_BYTES = 4 * 1024 * 1024
"""An offer is at most 64 KiB, six times that as escaped JSON; metrics are some 100 KiB."""

_KINDS: Mapping[str, type[CallError]] = {
    kind.__name__: kind
    for kind in (
        BadRequest,
        Unauthorized,
        Forbidden,
        CallNotFound,
        TooManyRequests,
        AgentUnreachable,
        ServerBusy,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All that a worker is told at start."""

    settings: Settings
    log_format: LogFormat
    log_level: str
    path: tuple[str, ...]
    """The front's ``sys.path``: an agent's module is found by both or by none."""

    def to_wire(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_wire(cls, message: Mapping[str, Any]) -> Self:
        """What :meth:`to_wire` gave, once it was JSON."""
        settings = {name: _frozen(value) for name, value in message["settings"].items()}
        settings["limits"] = Limits(**settings["limits"])
        return cls(
            settings=Settings(**settings),
            log_format=message["log_format"],
            log_level=message["log_level"],
            path=tuple(message["path"]),
        )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def offer_to_wire(offer: CallOffer) -> dict[str, Any]:
    """As JSON takes it."""
    return asdict(offer)


def offer_from_wire(message: Mapping[str, Any]) -> CallOffer:
    """What :func:`offer_to_wire` gave, once it was JSON."""
    return CallOffer(**message)


def error_to_wire(error: Exception) -> dict[str, Any]:
    """The nearest kind of error that has a status, its words, and when to come back.

    Of what is no :exc:`CallError` nothing is said.
    """
    kind = next((one.__name__ for one in type(error).__mro__ if one.__name__ in _KINDS), None)
    if kind is None:
        return {"kind": None}
    return {
        "kind": kind,
        "message": str(error),
        "retry_after_s": getattr(error, "retry_after_s", None),
    }


def error_from_wire(message: Mapping[str, Any]) -> RtcServerError:
    """The error that :func:`error_to_wire` described."""
    if message["kind"] is None:
        return RtcServerError("a worker failed; its log says how")
    kind, words = _KINDS[message["kind"]], message["message"]
    if kind in (TooManyRequests, ServerBusy):
        return kind(words, message["retry_after_s"])
    return kind(words)


def to_line(message: Mapping[str, Any]) -> bytes:
    """One message, as it is written."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


async def read_line(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message; None at the end, also where it ends in the middle of one.

    Raises:
        ValueError: the line is no message, or longer than any is.
    """
    try:
        line = await reader.readline()
    except ConnectionError:
        return None
    if not line.endswith(b"\n"):
        return None
    message: dict[str, Any] = json.loads(line)
    return message
