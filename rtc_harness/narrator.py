"""Prints a call's conversation as it happens, a line at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Narrator"]

_SENTENCES = re.compile(r".*[.!?…](?=\s|$)", re.DOTALL)
_MAX_CHARACTERS = 200


class Narrator:
    """Turns the server's messages into lines.

    The agent's words are printed sentence by sentence as they grow; at the end of the turn
    what is left.  The caller's own words are printed as the server understood them.

    Args:
        write: takes one line without its newline.
        started_at: the time that is printed as 0, in seconds.
    """

    def __init__(self, write: Callable[[str], None], started_at: float) -> None:
        self._write = write
        self._started_at = started_at
        self._said: dict[int, str] = {}
        self._printed: dict[int, int] = {}
        self._text_turns: set[int] = set()

    def line(self, who: str, what: str, now: float) -> None:
        """Print one line: the time, who, what."""
        self._write(f"{now - self._started_at:7.2f}  {who:<6} {what}")

    def on_message(self, message: Mapping[str, Any], now: float) -> None:
        """Print what a message of the server says, if it says anything to a person."""
        turn = message.get("turn")
        match message.get("type"):
            case "ready":
                self.line("call", _ready(message), now)
            case "transcript" if message.get("role") == "user":
                if message.get("final"):
                    self.line("user", f"“{message.get('text')}”", now)
            case "transcript" if isinstance(turn, int) and turn not in self._text_turns:
                self._said[turn] = str(message.get("text", ""))
                self._print_sentences(turn, now)
            case "text" if isinstance(turn, int):
                if turn not in self._text_turns:
                    self._text_turns.add(turn)
                    self._said[turn] = ""
                self._said[turn] += str(message.get("data", ""))
                self._print_sentences(turn, now)
            case "turn" if isinstance(turn, int):
                self._print_rest(turn, now)
                if message.get("interrupted"):
                    self.line("agent", f"(interrupted{_heard(message)})", now)
            case "tool":
                self.line("tool", _tool(message), now)
            case "grounding":
                for line in _sources(message):
                    self.line("source", line, now)
            case "code":
                self.line("code", _code(message), now)
            case "image":
                self.line("agent", f"(a picture, {message.get('mime_type')})", now)
            case "file":
                self.line("agent", f"(a file, {message.get('uri')})", now)
            case "artifact":
                self.line("agent", f"(saved {message.get('name')}, {message.get('version')})", now)
            case "thought":
                self.line("thinks", _short(str(message.get("text", "")).strip()), now)
            case "confirm":
                self.line("asks", _asked(message), now)
            case "client_tool":
                self.line("runs", _called(message), now)
            case "agent":
                self.line("call", f"{message.get('name')} took over", now)
            case "error":
                self.line("error", f"{message.get('code')}: {message.get('message')}", now)
            case "goaway":
                self.line("call", f"will end: {message.get('reason')}", now)

    def _print_sentences(self, turn: int, now: float) -> None:
        printed = self._printed.get(turn, 0)
        whole = _SENTENCES.match(self._said[turn], printed)
        if whole is not None:
            self._print_until(turn, whole.end(), now)

    def _print_rest(self, turn: int, now: float) -> None:
        said = self._said.pop(turn, "")
        rest = said[self._printed.pop(turn, 0) :].strip()
        self._text_turns.discard(turn)
        if rest:
            self.line("agent", rest, now)

    def _print_until(self, turn: int, end: int, now: float) -> None:
        words = self._said[turn][self._printed.get(turn, 0) : end].strip()
        self._printed[turn] = end
        if words:
            self.line("agent", words, now)


def _ready(message: Mapping[str, Any]) -> str:
    goes_on = ", goes on" if message.get("resumed") else ""
    blind = ", sees nothing" if message.get("pictures") is False else ""
    return f"with {message.get('agent')} ({message.get('modality')}{goes_on}{blind})"


def _heard(message: Mapping[str, Any]) -> str:
    heard_ms = message.get("heard_ms")
    return f" after {heard_ms / 1000:.2f} s" if isinstance(heard_ms, int | float) else ""


def _asked(message: Mapping[str, Any]) -> str:
    hint = message.get("hint")
    return f"may {_called(message)} run?{f' {hint}' if hint else ''}"


def _called(message: Mapping[str, Any]) -> str:
    return f"{message.get('name')} {_shown(message.get('args'))}".rstrip()


def _tool(message: Mapping[str, Any]) -> str:
    phase, name = message.get("phase"), message.get("name")
    about = message.get("args") if phase == "call" else message.get("result")
    if phase == "result" and message.get("failed"):
        phase = "failed"
    return f"{name} {phase} {_shown(about)}".rstrip()


def _sources(message: Mapping[str, Any]) -> list[str]:
    queries = [f"searched for {one}" for one in message.get("queries") or []]
    sources = [
        " ".join(one[key] for key in ("title", "uri") if key in one)
        for one in message.get("sources") or []
    ]
    return [*queries, *sources]


def _code(message: Mapping[str, Any]) -> str:
    if message.get("phase") == "call":
        return _short(f"{message.get('language') or ''} {message.get('code')}".strip())
    return _short(f"{message.get('outcome')}: {message.get('output')}".strip())


def _short(words: str) -> str:
    words = words.replace("\n", " ⏎ ")
    return words if len(words) <= _MAX_CHARACTERS else words[:_MAX_CHARACTERS] + "…"


def _shown(value: Any) -> str:
    return _short("" if value is None else json.dumps(value, ensure_ascii=False))
