"""Tools that need the caller's yes: in our calls he is asked, and the tool then runs or not.

ADK's own way (2.13) is that the tool is refused with a request for confirmation, which the
application is to answer with a function response; a live run neither passes the request on
nor takes the answer (``live/_live_llm_flow.py`` says so).  Here callbacks of each agent ask
the caller while the tool call waits, and give the tool its ``ToolConfirmation``.  Outside
of our calls they do nothing.

A tool asks in one of two ways:

* it is made with ``require_confirmation``: it is asked for before it runs,
* it calls ``tool_context.request_confirmation()``: it has run once then, and runs again
  after a yes.  After a no it does not.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.readonly_context import ReadonlyContext
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.base_toolset import BaseToolset
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.tool_confirmation import ToolConfirmation
from google.adk.tools.tool_context import ToolContext

from ..adk_internals import may_require_confirmation
from .background_tools import run_in_background
from .caller_questions import CallerQuestions, NoAnswer, TakenBack, questions
from .client_tools import ClientTool
from .tool_watch import CANCELLED

__all__ = ["ask_the_caller"]

logger = logging.getLogger(__name__)


def ask_the_caller(agent: LlmAgent) -> None:
    """In our calls, tools of ``agent`` that need a yes ask the caller for it.

    The agent's own before-tool callbacks come first; its after-tool callbacks are given
    the result of the second run.
    """
    own_after = agent.canonical_after_tool_callbacks
    agent.before_tool_callback = [*agent.canonical_before_tool_callbacks, _before_tool]

    async def after_tool(
        tool: BaseTool, args: dict[str, Any], tool_context: ToolContext, tool_response: Any
    ) -> Any:
        result = await _run_again(agent, tool, args, tool_context)
        altered = await _first_answer(
            own_after,
            tool=tool,
            args=args,
            tool_context=tool_context,
            tool_response=tool_response if result is None else result,
        )
        return result if altered is None else altered

    agent.after_tool_callback = [after_tool]
    agent.tools = [_prepared(one) for one in agent.tools]


# --------------------------------------------------------------------------
# While a tool is called
# --------------------------------------------------------------------------


async def _before_tool(
    tool: BaseTool, args: dict[str, Any], tool_context: ToolContext
) -> dict[str, Any] | None:
    """What the model is told in place of a result; None: the tool may run."""
    caller = questions()
    if caller is None:
        return None
    if isinstance(tool, ClientTool):
        # Here, because it has a time limit of its own, and because with a tool thread pool ADK
        # would run it on another event loop.
        try:
            result: dict[str, Any] = await tool.run_on_client(args, tool_context)
        except TakenBack:
            return dict(CANCELLED)
        return result
    if tool_context.tool_confirmation is not None:
        return None
    try:
        required = await tool.check_require_confirmation(args, tool_context)
    except Exception:  # whatever a predicate raises: ADK asks it again, and answers for it
        return None
    if required is not True:
        return None
    return await _ask(caller, tool, args, tool_context, ToolConfirmation())


async def _run_again(
    agent: LlmAgent, tool: BaseTool, args: dict[str, Any], tool_context: ToolContext
) -> Any:
    """The final result of a tool that asked while it ran; None if it did not ask."""
    caller, call_id = questions(), tool_context.function_call_id or ""
    if caller is None:
        return None
    asked = tool_context.actions.requested_tool_confirmations.pop(call_id, None)
    if asked is None or tool_context.tool_confirmation is not None:
        return None
    refused = await _ask(caller, tool, args, tool_context, asked)
    if refused is not None:
        return refused
    try:
        return await tool.run_async(args=args, tool_context=tool_context)
    except Exception as error:  # as ADK does it: the agent's callbacks answer for a tool
        answer = await _first_answer(
            agent.canonical_on_tool_error_callbacks,
            tool=tool,
            args=args,
            tool_context=tool_context,
            error=error,
        )
        if answer is None:
            raise
        return answer


async def _first_answer(callbacks: Sequence[Callable[..., Any]], **given: Any) -> Any:
    """What the first of ADK's callbacks gives that gives something."""
    for callback in callbacks:
        answer = callback(**given)
        answer = await answer if inspect.isawaitable(answer) else answer
        if answer is not None:
            return answer
    return None


async def _ask(
    caller: CallerQuestions,
    tool: BaseTool,
    args: dict[str, Any],
    tool_context: ToolContext,
    asked: ToolConfirmation,
) -> dict[str, Any] | None:
    """Ask; None after a yes, and the tool's context has it."""
    try:
        answer = await caller.confirm(
            tool_context.function_call_id or "",
            tool.name,
            args,
            hint=asked.hint or None,
            payload=asked.payload,
        )
    except TakenBack:
        return dict(CANCELLED)
    if isinstance(answer, NoAnswer):
        return {"error": f"{answer.value}: {tool.name} was not run."}
    if not answer.confirmed:
        return {"error": f"The caller refused: {tool.name} was not run."}
    # A caller who gave no payload agreed to the one that he was shown.
    payload = asked.payload if answer.payload is None else answer.payload
    tool_context.tool_confirmation = ToolConfirmation(
        hint=asked.hint, confirmed=True, payload=payload
    )
    return None


# --------------------------------------------------------------------------
# Which tools may ask
# --------------------------------------------------------------------------


def _prepared(one: Any) -> Any:
    """What an agent's ``tools`` holds, with tools that may ask run beside the receive loop."""
    if isinstance(one, BaseTool):
        _prepare(one)
    elif isinstance(one, BaseToolset):
        _prepare_tools_of(one)
    elif inspect.isroutine(one) and _may_request(one):
        one = FunctionTool(one)  # as ADK would make it
        _prepare(one)
    return one


def _prepare(tool: BaseTool) -> None:
    if may_require_confirmation(tool) or _may_request(getattr(tool, "func", None)):
        run_in_background(tool)


def _prepare_tools_of(toolset: BaseToolset) -> None:
    """Wraps ``get_tools`` of this one instance; a second time changes nothing."""
    if "get_tools" in toolset.__dict__:
        return
    get_tools = toolset.get_tools

    async def prepared(readonly_context: ReadonlyContext | None = None) -> list[BaseTool]:
        tools = await get_tools(readonly_context)
        for one in tools:
            _prepare(one)
        return tools

    toolset.get_tools = prepared  # type: ignore[method-assign]


def _may_request(function: Callable[..., Any] | None) -> bool:
    """Whether the code of ``function`` asks by itself; one that hides it waits in ADK's loop."""
    code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
    return code is not None and "request_confirmation" in code.co_names
