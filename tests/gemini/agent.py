"""An agent of the stand-in's model with a tool, to be served as ``tests.gemini.agent:root_agent``.

``GEMINI_STAND_IN_MODEL`` names another model, of the other dialect.
"""

from __future__ import annotations

import os
import time

from google.adk.agents.llm_agent import LlmAgent

__all__ = ["root_agent"]


def clock() -> dict[str, float]:
    """The time of day, in seconds since 1970."""
    return {"now": round(time.time())}


root_agent = LlmAgent(
    name="talker",
    model=os.environ.get("GEMINI_STAND_IN_MODEL", "gemini-2.5-flash-native-audio-stand-in"),
    instruction="Talk.",
    tools=[clock],
)
