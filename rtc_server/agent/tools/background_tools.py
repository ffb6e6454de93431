"""Tools that wait for a person run beside ADK's receive loop, not in it.

ADK (2.13) awaits a tool in the loop that reads the model: the call is deaf meanwhile, to
the caller's interruption above all.  A tool whose ``behavior`` is ``NON_BLOCKING`` gets a
task of its own, and its result is sent when it is there.

ADK also *declares* such a tool as non-blocking, and the model then talks on without the
result, if it knows of that at all (Vertex AI and newer models refuse the declaration).
So the declaration is put back to what the author wrote: the model sees one call and, late,
one response, as from any slow tool.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.llm_request import LlmRequest
from google.adk.tools.base_tool import BaseTool
from google.genai import types

__all__ = ["background_tools", "declare_as_written", "is_streaming", "run_in_background"]

_AS_WRITTEN = "_rtc_server_behavior"


def run_in_background(tool: BaseTool) -> None:
    """From now on ADK runs ``tool`` in a task of its own; a second time changes nothing."""
    if _AS_WRITTEN not in tool.__dict__:
        setattr(tool, _AS_WRITTEN, tool.behavior)
        tool.behavior = types.Behavior.NON_BLOCKING


def _behavior_as_written(tool: BaseTool) -> types.Behavior | None:
    """What the author of ``tool`` has set."""
    written: types.Behavior | None = tool.__dict__.get(_AS_WRITTEN, tool.behavior)
    return written


def background_tools(agent: LlmAgent) -> Iterator[str]:
    """Names of the agent's own tools that ADK runs in the background; toolsets' are not known."""
    for one in agent.tools:
        if isinstance(one, BaseTool):
            non_blocking = one.response_scheduling is not None
            behavior = _behavior_as_written(one)
            if behavior is not None:
                non_blocking = behavior is types.Behavior.NON_BLOCKING
            if non_blocking or is_streaming(one):
                yield one.name
        elif inspect.isasyncgenfunction(one):
            yield one.__name__


def is_streaming(tool: BaseTool) -> bool:
    """Whether its results are the yields of one call; ADK declares each as non-blocking."""
    return inspect.isasyncgenfunction(getattr(tool, "func", None))


def declare_as_written(request: LlmRequest) -> None:
    """Declare the tools of ``request`` as their author did; to be called before connecting."""
    for declaration in _declarations(request):
        tool = request.tools_dict.get(declaration.name or "")
        if tool is None or _AS_WRITTEN not in tool.__dict__ or is_streaming(tool):
            continue
        written = _behavior_as_written(tool)
        if written is None and tool.response_scheduling is not None:
            written = types.Behavior.NON_BLOCKING  # as ADK reads it
        declaration.behavior = written


def _declarations(request: LlmRequest) -> list[types.FunctionDeclaration]:
    found: list[types.FunctionDeclaration] = []
    tools: list[Any] = request.config.tools or []
    for one in tools:
        if isinstance(one, types.Tool):
            found += one.function_declarations or []
    return found
