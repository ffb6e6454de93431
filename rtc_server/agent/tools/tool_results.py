"""What a tool gives, made such that the model's connection, the history and the caller carry it.

ADK (2.13) passes on whatever a tool returns.  Google's client then writes JSON of it on its own
terms: a set ends ADK's sender, which tells nobody, and NaN is sent, which is no JSON.  A half
character or a NUL is refused by the databases, and with it the whole event.  In the history such
a result is put before every later connection.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from google.adk.events.event import Event
from google.genai import types
from pydantic import BaseModel

from ...json_values import is_plain_json, written_out

__all__ = ["MAX_RESULT_DEPTH", "carried", "carry_responses"]

MAX_RESULT_DEPTH = 64
"""So many lists and dicts may stand in one another.

What is much deeper (900 in google-genai 2.34) cannot be sent to the model, and lies in the
session's history: no later connection could be told of it either.
"""


def carried(result: Any) -> Any:
    """``result`` itself where all carry it, else with what JSON lacks written out.

    What ADK and Google's client know themselves is not touched: media in a :class:`types.Part`,
    which ADK takes out, blobs, models of pydantic's that become JSON, events and generators.
    """
    if isinstance(result, Event | AsyncGenerator) or is_plain_json(result):
        return result
    if isinstance(result, types.FunctionResponse):
        response = carried(result.response)
        if response is result.response:
            return result
        return result.model_copy(update={"response": response})
    written = written_out(result, depth=MAX_RESULT_DEPTH, keep=_is_known)
    if isinstance(written, dict) and not isinstance(result, dict):
        return {"result": written}  # as ADK wraps whatever is no dict
    return written


def carry_responses(content: types.Content) -> None:
    """Have the tools' responses in ``content`` carried; also what a callback gave instead."""
    for part in content.parts or []:
        response = part.function_response
        if response is not None and response.response is not None:
            response.response = carried(response.response)


def _is_known(value: Any, level: int) -> bool:
    if isinstance(value, types.Blob) or (isinstance(value, types.Part) and value.text is None):
        return True
    if not isinstance(value, BaseModel):
        return False
    try:
        return is_plain_json(value.model_dump(exclude_none=True))
    except Exception:  # whatever somebody's serialisers raise
        return False
