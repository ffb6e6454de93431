"""An agent that answers each text with what was said, for servers in processes of their own."""

from __future__ import annotations

from google.adk.agents import LlmAgent

from tests.agent.scripted_llm import ScriptedLlm, echo_text

root_agent = LlmAgent(name="echoing", model=ScriptedLlm(scripts=[echo_text]))
