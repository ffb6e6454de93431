"""Models that have no live connection: refused at start, and told once where they are not."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.loop_agent import LoopAgent
from google.adk.events.event import Event
from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.models.registry import LLMRegistry
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import START, Workflow

from rtc_server import doctor
from rtc_server.agent.live_events import AgentFailed
from rtc_server.agent.loader import LoadedAgent, load_fallback
from rtc_server.errors import AgentLoadError

from .conftest import serve_agent
from .scripted_llm import ScriptedLlm

pytestmark = pytest.mark.filterwarnings("ignore:LoopAgent is deprecated")


class Typing(BaseLlm):
    """A model that answers requests, and is not for calls."""

    model: str = "typing-1"

    @classmethod
    def supported_models(cls) -> list[str]:
        return ["typing-.*"]

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        yield LlmResponse()


def typist(name: str = "typist", **more: Any) -> LlmAgent:
    return LlmAgent(name=name, model=Typing(), description="types", **more)


def talker(**more: Any) -> LlmAgent:
    return LlmAgent(name="talker", model=ScriptedLlm(), **more)


def refusal(root: Any) -> str:
    with pytest.raises(AgentLoadError) as refused:
        LoadedAgent.from_object("agent", root)
    return str(refused.value)


def test_agent_whose_model_has_no_live_connection_is_refused_at_start() -> None:
    """Agent and model are named; so it is where a call comes there by a transfer, or at once."""
    words = refusal(typist())
    assert words.startswith("The agent agent uses the model typing-1, ")
    assert "Typing has no connect()" in words
    assert "The agent typist of agent uses" in refusal(talker(sub_agents=[typist()]))
    flow = Workflow(name="flow", edges=[(START, typist(mode="task"))])
    assert "uses the model typing-1" in refusal(flow)


def test_model_of_the_agent_above_counts_as_its_own() -> None:
    root = LlmAgent(name="root", model=Typing(), sub_agents=[LlmAgent(name="below")])
    assert "The agent agent uses the model typing-1" in refusal(root)
    below = LlmAgent(name="below")
    LoadedAgent.from_object("agent", talker(sub_agents=[below]))


def test_agent_that_is_not_run_live_may_have_any_model() -> None:
    """As a tool, in one turn of a workflow, below a loop that is warned of."""
    LoadedAgent.from_object("agent", talker(tools=[AgentTool(typist())]))
    flow = Workflow(name="flow", edges=[(START, talker(mode="task"), typist(mode="single_turn"))])
    LoadedAgent.from_object("agent", flow)
    loop = LoopAgent(name="loop", sub_agents=[typist()])
    LoadedAgent.from_object("agent", talker(sub_agents=[loop]))


def test_agent_of_a_kind_without_a_live_run_is_refused_as_a_loop_is() -> None:
    class Own(BaseAgent):
        async def _run_async_impl(self, ctx: Any) -> AsyncGenerator[Event, None]:
            yield Event(author=self.name)

    class OwnLive(Own):
        async def _run_live_impl(self, ctx: Any) -> AsyncGenerator[Event, None]:
            yield Event(author=self.name)

    assert "is a Own, which ADK does not run live" in refusal(Own(name="own"))
    LoadedAgent.from_object("agent", OwnLive(name="own"))


def test_fallback_without_a_live_connection_is_refused_at_start() -> None:
    LLMRegistry.register(Typing)
    with pytest.raises(AgentLoadError, match=r"fallback model typing-1 .* no live connection"):
        load_fallback("typing-1", "agent")


def test_doctor_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(__file__).read_text("utf-8").partition("def talker")[0]
    (tmp_path / "typing_agent.py").write_text(
        source.replace("from .", "from tests.agent.") + "\nroot_agent = typist()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = doctor.check_agent("typing_agent:root_agent")
    assert finding.state is doctor.State.BROKEN
    assert "the model typing-1" in finding.words


async def test_connection_that_can_never_be_is_tried_once_and_told_without_a_traceback(
    llm: ScriptedLlm, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a model that finds out only when it is asked for one."""

    class Promising(ScriptedLlm):
        @contextlib.asynccontextmanager
        async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
            self._connects += 1
            if self._connects:
                raise NotImplementedError("secret")
            yield None  # type: ignore[misc]

    promising = Promising()
    caplog.set_level(logging.INFO)
    agent = LlmAgent(name="agent", model=promising)
    async with serve_agent(agent) as server, server.call() as live:
        seen = [event async for event in live.events()]
    (failed,) = (one for one in seen if isinstance(one, AgentFailed))
    assert (failed.code, failed.retryable) == ("agent_failed", False)
    assert promising.connects == 1
    said = [one for one in caplog.records if one.name.startswith("rtc_server")]
    assert "the model scripted has no live connection: the call ends" in [
        one.getMessage() for one in said
    ]
    assert not any(one.exc_info for one in said)
