"""A transfer that leads nowhere is an error for the model, and the call goes on as it was."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.loop_agent import LoopAgent
from google.adk.tools.tool_context import ToolContext

from rtc_server.agent.live_events import (
    AgentFailed,
    LiveEvent,
    ModelTurnComplete,
    ToolReturned,
)
from rtc_server.agent.live_session import LiveSession

from ..conftest import serve_agent
from ..scripted_llm import ScriptedLlm, echo_text, uses_tool

pytestmark = pytest.mark.filterwarnings("ignore:LoopAgent is deprecated")


async def until(live: LiveSession, *kinds: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


def tree(llm: ScriptedLlm, **more: Any) -> LlmAgent:
    """A root that may transfer to ``expert``, not to ``inner`` below it nor to ``loop``."""
    inner = LlmAgent(name="inner", model=ScriptedLlm(scripts=[echo_text]))
    expert = LlmAgent(name="expert", model=ScriptedLlm(scripts=[echo_text]), sub_agents=[inner])
    loop = LoopAgent(name="loop", sub_agents=[LlmAgent(name="two", model=ScriptedLlm())])
    return LlmAgent(name="root", model=llm, sub_agents=[expert, loop], **more)


@pytest.mark.parametrize("name", ["nobody", "inner", "loop", ""])
async def test_transfer_to_whom_there_is_none_is_told_to_the_model(
    llm: ScriptedLlm, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By the names there are; the next turn is answered on the same connection."""
    llm.scripts = [uses_tool("transfer_to_agent", agent_name=name)]
    async with serve_agent(tree(llm)) as server, server.call() as live:
        for _ in range(2):
            live.send_text("go")
            seen = await until(live, ModelTurnComplete, AgentFailed)
            (told,) = (one for one in seen if isinstance(one, ToolReturned | AgentFailed))
            assert isinstance(told, ToolReturned)
            words = f"There is no transfer to an agent named {name}. It can be to: expert."
            assert told.result == {"error": words}
    assert llm.connects == 1
    assert "Traceback" not in caplog.text


async def test_transfer_that_a_tool_of_the_agent_asks_for_is_held_to_the_same(
    llm: ScriptedLlm,
) -> None:
    def hand_over(tool_context: ToolContext) -> str:
        tool_context.actions.transfer_to_agent = "nobody"
        return "done"

    llm.scripts = [uses_tool("hand_over")]
    async with serve_agent(tree(llm, tools=[hand_over])) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, ModelTurnComplete, AgentFailed)
    (told,) = (one for one in seen if isinstance(one, ToolReturned | AgentFailed))
    assert isinstance(told, ToolReturned)
    assert "error" in told.result


async def test_transfer_to_an_agent_that_is_there_is_made(llm: ScriptedLlm) -> None:
    llm.scripts = [uses_tool("transfer_to_agent", agent_name="expert")]
    root = tree(llm)
    expert = root.sub_agents[0]
    assert isinstance(expert, LlmAgent)
    assert isinstance(expert.model, ScriptedLlm)
    async with serve_agent(root) as server, server.call() as live:
        live.send_text("go")
        seen = await until(live, ToolReturned, AgentFailed)
        await expert.model.wait_connected()
    assert isinstance(seen[-1], ToolReturned)
    assert "error" not in seen[-1].result
