"""Logging: one line an event, as text or JSON, with the id of the call it belongs to."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from contextvars import ContextVar
from typing import Literal, TextIO

__all__ = ["QUIETER", "LogFormat", "call_id", "configure", "hush_adk"]

LogFormat = Literal["text", "json"]

call_id: ContextVar[str | None] = ContextVar("rtc_server_call_id", default=None)
"""The call that the running task works for; set it first thing in a call's task.

Tasks inherit it from the task that starts them, so every line of a call carries it.
"""

_OURS = ("rtc_server", "rtc_harness")

QUIETER = {
    # One line for every candidate pair, and one for every RTP packet at DEBUG.
    "aioice": logging.WARNING,
    "aiortc": logging.WARNING,
    # Says in INFO what was said, which is nobody's business.
    "google_adk": logging.WARNING,
    "google_genai": logging.WARNING,
    "websockets": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "asyncio": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    # "Error handling request" for whatever is not HTTP: port scanners, a TLS hello.
    "aiohttp.server": logging.CRITICAL,
}
"""Libraries are held to this level, whatever ours is: at DEBUG they print SDP and transcripts."""

_RAISED_AS_WELL = {
    "google_adk.google.adk.live._live_llm_flow": (
        "APIError in live flow",
        "An unexpected error occurred in live flow",
        "Connection closed: %s",
        "Max reconnection attempts",
    ),
    "google_adk.google.adk.runners": ("Root node %s failed",),
}
"""What ADK logs, with a traceback each, and raises at once: our own line says it."""


class _SaidElsewhere(logging.Filter):
    """Leaves out what begins with one of these texts."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        super().__init__()
        self._texts = texts

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(self._texts)


_FILTERS = {name: _SaidElsewhere(texts) for name, texts in _RAISED_AS_WELL.items()}


def configure(
    log_format: LogFormat = "text", level: str = "info", *, stream: TextIO | None = None
) -> None:
    """Send all logs to ``stream`` (standard error), those of this package from ``level`` on.

    May be called again; the last call counts.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, TextFormatter | JsonFormatter):
            root.removeHandler(old)
            old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
    for name, least in QUIETER.items():
        logging.getLogger(name).setLevel(least)
    for name, said_elsewhere in _FILTERS.items():
        logging.getLogger(name).addFilter(said_elsewhere)


def hush_adk() -> None:
    """ADK says of its live API, at every start, that it is experimental."""
    warnings.filterwarnings("ignore", message=".*EXPERIMENTAL.*", category=UserWarning)


def _call_of(record: logging.LogRecord) -> str | None:
    """The call named by ``extra={"call_id": …}``, else that of the running task."""
    named = getattr(record, "call_id", None)
    return named if isinstance(named, str) else call_id.get()


class TextFormatter(logging.Formatter):
    """``time level logger [call] message``, in local time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(call)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        call = _call_of(record)
        record.call = f" [{call}]" if call else ""
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``, ``call_id``?."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        call = _call_of(record)
        if call:
            line["call_id"] = call
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
