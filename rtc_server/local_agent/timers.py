"""Timers: how long, what for, and how they are kept in the session state.

A timer is kept with the absolute time it is due (UTC, seconds since the epoch), so that it
outlives the connection that set it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from .numbers import Token, merge_numbers, tokenize

__all__ = [
    "MAX_SECONDS",
    "MAX_TIMERS",
    "STATE_KEY",
    "Timer",
    "TimerRequest",
    "find_requests",
    "instruction_line",
    "read_instruction",
    "read_timers",
    "say_duration",
    "timer_name",
]

STATE_KEY = "timers"
"""Key of the session state: a list of timers as plain objects."""

MAX_TIMERS = 20
MAX_SECONDS = 24 * 3600

_PREFIX = "Pending timers: "
_UNITS = {
    **dict.fromkeys(("second", "seconds", "sec", "secs"), 1),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), 60),
    **dict.fromkeys(("hour", "hours"), 3600),
}
_HOMOPHONES = {"for": "4", "to": "2", "too": "2", "won": "1", "ate": "8"}
_ANOTHER = re.compile(
    r",? (?:and |then )*(?:another|one|a second|one more)(?: (?:one|timer))? for "
)
_HALF = frozenset({"half", "quarter"})
_NO_LABELS = frozenset({"new", "set", "start", "short", "long", "quick", "countdown", "small"})


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer; ``reminder`` says that the label is something to be done."""

    id: str
    seconds: int
    due: float
    label: str = ""
    reminder: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the timer as the session state holds it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TimerRequest:
    """What somebody who wants a timer said."""

    seconds: int
    label: str
    reminder: bool


def read_timers(value: object) -> list[Timer]:
    """Read timers from the session state or from a tool's result; what is malformed is left out."""
    timers = []
    for item in value if isinstance(value, Sequence) and not isinstance(value, str) else ():
        if not isinstance(item, Mapping):
            continue
        try:
            timer = Timer(
                id=str(item["id"]),
                seconds=int(item["seconds"]),
                due=float(item["due"]),
                label=str(item.get("label", "")),
                reminder=bool(item.get("reminder", False)),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(timer.due):
            timers.append(timer)
    return timers[:MAX_TIMERS]


def instruction_line(timers: Sequence[Timer]) -> str:
    """Return the line of the agent's instruction that names the pending timers."""
    return _PREFIX + json.dumps([timer.as_dict() for timer in timers])


def read_instruction(instruction: str) -> list[Timer]:
    """Read the timers back from an instruction that :func:`instruction_line` is part of."""
    for line in instruction.splitlines():
        if line.startswith(_PREFIX):
            try:
                return read_timers(json.loads(line.removeprefix(_PREFIX)))
            except ValueError:
                return []
    return []


def say_duration(seconds: float, *, adjective: bool = False) -> str:
    """Return "1 minute and 30 seconds", or "90 second" in front of a noun."""
    total = max(0, round(seconds))
    parts = []
    for name, size in (("hour", 3600), ("minute", 60), ("second", 1)):
        count, total = divmod(total, size)
        if count:
            plural = "" if count == 1 or adjective else "s"
            parts.append(f"{count} {name}{plural}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]][-len(parts) :]) if parts else "0 seconds"


def find_requests(text: str) -> list[TimerRequest]:
    """Return the timers that ``text`` asks for, in its order.

    All lengths belong to one timer ("a minute and ten seconds"), unless "one" or "another"
    says otherwise.
    """
    words = " ".join(tokenize(text))
    requests = []
    for part in _ANOTHER.split(words):
        seconds, rest = _cut_durations(_merge(part))
        if seconds is not None:
            requests.append(TimerRequest(seconds, *_find_label(rest)))
    return requests


def timer_name(words: str) -> str:
    """Return the name of a timer, a length in figures: "ten minute" is "10 minute"."""
    seconds, rest = _cut_durations(_merge(words))
    if seconds is not None and rest == "<d>":
        return say_duration(seconds, adjective=True)
    return words


def _merge(text: str) -> list[Token]:
    tokens = tokenize(text)
    for index, token in enumerate(tokens[:-1]):
        if tokens[index + 1] in _UNITS and token in _HOMOPHONES:
            tokens[index] = _HOMOPHONES[token]
        elif tokens[index + 1] in _UNITS and token in {"a", "an"}:
            tokens[index] = "" if index and tokens[index - 1] in _HALF else "1"
        elif token == "of" and tokens[index - 1] in _HALF:
            tokens[index] = ""
    return merge_numbers([token for token in tokens if token])


def _cut_durations(tokens: list[Token]) -> tuple[int | None, str]:
    """Return all durations together, in seconds, and the words with ``<d>`` for them."""
    total = Fraction(0)
    words: list[str] = []
    last_unit = 0
    index = 0
    while index < len(tokens):
        token = tokens[index]
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        if isinstance(token, Fraction) and following in _UNITS:
            last_unit = _UNITS[str(following)]
            total += token * last_unit
            index += 1
            words.append("<d>")
        elif isinstance(token, Fraction) and token < 1 and words[-2:] == ["<d>", "and"]:
            total += token * last_unit
            words.append("<d>")
        else:
            words.append(token if isinstance(token, str) else str(token))
        index += 1
    if not total:
        return None, " ".join(words)
    return math.ceil(total), re.sub(r"<d>(?: and)?(?: <d>)+", "<d>", " ".join(words))


def _find_label(words: str) -> tuple[str, bool]:
    reminder = re.search(
        r"remind me (?:in <d> |after <d> )?(?:to |about |that )(.+?)(?: (?:in|after) <d>)?$", words
    )
    if reminder:
        return _own_words(reminder[1]), True
    named = re.search(r"timer (?:called|named) (.+?)(?: (?:for|of|in) <d>)?$", words)
    purpose = re.search(
        r"timer (?:of <d> )?for (?:the |my |a )?(?!<d>)(.+?)(?: (?:for|of|in) )?(?:<d>|$)", words
    )
    front = re.search(r"(?:\ba|\ban|\bmy|\bthe|\banother|<d>) (?:new )?([a-z]+) timer", words)
    for found in (named, purpose, front):
        if found and (label := found[1].strip()) and label not in _NO_LABELS:
            return _own_words(label), False
    return "", False


def _own_words(label: str) -> str:
    """Turn the caller's words into the agent's: "call my mother" is "call your mother"."""
    mine = {"my": "your", "me": "you", "i": "you", "mine": "yours", "am": "are"}
    words = [mine.get(word, word) for word in label.replace("<d>", "").split()]
    return " ".join(word for word in words if word not in {"please"})[:60]
