"""A transfer that leads nowhere is refused, and the model told, before ADK follows it.

ADK (2.13) declares the names that a model may transfer to, takes any that it says, closes the
model's connection, and only then finds that there is no such agent: the run ends.
"""

from __future__ import annotations

from google.adk.agents.llm_agent import LlmAgent
from google.adk.tools.tool_context import ToolContext

from ..adk_internals import has_live_run, transfer_targets

__all__ = ["refused_transfer"]

_MAX_NAME = 100


def refused_transfer(one: LlmAgent, tool_context: ToolContext) -> dict[str, str] | None:
    """The tool's response to a transfer that is taken back; None where it stands, or is none.

    Args:
        one: of the tree in which the agent is that transfers.
        tool_context: of the tool that wants it, ADK's own or the agent's.
    """
    name = tool_context.actions.transfer_to_agent
    agent = None if name is None else one.root_agent.find_agent(tool_context.agent_name)
    if name is None or not isinstance(agent, LlmAgent) or name == agent.name:
        return None
    there = [target.name for target in transfer_targets(agent) if has_live_run(target)]
    if name in there:
        return None
    tool_context.actions.transfer_to_agent = None
    whither = f"It can be to: {', '.join(there)}." if there else "None can be made."
    return {"error": f"There is no transfer to an agent named {name[:_MAX_NAME]}. {whither}"}
