"""The messages about what the agent does beside talking: plain functions of its events.

``conversation.py`` decides which answer they belong to, and whether they are told at all.
Each has a bound of its own, so that none is too large for the data channel.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from .agent import live_events as live
from .messages import (
    MAX_MESSAGE_BYTES,
    PICTURE_TOO_LARGE,
    TOOL_JSON_LIMIT_BYTES,
    Agent,
    Artifact,
    Code,
    Error,
    FileLink,
    Grounding,
    Picture,
    ServerMessage,
    SessionStateDelta,
    Thought,
    Tool,
    Usage,
    beginning,
)

__all__ = ["AnswerPart", "ToolEvent", "about_agent", "about_part", "about_tool"]

ToolEvent = live.ToolCalled | live.ToolProgressed | live.ToolReturned | live.ToolCancelled

AnswerPart = (
    live.AgentThought
    | live.AgentPicture
    | live.FileLinked
    | live.PartRefused
    | live.CodeWritten
    | live.CodeExecuted
)
"""What is given in an answer, and is discarded with it."""

_PICTURE_FRAME_BYTES = 256
"""What a picture's message has beside its data."""

_MAX_NAME = 300


def about_tool(event: ToolEvent, *, show: bool) -> Tool:
    """What a tool is asked, does or gives; ``show``: the caller may see with what."""
    match event:
        case live.ToolCalled():
            args, truncated = _shown(event.args, show)
            return _tool(
                "call",
                event,
                args=args,
                truncated=truncated,
                long_running=event.long_running or None,
            )
        case live.ToolProgressed():
            result, truncated = _shown(event.result, show)
            return _tool("progress", event, result=result, truncated=truncated)
        case live.ToolReturned():
            failed = "error" in event.result
            result, truncated = _shown(event.result, show)
            return _tool("result", event, result=result, truncated=truncated, failed=failed or None)
        case live.ToolCancelled():
            return _tool("cancelled", event)


def about_part(event: AnswerPart, turn: int, *, show_thoughts: bool) -> ServerMessage | None:
    """A part of answer ``turn``; None where the caller is not to see it."""
    match event:
        case live.AgentThought(text):
            return Thought(text=text, turn=turn) if show_thoughts else None
        case live.AgentPicture(mime_type, data):
            if len(data) * 4 / 3 > MAX_MESSAGE_BYTES - _PICTURE_FRAME_BYTES:
                return PICTURE_TOO_LARGE
            return Picture(turn=turn, mime_type=mime_type, data=base64.b64encode(data).decode())
        case live.FileLinked(uri, mime_type, name):
            return FileLink(turn=turn, uri=uri, mime_type=mime_type, name=name and name[:_MAX_NAME])
        case live.PartRefused(mime_type):
            return Error(
                code="part_refused",
                message=f"The agent sent something that a call cannot carry ({mime_type}).",
                retryable=False,
            )
        case live.CodeWritten(language, code):
            code, truncated = _cut(code)
            return Code(turn=turn, phase="call", language=language, code=code, truncated=truncated)
        case live.CodeExecuted(outcome, output):
            output, truncated = _cut(output)
            return Code(
                turn=turn, phase="result", outcome=outcome, output=output, truncated=truncated
            )


def about_agent(
    event: live.UsageReported
    | live.SourcesFound
    | live.ArtifactSaved
    | live.AgentChanged
    | live.StateChanged,
    turn: int,
    *,
    allow_state: Iterable[str],
) -> ServerMessage | None:
    """What is told of the agent whatever becomes of its answer."""
    match event:
        case live.UsageReported():
            return Usage(
                turn=turn,
                prompt_tokens=event.prompt_tokens,
                response_tokens=event.response_tokens,
                total_tokens=event.total_tokens,
                thoughts_tokens=event.thoughts_tokens,
                cached_tokens=event.cached_tokens,
                tool_tokens=event.tool_tokens,
                prompt_details=event.prompt_details,
                response_details=event.response_details,
            )
        case live.SourcesFound(queries, sources):
            return Grounding(turn=turn, queries=queries, sources=sources)
        case live.ArtifactSaved(name, version):
            return Artifact(name=name[:_MAX_NAME], version=version)
        case live.AgentChanged(name):
            return Agent(name=name)
        case live.StateChanged(delta):
            allowed = {key: value for key, value in delta.items() if key in allow_state}
            return SessionStateDelta(delta=allowed) if allowed else None


def _tool(
    phase: Literal["call", "progress", "result", "cancelled"],
    event: ToolEvent,
    *,
    args: Any = None,
    result: Any = None,
    truncated: bool = False,
    long_running: bool | None = None,
    failed: bool | None = None,
) -> Tool:
    return Tool(
        phase=phase,
        id=event.id,
        name=event.name,
        args=args,
        result=result,
        long_running=long_running,
        failed=failed,
        truncated=truncated or None,
    )


def _shown(value: Mapping[str, Any], show: bool) -> tuple[Any, bool]:
    return Tool.shortened(dict(value)) if show else (None, False)


def _cut(text: str) -> tuple[str, bool | None]:
    short = beginning(text, TOOL_JSON_LIMIT_BYTES)
    return short, True if short is not text else None
