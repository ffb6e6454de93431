"""Tools that the caller declared: the agent's for that call, executed by the client.

Agents are shared between calls, so the tools are added to the request with which a live
connection is opened, which is one call's.  Whichever agent of the tree speaks has them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from google.adk.models.llm_request import LlmRequest
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from .background_tools import declare_as_written
from .caller_questions import CallerQuestions

__all__ = ["ClientTool", "equip"]

logger = logging.getLogger(__name__)


class ClientTool(BaseTool):
    """A tool of the caller's; ADK runs it beside its receive loop.

    Args:
        declaration: ``name``, ``description`` and ``parameters``, already checked.
        caller: who runs it.
    """

    def __init__(self, declaration: Mapping[str, Any], caller: CallerQuestions) -> None:
        super().__init__(
            name=declaration["name"],
            description=declaration["description"],
            behavior=types.Behavior.NON_BLOCKING,
        )
        self._parameters = declaration.get("parameters")
        self._caller = caller

    def _get_declaration(self) -> types.FunctionDeclaration:
        """Without ``behavior``: the model waits for the result."""
        return types.FunctionDeclaration(
            name=self.name,
            description=self.description,
            parameters_json_schema=self._parameters or None,
        )

    async def run_async(self, *, args: dict[str, Any], tool_context: ToolContext) -> Any:
        """As :meth:`run_on_client`."""
        return await self.run_on_client(args, tool_context)

    async def run_on_client(self, args: dict[str, Any], tool_context: ToolContext) -> Any:
        """The client's result; what went wrong is an ``error`` for the model.

        Raises:
            TakenBack: the model took the call back.
        """
        call_id = tool_context.function_call_id or ""
        return await self._caller.run_on_client(call_id, self.name, args)


def equip(request: LlmRequest, caller: CallerQuestions) -> None:
    """Give the request of a live connection the caller's tools; a second time changes nothing.

    A tool of the agent's own is never replaced: where a name clashes, the caller's is not
    declared.
    """
    declare_as_written(request)
    for declaration in caller.client_tools:
        there = request.tools_dict.get(declaration["name"])
        if there is None:
            request.append_tools([ClientTool(declaration, caller)])
        elif not isinstance(there, ClientTool):
            logger.warning("a client tool has the name of one of the agent's: %s", there.name)
