"""Days as people name them: "tomorrow", "in three weeks", "next Friday", "Christmas"."""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta
from fractions import Fraction

from .numbers import merge_numbers, tokenize

__all__ = ["find_clock_time", "find_day", "resolve_day"]

_WEEKDAYS = [name.lower() for name in calendar.day_name]
_MONTHS = [name.lower() for name in calendar.month_name]
_HOLIDAYS = {
    "christmas eve": (12, 24),
    "christmas": (12, 25),
    "new year's eve": (12, 31),
    "new years eve": (12, 31),
    "new year": (1, 1),
    "halloween": (10, 31),
    "valentine's day": (2, 14),
    "valentines day": (2, 14),
}
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]
_ORDINALS += ["tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth"]
_ORDINALS += ["seventeenth", "eighteenth", "nineteenth", "twentieth"]
_MONTH = "|".join(_MONTHS[1:])
_DAY = re.compile(
    r"the day after tomorrow|the day before yesterday|tomorrow|yesterday"
    r"|(?:in )?\d{1,4} (?:day|week|month|year)s?(?: from (?:now|today)| ago| time)?"
    r"|(?:in )?(?:a|one) (?:week|month|year)(?: from (?:now|today)| ago| time)?"
    rf"|(?:next |last |this |on |coming )?(?:{'|'.join(_WEEKDAYS)})"
    rf"|{'|'.join(_HOLIDAYS)}"
    rf"|(?:the )?\d{{1,2}}(?: (?:st|nd|rd|th))?(?: of)? (?:{_MONTH})"
    rf"|(?:{_MONTH}) (?:the )?\d{{1,2}}"
)
_LENGTH = re.compile(r"(?:in )?(\d+|a|one) (day|week|month|year)s?(.*)")
_FIGURE = re.compile(r"\d{1,2}")


def find_day(text: str) -> str | None:
    """Return the words of ``text`` that name a day other than today, figures as figures."""
    found = _DAY.search(" ".join(_plain(token) for token in merge_numbers(_tokens(text))))
    return found[0] if found else None


def resolve_day(words: str, today: date) -> date | None:
    """Return the day that ``words``, of :func:`find_day`, are on; None if there is none."""
    fixed = {"tomorrow": 1, "yesterday": -1}
    fixed |= {"the day after tomorrow": 2, "the day before yesterday": -2}
    try:
        if words in fixed:
            return today + timedelta(days=fixed[words])
        if length := _LENGTH.fullmatch(words):
            count = int(length[1]) if length[1].isdigit() else 1
            return _moved(today, -count if "ago" in length[3] else count, length[2])
        if words in _HOLIDAYS:
            return _coming(*_HOLIDAYS[words], today)
        weekday = words.rpartition(" ")[2]
        if weekday in _WEEKDAYS:
            ahead = (_WEEKDAYS.index(weekday) - today.weekday()) % 7
            return today + timedelta(days=ahead - 7 if words.startswith("last") else ahead or 7)
        month = next(_MONTHS.index(word) for word in words.split() if word in _MONTHS[1:])
        figure = _FIGURE.search(words)
        return _coming(month, int(figure[0]), today) if figure else None
    except (ValueError, OverflowError, StopIteration):
        return None


def find_clock_time(text: str) -> tuple[int, int, str] | None:
    """Return the hour, minute and "am", "pm" or "" of a time of day that ``text`` names."""
    words = " ".join(_plain(token) for token in merge_numbers(tokenize(text)))
    words = re.sub(r"\b0\.5 past\b", "half past", words)
    if re.search(r"\b(?:noon|midday)\b", words):
        return 12, 0, "pm"
    if re.search(r"\bmidnight\b", words):
        return 12, 0, "am"
    half = "am" if re.search(r"\b(?:a ?m|in the morning)\b", words) else ""
    if re.search(r"\b(?:p ?m|in the (?:afternoon|evening)|at night|tonight)\b", words):
        half = "pm"
    found = re.search(r"\b(half|quarter|0\.25|\d{1,2}) (past|to) (\d{1,2})\b", words)
    if found:
        minutes = {"half": 30, "quarter": 15, "0.25": 15}.get(found[1]) or int(_digits(found[1]))
        total = int(found[3]) * 60 + (minutes if found[2] == "past" else -minutes)
        return _checked(total // 60 or 12, total % 60, half)
    exact = re.search(
        r"\b(?:at|for|until|till) (\d{1,2})(?: (\d{2}))?"
        r"(?= (?:o'clock|oclock|a ?m|p ?m|in the|at night|tonight|to|and)\b|$)",
        words,
    )
    return _checked(int(exact[1]), int(exact[2] or 0), half) if exact else None


def _checked(hour: int, minute: int, half: str) -> tuple[int, int, str] | None:
    if hour > 12 and hour < 24:
        hour, half = hour - 12, "pm"
    return (hour, minute, half) if 1 <= hour <= 12 and minute < 60 else None


def _digits(text: str) -> str:
    return text if text.isdigit() else "0"


def _plain(token: str | Fraction) -> str:
    return token if isinstance(token, str) else f"{float(token):g}"


def _tokens(text: str) -> list[str]:
    """Read "twenty fifth" and "third" as figures where a month stands beside them."""
    tokens = tokenize(text)
    if not any(token in _MONTHS[1:] for token in tokens):
        return tokens
    figures: list[str] = []
    for token in tokens:
        if token in _ORDINALS or token == "thirtieth":
            number = _ORDINALS.index(token) + 1 if token in _ORDINALS else 30
            tens = {"twenty": 20, "thirty": 30}.get(figures[-1], 0) if figures else 0
            if tens and number < 10:
                figures.pop()
                number += tens
            figures.append(str(number))
        else:
            figures.append(token)
    return figures


def _moved(today: date, count: int, unit: str) -> date:
    if unit in {"day", "week"}:
        return today + timedelta(days=count * (7 if unit == "week" else 1))
    months = today.year * 12 + today.month - 1 + count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(today.day, last))


def _coming(month: int, day: int, today: date) -> date:
    for year in range(today.year, today.year + 9):
        if day <= calendar.monthrange(year, month)[1] and date(year, month, day) >= today:
            return date(year, month, day)
    raise ValueError("there is no such day")
