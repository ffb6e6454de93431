"""What the caller means, in many ways of saying it."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_server.local_agent.intents import ToolCall, understand
from rtc_server.local_agent.remarks import Remark


def remember(key: str, value: str) -> ToolCall:
    return ToolCall("remember", {"key": key, "value": value})


def recall(key: str) -> ToolCall:
    return ToolCall("recall", {"key": key})


CALCULATION = ToolCall("calculate", {"expression": "17 * 4"})
TIME = ToolCall("get_current_time")
DATE = ToolCall("get_current_date")


@pytest.mark.parametrize(
    ("said", "intents"),
    [
        ("Hello.", [Remark.GREETING]),
        ("Hi there!", [Remark.GREETING]),
        ("Good morning!", [Remark.GREETING]),
        ("Hello, what time is it?", [Remark.GREETING, TIME]),
        ("What time is it?", [TIME]),
        ("what's the time", [TIME]),
        ("Can you tell me the time please", [TIME]),
        ("Do you know what time it is?", [TIME]),
        ("What day is it today?", [DATE]),
        ("what's today's date", [DATE]),
        ("What is the date?", [DATE]),
        ("What is seventeen times four?", [CALCULATION]),
        ("Could you tell me what seventeen times four is?", [CALCULATION]),
        ("What is 17? Times four.", [CALCULATION]),
        ("My name is Ada.", [remember("name", "Ada")]),
        ("my name's Ada Lovelace", [remember("name", "Ada Lovelace")]),
        ("I'm Ada.", [remember("name", "Ada")]),
        ("Hello. My name is Bob. What is 17 times 4?",
         [Remark.GREETING, remember("name", "Bob"), CALCULATION]),
        ("I live in Paris.", [remember("home", "Paris")]),
        ("My favorite color is green.", [remember("favourite colour", "green")]),
        ("My dog's name is Rex.", [remember("dog's name", "Rex")]),
        ("I am 36 years old.", [remember("age", "36")]),
        ("I like my garden", [remember("likes", "your garden")]),
        ("Remember that the key is under the mat", [remember("note", "the key is under the mat")]),
        ("remember my name is Ada", [remember("name", "Ada")]),
        ("What is my name?", [recall("name")]),
        ("who am I", [recall("name")]),
        ("Where do I live?", [recall("home")]),
        ("What's my favourite colour?", [recall("favourite colour")]),
        ("What is my dog's name?", [recall("dog's name")]),
        ("How old am I?", [recall("age")]),
        ("What do you know about me?", [recall("")]),
        ("Forget my name.", [ToolCall("forget", {"key": "name"})]),
        ("Forget everything.", [ToolCall("forget", {"key": ""})]),
        ("forget it", [Remark.STOP]),
        ("Set a timer.", [Remark.TIMER_WITHOUT_TIME]),
        ("Cancel the timer.", [ToolCall("cancel_timer", {"label": ""})]),
        ("stop the pasta timer", [ToolCall("cancel_timer", {"label": "pasta"})]),
        ("How much time is left?", [ToolCall("list_timers")]),
        ("what timers are running", [ToolCall("list_timers")]),
        ("Tell me a story.", [ToolCall("pick_story", {"topic": ""})]),
        ("Please tell me a long story.", [ToolCall("pick_story", {"topic": ""})]),
        ("tell me a story about a fox", [ToolCall("pick_story", {"topic": "fox"})]),
        ("Go on.", [Remark.GO_ON]),
        ("Please continue.", [Remark.GO_ON]),
        ("Stop!", [Remark.STOP]),
        ("be quiet please", [Remark.STOP]),
        ("Could you repeat that please?", [Remark.REPEAT]),
        ("What can you do?", [Remark.HELP]),
        ("Help!", [Remark.HELP]),
        ("Can you hear me?", [Remark.CAN_YOU_HEAR_ME]),
        ("How are you?", [Remark.HOW_ARE_YOU]),
        ("What's your name?", [Remark.WHO_ARE_YOU]),
        ("Thank you very much.", [Remark.THANKS]),
        ("Bye bye!", [Remark.GOODBYE]),
        ("Tell me a joke", [Remark.JOKE]),
        ("What time is it and what is seventeen times four?", [TIME, CALCULATION]),
        ("What is the time, and what is the date?", [TIME, DATE]),
        ("My name is Bob and what's the time", [remember("name", "Bob"), TIME]),
        ("I live in Lisbon and I work as a teacher",
         [remember("home", "Lisbon"), remember("job", "a teacher")]),
        ("I like cats and dogs", [remember("likes", "cats and dogs")]),
        ("Cancele the timer.", [ToolCall("cancel_timer", {"label": ""})]),
        ("cancel all timers", [ToolCall("cancel_timer", {"label": "all"})]),
        ("cancel the ten minute timer", [ToolCall("cancel_timer", {"label": "10 minute"})]),
        ("how long has the pasta got", [ToolCall("list_timers")]),
        ("add five minutes to the timer",
         [ToolCall("extend_timer", {"label": "", "seconds": 300})]),
        ("set an alarm for 7 am",
         [ToolCall("set_alarm", {"hour": 7, "minute": 0, "half": "am", "label": ""})]),
        ("what time is it in Tokyo", [ToolCall("get_current_time", {"place": "Tokyo"})]),
        ("what time will it be in two hours",
         [ToolCall("get_current_time", {"seconds_ahead": 7200})]),
        ("what day is tomorrow", [ToolCall("get_date_of", {"day": "tomorrow"})]),
        ("How many days until Christmas?", [ToolCall("get_date_of", {"day": "christmas"})]),
        ("do you have the time", [TIME]),
        ("Yes.", [Remark.ACKNOWLEDGED]),
        ("I'm tired", [Remark.UNWELL]),
        ("How's the weather today?", [Remark.CANNOT]),
        ("What's your favourite colour?", [Remark.NO_TASTE]),
        ("Do you speak Spanish?", [Remark.ENGLISH_ONLY]),
    ],
)  # fmt: skip
def test_phrase_is_understood(said: str, intents: list[Any]) -> None:
    assert understand(said) == intents


@pytest.mark.parametrize(
    "said",
    ["", "...", "The quick brown fox jumps over the lazy dog", "5",
     "Go forward ten meters.", "\N{SNOWMAN}", "Hello world foo"],
)  # fmt: skip
def test_what_is_not_understood_is_not_guessed(said: str) -> None:
    assert understand(said) == []


def test_conversion_keeps_whole_numbers_whole() -> None:
    (call,) = understand("How many kilometers are 5 miles?")
    assert call == ToolCall(
        "convert_units", {"value": 5, "from_unit": "mile", "to_unit": "kilometre"}
    )


def test_very_long_text_is_cut_and_takes_no_time() -> None:
    for text in ("go on " * 40_000, "my " * 80_000, "a" * 250_000, "what is " + "1 + " * 60_000):
        understand(text)
