"""What becomes of each tool call of a live session, as plain code.

There are four kinds in ADK's live mode (2.13, ``flows/llm_flows/tools/_live_caller.py``):

* the model waits for the result, and ADK's receiving with it;
* a *long-running* tool says something at once or nothing; its result comes later, if ever;
* a *streaming* tool (an async generator) is answered by a notice that it is pending; each of
  its yields goes to the model, and nothing says that it has ended;
* a *non-blocking* tool has its result sent when it is there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from ..live_events import LiveEvent, ToolCalled, ToolCancelled, ToolProgressed, ToolReturned

if TYPE_CHECKING:
    from google.genai import types

__all__ = ["StreamEnd", "ToolCalls"]

_MAX_CALLS = 256
"""Open calls, and cancelled ones, that are remembered; the oldest are forgotten."""

_PROGRESS_PER_S = 10.0
_PROGRESS_BURST = 10.0


class StreamEnd(Enum):
    """How a streaming tool ended."""

    DONE = auto()
    FAILED = auto()
    CANCELLED = auto()


@dataclass(slots=True)
class _Call:
    name: str
    long_running: bool
    streaming: bool = False
    allowance: float = _PROGRESS_BURST
    allowed_at: float = 0.0
    held: Mapping[str, Any] | None = None
    """The newest progress that was not told, because it came too soon."""


class ToolCalls:
    """The tool calls that have not come to an end.

    Args:
        background: names of the tools that the model does not wait for, beside those that
            ADK's events mark as long-running.
    """

    def __init__(self, background: Collection[str] = ()) -> None:
        self._background = background
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        self._untold: OrderedDict[str, None] = OrderedDict()
        """Of the cancelled ones those that ADK had not told of, and will."""

    def called(self, call: types.FunctionCall, *, long_running: bool) -> ToolCalled | None:
        """The model calls a tool; None where it has taken the call back before ADK told of it."""
        id, name = call.id or "", call.name or ""
        if id in self._untold:
            del self._untold[id]
            return None
        self._cancelled.pop(id, None)  # a model may use an id again
        in_background = name in self._background
        self._calls[id] = _Call(name, long_running)
        self._calls.move_to_end(id)
        while len(self._calls) > _MAX_CALLS:
            self._calls.popitem(last=False)
        return ToolCalled(id, name, call.args or {}, long_running=long_running or in_background)

    def returned(self, response: types.FunctionResponse) -> LiveEvent | None:
        """A response of a tool, as ADK's events have it."""
        id, name, result = response.id or "", response.name or "", response.response or {}
        if id in self._cancelled:
            return None
        call = self._calls.get(id)
        if call is not None and call.streaming:
            return None  # that its results are pending
        if call is not None and call.long_running:
            return ToolProgressed(id, name, result)
        self._calls.pop(id, None)
        return ToolReturned(id, name, result)

    def stream_began(self, id: str) -> None:
        """A call's tool is a streaming one."""
        if id in self._calls:
            self._calls[id].streaming = True

    def progressed(self, id: str, value: object, now: float) -> ToolProgressed | None:
        """A streaming tool has yielded ``value``; None if that is too soon to be told.

        At most ten a second are told, and the newest of those held back before the end.
        """
        call = self._calls.get(id)
        if call is None:
            return None
        result = value if isinstance(value, dict) else {"result": value}
        gained = (now - call.allowed_at) * _PROGRESS_PER_S
        call.allowance = min(_PROGRESS_BURST, call.allowance + gained)
        call.allowed_at = now
        if call.allowance < 1.0:
            call.held = result
            return None
        call.allowance -= 1.0
        call.held = None
        return ToolProgressed(id, call.name, result)

    def stream_ended(self, id: str, how: StreamEnd) -> list[LiveEvent]:
        """A streaming tool is at its end."""
        call = self._calls.pop(id, None)
        if call is None:
            return []
        told: list[LiveEvent] = []
        if call.held is not None:
            told.append(ToolProgressed(id, call.name, call.held))
        match how:
            case StreamEnd.DONE:
                told.append(ToolReturned(id, call.name, {}))
            case StreamEnd.FAILED:
                told.append(ToolReturned(id, call.name, {"error": f"The tool {call.name} failed."}))
            case StreamEnd.CANCELLED:
                told.append(ToolCancelled(id, call.name))
        return told

    def cancel(self, ids: Iterable[str]) -> list[ToolCancelled]:
        """The model takes calls back; what they give is not told, and not for the model."""
        told = []
        for id in ids:
            self._cancelled[id] = None
            call = self._calls.pop(id, None)
            if call is not None:
                told.append(ToolCancelled(id, call.name))
            else:
                self._untold[id] = None
            for kept in (self._cancelled, self._untold):
                if len(kept) > _MAX_CALLS:
                    kept.popitem(last=False)
        return told

    def abandoned(self, id: str) -> ToolCancelled | None:
        """Nothing will answer the call, whose task is gone; None if that is known already."""
        call = self._calls.pop(id, None)
        return None if call is None else ToolCancelled(id, call.name)

    def is_cancelled(self, id: str | None) -> bool:
        """Whether the model has taken this call back."""
        return id in self._cancelled

    def run_over(self) -> list[ToolCancelled]:
        """The run is over, and its tools with it; a long-running one may answer yet."""
        gone = [(id, call.name) for id, call in self._calls.items() if not call.long_running]
        for id, _ in gone:
            del self._calls[id]
        return [ToolCancelled(id, name) for id, name in gone]
