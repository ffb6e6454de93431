"""What was said in one session is found from another, by ADK's own tool for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.adk.tools.load_memory_tool import load_memory

from rtc_server.settings import Settings
from tests.agent.scripted_llm import ScriptedLlm, talker, uses_tool
from tests.e2e.server import Server
from tests.waiting import until

RECALL = uses_tool("load_memory", query="answer")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{folder}/memory.db"])
async def test_what_was_said_aloud_is_remembered_in_another_session(
    url: str, tmp_path: Path
) -> None:
    llm = ScriptedLlm(scripts=[talker(answer="The answer is a zebra", seconds=0.2), RECALL])
    settings = Settings(port=0, memory_service=url.format(folder=tmp_path))
    async with Server.running(llm, settings, tools=[load_memory]) as server:
        async with server.call() as caller:
            caller.client.send({"type": "text", "data": "hello"})
            await caller.client.next_message("turn")
        await until(lambda: server.calls.active == 0)

        async def knows() -> bool:
            async with server.call(audio=None) as other:
                other.client.send({"type": "text", "data": "what was it?"})
                await other.client.next_message("turn")
                said = [one["data"] for one in other.client.messages if one["type"] == "text"]
            return "zebra" in "".join(said)

        # It is added behind the end of the call.
        await until(knows)


async def test_without_a_memory_service_nothing_is_remembered_and_the_tool_works() -> None:
    llm = ScriptedLlm(scripts=[talker(answer="The answer is a zebra", seconds=0.2), RECALL])
    async with Server.running(llm, tools=[load_memory]) as server:
        async with server.call() as caller:
            caller.client.send({"type": "text", "data": "hello"})
            await caller.client.next_message("turn")
        async with server.call(audio=None) as other:
            other.client.send({"type": "text", "data": "what was it?"})
            await other.client.next_message("turn")
            said = [one["data"] for one in other.client.messages if one["type"] == "text"]
            errors = [one for one in other.client.messages if one["type"] == "error"]
    assert "memories" in "".join(said)
    assert "zebra" not in "".join(said)
    assert errors == []
