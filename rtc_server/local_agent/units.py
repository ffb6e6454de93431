"""Units of measure: what people call them, and how one becomes another.

Source: NIST Special Publication 811 (2008), appendix B.8; the foot, pound, gallon and so
on are the international and US customary ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .numbers import Token, merge_numbers, tokenize

__all__ = ["Conversion", "UnknownUnit", "convert", "find_conversion", "find_unit", "unit_words"]


class UnknownUnit(ValueError):
    """There is no such unit, or the two measure different things; the message is speakable."""


@dataclass(frozen=True, slots=True)
class _Unit:
    measures: str
    factor: Fraction
    singular: str
    plural: str
    offset: Fraction = Fraction(0)  # what zero of this unit is in the unit of reference


@dataclass(frozen=True, slots=True)
class Conversion:
    """``value`` of ``from_unit`` are asked for in ``to_unit``."""

    value: Fraction
    from_unit: str
    to_unit: str


_ROWS: tuple[tuple[str, str, str, str], ...] = (
    # measures, names (singular, plural, other names), factor to the unit of reference
    ("length", "metre", "metres meter meters m", "1"),
    ("length", "kilometre", "kilometres kilometer kilometers km kms", "1000"),
    ("length", "centimetre", "centimetres centimeter centimeters cm", "0.01"),
    ("length", "millimetre", "millimetres millimeter millimeters mm", "0.001"),
    ("length", "mile", "miles mi", "1609.344"),
    ("length", "yard", "yards yd yds", "0.9144"),
    ("length", "foot", "feet ft foots", "0.3048"),
    ("length", "inch", "inches", "0.0254"),
    ("mass", "kilogram", "kilograms kilogramme kilogrammes kilo kilos kg kgs", "1"),
    ("mass", "gram", "grams gramme grammes g", "0.001"),
    ("mass", "milligram", "milligrams mg", "0.000001"),
    ("mass", "tonne", "tonnes ton tons", "1000"),
    ("mass", "pound", "pounds lb lbs", "0.45359237"),
    ("mass", "ounce", "ounces oz", "0.028349523125"),
    ("mass", "stone", "stones", "6.35029318"),
    ("volume", "litre", "litres liter liters l leader leaders", "1"),
    ("volume", "millilitre", "millilitres milliliter milliliters ml", "0.001"),
    ("volume", "gallon", "gallons", "3.785411784"),
    ("volume", "quart", "quarts", "0.946352946"),
    ("volume", "pint", "pints", "0.473176473"),
    ("volume", "cup", "cups", "0.2365882365"),
    ("volume", "tablespoon", "tablespoons", "0.01478676478125"),
    ("volume", "teaspoon", "teaspoons", "0.00492892159375"),
    ("time", "second", "seconds secs sec", "1"),
    ("time", "minute", "minutes mins min", "60"),
    ("time", "hour", "hours hr hrs", "3600"),
    ("time", "day", "days", "86400"),
    ("time", "week", "weeks", "604800"),
    ("time", "year", "years", "31557600"),
    ("speed", "metre per second", "metres_per_second", "1"),
    ("speed", "kilometre per hour", "kilometres_per_hour kmh kph", "5/18"),
    ("speed", "mile per hour", "miles_per_hour mph", "0.44704"),
    ("speed", "knot", "knots", "463/900"),
)


def _build() -> tuple[dict[str, _Unit], dict[str, str]]:
    units: dict[str, _Unit] = {}
    names: dict[str, str] = {}
    for measures, singular, others, size in _ROWS:
        plural, *more = others.split()
        units[singular] = _Unit(measures, Fraction(size), singular, plural.replace("_", " "))
        for name in (singular, plural.replace("_", " "), *more):
            names[name] = singular
    freezing = Fraction("273.15")
    for singular, factor, offset in (
        ("degree Celsius", Fraction(1), freezing),
        ("degree Fahrenheit", Fraction(5, 9), freezing - 32 * Fraction(5, 9)),
        ("kelvin", Fraction(1), Fraction(0)),
    ):
        plural = singular.replace("degree", "degrees") if " " in singular else singular
        units[singular] = _Unit("temperature", factor, singular, plural, offset)
        names[singular.lower()] = names[plural.lower()] = singular
    names |= {"celsius": "degree Celsius", "centigrade": "degree Celsius"}
    names |= {"celcius": "degree Celsius", "fahrenheit": "degree Fahrenheit"}
    names |= {"kelvins": "kelvin"}
    return units, names


_UNITS, _NAMES = _build()
_PER = {"kilometre": "kilometre per hour", "mile": "mile per hour", "metre": "metre per second"}
_SMALL_PARTS = {("foot", "inch"), ("pound", "ounce"), ("stone", "pound"), ("hour", "minute")}
_SMALL_PARTS |= {("minute", "second"), ("metre", "centimetre"), ("kilogram", "gram")}


def convert(value: Fraction, from_unit: str, to_unit: str) -> Fraction:
    """Return how many ``to_unit`` ``value`` of ``from_unit`` are, exactly.

    Units are named as people name them, singular or plural.  Raises :exc:`UnknownUnit`.
    """
    source, target = _unit(from_unit), _unit(to_unit)
    if source.measures != target.measures:
        raise UnknownUnit(f"{source.plural} and {target.plural} measure different things")
    return (value * source.factor + source.offset - target.offset) / target.factor


def unit_words(unit: str, value: Fraction | None = None) -> str:
    """Return the name of ``unit`` as it is said after ``value``; the plural without one."""
    known = _unit(unit)
    return known.singular if value is not None and abs(value) == 1 else known.plural


def find_unit(name: str) -> str | None:
    """Return the unit that people call ``name``, or None."""
    name = re.sub(r"^(?:the |degrees? )+", "", name.strip().lower())
    return _NAMES.get(name)


def find_conversion(text: str) -> Conversion | None:
    """Return the conversion that ``text`` asks for, or None.

    It takes two units that measure the same, one of them with a quantity: "how many feet are
    in a mile", "100 fahrenheit to celsius", "5 foot 10 in centimetres" (two quantities of one
    measure are added).
    """
    mentions = _mentions(merge_numbers(_expand(tokenize(text))))
    measures = {_UNITS[unit].measures for _, unit in mentions}
    if len(measures) != 1:
        return None
    quantities = [(value, unit) for value, unit in mentions if value is not None]
    targets = [unit for value, unit in mentions if value is None]
    if len(quantities) == 2 and len(targets) == 1:
        (value, unit), (part, part_unit) = quantities
        if (unit, part_unit) in _SMALL_PARTS:
            return Conversion(convert(value, unit, part_unit) + part, part_unit, targets[0])
    if len(quantities) == 1 and len(targets) == 1 and targets[0] != quantities[0][1]:
        return Conversion(*quantities[0], targets[0])
    return None


def _unit(name: str) -> _Unit:
    known = _NAMES.get(name.strip().lower()) or _NAMES.get(name.strip())
    if known is None:
        raise UnknownUnit(f"I do not know the unit {name.strip()[:40]}")
    return _UNITS[known]


def _expand(tokens: Sequence[str]) -> list[str]:
    """Give "the", "degrees" and "one" of "a mile" their meaning."""
    expanded: list[str] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        if token in {"a", "an"} and following in _NAMES:
            expanded.append("1")
        elif token in {"c", "f"} and index and tokens[index - 1] in {"degree", "degrees"}:
            expanded.append({"c": "celsius", "f": "fahrenheit"}[token])
        elif token in {"degree", "degrees", "the", "of"}:
            continue
        else:
            expanded.append(token)
    return expanded


def _mentions(tokens: Sequence[Token]) -> list[tuple[Fraction | None, str]]:
    """Return the units in the order they come in, each with the quantity in front of it."""
    found: list[tuple[Fraction | None, str]] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        before = tokens[index - 1] if index else None
        minus = index > 1 and tokens[index - 2] in {"minus", "-", "negative"}
        unit = _NAMES.get(token) if isinstance(token, str) else None
        if unit is not None and not (isinstance(token, str) and len(token) == 1 and before is None):
            value = before if isinstance(before, Fraction) else None
            if isinstance(tokens[index], str) and _is_per(tokens, index) and unit in _PER:
                unit = _PER[unit]
                index += 2
            found.append((-value if value is not None and minus else value, unit))
        elif (
            isinstance(token, Fraction)
            and found
            and index + 1 < len(tokens)
            and tokens[index + 1] in {"in", "to"}
            and found[-1] == (found[-1][0], "foot")
            and isinstance(before, str)
            and _NAMES.get(before) == "foot"
        ):
            found.append((token, "inch"))  # "five foot ten"
        index += 1
    return found


def _is_per(tokens: Sequence[Token], index: int) -> bool:
    following = tuple(tokens[index + 1 : index + 3])
    return following in {("per", "hour"), ("an", "hour"), ("per", "second"), ("a", "second")} or (
        len(following) == 2 and following[0] in {"/", Fraction(1)} and following[1] in {"h", "hour"}
    )
