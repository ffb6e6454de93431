"""Units of measure."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rtc_server.local_agent.units import UnknownUnit, convert, find_conversion


@pytest.mark.parametrize(
    ("said", "unit", "result"),
    [
        ("how many kilometres are five miles", "kilometre", 8.04672),
        ("How many kilometers are 5 miles?", "kilometre", 8.04672),
        ("convert 100 fahrenheit to celsius", "degree Celsius", 37.7778),
        ("What is 100 degrees Fahrenheit in Celsius?", "degree Celsius", 37.7778),
        ("what is 20\N{DEGREE SIGN}C in fahrenheit", "degree Fahrenheit", 68),
        ("convert minus 40 celsius to fahrenheit", "degree Fahrenheit", -40),
        ("how many feet are in a mile", "foot", 5280),
        ("How many seconds in an hour?", "second", 3600),
        ("five foot ten in centimetres", "centimetre", 177.8),
        ("5 feet 10 inches in cm", "centimetre", 177.8),
        ("60 miles per hour in kilometres per hour", "kilometre per hour", 96.56064),
        ("30 mph in km/h", "kilometre per hour", 48.28032),
        ("how many litres are in two and a half gallons", "litre", 9.46353),
        ("how many pounds is 3 kilograms", "pound", 6.61387),
        ("three hours in minutes", "minute", 180),
    ],
)
def test_conversion_is_found_and_made(said: str, unit: str, result: float) -> None:
    found = find_conversion(said)
    assert found is not None
    assert found.to_unit == unit
    converted = convert(found.value, found.from_unit, found.to_unit)
    assert float(converted) == pytest.approx(result, abs=1e-4)


@pytest.mark.parametrize(
    "said",
    ["what time is it", "convert 10 miles to kilograms", "set a timer for ten seconds", ""],
)
def test_what_is_no_conversion_is_left_alone(said: str) -> None:
    assert find_conversion(said) is None


def test_conversion_there_and_back_is_exact() -> None:
    there = convert(Fraction(100), "Fahrenheit", "kelvin")
    assert convert(there, "kelvin", "Fahrenheit") == 100


def test_different_measures_and_unknown_units_are_refused_in_words() -> None:
    with pytest.raises(UnknownUnit, match="different"):
        convert(Fraction(1), "mile", "kilogram")
    with pytest.raises(UnknownUnit, match="parsec"):
        convert(Fraction(1), "parsec", "mile")
