"""Arithmetic that somebody said aloud.

:func:`find_expression` turns a question into one line of plain signs
(``"17 * 4"``), :func:`evaluate` works it out.  Both are exact and bounded; nothing is
ever given to ``eval``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from math import factorial, isqrt

from .numbers import format_number, merge_numbers, tokenize

__all__ = ["CannotCalculate", "evaluate", "find_expression", "say_expression", "write_number"]

_MAX_EXPRESSION = 200
_MAX_BITS = 4096

_PHRASES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("to", "the", "power", "of"), ("^",)),
    (("to", "the", "power"), ("^",)),
    (("the", "square", "root", "of"), ("sqrt",)),
    (("square", "root", "of"), ("sqrt",)),
    (("multiplied", "by"), ("*",)),
    (("multiplied", "with"), ("*",)),
    (("divided", "by"), ("/",)),
    (("divided", "buy"), ("/",)),
    (("take", "away"), ("-",)),
    (("added", "to"), ("+",)),
    (("raised", "to"), ("^",)),
    (("per", "cent", "off"), ("%", "off")),
    (("percent", "off"), ("%", "off")),
    (("per", "cent"), ("%",)),
    (("equals",), ()),
    (("equal", "to"), ()),
    (("=",), ()),
    (("times",), ("*",)),
    (("time",), ("*",)),
    (("x",), ("*",)),
    (("\N{MULTIPLICATION SIGN}",), ("*",)),
    (("\N{DIVISION SIGN}",), ("/",)),
    (("over",), ("/",)),
    (("plus",), ("+",)),
    (("minus",), ("-",)),
    (("negative",), ("-",)),
    (("less",), ("-",)),
    (("percent",), ("%",)),
    (("factorial",), ("!",)),
    (("squared",), ("^", "2")),
    (("cubed",), ("^", "3")),
    (("double",), ("2", "*")),
    (("twice",), ("2", "*")),
    (("triple",), ("3", "*")),
)
_SIGNS = set("+-*/^%!()") | {"sqrt", "of", "off"}
_LARGEST_FACTORIAL = 170
_LARGEST_DENOMINATOR = 10_000
_PARTS_SAID = {"0.5": "half", "0.25": "a quarter", "0.75": "three quarters", "1/3": "a third"}
_LEAD = frozenset(
    {"what", "is", "how", "much", "calculate", "compute", "work", "out", "the", "result"}
    | {"answer", "to", "tell", "me", "and", "so", "now", "then", "ok", "okay", "please", "can"}
    | {"you", "could", "do", "solve", "find", "evaluate", "are", "does", "be"}
)
_TAIL = {"please", "equal", "is", "make", "what", "now", "be"}
_HOMOPHONES = {"for": "4", "fore": "4", "to": "2", "too": "2", "won": "1", "ate": "8", "sex": "6"}
_FORMS: tuple[tuple[tuple[str, ...], frozenset[str], str, bool], ...] = (
    # first words, the words between the operands, sign, operands swapped
    (("add",), frozenset({"and", "to", "plus", "with"}), "+", False),
    (("sum", "of"), frozenset({"and", "plus"}), "+", False),
    (("multiply",), frozenset({"by", "and", "with", "times"}), "*", False),
    (("product", "of"), frozenset({"and", "times"}), "*", False),
    (("divide",), frozenset({"by"}), "/", False),
    (("subtract",), frozenset({"from"}), "-", True),
    (("take",), frozenset({"from"}), "-", True),
    (("difference", "between"), frozenset({"and"}), "-", False),
    (("difference", "of"), frozenset({"and"}), "-", False),
)


class CannotCalculate(ValueError):
    """The expression is malformed, too large, or has no answer; the message is speakable."""


def find_expression(text: str) -> str | None:
    """Return the calculation that ``text`` asks for, as signs and figures, or None."""
    tokens = _strip(tokenize(text))
    for candidate in (tokens, _guess_homophones(tokens)):
        expression = _from_form(candidate) or _from_infix(candidate)
        if expression is not None:
            return expression
    return None


def evaluate(expression: str) -> Fraction:
    """Work out ``expression``: ``+ - * / ^ % of sqrt ( )``, with the usual precedence.

    Roots and broken powers are rounded to 20 figures, everything else is exact.  Raises
    :exc:`CannotCalculate`.
    """
    if len(expression) > _MAX_EXPRESSION:
        raise CannotCalculate("that is too long for me")
    return _Parser(expression).result()


def say_expression(expression: str) -> str:
    """Return ``expression`` in words that a voice can read."""
    words = {"*": "times", "/": "divided by", "+": "plus", "-": "minus"}
    said: list[str] = []
    expression = re.sub(r"\((\d+) / (\d+)\)", r"\1/\2", expression)
    tokens = re.findall(r"\d+/\d+|\d+(?:\.\d+)?|sqrt|off?|[-+*/^%!()]", expression)
    for index, token in enumerate(tokens):
        if token == "^":
            said.append("to the power of")
        elif token == "sqrt":
            said.append("the square root of")
        elif token == "%" and said:
            said[-1] += "%"
        elif token in words:
            said.append(words[token])
        elif token in "()":
            if said and index < len(tokens) - 1 and not said[-1].endswith(","):
                said[-1] += ","  # a pause where the bracket is
        elif token == "!":
            said.append("factorial")
        elif token in {"of", "off"} or "/" in token:
            said.append(token)
        else:
            said.append(format_number(Fraction(token), decimals=12)[0])
        if token == "2" and index and tokens[index - 1] == "^":
            said[-2:] = ["squared"]
    if len(said) > 1 and said[1] == "of":
        said[0] = _PARTS_SAID.get(said[0], said[0])
    return " ".join(said)


def _strip(tokens: list[str]) -> list[str]:
    start, end = 0, len(tokens)
    while start < end and tokens[start] in _LEAD and tokens[start : start + 2] != ["the", "square"]:
        start += 1
    while end > start and (tokens[end - 1] in _TAIL or tokens[end - 2 : end] == ["for", "me"]):
        end -= 2 if tokens[end - 1] == "me" else 1
    return tokens[start:end]


def _guess_homophones(tokens: list[str]) -> list[str]:
    """Read "for", "to", "won" as figures where an operand is missing."""
    replaced = _replace_phrases(tokens)
    guessed: list[str] = []
    for index, token in enumerate(replaced):
        before = replaced[index - 1] if index else "("
        if token in _HOMOPHONES and (before in _SIGNS or index == len(replaced) - 1):
            token = _HOMOPHONES[token]
        guessed.append(token)
    return guessed


def _replace_phrases(tokens: Sequence[str]) -> list[str]:
    replaced: list[str] = []
    index = 0
    while index < len(tokens):
        for phrase, signs in _PHRASES:
            if tuple(tokens[index : index + len(phrase)]) == phrase:
                replaced.extend(signs)
                index += len(phrase)
                break
        else:
            replaced.append(tokens[index])
            index += 1
    return replaced


def _from_form(tokens: list[str]) -> str | None:
    """Read "add A and B", "subtract A from B", "the sum of A and B and C"."""
    for first, between, sign, swapped in _FORMS:
        if tuple(tokens[: len(first)]) != first:
            continue
        operands: list[Fraction] = []
        for token in merge_numbers(tokens[len(first) :]):
            if isinstance(token, Fraction):
                operands.append(token)
            elif token not in between and token != "away":
                return None
        if len(operands) < 2 or (swapped and len(operands) != 2):
            return None
        if swapped:
            operands.reverse()
        return f" {sign} ".join(write_number(operand) for operand in operands)
    return None


def _from_infix(tokens: list[str]) -> str | None:
    """Read "A times B plus C" and what goes with it; None unless every word has a meaning."""
    merged = merge_numbers(_replace_phrases(tokens))
    if not any(isinstance(token, Fraction) for token in merged):
        return None
    written: list[str] = []
    signs = 0
    for token in merged:
        if isinstance(token, Fraction):
            if written and not (written[-1] in _SIGNS or written[-1] == "("):
                return None
            written.append(write_number(token))
        elif token in _SIGNS:
            signs += token not in {"(", ")"}
            written.append(token)
        else:
            return None
    expression = " ".join(written)
    expression = re.sub(r" (?=[%!)])|(?<=\() ", "", expression)
    if not signs:
        return None
    try:
        _Parser(expression, dry=True).result()
    except CannotCalculate:
        return None
    return expression


def write_number(value: Fraction) -> str:
    """Write ``value`` as an operand: exactly, but for what has no short form."""
    if value.denominator == 1:
        return str(value.numerator)
    text = f"{float(value):.12f}".rstrip("0")
    exact = Fraction(text) == value or value.denominator > _LARGEST_DENOMINATOR
    return text if exact else f"({value.numerator} / {value.denominator})"


class _Parser:
    """Recursive descent; ``dry`` checks the form and computes nothing."""

    def __init__(self, expression: str, *, dry: bool = False) -> None:
        self._tokens = re.findall(r"\d+(?:\.\d+)?|sqrt|off?|\S", expression)
        self._index = 0
        self._dry = dry

    def result(self) -> Fraction:
        value = self._sum()
        if self._index != len(self._tokens):
            raise CannotCalculate("I cannot read that calculation")
        return value

    def _peek(self) -> str:
        return self._tokens[self._index] if self._index < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._index += 1
        return token

    def _sum(self) -> Fraction:
        value = self._product()
        while self._peek() in {"+", "-"}:
            if self._take() == "+":
                value = self._checked(value + self._product())
            else:
                value = self._checked(value - self._product())
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while self._peek() in {"*", "/", "of", "off"}:
            sign = self._take()
            if sign == "/":
                value = self._divide(value, self._signed())
            elif sign == "off":
                value = self._checked((1 - value) * self._signed())
            else:
                value = self._checked(value * self._signed())
        return value

    def _signed(self) -> Fraction:
        if self._peek() == "-":
            self._take()
            return -self._signed()
        return self._power()

    def _power(self) -> Fraction:
        value = self._atom()
        while self._peek() in {"%", "!"}:
            value = value / 100 if self._take() == "%" else self._factorial(value)
        if self._peek() == "^":
            self._take()
            return self._raise(value, self._signed())
        return value

    def _atom(self) -> Fraction:
        token = self._take()
        if token == "(":
            value = self._sum()
            if self._take() != ")":
                raise CannotCalculate("I cannot read that calculation")
            return value
        if token == "sqrt":
            return self._root(self._signed())
        if re.fullmatch(r"\d+(?:\.\d+)?", token):
            return Fraction(token)
        raise CannotCalculate("I cannot read that calculation")

    def _divide(self, value: Fraction, divisor: Fraction) -> Fraction:
        if self._dry:
            return Fraction(1)
        if divisor == 0:
            raise CannotCalculate("nothing can be divided by zero")
        return self._checked(value / divisor)

    def _factorial(self, value: Fraction) -> Fraction:
        if self._dry:
            return Fraction(1)
        if value.denominator != 1 or value < 0:
            raise CannotCalculate("only whole numbers have a factorial")
        if value > _LARGEST_FACTORIAL:
            raise CannotCalculate("that number is too large for me")
        return self._checked(Fraction(factorial(value.numerator)))

    def _root(self, value: Fraction) -> Fraction:
        if self._dry:
            return Fraction(1)
        if value < 0:
            raise CannotCalculate("a negative number has no real square root")
        top, bottom = isqrt(value.numerator), isqrt(value.denominator)
        if top * top == value.numerator and bottom * bottom == value.denominator:
            return Fraction(top, bottom)
        return _power_of(value, Fraction(1, 2))

    def _raise(self, value: Fraction, exponent: Fraction) -> Fraction:
        if self._dry:
            return Fraction(1)
        if value == 0 and exponent < 0:
            raise CannotCalculate("nothing can be divided by zero")
        if exponent.denominator == 1:
            bits = max(value.numerator.bit_length(), value.denominator.bit_length())
            if abs(exponent) * bits > _MAX_BITS:
                raise CannotCalculate("that number is too large for me")
            return self._checked(value**exponent.numerator)
        if value < 0:
            raise CannotCalculate("that has no real answer")
        return _power_of(value, exponent)

    def _checked(self, value: Fraction) -> Fraction:
        if value.numerator.bit_length() + value.denominator.bit_length() > 2 * _MAX_BITS:
            raise CannotCalculate("that number is too large for me")
        return value


def _power_of(value: Fraction, exponent: Fraction) -> Fraction:
    if value == 0:
        return Fraction(0)
    with localcontext() as context:
        context.prec = 20
        base = Decimal(value.numerator) / Decimal(value.denominator)
        power = Decimal(exponent.numerator) / Decimal(exponent.denominator)
        if abs(base.log10() * power) > 1000:
            raise CannotCalculate("that number is too large for me")
        return Fraction(base**power)
