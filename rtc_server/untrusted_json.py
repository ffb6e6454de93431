"""JSON from outside: what passes can be walked, copied, stored and sent on without a fault.

Python's ``json`` gives more than JSON's readers take: values nested as deep as the stack holds,
infinity for ``1e999``, whole numbers of thousands of digits, halves of surrogate pairs, and NUL,
which no text of PostgreSQL may hold.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal, NoReturn

__all__ = [
    "MAX_DEPTH",
    "UNFIT_TEXT",
    "UnfitJson",
    "is_deeper_than",
    "is_fit_number",
    "parse_json",
    "replaced_text",
]

MAX_DEPTH = 16
"""So many arrays and objects may stand in one another."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_WHOLE = 2**63
"""From here on, and from minus this on down, a whole number becomes a float."""

UNFIT_TEXT = re.compile("[\ud800-\udfff\0]")
"""Halves of surrogate pairs, and NUL."""

_MAY_BE_UNFIT = re.compile(r"[\ud800-\udfff]|\\u(?:[dD][89a-fA-F]|0000)")
"""In the raw text: a NUL, and a half of a pair in UTF-8, can be written by an escape only."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


class UnfitJson(ValueError):
    """``str()`` of it says in words what is wrong, and repeats nothing but a field's name."""


def parse_json(
    raw: str | bytes,
    *,
    max_depth: int = MAX_DEPTH,
    unfit_text: Literal["refuse", "replace"] = "refuse",
) -> Any:
    """The value that ``raw`` holds; bytes are taken as UTF-8.

    Args:
        max_depth: so many arrays and objects may stand in one another.
        unfit_text: what becomes of lone surrogates and NUL: they are refused, or each
            becomes U+FFFD, in keys as in values.

    Raises:
        UnfitJson: it is no JSON, too deep, or holds a number or a text that is not taken.
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        value = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole
        )
    except UnfitJson:
        raise
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ValueError:
        raise UnfitJson("It is not JSON in UTF-8.") from None
    if is_deeper_than(max_depth, value):
        raise _too_deep(max_depth)
    if _MAY_BE_UNFIT.search(text):
        if unfit_text == "replace":
            return _replaced(value)
        _refuse_unfit_text(value)
    return value


def is_deeper_than(depth: int, value: object) -> bool:
    """Whether more than ``depth`` arrays and objects stand in one another."""
    level: list[Any] = [value]
    for _ in range(depth + 1):
        level = [one for one in level if isinstance(one, dict | list | tuple)]
        if not level:
            return False
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
    return True


def replaced_text(text: str) -> str:
    """``text`` with U+FFFD for each half of a surrogate pair and each NUL."""
    return UNFIT_TEXT.sub(REPLACEMENT, text)


def is_fit_number(value: object) -> bool:
    """Whether it is a number that every reader of JSON takes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _WHOLE if isinstance(value, int) else math.isfinite(value)


def _too_deep(max_depth: int) -> UnfitJson:
    return UnfitJson(f"More than {max_depth} arrays and objects stand in one another.")


def _refuse_constant(name: str) -> NoReturn:
    """Python's json takes NaN and Infinity, which are not JSON (RFC 8259, section 6)."""
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise UnfitJson("A number is too large.")
    return number


def _whole(digits: str) -> int | float:
    if len(digits) <= 20 and abs(number := int(digits)) < _WHOLE:
        return number
    return _finite(digits)


def _refuse_unfit_text(value: object) -> None:
    if not isinstance(value, dict):
        if _has_unfit_text(value):
            raise UnfitJson("A text in it is not valid Unicode, or holds a NUL.")
        return
    for name, one in value.items():
        if UNFIT_TEXT.search(name) or _has_unfit_text(one):
            shown = f'"{name}"' if _NAME.fullmatch(name) else "a field"
            raise UnfitJson(f"A text in {shown} is not valid Unicode, or holds a NUL.")


def _has_unfit_text(value: object) -> bool:
    if isinstance(value, str):
        return UNFIT_TEXT.search(value) is not None
    if isinstance(value, dict):
        return any(map(_has_unfit_text, value)) or any(map(_has_unfit_text, value.values()))
    return isinstance(value, list) and any(map(_has_unfit_text, value))


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return replaced_text(value)
    if isinstance(value, dict):
        return {_replaced(name): _replaced(one) for name, one in value.items()}
    return [_replaced(one) for one in value] if isinstance(value, list) else value
