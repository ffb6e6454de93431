"""A tool that raises ends neither the run nor the call: the model is told that it failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from google.adk.agents.llm_agent import LlmAgent
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext

from .tool_limits import ToolTookTooLong

__all__ = ["answer_tool_errors"]

logger = logging.getLogger(__name__)


def answer_tool_errors(agent: LlmAgent, on_error: Callable[[str], None]) -> None:
    """Answer for a tool of ``agent`` that raises, after the agent's and the app's own callbacks.

    What the exception says stays in the log: the model would speak it.

    Args:
        agent: gets one more ``on_tool_error_callback``, at the end.
        on_error: is given a code for every error answered here.
    """

    def answer(
        tool: BaseTool, args: dict[str, Any], tool_context: ToolContext, error: Exception
    ) -> dict[str, Any] | None:
        if isinstance(error, asyncio.CancelledError):
            return None
        if type(tool) is BaseTool:
            return None  # the model made the name up: ADK tells it which tools there are
        if isinstance(error, ToolTookTooLong):
            logger.error("the tool %s took too long", tool.name)
            on_error("tool_timeout")
            return {"error": f"The tool {tool.name} took too long and was given up."}
        logger.error("the tool %s failed", tool.name, exc_info=error)
        on_error("tool_failed")
        return {"error": f"The tool {tool.name} failed."}

    agent.on_tool_error_callback = [*agent.canonical_on_tool_error_callbacks, answer]
