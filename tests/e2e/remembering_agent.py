"""An agent that answers each text with all that it was ever told, for servers as processes."""

from __future__ import annotations

from google.adk.agents import LlmAgent

from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    text_of,
    text_piece,
    turn_complete,
)


async def recite(connection: ScriptedConnection) -> None:
    """What it was told before this connection it knows from the history alone."""
    told = [text_of(one) for one in connection.history if one.role == "user"]
    while True:
        told.append(await connection.receive_text())
        answer = "I was told: " + ", ".join(told)
        connection.emit(text_piece(answer, partial=False), turn_complete())


root_agent = LlmAgent(name="remembering", model=ScriptedLlm(scripts=[recite]))
