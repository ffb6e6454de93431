"""An agent that hears everything and never answers."""

from __future__ import annotations

from google.adk.agents import LlmAgent

from tests.agent.scripted_llm import ScriptedConnection, ScriptedLlm


async def say_nothing(connection: ScriptedConnection) -> None:
    """Leave the connection open."""


root_agent = LlmAgent(name="silent", model=ScriptedLlm(scripts=[say_nothing]))
