"""JSON of what Python code holds: what an agent's tool returns, what lies in a session's state.

That need not be JSON: there are sets, bytes, infinity, objects of any kind, and text that no
reader of UTF-8, or no PostgreSQL, takes.  What JSON lacks is written out, the same for whoever
is given it: the model, the history, the caller.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import math
from collections.abc import Callable, Mapping, Set
from enum import Enum
from typing import Any

from .untrusted_json import UNFIT_TEXT, replaced_text

__all__ = ["is_plain_json", "json_of", "written_out"]

_NUL = "\\u0000"
"""As JSON has it; also of a backslash before ``u0000``, which is only looked at twice."""


def json_of(value: Any, **options: Any) -> str:
    """JSON of ``value``, whatever it holds, with ``options`` of :func:`json.dumps`."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(written_out(value), ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair is to be met in streamed text: JSON can only escape it.
        text = json.dumps(json.loads(text), **options)
    return text


def is_plain_json(value: Any) -> bool:
    """Whether JSON has it as it is: finite numbers, text with neither NUL nor half characters.

    Tuples are taken for arrays; keys are to be strings in ``value`` itself, and numbers are
    taken for strings below it, as :mod:`json` does.
    """
    if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
        return False
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return _NUL not in text


def written_out(
    value: Any, *, depth: int = 12, keep: Callable[[Any, int], bool] = lambda value, level: False
) -> Any:
    """``value`` with what JSON lacks written out.

    Keys and unknown objects become strings, NaN and infinity null, sets arrays, bytes base64
    (URL-safe, as Google's client writes them), times ISO 8601, an enumeration's member its
    value; dataclasses and pydantic's models become objects.  NUL and halves of surrogate pairs
    become U+FFFD.  Nothing here raises, be it that an object cannot say what it is.

    Args:
        depth: below so many arrays and objects there is an ellipsis.
        keep: says of a value, and of how many arrays and objects it lies in, that it is not
            to be touched.
    """
    return _written_out(value, depth, 0, keep)


def _written_out(value: Any, depth: int, level: int, keep: Callable[[Any, int], bool]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if keep(value, level):
        return value
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return replaced_text(value) if UNFIT_TEXT.search(value) else value
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if level == depth:
        return "…"
    if isinstance(value, Mapping):
        return {_key(key): _written_out(one, depth, level + 1, keep) for key, one in value.items()}
    if isinstance(value, list | tuple | Set):
        return [_written_out(one, depth, level + 1, keep) for one in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.urlsafe_b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    fields = _fields(value)
    if fields is None:
        return _words(value)
    return _written_out(fields, depth, level, keep)


def _key(key: object) -> str:
    words = key if isinstance(key, str) else _words(key)
    return replaced_text(words)


def _fields(value: object) -> dict[str, Any] | None:
    """What a dataclass or a model of pydantic's is made of; None for another object."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    try:
        found = dump(exclude_none=True) if callable(dump) else None
    except Exception:  # whatever somebody's serialisers raise: it is written as any object
        return None
    return found if isinstance(found, dict) else None


def _words(value: object) -> str:
    try:
        return replaced_text(str(value))
    except Exception:  # whatever somebody's __str__ raises
        return f"<{type(value).__name__}>"
