"""The tools of the embedded agent: ordinary ADK function tools over the session state."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import uuid4

from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.tool_context import ToolContext

from .arithmetic import CannotCalculate, evaluate
from .dates import resolve_day
from .facts import select_facts
from .numbers import format_number
from .stories import STORIES, find_story
from .timers import MAX_SECONDS, MAX_TIMERS, STATE_KEY, Timer, read_timers, say_duration
from .units import UnknownUnit, convert, unit_words

__all__ = ["FACTS_KEY", "Tools"]

FACTS_KEY = "caller"
"""Key of the session state: what the caller said about himself, as strings by name."""

_MAX_FACTS = 50
_MAX_CHARACTERS = 200
_MAX_AHEAD_S = 10 * 366 * 86_400


class Tools:
    """Everything the agent can do besides talking.

    ``clock`` gives the seconds since the epoch.  A tool never raises: what cannot be done
    comes back as ``{"error": sentence}``.  Docstrings of the tools are what a model is told.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def as_adk_tools(self) -> list[FunctionTool]:
        """Return the tools in the form that ``LlmAgent(tools=…)`` takes."""
        return [
            FunctionTool(function)
            for function in (
                self.get_current_time,
                self.get_current_date,
                self.get_date_of,
                self.calculate,
                self.convert_units,
                self.remember,
                self.recall,
                self.look_up,
                self.forget,
                self.set_timer,
                self.set_alarm,
                self.extend_timer,
                self.list_timers,
                self.cancel_timer,
                self.finish_timer,
                self.pick_story,
            )
        ]

    def get_current_time(self, place: str = "", seconds_ahead: int = 0) -> dict[str, Any]:
        """Returns the time of day where the server is, now or so many seconds ahead."""
        now = self._now() + timedelta(seconds=max(0, min(seconds_ahead, _MAX_AHEAD_S)))
        result = {"time": _clock_time(now)}
        if place:
            result["unknown_place"] = place[:_MAX_CHARACTERS]
        return result | ({"ahead": True} if seconds_ahead > 0 else {})

    def get_current_date(self) -> dict[str, Any]:
        """Returns the day of the week and the date where the server is."""
        return {"date": _long_date(self._now())}

    def get_date_of(self, day: str) -> dict[str, Any]:
        """Returns the date of a day such as "tomorrow", "in 3 weeks", "friday", "christmas"."""
        today = self._now().date()
        found = resolve_day(day.lower(), today)
        if found is None:
            return {"error": f"I do not know when {day[:_MAX_CHARACTERS]} is"}
        return {"day": day, "date": _long_date(found), "days_ahead": (found - today).days}

    def calculate(self, expression: str) -> dict[str, Any]:
        """Works out an expression such as "17 * 4", "sqrt 2" or "20% of 50"."""
        try:
            result, exact = format_number(evaluate(expression))
        except CannotCalculate as error:
            return {"expression": expression[:_MAX_CHARACTERS], "error": str(error)}
        return {"expression": expression, "result": result, "exact": exact}

    def convert_units(self, value: float, from_unit: str, to_unit: str) -> dict[str, Any]:
        """Converts a quantity from one unit of measure to another."""
        quantity = Fraction(str(value))
        try:
            result = convert(quantity, from_unit, to_unit)
            text, exact = format_number(result, decimals=2)
            return {
                "from": f"{format_number(quantity)[0]} {unit_words(from_unit, quantity)}",
                "singular": abs(quantity) == 1,
                "to": f"{text} {unit_words(to_unit, result)}",
                "exact": exact,
            }
        except UnknownUnit as error:
            return {"error": str(error)}

    def remember(self, key: str, value: str, tool_context: ToolContext) -> dict[str, Any]:
        """Remembers something the caller said about himself, such as his name."""
        facts = self._facts(tool_context)
        if key == "note" and value[:_MAX_CHARACTERS] in facts.values():
            return {"key": "note 0", "value": value[:_MAX_CHARACTERS]}  # told before
        if key == "note":
            key = next(
                name
                for number in range(1, _MAX_FACTS + 2)
                if (name := f"note {number}") not in facts
            )
        if key not in facts and len(facts) >= _MAX_FACTS:
            return {"error": "I cannot remember any more, please let me forget something first"}
        key, value = key[:_MAX_CHARACTERS], value[:_MAX_CHARACTERS]
        tool_context.state[FACTS_KEY] = facts | {key: value}
        return {"key": key, "value": value}

    def recall(self, key: str, tool_context: ToolContext) -> dict[str, Any]:
        """Recalls what the caller said about himself; an empty key recalls everything."""
        facts = self._facts(tool_context)
        if not key:
            return {"key": "", "facts": facts}
        return {"key": key, "facts": {key: facts[key]} if key in facts else {}}

    def look_up(self, about: str, tool_context: ToolContext) -> dict[str, Any]:
        """Looks for an answer in what the caller said: facts that share words with about."""
        found = select_facts(self._facts(tool_context), about[:_MAX_CHARACTERS])
        return {"about": about[:_MAX_CHARACTERS], "facts": found}

    def forget(self, key: str, tool_context: ToolContext) -> dict[str, Any]:
        """Forgets one thing the caller said about himself; an empty key forgets everything."""
        facts = self._facts(tool_context)
        kept = {name: value for name, value in facts.items() if key and name != key}
        tool_context.state[FACTS_KEY] = kept
        return {"key": key, "forgotten": len(facts) - len(kept)}

    def set_timer(
        self, seconds: int, label: str, reminder: bool, tool_context: ToolContext
    ) -> dict[str, Any]:
        """Sets a timer; with reminder, the label is something the caller wants to do then."""
        timers = read_timers(tool_context.state.get(STATE_KEY))
        if not 1 <= seconds <= MAX_SECONDS:
            return {"error": "I can only set timers between one second and a day"}
        if len(timers) >= MAX_TIMERS:
            return {"error": "there are too many timers already"}
        timer = Timer(uuid4().hex[:8], seconds, self._clock() + seconds, label, reminder)
        return {"set": timer.as_dict()} | self._store(tool_context, [*timers, timer])

    def set_alarm(
        self, hour: int, minute: int, half: str, label: str, tool_context: ToolContext
    ) -> dict[str, Any]:
        """Sets a timer for a time of day; half is "am", "pm", or empty for what comes first."""
        now = self._now()
        if not (1 <= hour <= 12 and 0 <= minute < 60 and half in {"am", "pm", ""}):
            return {"error": "that is no time of day"}
        hours = [hour % 12 + 12 * (part == "pm") for part in ("am", "pm") if half in {part, ""}]
        dues = [now.replace(hour=one, minute=minute, second=0, microsecond=0) for one in hours]
        due = min(one if one > now else one + timedelta(days=1) for one in dues)
        seconds = max(1, round((due - now).total_seconds()))
        when = _clock_time(due)
        result = self.set_timer(seconds, label or when, bool(label), tool_context)
        return result | ({"at": when} if "set" in result else {})

    def extend_timer(self, seconds: int, label: str, tool_context: ToolContext) -> dict[str, Any]:
        """Lets the timer of that label, or the only one, run so many seconds longer."""
        timers = read_timers(tool_context.state.get(STATE_KEY))
        meant = [timer for timer in timers if not label or _is_called(timer, label)]
        if len(meant) != 1:
            return {"which": [timer.as_dict() for timer in meant]}
        due = meant[0].due + seconds
        if not 1 <= seconds <= due - self._clock() <= MAX_SECONDS:
            return {"error": "I can only set timers between one second and a day"}
        longer = replace(meant[0], due=due)
        kept = [longer if timer is meant[0] else timer for timer in timers]
        left = round(due - self._clock())
        return {"extended": longer.as_dict(), "left": left} | self._store(tool_context, kept)

    def list_timers(self, tool_context: ToolContext) -> dict[str, Any]:
        """Lists the timers that are running and what is left of them."""
        timers = read_timers(tool_context.state.get(STATE_KEY))
        left = {timer.id: max(0, round(timer.due - self._clock())) for timer in timers}
        return {"seconds_left": left, STATE_KEY: [timer.as_dict() for timer in timers]}

    def cancel_timer(self, label: str, tool_context: ToolContext) -> dict[str, Any]:
        """Cancels the timers of that label or length; "all" of them; an empty label, the one."""
        timers = read_timers(tool_context.state.get(STATE_KEY))
        if not label and len(timers) > 1:
            return {"which": [timer.as_dict() for timer in timers]}
        meant = [timer for timer in timers if label in {"", "all"} or _is_called(timer, label)]
        kept = [timer for timer in timers if timer not in meant]
        return {"cancelled": len(meant), "label": label} | self._store(tool_context, kept)

    def finish_timer(self, timer_id: str, tool_context: ToolContext) -> dict[str, Any]:
        """Takes a timer that is due off the list, before the caller is told."""
        timers = read_timers(tool_context.state.get(STATE_KEY))
        finished = next((timer for timer in timers if timer.id == timer_id), None)
        kept = [timer for timer in timers if timer.id != timer_id]
        stored = self._store(tool_context, kept)
        if finished is None:
            return {"error": "there is no such timer"} | stored
        late = max(0.0, self._clock() - finished.due)
        return {"finished": finished.as_dict(), "seconds_late": round(late, 1)} | stored

    def pick_story(self, topic: str, tool_context: ToolContext) -> dict[str, Any]:
        """Picks a story, about the topic if there is one, else one not told yet."""
        told = tool_context.state.get("stories_told", 0)
        number = told if isinstance(told, int) else 0
        title = find_story(topic)
        if title is None:
            title = list(STORIES)[number % len(STORIES)]
            tool_context.state["stories_told"] = number + 1
        return {"title": title}

    def _facts(self, context: ToolContext) -> dict[str, str]:
        stored = context.state.get(FACTS_KEY)
        if not isinstance(stored, dict):
            return {}
        return {str(key): str(value) for key, value in stored.items()}

    def _store(self, context: ToolContext, timers: list[Timer]) -> dict[str, Any]:
        """Write the timers to the state; the result repeats them for whoever watches the clock."""
        stored = [timer.as_dict() for timer in timers]
        context.state[STATE_KEY] = stored
        return {STATE_KEY: stored}

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock()).astimezone()


def _clock_time(when: datetime) -> str:
    return f"{when.hour % 12 or 12}:{when.minute:02d} {'AM' if when.hour < 12 else 'PM'}"


def _long_date(when: date) -> str:
    return f"{when:%A}, {when:%B} {when.day}, {when.year}"


def _is_called(timer: Timer, name: str) -> bool:
    return name in {timer.label, say_duration(timer.seconds, adjective=True)} or (
        timer.reminder and name in timer.label
    )
