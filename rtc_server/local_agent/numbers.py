"""Numbers as people say them, and as they are said to people.

A recogniser writes the same number as ``17``, ``seventeen`` or ``1,250``; typed text
brings ``2.5`` and ``½``.  Everything becomes an exact :class:`~fractions.Fraction`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["Token", "format_number", "merge_numbers", "parse_number", "tokenize"]

Token = str | Fraction
"""A word or sign, or a number that stood in its place."""

_ONES = {
    "zero": 0, "nought": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13,
    "fourteen": 14, "forteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
} | {"fourty": 40}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": Fraction(1, 2),
    "third": Fraction(1, 3),
    "quarter": Fraction(1, 4),
    "fifth": Fraction(1, 5),
    "tenth": Fraction(1, 10),
}
_VULGAR = {"½": "0.5", "¼": "0.25", "¾": "0.75"}

_CONTRACTIONS = {
    "what's": "what is",
    "whats": "what is",
    "who's": "who is",
    "where's": "where is",
    "how's": "how is",
    "it's": "it is",
    "that's": "that is",
    "there's": "there is",
    "name's": "name is",
    "i'm": "i am",
    "im": "i am",
    "i'd": "i would",
    "i've": "i have",
    "you're": "you are",
    "let's": "let us",
    "don't": "do not",
    "can't": "cannot",
}

_TOKEN = re.compile(
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?"  # 1,250.5
    r"|\d*\.\d+|\d+"  # .5, 2.5, 17
    r"|[^\W\d_]+(?:'[^\W\d_]+)?"  # words, apostrophes inside
    r"|[+\-*/\u00d7\u00f7^=%()]"
)


def tokenize(text: str) -> list[str]:
    """Return the words, figures and arithmetic signs of ``text`` in lower case.

    Contractions are spelled out, hyphens inside words separate them, and punctuation goes.
    """
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = text.replace("\N{DEGREE SIGN}", " degrees ")
    text = text.replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-")
    for sign, figure in _VULGAR.items():
        text = text.replace(sign, f" {figure} ")
    text = re.sub(r"\bto-(?=day|morrow|night)", "to", text)  # as the recogniser spells them
    text = re.sub(r"(?<=[^\W\d_])-(?=[^\W\d_])", " ", text)
    tokens: list[str] = []
    for token in _TOKEN.findall(text):
        tokens.extend(_CONTRACTIONS.get(token, token).split())
    return tokens


def parse_number(tokens: Sequence[str], start: int) -> tuple[Fraction, int] | None:
    """Read the longest number at ``tokens[start]``: its value and the index after it."""
    whole = _parse_whole(tokens, start)
    value, end = whole or (None, start)
    decimals = _parse_decimals(tokens, end)
    if decimals is not None:
        fraction, end = decimals
        return _scaled((value or Fraction(0)) + fraction, tokens, end)
    part = _parse_part(tokens, start, value, end)
    if part is not None:
        return part
    return None if value is None else (value, end)


def merge_numbers(tokens: Sequence[str]) -> list[Token]:
    """Put a :class:`~fractions.Fraction` in the place of every number in ``tokens``."""
    merged: list[Token] = []
    index = 0
    while index < len(tokens):
        number = parse_number(tokens, index)
        if number is None:
            merged.append(tokens[index])
            index += 1
        else:
            merged.append(number[0])
            index = number[1]
    return merged


def format_number(value: Fraction, decimals: int = 4) -> tuple[str, bool]:
    """Return ``value`` as it is written and read aloud, and whether that is exact.

    Thousands are separated, since a voice reads four bare figures as a year; the sign is the
    word "minus".
    """
    sign = "minus " if value < 0 else ""
    size = abs(value)
    if size >= 10**15:
        mantissa, exponent = f"{_as_float(size):.3e}".split("e")
        figures = mantissa.rstrip("0").rstrip(".")
        return f"{sign}{figures} times 10 to the power of {int(exponent)}", False
    if size.denominator == 1:
        return f"{sign}{size.numerator:,}", True
    if size < Fraction(1, 10):
        decimals += 3
    rounded = round(size, decimals)
    if rounded == 0:
        return "0", False
    whole, part = divmod(rounded, 1)
    figures = f"{int(part * 10**decimals):0{decimals}d}".rstrip("0")
    text = f"{int(whole):,}.{figures}" if figures else f"{int(whole):,}"
    return sign + text, rounded == size


def _as_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("1.797e308")


def _figures(token: str) -> Fraction | None:
    plain = token.replace(",", "")
    return Fraction(plain) if re.fullmatch(r"\d*\.?\d+", plain) else None


def _parse_whole(tokens: Sequence[str], start: int) -> tuple[Fraction, int] | None:
    """Read figures and number words up to a decimal point: "17 million", "two hundred and five"."""
    total = current = Fraction(0)
    room = 0  # the next word must be smaller than this to belong to the number; 0: none yet
    end = index = start
    while index < len(tokens):
        token = tokens[index]
        figures = _figures(token)
        if token == "a" and index == start and _is_multiple(tokens, index + 1):
            current, room = Fraction(1), 0
        elif token == "and" and room >= 100 and end == index and index > start:
            index += 1
            continue
        elif figures is not None or token in _ONES or token in _TENS:
            size = figures if figures is not None else Fraction((_ONES | _TENS)[token])
            if end > start and (size >= room or size == 0 or size.denominator != 1):
                break
            current += size
            room = 10 if token in _TENS else 1
        elif token == "hundred" and end > start and current < 100:
            current, room = current * 100, 100
        elif token == "dozen" and end > start:
            current, room = current * 12, 1
        elif token in _SCALES and end > start and current > 0:
            total, current, room = total + current * _SCALES[token], Fraction(0), _SCALES[token]
        else:
            break
        index += 1
        end = index
    return (total + current, end) if end > start else None


def _is_multiple(tokens: Sequence[str], index: int) -> bool:
    return index < len(tokens) and tokens[index] in {"hundred", "dozen", *_SCALES}


def _parse_decimals(tokens: Sequence[str], start: int) -> tuple[Fraction, int] | None:
    """Read "point one four" or "point 14"."""
    if start + 1 >= len(tokens) or tokens[start] not in {"point", "dot"}:
        return None
    digits = ""
    index = start + 1
    while index < len(tokens):
        token = tokens[index]
        if token.isdigit():
            digits += token
        elif token == "oh":
            digits += "0"
        elif token in _ONES:
            digits += str(_ONES[token])
        elif token in _TENS:
            following = tokens[index + 1] if index + 1 < len(tokens) else ""
            ones = _ONES.get(following, 0)
            digits += str(_TENS[token] + (ones if 0 < ones < 10 else 0))
            index += 1 if 0 < ones < 10 else 0
        else:
            break
        index += 1
    return (Fraction(f"0.{digits}"), index) if digits else None


def _scaled(value: Fraction, tokens: Sequence[str], index: int) -> tuple[Fraction, int]:
    """Apply the scale of "2.5 million"."""
    if index < len(tokens) and tokens[index] in _SCALES:
        return value * _SCALES[tokens[index]], index + 1
    return value, index


def _parse_part(
    tokens: Sequence[str], start: int, value: Fraction | None, end: int
) -> tuple[Fraction, int] | None:
    """Read "half", "a quarter", "three quarters", "seven and a half"."""

    def word(index: int) -> str:
        return tokens[index] if index < len(tokens) else ""

    if value is None:
        first = start + 1 if word(start) in {"a", "an"} else start
        if word(first) == "half" or (first > start and word(first) in _PARTS):
            return _PARTS[word(first)], first + 1
        return None
    if word(end) == "and":
        first = end + 2 if word(end + 1) in {"a", "an", "one"} else end + 1
        if word(first) in _PARTS and first > end + 1:
            return value + _PARTS[word(first)], first + 1
        if word(end + 1) == "three" and word(end + 2) == "quarters":
            return value + Fraction(3, 4), end + 3
        return None
    if word(end) in {"thirds", "quarters", "fifths", "tenths", "halves"}:
        part = _PARTS["half" if word(end) == "halves" else word(end)[:-1]]
        return value * part, end + 1
    if value == 1 and word(end) in _PARTS and end - start == 1:
        return _PARTS[word(end)], end + 1
    return None
