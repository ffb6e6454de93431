"""The log of a call: whoever writes it, a line says which call it is of."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from rtc_server.logs import JsonFormatter
from tests.agent.scripted_llm import ScriptedLlm, uses_tool
from tests.e2e.server import Server

logger = logging.getLogger("an_agent_of_somebodys")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the agent's own logger writes."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)


def in_a_thread(word: str) -> str:
    """A tool that runs in a thread."""
    logger.info("in %s", threading.current_thread().name)
    return word


@pytest.mark.leaves_resources("the idle thread of the tools ends shortly after the server")
async def test_lines_of_an_agents_own_tools_carry_the_id_of_their_call(lines: io.StringIO) -> None:
    """Of two calls at once, each its own."""
    llm = ScriptedLlm(scripts=[uses_tool("in_a_thread", word="x")])
    async with (
        Server.running(llm, tools=[in_a_thread]) as server,
        server.call(audio=None) as one,
        server.call(audio=None) as other,
    ):
        for caller in (one, other):
            caller.client.send({"type": "text", "data": "go"})
            await caller.client.next_message("turn")
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [each["call_id"] for each in told] == [
        caller.placed["call_id"] for caller in (one, other)
    ]
    assert all(each["message"].startswith("in tool") for each in told)
