"""What the caller means by words that lean on what was said before.

"And divided by two?", "in inches?", "another one", "cancel it", "no, ten minutes": each is
read as a change to the last thing asked for.  Plain rules over plain intents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from .arithmetic import CannotCalculate, evaluate, find_expression, write_number
from .dates import find_day
from .intents import Intent, ToolCall, is_guess, understand
from .numbers import merge_numbers, tokenize
from .remarks import Remark
from .timers import find_requests, say_duration
from .units import UnknownUnit, convert, find_unit

__all__ = ["Exchange", "follow_up"]

_LEAD = re.compile(
    r"(?:(?:and|so|ok|okay|well|then|now|please|also|but|no|sorry|actually|wait|i said|i mean"
    r"|i meant|not that|how about|what about|what is|how much is|what if|make (?:it|that)"
    r"|can you|could you|tell me|give me|calculate|or) )+"
)
_CORRECTS = re.compile(r"\b(?:no|sorry|actually|i said|i mean|i meant|make (?:it|that))\b")
_INSTEAD = re.compile(r"\b(?:what about|how about|what if)\b")
_PRONOUN = re.compile(r"\b(?:it|that|this|the (?:result|answer|sum|product|total|number))\b")
_OPERATOR = re.compile(
    r"(?:plus|minus|times|over|divided|multiplied|less|to the power|squared|cubed|percent of"
    r"|added to|[-+*/^\u00d7\u00f7])"
)
_BY = re.compile(r"(divide|multiply) by\b")
_ADD = re.compile(r"(add|subtract|take away|take) (.+)")
_ANOTHER = re.compile(
    r"(?:another|one more|a different|the next|more)(?: one)?(?: (?:story|joke))?|again"
)
_CANCEL = re.compile(
    r"(?:cancel\w*|stop|delete|remove|forget|turn off|never mind|nevermind|kill)"
    r"(?: (?:it|that|this|that one|the last one|them|both|all|all of them|everything))?"
)
_CANCEL_ONE = ToolCall("cancel_timer", {"label": ""})
_FOR = re.compile(r"^for ")
_ALL = re.compile(r"(?:all|both|everything|(?:all|both) of them|them all|cancel (?:all|both).*)")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Something that the caller said and what it was understood as."""

    text: str
    intents: tuple[Intent, ...]


def follow_up(text: str, before: Sequence[Exchange]) -> list[Intent]:
    """Return what ``text`` asks for in the light of ``before``, newest first.

    Empty if it does not lean on anything.
    """
    if not before or len(text) > 200:
        return []
    words = " ".join(tokenize(text))
    lead = _LEAD.match(words + " ")
    rest = words[lead.end() :].strip() if lead else words
    for rule in _RULES:
        if found := rule(words, re.sub(r" (?:please|then|instead|now|for me)$", "", rest), before):
            return found
    return []


def _last_call(before: Sequence[Exchange], *names: str) -> ToolCall | None:
    calls = (intent for exchange in before for intent in reversed(exchange.intents))
    return next((c for c in calls if isinstance(c, ToolCall) and c.name in names), None)


def _timer(words: str, rest: str, before: Sequence[Exchange]) -> list[Intent]:
    last = before[0].intents[-1]
    if last == _CANCEL_ONE and is_guess(understand(words)):  # it may have been asked: which one?
        if _ALL.fullmatch(rest):
            return [ToolCall("cancel_timer", {"label": "all"})]
        which = re.fullmatch(r"(?:the )?(.+?)(?: one| timer)?", rest)
        return understand(f"cancel the {which[1]} timer") if which and len(rest) < 30 else []
    requests = find_requests(words)
    if last is Remark.TIMER_WITHOUT_TIME:
        return (
            understand(f"{before[0].text.rstrip(' .?!')} for {_FOR.sub('', rest)}")
            if requests
            else []
        )
    if not (isinstance(last, ToolCall) and last.name in {"set_timer", "list_timers"}):
        return []
    if last.name == "set_timer":
        name = last.args["label"] or say_duration(last.args["seconds"], adjective=True)
        cancel = ToolCall("cancel_timer", {"label": name})
        if _CANCEL.fullmatch(rest):
            return [cancel]
        if len(requests) == 1 and (_CORRECTS.search(words) or _INSTEAD.search(words)):
            return [cancel, ToolCall("set_timer", last.args | {"seconds": requests[0].seconds})]
        if requests and re.match(r"(?:and )?(?:another|one more|one)\b", words):
            return understand(f"timer {words}")
    elif _CANCEL.fullmatch(rest):
        every = rest.endswith(("them", "both", "all", "everything"))
        return [ToolCall("cancel_timer", {"label": "all" if every else ""})]
    return []


def _conversion(words: str, rest: str, before: Sequence[Exchange]) -> list[Intent]:
    last = before[0].intents[-1]
    if not (isinstance(last, ToolCall) and last.name == "convert_units"):
        return []
    into = re.fullmatch(r"(?:(?:is (?:that|it)|that|it)? ?(?:in|an|to|into|as) )?(.+)", rest)
    unit = find_unit(into[1]) if into else None
    if unit is not None and _same_measure(unit, last.args["to_unit"]):
        return [ToolCall("convert_units", last.args | {"to_unit": unit})]
    merged = merge_numbers([word for word in rest.split() if word not in {"degrees", "degree"}])
    if not merged or not isinstance(merged[0], Fraction) or len(merged) > 2:
        return []
    unit = find_unit(str(merged[1])) if len(merged) == 2 else last.args["from_unit"]
    if unit is None or not _same_measure(unit, last.args["to_unit"]):
        return []
    value = float(merged[0])
    changed = {"value": int(value) if value.is_integer() else value, "from_unit": unit}
    return [ToolCall("convert_units", last.args | changed)]


def _same_measure(unit: str, other: str) -> bool:
    try:
        convert(Fraction(1), unit, other)
    except UnknownUnit:
        return False
    return True


def _calculation(words: str, rest: str, before: Sequence[Exchange]) -> list[Intent]:
    last = _last_call(before, "calculate")
    if last is None:
        return []
    expression = str(last.args["expression"])
    try:
        value = write_number(evaluate(expression))
    except CannotCalculate:
        return []
    corrects = _CORRECTS.search(words) or _INSTEAD.search(words)
    rest = _BY.sub(r"\1d by", rest).replace("multiplyd", "multiplied").replace("divided by", "/")
    if corrects and (head := re.fullmatch(r"(.+) (?:\S+) (?:[\d.]+%?|\(.+\))", expression)):
        sign = expression[len(head[1]) :].split()[0]
        if _OPERATOR.match(rest) or rest.startswith("/"):
            return _calculate(f"{head[1]} {rest}")
        return _calculate(f"{head[1]} {sign} {rest}")
    if _OPERATOR.match(rest) or rest.startswith("/"):
        return _calculate(f"{value} {rest}")
    if add := _ADD.fullmatch(_PRONOUN.sub("", rest).strip()):
        amount = re.sub(r"\b(?:to|from|away)\b", "", add[2]).strip()
        return _calculate(f"{value} {'+' if add[1] == 'add' else '-'} {amount}")
    if _PRONOUN.search(rest):
        return _calculate(_PRONOUN.sub(value, rest, count=1))
    return _calculate(f"{rest} {value}") if re.search(r"(?:root|half|of)$", rest) else []


def _calculate(words: str) -> list[Intent]:
    expression = find_expression(words)
    return [] if expression is None else [ToolCall("calculate", {"expression": expression})]


def _another(words: str, rest: str, before: Sequence[Exchange]) -> list[Intent]:
    last = before[0].intents[-1]
    if not _ANOTHER.fullmatch(rest):
        return []
    if last is Remark.JOKE:
        return [Remark.JOKE]
    if isinstance(last, ToolCall) and last.name == "pick_story":
        return [ToolCall("pick_story", {"topic": ""})]
    return []


def _day(words: str, rest: str, before: Sequence[Exchange]) -> list[Intent]:
    last = before[0].intents[-1]
    if not (isinstance(last, ToolCall) and last.name in {"get_current_date", "get_date_of"}):
        return []
    day = find_day(rest)
    return [ToolCall("get_date_of", {"day": day})] if day and len(rest.split()) <= 5 else []


def _fact(words: str, rest: str, before: Sequence[Exchange]) -> list[Intent]:
    """Read "no, it is Mary" after "my name is Maria"."""
    last = before[0].intents[-1]
    if not (isinstance(last, ToolCall) and last.name == "remember") or last.args["key"] == "note":
        return []
    corrected = re.fullmatch(
        r"(?:no|sorry|actually|i said|i meant|i mean)\b.*? (?:it is |not .+ but )?(\w+)", words
    )
    if corrected is None or understand(rest):
        return []
    value = corrected[1].title() if last.args["key"] == "name" else corrected[1]
    return [ToolCall("remember", last.args | {"value": value})]


_RULES: tuple[Callable[[str, str, Sequence[Exchange]], list[Intent]], ...] = (
    _timer,
    _another,
    _day,
    _conversion,
    _calculation,
    _fact,
)
