"""The agents of a tree or of a workflow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.adk.agents.base_agent import BaseAgent
from google.adk.workflow import Workflow

__all__ = ["agents_under"]


def agents_under(root: Any) -> Iterator[BaseAgent]:
    """``root`` and its sub-agents, or the agents of a workflow, depth first."""
    if isinstance(root, BaseAgent):
        yield root
        for agent in root.sub_agents:
            yield from agents_under(agent)
    elif isinstance(root, Workflow) and root.graph is not None:
        for node in root.graph.nodes:
            yield from agents_under(node)
