"""The tools that keep time, over a session state."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

from google.adk.tools.tool_context import ToolContext

from rtc_server.local_agent.tools import FACTS_KEY, Tools

from .live import FakeClock


def new_context() -> ToolContext:
    """A tool's context, as far as these tools know it: the session state."""
    return cast(ToolContext, SimpleNamespace(state={}))


def timer(result: dict[str, Any], key: str) -> dict[str, Any]:
    return cast(dict[str, Any], result[key])


def test_alarm_is_the_next_time_the_clock_shows_it() -> None:
    clock = FakeClock(datetime(2026, 11, 23, 19, 30).timestamp())
    tools, context = Tools(clock), new_context()
    assert timer(tools.set_alarm(7, 0, "am", "", context), "set")["seconds"] == 11.5 * 3600
    assert timer(tools.set_alarm(8, 0, "", "leave", context), "set")["seconds"] == 1800
    assert "error" in tools.set_alarm(13, 0, "", "", context)


def test_timer_is_extended_under_its_name() -> None:
    clock = FakeClock()
    tools, context = Tools(clock), new_context()
    tools.set_timer(300, "", False, context)
    clock.now += 60
    result = tools.extend_timer(120, "", context)
    assert result["left"] == 360
    assert tools.cancel_timer("5 minute", context)["cancelled"] == 1


def test_the_timer_among_several_is_asked_back() -> None:
    tools, context = Tools(FakeClock()), new_context()
    tools.set_timer(300, "", False, context)
    tools.set_timer(600, "pasta", False, context)
    assert len(tools.cancel_timer("", context)["which"]) == 2
    assert len(tools.extend_timer(60, "", context)["which"]) == 2
    assert tools.cancel_timer("10 minute", context)["cancelled"] == 1
    assert tools.cancel_timer("all", context)["cancelled"] == 1


def test_note_told_twice_is_kept_once() -> None:
    tools, context = Tools(FakeClock()), new_context()
    for _ in range(2):
        tools.remember("note", "you have two cats", context)
    assert context.state[FACTS_KEY] == {"note 1": "you have two cats"}
    assert tools.look_up("cats", context)["facts"] == {"note 1": "you have two cats"}
