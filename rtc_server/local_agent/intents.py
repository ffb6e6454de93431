"""What the caller means: from a sloppy transcript to tool calls and remarks.

Plain rules, tried in order on each sentence; nothing here knows of ADK.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .arithmetic import find_expression
from .dates import find_clock_time, find_day
from .facts import find_fact, find_forgetting, find_question, find_recall, own_words
from .numbers import merge_numbers, tokenize
from .remarks import Remark, find_remark, match_greeting
from .timers import find_requests, timer_name
from .units import find_conversion

__all__ = ["Intent", "Remark", "ToolCall", "is_guess", "understand"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool of :class:`~.tools.Tools` and what to call it with."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


Intent = ToolCall | Remark

_MAX_CHARACTERS = 500  # what is longer is no question for this agent, and rules take time
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\W\d])")
_JOINT = re.compile(r",? (?:and (?:also |then )?|then |but )|, ")
_MAX_PARTS = 4
_POLITE = re.compile(
    r"(?:(?:well|so|ok|okay|oh|um|uh|er|now|then|and|but|please|alright|right|yes|no|actually|just"
    r"|(?:can|could|would|will) you(?! (?:hear|do|tell jokes|help))|i (?:would like|want) you to"
    r"|i would like to know|do you know(?= what| how)) )+"
)

_TIMER = re.compile(r"\b(?:timers?|remind me|reminders?|wake me|alarms?|countdown)\b")
_TIME = re.compile(
    r"what time|(?:do you have|got) the time|what is the (?:current )?time|tell me the time"
    r"|the time please|current time|time is it|time of day"
    r"|have you got the time|how late is it|^the time$|what the time is"
)
_DATE = re.compile(
    r"what (?:day|date|month|year)|what is (?:the |today ?s? )?(?:current )?(?:date|day)\b"
    r"|(?:today|current|the) ?'?s? date|what is today|which day|what are we today|^the date$"
    r"|day (?:is it|of the week)|what is the (?:month|year)|what will the date be"
    r"|what (?:is|was|about) (?:tomorrow|yesterday)"
)
_TIME_LEFT = re.compile(
    r"how (?:much(?: time)?|long|many (?:seconds|minutes)) (?:is|are|do i have)?(?: still)? ?"
    r"(?:left|to go|remaining)|how (?:long|much time) (?:has|have|does|do) .+ (?:got|left|have)"
    r"(?: left)?"
)
_DAYS_TO = re.compile(
    r"how (?:many (?:more )?days|long)(?: is it| are there| left| to go| is| are)*"
    r" (?:until|till|to|before|since)\b|^when is\b"
)
_STORY_WORDS = frozenset({"tell", "me", "us", "a", "another", "one", "the", "story", "stories"})
_STORY_WORDS |= frozenset({"tale", "long", "longer", "short", "good", "more", "of", "your", "any"})
_STORY = re.compile(r"\b(?:story|stories|tale)\b(?: about (?:the |an? |some )?(?P<topic>.+))?")


def understand(text: str) -> list[Intent]:
    """Return what ``text`` asks for, in its order; empty if nothing was understood.

    Only the first 500 characters are looked at.
    """
    text = text[:_MAX_CHARACTERS].strip()
    sentences = [sentence for sentence in _SENTENCE.split(text) if sentence]
    found = [intent for sentence in sentences for intent in _understand_parts(sentence)]
    if len(sentences) > 1 and all(intent is Remark.GREETING for intent in found):
        found = _understand_sentence(re.sub(r"[.!?]+(?=\s)", " ", text)) or found
    return found


def is_guess(intents: Sequence[Intent]) -> bool:
    """Whether ``intents`` are no more than looking for an answer in what the caller said."""
    return all(isinstance(intent, ToolCall) and intent.name == "look_up" for intent in intents)


def _understand_parts(sentence: str, parts: int = _MAX_PARTS) -> list[Intent]:
    """Understand "A and B" as two, where each is understood by itself, else as one."""
    for joint in list(_JOINT.finditer(sentence))[: parts - 1]:
        first = _understand_sentence(sentence[: joint.start()])
        if first and not is_guess(first):
            second = _understand_parts(sentence[joint.end() :], parts - 1)
            if second and not is_guess(second):
                return first + second
    return _understand_sentence(sentence)


def _understand_sentence(sentence: str) -> list[Intent]:
    words = " ".join(tokenize(sentence))
    greeting = match_greeting(words)
    if greeting and len(greeting[0]) < len(words):
        rest = _apply_rules(_without_politeness(words[greeting.end() :].strip()), sentence)
        return [Remark.GREETING, *rest] if rest else []
    return _apply_rules(_without_politeness(words), sentence)


def _without_politeness(words: str) -> str:
    polite = _POLITE.match(words + " ")
    stripped = words[polite.end() :] if polite and polite.end() < len(words) else words
    stripped = re.sub(
        r"(?: (?:please|for me|now|then|thanks|thank you|again please))+$", "", stripped
    )
    return stripped or words


def _apply_rules(words: str, sentence: str) -> list[Intent]:
    if not words:
        return []
    if timers := _timers(words, sentence):
        return timers
    for rule in _RULES:
        intent = rule(words, sentence)
        if intent is not None:
            return [intent]
    return []


def _timers(words: str, sentence: str) -> list[Intent]:
    if not _TIMER.search(words):
        return []
    if cancel := re.search(r"\b(?:cancel\w*|delete|remove|clear|turn off|kill|stop|end)\b", words):
        return [ToolCall("cancel_timer", {"label": _cancelled(words[cancel.end() :])})]
    at = find_clock_time(words)
    requests = find_requests(words)
    if longer := re.search(r"\b(?:add|extend)\b.* (?:to|by) (?:the |my )?(.*)", words):
        named = re.match(r"(.+?) (?:timer|reminder|alarm)", longer[1])
        args = {"label": timer_name(named[1]) if named else ""}
        return [ToolCall("extend_timer", args | {"seconds": one.seconds}) for one in requests[:1]]
    if at is not None and not requests:
        hour, minute, half = at
        purpose = re.search(r"remind me (?:at .+? )?(?:to|about|that) (.+?)(?: at .*)?$", words)
        label = own_words(purpose[1]) if purpose else ""
        return [
            ToolCall("set_alarm", {"hour": hour, "minute": minute, "half": half, "label": label})
        ]
    if requests:
        return [
            ToolCall(
                "set_timer",
                {"seconds": one.seconds, "label": one.label, "reminder": one.reminder},
            )
            for one in requests
        ]
    if re.search(r"\b(?:how (?:much|long|many)|list|what|which|any|left|show|is there)\b", words):
        return [ToolCall("list_timers")]
    return [Remark.TIMER_WITHOUT_TIME]


def _cancelled(words: str) -> str:
    """Return which timer is meant by what follows "cancel": a name, "all", or "" for "the"."""
    if re.search(r"\b(?:all|every|everything|timers|reminders|alarms|both)\b", words):
        return "all"
    named = re.search(r"^(?: (?:the|my|that|this|a))? (.+?) (?:timer|reminder|alarm)\b", words)
    if named is None or named[1] in {"the", "my", "last", "this", "that", "any", "a"}:
        return ""
    return timer_name(named[1])


def _time_left(words: str, sentence: str) -> Intent | None:
    return ToolCall("list_timers") if _TIME_LEFT.fullmatch(words) else None


def _remark(words: str, sentence: str) -> Intent | None:
    return find_remark(words)


def _story(words: str, sentence: str) -> Intent | None:
    found = _STORY.search(words)
    if found is None or re.match(r"(?:my|i|remember)\b", words):
        return None
    topic = found["topic"] or " ".join(set(words.split()) - _STORY_WORDS)
    return ToolCall("pick_story", {"topic": topic})


def _statement(words: str, sentence: str) -> Intent | None:
    fact = find_fact(sentence)
    return None if fact is None else ToolCall("remember", {"key": fact[0], "value": fact[1]})


def _memory(words: str, sentence: str) -> Intent | None:
    if (forgotten := find_forgetting(words)) is not None:
        return ToolCall("forget", {"key": forgotten})
    recalled = find_recall(words)
    return None if recalled is None else ToolCall("recall", {"key": recalled})


def _question(words: str, sentence: str) -> Intent | None:
    about = find_question(words)
    if about is None or any(isinstance(token, Fraction) for token in merge_numbers(words.split())):
        return None
    return ToolCall("look_up", {"about": about})


def _date(words: str, sentence: str) -> Intent | None:
    counts = _DAYS_TO.search(words)
    if not counts and not _DATE.search(words):
        return None
    day = find_day(words)
    if day is not None:
        return ToolCall("get_date_of", {"day": day})
    return None if counts else ToolCall("get_current_date")


def _time(words: str, sentence: str) -> Intent | None:
    if not _TIME.search(words):
        return None
    ahead = find_requests(words)
    if len(ahead) == 1 and re.search(r"\bin\b|\bfrom now\b", words):
        return ToolCall("get_current_time", {"seconds_ahead": ahead[0].seconds})
    place = re.search(r" in ((?!the\b|my\b|here\b)[a-z ]+)$", words)
    return ToolCall("get_current_time", {"place": place[1].title()} if place else {})


def _conversion(words: str, sentence: str) -> Intent | None:
    found = find_conversion(sentence)
    if found is None:
        return None
    value = float(found.value)
    return ToolCall(
        "convert_units",
        {
            "value": int(value) if value.is_integer() else value,
            "from_unit": found.from_unit,
            "to_unit": found.to_unit,
        },
    )


def _calculation(words: str, sentence: str) -> Intent | None:
    expression = find_expression(words) or find_expression(sentence)
    return None if expression is None else ToolCall("calculate", {"expression": expression})


_RULES: tuple[Callable[[str, str], Intent | None], ...] = (
    _time_left,
    _memory,
    _remark,
    _statement,
    _story,
    _time,
    _date,
    _conversion,
    _calculation,
    _question,
)
