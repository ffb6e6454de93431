"""The tools of the embedded agent: ordinary ADK function tools over the session state."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import uuid4

from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.tool_context import ToolContext

from .arithmetic import CannotCalculate, evaluate
from .numbers import format_number
from .stories import STORIES, find_story
from .timers import MAX_SECONDS, MAX_TIMERS, STATE_KEY, Timer, read_timers
from .units import UnknownUnit, convert, unit_words

__all__ = ["FACTS_KEY", "Tools"]

FACTS_KEY = "caller"
"""Key of the session state: what the caller said about himself, as strings by name."""

_MAX_FACTS = 50
_MAX_CHARACTERS = 200


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
                self.calculate,
                self.convert_units,
                self.remember,
                self.recall,
                self.forget,
                self.set_timer,
                self.list_timers,
                self.cancel_timer,
                self.finish_timer,
                self.pick_story,
            )
        ]

    def get_current_time(self) -> dict[str, Any]:
        """Returns the time of day where the server is."""
        now = datetime.fromtimestamp(self._clock()).astimezone()
        half = "AM" if now.hour < 12 else "PM"
        return {"time": f"{now.hour % 12 or 12}:{now.minute:02d} {half}"}

    def get_current_date(self) -> dict[str, Any]:
        """Returns the day of the week and the date where the server is."""
        now = datetime.fromtimestamp(self._clock()).astimezone()
        return {"date": f"{now:%A}, {now:%B} {now.day}, {now.year}"}

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

    def list_timers(self, tool_context: ToolContext) -> dict[str, Any]:
        """Lists the timers that are running and what is left of them."""
        timers = read_timers(tool_context.state.get(STATE_KEY))
        left = {timer.id: max(0, round(timer.due - self._clock())) for timer in timers}
        return {"seconds_left": left, STATE_KEY: [timer.as_dict() for timer in timers]}

    def cancel_timer(self, label: str, tool_context: ToolContext) -> dict[str, Any]:
        """Cancels the timers of that label; an empty label cancels all of them."""
        timers = read_timers(tool_context.state.get(STATE_KEY))
        kept = [timer for timer in timers if label and timer.label != label]
        cancelled = len(timers) - len(kept)
        return {"cancelled": cancelled, "label": label} | self._store(tool_context, kept)

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
