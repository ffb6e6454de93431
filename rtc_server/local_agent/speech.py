"""What the agent says: one sentence for each remark and for each tool's result."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .arithmetic import say_expression
from .remarks import Remark
from .stories import JOKES, STORIES
from .timers import Timer, read_timers, say_duration

__all__ = ["WHERE_WAS_I", "not_understood", "say_remark", "say_result"]

WHERE_WAS_I = "Now, where was I?"
"""Said before an answer that something broke off is taken up."""

_CANCELLED = "The timer is cancelled."
_REMARKS = {
    Remark.GREETING: "Hello! What can I do for you?",
    Remark.HOW_ARE_YOU: "I am well, thank you. What can I do for you?",
    Remark.WHO_ARE_YOU: (
        "I am the embedded agent of this server. I work without the internet, by simple rules. "
        "Ask me what I can do."
    ),
    Remark.CAN_YOU_HEAR_ME: "Yes, I can hear you.",
    Remark.THANKS: "You are welcome.",
    Remark.GOODBYE: "Goodbye! It was nice talking to you.",
    Remark.HELP: (
        "I can tell you the time and the date, calculate, convert units, remember what you tell "
        "me about yourself, set timers, and tell you a story. "
        "For example, ask me: what is seventeen times four?"
    ),
    Remark.JOKE: JOKES[0],
    Remark.STOP: "Okay.",
    Remark.REPEAT: "I have not said anything yet.",
    Remark.GO_ON: "There is nothing to go on with.",
    Remark.TIMER_WITHOUT_TIME: "For how long? Say, for example: ten minutes.",
    Remark.ACKNOWLEDGED: "All right.",
    Remark.DECLINED: "All right.",
    Remark.WELL: "I am glad to hear that.",
    Remark.UNWELL: "I am sorry to hear that. If you like, I can tell you a story or a joke.",
    Remark.FLATTERED: "Thank you, that is kind of you.",
    Remark.SCOLDED: "I am sorry. Please say it once more, in other words.",
    Remark.NO_TASTE: "I am only a small program with simple rules, so I have no answer to that.",
    Remark.ENGLISH_ONLY: "I am sorry, I only speak and understand English.",
    Remark.FIXED_VOICE: "I am sorry, I have only this one way of speaking.",
    Remark.CANNOT: "I am sorry, that is not among the things I can do. Ask me what I can do.",
}


def say_remark(remark: Remark) -> str:
    """Return what the agent says to ``remark``."""
    return _REMARKS[remark]


def not_understood(text: str) -> str:
    """Say honestly that ``text`` was not understood, with a hint."""
    heard = " ".join(text.split())
    if not re.search(r"\w", heard) or len(heard) > 120:
        return "I did not understand that. Ask me what I can do."
    return f"I heard “{heard.rstrip('.,!?')}”, but I did not understand. Ask me what I can do."


def say_result(name: str, result: Mapping[str, Any]) -> str:
    """Return what the agent says to the result of the tool ``name``."""
    if name == "finish_timer" and "error" in result:
        return ""  # somebody has told the caller already
    say = _RESULTS.get(name)
    if name == "calculate" or (say is not None and "error" not in result):
        return (say or _calculate)(result)
    if isinstance(result.get("error"), str) and say is not None:
        error = str(result["error"])
        return f"I am sorry, {error.rstrip('.')}."
    return "I am sorry, that did not work."


def _calculate(result: Mapping[str, Any]) -> str:
    if "error" in result:
        return f"I cannot work that out: {result['error']}."
    said = say_expression(str(result.get("expression", "")))
    verb = "is" if result.get("exact", True) else "is about"
    return f"{said[:1].upper()}{said[1:]} {verb} {result.get('result', '')}."


def _convert(result: Mapping[str, Any]) -> str:
    verb = "is" if result.get("singular") else "are"
    about = "" if result.get("exact", True) else " about"
    return f"{_capital(str(result.get('from', '')))} {verb}{about} {result.get('to', '')}."


def _fact(key: str, value: str) -> str:
    """Return a fact as a clause about "you"."""
    templates = {
        "name": "your name is {}",
        "home": "you live in {}",
        "origin": "you come from {}",
        "age": "you are {} years old",
        "job": "you work as {}",
        "likes": "you like {}",
    }
    if key in templates:
        return templates[key].format(value)
    if key.startswith("note "):
        return value
    return f"your {key} {'are' if key.endswith('s') and not key.endswith('ss') else 'is'} {value}"


def _remember(result: Mapping[str, Any]) -> str:
    key, value = str(result.get("key")), str(result.get("value"))
    if key == "name":
        return f"Nice to meet you, {value}."
    return f"I will remember that {_fact(key, value)}."


def _recall(result: Mapping[str, Any]) -> str:
    key, facts = str(result.get("key", "")), result.get("facts")
    clauses = [_fact(str(name), str(value)) for name, value in dict(facts or {}).items()]
    if not clauses:
        if not key:
            return "You have not told me anything about yourself yet."
        told = {"home": "where you live", "origin": "where you come from", "age": "your age"}
        told |= {"job": "what you do", "likes": "what you like"}
        return f"You have not told me {told.get(key, f'your {key}')} yet."
    return f"{_capital(_list(clauses))}."


def _look_up(result: Mapping[str, Any]) -> str:
    facts = dict(result.get("facts") or {})
    if not facts:
        return "I do not know that. I work without the internet, and you have not told me."
    return f"{_capital(_list([_fact(str(key), str(value)) for key, value in facts.items()]))}."


def _forget(result: Mapping[str, Any]) -> str:
    if not result.get("forgotten"):
        return "There was nothing to forget."
    key = str(result.get("key", ""))
    if not key:
        return "I have forgotten everything you told me about yourself."
    return f"I have forgotten {'it' if key in {'home', 'origin', 'likes'} else f'your {key}'}."


def _set_timer(result: Mapping[str, Any]) -> str:
    timers = read_timers([result.get("set")])
    if not timers:
        return "The timer is set."
    timer = timers[0]
    if timer.reminder:
        return f"I will remind you to {timer.label} in {say_duration(timer.seconds)}."
    name = f"{_capital(timer.label)} timer" if timer.label else "Timer"
    return f"{name} set for {say_duration(timer.seconds)}."


def _set_alarm(result: Mapping[str, Any]) -> str:
    timer = next(iter(read_timers([result.get("set")])), None)
    if timer is not None and timer.reminder:
        return f"I will remind you to {timer.label} at {result.get('at')}."
    return f"Alarm set for {result.get('at')}."


def _time(result: Mapping[str, Any]) -> str:
    if result.get("ahead"):
        return f"It will be {result.get('time')} then."
    here = "I only know the time here. " if result.get("unknown_place") else ""
    return f"{here}It is {result.get('time')}."


def _date_of(result: Mapping[str, Any]) -> str:
    days, day = int(result.get("days_ahead", 0)), str(result.get("day", ""))
    if day in {"tomorrow", "yesterday"}:
        return f"{_capital(day)} {'is' if days > 0 else 'was'} {result.get('date')}."
    count = f"{abs(days)} day{'' if abs(days) == 1 else 's'}"
    if days < 0:
        return f"That was {result.get('date')}, {count} ago."
    return f"That is {result.get('date')}, in {count}." if days else "That is today."


def _list_timers(result: Mapping[str, Any]) -> str:
    timers, left = read_timers(result.get("timers")), dict(result.get("seconds_left") or {})
    if not timers:
        return "There are no timers running."
    clauses = [f"{_name(timer)} has {say_duration(left.get(timer.id, 0))} left" for timer in timers]
    return f"{_capital(_list(clauses))}."


def _extend_timer(result: Mapping[str, Any]) -> str:
    if longer := read_timers([result.get("extended")]):
        return f"{_capital(_name(longer[0]))} has {say_duration(result.get('left', 0))} left now."
    several = read_timers(result.get("which"))
    return _which(several) if several else "There is no such timer."


def _which(timers: list[Timer]) -> str:
    names = ", ".join(_name(timer) for timer in timers[:-1])
    return f"Which one, {names} or {_name(timers[-1])}?"


def _cancel_timer(result: Mapping[str, Any]) -> str:
    if several := read_timers(result.get("which")):
        return _which(several)
    count, label = result.get("cancelled"), str(result.get("label", ""))
    if not count:
        named = label not in {"", "all"}
        return f"There is no {label} timer." if named else "There is no timer to cancel."
    if label == "all" and count > 1:
        return f"All {count} timers are cancelled."
    return f"The {label} timer is cancelled." if label not in {"", "all"} else _CANCELLED


def _finish_timer(result: Mapping[str, Any]) -> str:
    timers = read_timers([result.get("finished")])
    if not timers:
        return ""
    timer, late = timers[0], float(result.get("seconds_late", 0))
    when = f" {say_duration(_rough(late))} ago" if late >= 5 else ""
    if timer.reminder:
        asked = f"You wanted to be reminded{when}" if when else "This is your reminder"
        return f"{asked}: {timer.label}."
    name = _capital(_name(timer).replace("the ", "your ", 1))
    return f"{name} went off{when}." if when else f"{name} is up!"


def _story(result: Mapping[str, Any]) -> str:
    return STORIES.get(str(result.get("title")), "I do not know that story.")


_RESULTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "get_current_time": _time,
    "get_current_date": lambda result: f"Today is {result.get('date')}.",
    "get_date_of": _date_of,
    "calculate": _calculate,
    "convert_units": _convert,
    "remember": _remember,
    "recall": _recall,
    "look_up": _look_up,
    "forget": _forget,
    "set_timer": _set_timer,
    "set_alarm": _set_alarm,
    "extend_timer": _extend_timer,
    "list_timers": _list_timers,
    "cancel_timer": _cancel_timer,
    "finish_timer": _finish_timer,
    "pick_story": _story,
}


def _name(timer: Timer) -> str:
    if timer.reminder:
        return f"the reminder to {timer.label}"
    return f"the {timer.label or say_duration(timer.seconds, adjective=True)} timer"


def _rough(seconds: float) -> float:
    return seconds if seconds < 60 else 60 * round(seconds / 60)


def _list(clauses: list[str]) -> str:
    return ", and ".join([", ".join(clauses[:-1]), clauses[-1]][-len(clauses) :])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
