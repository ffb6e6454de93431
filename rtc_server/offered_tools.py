"""The tools that an offer declares: what a model can be told, checked piece by piece.

What passes goes to the model's service as it is: a schema that it does not take would end
the call at its first connection, with a word that says nothing to the caller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .errors import BadRequest, Forbidden
from .untrusted_json import is_deeper_than, is_fit_number

__all__ = ["read_client_tools"]

MAX_TOOLS = 16
MAX_BYTES = 16 * 1024
MAX_DEPTH = 8
"""Of a schema: an array of objects of arrays is deeper than any tool should need."""

MAX_VALUE_DEPTH = 4
"""Of a value in a schema: a ``default`` is a number, a text, a list, or a small object."""

_DEEPEST = 2 + 2 * MAX_DEPTH + MAX_VALUE_DEPTH
"""Of all: a schema stands in ``properties``, or in the list of ``anyOf``, of another."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
"""As the Gemini API takes the name of a function."""

_RESERVED = frozenset(
    {"transfer_to_agent", "stop_streaming", "task_completed", "finish_task", "set_model_response"}
)
"""Names by which ADK knows tools of its own, and acts on them."""

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_TEXTS = frozenset({"title", "description", "format", "pattern"})
_NUMBERS = frozenset({"minimum", "maximum"})
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength"})
_ANYTHING = frozenset({"default", "example"})
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_client_tools(body: Mapping[str, Any], *, allowed: bool) -> list[dict[str, Any]]:
    """The declarations in ``client_tools`` of an offer: ``name``, ``description``, ``parameters``.

    Args:
        allowed: whether this caller may declare tools.

    Raises:
        BadRequest: a field is missing, of the wrong type, or too large; it is named.
        Forbidden: the caller may not declare tools.
    """
    tools = body.get("client_tools")
    if tools is None or tools == []:
        return []
    if not allowed:
        raise Forbidden("Tools that run on the client are not allowed here.")
    if not isinstance(tools, list):
        raise BadRequest('"client_tools" must be an array.')
    if len(tools) > MAX_TOOLS:
        raise BadRequest(f'"client_tools" may have {MAX_TOOLS} tools at most.')
    if is_deeper_than(_DEEPEST, tools):
        raise BadRequest('"client_tools" is too deep.')
    text = json.dumps(tools, ensure_ascii=False)
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise BadRequest(f'"client_tools" may have {MAX_BYTES} bytes at most.')
    if _SURROGATE.search(text):
        raise BadRequest('"client_tools" must be valid Unicode.')
    declarations = [_declaration(one, f"client_tools[{n}]") for n, one in enumerate(tools)]
    names = [one["name"] for one in declarations]
    for n, name in enumerate(names):
        if name in names[:n]:
            raise BadRequest(f'"client_tools[{n}].name" is that of another tool.')
    return declarations


def _declaration(tool: object, at: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise BadRequest(f'"{at}" must be an object.')
    name = tool.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadRequest(
            f'"{at}.name" must have 1 to 64 letters, digits and _ . : -, and begin with no digit.'
        )
    if name in _RESERVED or name.startswith("adk_"):
        raise BadRequest(f'"{at}.name" is reserved.')
    description = tool.get("description")
    if not isinstance(description, str) or not description.strip():
        raise BadRequest(f'"{at}.description" must say what the tool does.')
    declaration: dict[str, Any] = {"name": name, "description": description}
    parameters = tool.get("parameters")
    if parameters is not None and parameters != {}:
        _check_schema(parameters, f"{at}.parameters", MAX_DEPTH)
        if parameters.get("type") != "object":
            raise BadRequest(f'"{at}.parameters.type" must be "object".')
        if parameters.get("properties"):  # Gemini takes no object without any
            declaration["parameters"] = parameters
    return declaration


def _check_schema(schema: object, at: str, depth: int) -> None:
    """The part of JSON schema that models' services take; what else is in it is refused."""
    if not isinstance(schema, dict):
        raise BadRequest(f'"{at}" must be a JSON schema.')
    if depth == 0:
        raise BadRequest(f'"{at}" is too deep.')
    for key, value in schema.items():
        if not _fits(key, value, at, depth, schema):
            shown = key if re.fullmatch(r"[$A-Za-z]{1,32}", key) else "?"
            raise BadRequest(f'"{at}.{shown}" is not part of JSON schema as models take it.')


def _fits(key: str, value: object, at: str, depth: int, schema: Mapping[str, Any]) -> bool:
    match key:
        case "type":
            return isinstance(value, str) and value in _TYPES
        case "properties":
            if not isinstance(value, dict):
                return False
            for name, one in value.items():
                if not _NAME.fullmatch(name):
                    raise BadRequest(f'"{at}.properties" has a name that models do not take.')
                _check_schema(one, f"{at}.properties.{name}", depth - 1)
            return True
        case "items":
            _check_schema(value, f"{at}.items", depth - 1)
            return True
        case "anyOf":
            for n, one in enumerate(value if isinstance(value, list) else []):
                _check_schema(one, f"{at}.anyOf[{n}]", depth - 1)
            return isinstance(value, list) and bool(value)
        case "required":
            known = schema.get("properties")
            return isinstance(value, list) and all(
                isinstance(one, str) and isinstance(known, dict) and one in known for one in value
            )
        case "enum":
            return isinstance(value, list) and bool(value) and all(map(_is_scalar, value))
        case "additionalProperties" | "nullable":
            return isinstance(value, bool)
    if key in _TEXTS:
        return isinstance(value, str)
    if key in _NUMBERS:
        return is_fit_number(value)
    if key in _COUNTS:
        return isinstance(value, int) and is_fit_number(value) and value >= 0
    return key in _ANYTHING and not is_deeper_than(MAX_VALUE_DEPTH, value) and _is_fit(value)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | bool) or is_fit_number(value)


def _is_fit(value: object) -> bool:
    """Whether each number in it is one; it is not deep."""
    if isinstance(value, dict):
        return all(map(_is_fit, value.values()))
    return all(map(_is_fit, value)) if isinstance(value, list) else _is_scalar(value)
