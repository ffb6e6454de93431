"""Which of ADK's events are worth a row, and what is stored of one; plain code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.adk.events.event import Event
from google.adk.sessions.session import Session
from google.genai import types

from ... import json_values

__all__ = ["as_stored", "has_words", "is_worth_a_row", "tell_speech_as_text", "told_to_models"]

_OF_NO_WORTH = frozenset(
    {
        # Who and when.
        "id", "author", "branch", "invocation_id", "isolation_scope", "node_info", "timestamp",
        # The course of a live connection, which says nothing without words.
        "finish_reason", "go_away", "interaction_status", "interrupted",
        "live_session_id", "live_session_resumption_update", "model_version", "partial",
        "turn_complete", "turn_complete_reason", "usage_metadata", "voice_activity",
        # Without words; and ADK's marks of what is in the content.
        "content", "input_transcription", "long_running_tool_ids", "output_transcription",
    }
)  # fmt: skip

_MAX_DEPTH = 80
"""Of an event's fields, a tool's result in them (64) among these."""


def is_worth_a_row(event: Event) -> bool:
    """Whether ``event`` says, does or reports something: what is unknown here is kept."""
    if has_words(event):
        return True
    left = event.model_dump(
        exclude=set(_OF_NO_WORTH), exclude_none=True, exclude_defaults=True, warnings=False
    )
    return any(_is_something(value) for value in left.values())


def _is_something(value: object) -> bool:
    if isinstance(value, dict):
        return any(_is_something(one) for one in value.values())
    return value is not None and value not in ("", [], ())


def as_stored(event: Event, state: dict[str, Any], *, written_out: bool = False) -> Event:
    """``event`` for the service: with further keys of state, without the model's handle.

    Args:
        written_out: the service did not take it as it is: what no database stores (a half
            character, a NUL, NaN, an object in the state) is written out.
    """
    update: dict[str, Any] = {"live_session_resumption_update": None}
    if state:
        delta = {**event.actions.state_delta, **state}
        update["actions"] = event.actions.model_copy(update={"state_delta": delta})
    stored = event.model_copy(update=update)
    return _written_out(stored) if written_out else stored


def _written_out(event: Event) -> Event:
    # Bytes are left: pydantic stores them as base64, and makes bytes of that again.
    fields = json_values.written_out(
        event.model_dump(warnings=False),
        depth=_MAX_DEPTH,
        keep=lambda value, level: isinstance(value, bytes),
    )
    return Event.model_validate(fields)


def has_words(event: Event) -> bool:
    """Whether ADK tells a model of it: content, or a transcript of either side."""
    if event.content is not None and event.content.parts:
        return True
    transcripts = (event.input_transcription, event.output_transcription)
    return any(one is not None and one.text for one in transcripts)


def told_to_models(events: Sequence[Event]) -> list[Event]:
    """Those that ADK makes the history of a connection of.

    It leaves out thoughts, and calls of tools that have not returned (2.13, ``_contents`` and
    ``_rearranger``).
    """
    returned = {one.id for event in events for one in event.get_function_responses()}
    awaited = {id for event in events for id in event.long_running_tool_ids or ()}

    def is_told(part: types.Part) -> bool:
        call = part.function_call
        if call is not None:
            return not call.id or call.id in returned or call.id in awaited
        return bool(part.function_response or not part.thought)

    return [
        event
        for event in events
        if has_words(event)
        and (event.content is None or any(is_told(one) for one in event.content.parts or ()))
    ]


def tell_speech_as_text(session: Session) -> None:
    """Gives events with a transcript alone a content: ADK's memory services read nothing else."""
    for event in session.events:
        if event.content is not None:
            continue
        for role, transcript in (
            ("user", event.input_transcription),
            ("model", event.output_transcription),
        ):
            if transcript is not None and transcript.text:
                event.content = types.Content(role=role, parts=[types.Part(text=transcript.text)])
