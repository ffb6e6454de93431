"""The tools that an offer declares, as plain data."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rtc_server.errors import BadRequest, Forbidden
from rtc_server.offered_tools import MAX_BYTES, MAX_DEPTH, MAX_TOOLS, read_client_tools

TOOL: dict[str, Any] = {
    "name": "get_location",
    "description": "Where the caller is.",
    "parameters": {
        "type": "object",
        "properties": {
            "accuracy": {"type": "string", "enum": ["low", "high"], "description": "How exact."},
            "ids": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 3},
            "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        },
        "required": ["accuracy"],
    },
}


def read(*tools: Any) -> list[dict[str, Any]]:
    return read_client_tools({"client_tools": list(tools)}, allowed=True)


def refusal(*tools: Any) -> str:
    with pytest.raises(BadRequest) as refused:
        read(*tools)
    return str(refused.value)


def with_parameters(**properties: Any) -> dict[str, Any]:
    return {**TOOL, "parameters": {"type": "object", "properties": properties}}


def test_declarations_pass_as_they_are() -> None:
    """What else is in them is left out, as everywhere in an offer."""
    assert read({**TOOL, "of the future": 1}) == [TOOL]


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object", "properties": {}}])
def test_a_tool_without_parameters_declares_none(parameters: Any) -> None:
    """Gemini takes no object without properties."""
    (tool,) = read({**TOOL, "parameters": parameters})
    assert tool == {"name": "get_location", "description": "Where the caller is."}


@pytest.mark.parametrize("body", [{}, {"client_tools": None}, {"client_tools": []}])
def test_an_offer_without_tools_is_everybodys(body: Any) -> None:
    assert read_client_tools(body, allowed=False) == []


def test_a_caller_who_may_not_declare_tools_is_told_so() -> None:
    with pytest.raises(Forbidden, match="not allowed"):
        read_client_tools({"client_tools": [TOOL]}, allowed=False)


@pytest.mark.parametrize(
    ("tool", "named"),
    [
        ("x", "client_tools[0]"),
        ({**TOOL, "name": None}, "client_tools[0].name"),
        ({**TOOL, "name": ""}, "client_tools[0].name"),
        ({**TOOL, "name": "1st"}, "client_tools[0].name"),
        ({**TOOL, "name": "two words"}, "client_tools[0].name"),
        ({**TOOL, "name": "x" * 65}, "client_tools[0].name"),
        ({**TOOL, "name": "transfer_to_agent"}, "client_tools[0].name"),
        ({**TOOL, "name": "adk_request_confirmation"}, "client_tools[0].name"),
        ({**TOOL, "description": " "}, "client_tools[0].description"),
        ({**TOOL, "description": 3}, "client_tools[0].description"),
        ({**TOOL, "parameters": []}, "client_tools[0].parameters"),
        ({**TOOL, "parameters": {"type": "string"}}, "client_tools[0].parameters.type"),
        (with_parameters(a={"type": "text"}), "parameters.properties.a.type"),
        (with_parameters(a={"type": ["string"]}), "parameters.properties.a.type"),
        (with_parameters(a={"$ref": "#/x"}), "parameters.properties.a.$ref"),
        (with_parameters(a={"a\n": 1}), "parameters.properties.a.?"),
        (with_parameters(a=True), "parameters.properties.a"),
        (with_parameters(**{"a b": {"type": "string"}}), "parameters.properties"),
        (with_parameters(a={"enum": []}), "parameters.properties.a.enum"),
        (with_parameters(a={"enum": [{}]}), "parameters.properties.a.enum"),
        (with_parameters(a={"anyOf": {}}), "parameters.properties.a.anyOf"),
        (with_parameters(a={"items": [], "type": "array"}), "parameters.properties.a.items"),
        (with_parameters(a={"minimum": "0"}), "parameters.properties.a.minimum"),
        (with_parameters(a={"maxItems": -1}), "parameters.properties.a.maxItems"),
        (with_parameters(a={"properties": []}), "parameters.properties.a.properties"),
        (with_parameters(a={"required": ["b"]}), "parameters.properties.a.required"),
        (with_parameters(a={"description": 1}), "parameters.properties.a.description"),
        (with_parameters(a={"nullable": 1}), "parameters.properties.a.nullable"),
        (with_parameters(a={"minimum": math.inf}), "parameters.properties.a.minimum"),
        (with_parameters(a={"maximum": 10**30}), "parameters.properties.a.maximum"),
        (with_parameters(a={"maxLength": 10**30}), "parameters.properties.a.maxLength"),
        (with_parameters(a={"enum": [1, math.nan]}), "parameters.properties.a.enum"),
        (with_parameters(a={"default": math.nan}), "parameters.properties.a.default"),
        (with_parameters(a={"example": {"b": [math.inf]}}), "parameters.properties.a.example"),
        (with_parameters(a={"default": [[[[[1]]]]]}), "parameters.properties.a.default"),
    ],
)
def test_what_does_not_fit_is_named(tool: Any, named: str) -> None:
    """By its place; what stood in it is not repeated."""
    assert f'{named}"' in refusal(tool)


def test_one_name_is_one_tool() -> None:
    assert '"client_tools[1].name"' in refusal(TOOL, TOOL)


def test_tools_are_few_small_and_flat() -> None:
    """Each bound holds at its value and not above it."""
    many = [{**TOOL, "name": f"t{n}", "parameters": None} for n in range(MAX_TOOLS + 1)]
    assert len(read(*many[:-1])) == MAX_TOOLS
    assert f"{MAX_TOOLS} tools" in refusal(*many)
    assert f"{MAX_BYTES} bytes" in refusal({**TOOL, "description": "é" * (MAX_BYTES // 2)})
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(MAX_DEPTH - 2):
        deep = {"type": "array", "items": deep}
    assert read(with_parameters(a=deep))
    assert "too deep" in refusal(with_parameters(a={"type": "array", "items": deep}))


@pytest.mark.parametrize("value", [None, 0, -1.5, "x", True, [1, "a"], {"a": {"b": [[None]]}}])
def test_a_default_may_be_any_small_value(value: Any) -> None:
    assert read(with_parameters(a={"default": value, "example": value}))


@pytest.mark.parametrize("name", ["default", "type", "of the future"])
def test_no_value_is_deep_wherever_it_stands(name: str) -> None:
    """Copying a model's request, which ADK does before it connects, would not come back."""
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    assert "too deep" in refusal(with_parameters(a={name: deep}))
    assert "too deep" in refusal({**TOOL, name: deep})


def test_half_a_character_is_refused() -> None:
    """A lone surrogate is JSON, and no text that a model's service takes."""
    assert "Unicode" in refusal({**TOOL, "description": "\ud800"})
