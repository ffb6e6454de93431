"""A process of its own: what the first call imports after the runtime was warmed up.

Prints the names of the modules, one a line.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from google.adk.agents.llm_agent import LlmAgent

from rtc_server.agent.live_events import ModelTurnComplete
from tests.gemini.live_model import Pace
from tests.gemini.server import StandIn

from .conftest import serve_agent

MODEL = "gemini-2.5-flash-live-stand-in"


async def imported_by_the_first_call() -> list[str]:
    """One spoken answer of a real client for Gemini; the stand-in of its server is in here."""
    with tempfile.TemporaryDirectory() as folder:
        async with StandIn.running(Path(folder), days=(), pace=Pace(playback=0.0)) as api:
            os.environ.update(api.environment)
            async with serve_agent(LlmAgent(name="agent", model=MODEL)) as server:
                await server.runtime.warm_up()
                before = set(sys.modules)
                async with server.call("audio") as live:
                    live.send_text("hello")
                    async for event in live.events():
                        if isinstance(event, ModelTurnComplete):
                            break
                return sorted(set(sys.modules) - before)


if __name__ == "__main__":
    print("\n".join(asyncio.run(imported_by_the_first_call())))
