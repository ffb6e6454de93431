"""An agent that answers each text with what was said, for servers in processes of their own.

``work`` is not answered: until its call ends the agent leaves the event loop little time.
``beep`` has the agent call the caller's tool of that name, and say what it gave.
"""

from __future__ import annotations

import asyncio
import time

from google.adk.agents import LlmAgent

from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    text_piece,
    tool_call,
    turn_complete,
)


async def echo_or_work(connection: ScriptedConnection) -> None:
    """See the module."""
    while (text := await connection.receive_text()) != "work":
        answer = f"You said: {text}"
        if text == "beep":
            connection.emit(tool_call("beep"))
            answer = str((await connection.receive_content()).parts)
        connection.emit(text_piece(answer, partial=False), turn_complete())
    while True:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0)


root_agent = LlmAgent(name="echoing", model=ScriptedLlm(scripts=[echo_or_work]))
