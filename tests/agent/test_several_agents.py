"""Transfers and workflows in a live session, over ADK's real runner."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.loop_agent import LoopAgent
from google.adk.agents.parallel_agent import ParallelAgent
from google.adk.agents.sequential_agent import SequentialAgent
from google.adk.models.google_llm import Gemini
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import START, Workflow
from google.genai import types

from rtc_server.agent.live_events import (
    AgentAudio,
    AgentChanged,
    AgentFailed,
    AgentText,
    LiveEvent,
    ModelTurnComplete,
    ToolCalled,
    ToolReturned,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.loader import LoadedAgent
from rtc_server.agent.models.agent_models import prepare_models
from rtc_server.errors import AgentLoadError
from rtc_server.settings import Limits, Settings

from .conftest import FAST, serve_agent
from .gemini_stand_in import Connection, gemini_stand_in
from .scripted_llm import ScriptedConnection, ScriptedLlm, text_piece, tool_call, turn_complete

# ADK wants workflows in their place.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(Sequential|Loop|Parallel)Agent is deprecated"),
    pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated"),
]

MODEL = "gemini-3.1-flash-live-preview"


async def until(live: LiveSession, last: Callable[[LiveEvent], bool]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if last(event):
            break
    return seen


def says(words: str) -> Callable[[LiveEvent], bool]:
    return lambda event: isinstance(event, AgentText) and event.text == words


def failures(events: list[LiveEvent]) -> list[LiveEvent]:
    return [one for one in events if isinstance(one, AgentFailed)]


def voice(name: str) -> types.SpeechConfig:
    prebuilt = types.PrebuiltVoiceConfig(voice_name=name)
    return types.SpeechConfig(voice_config=types.VoiceConfig(prebuilt_voice_config=prebuilt))


def voice_in(setup: dict[str, Any]) -> str:
    """The client writes some names in snake case."""
    found = re.search(r"'voice_?[nN]ame': '(\w+)'", str(setup))
    return found[1] if found else str(setup)


def worker(name: str, end: str = "task_completed", **args: Any) -> ScriptedLlm:
    """Repeats a text under its name, and ends its task at the next one."""

    async def work(connection: ScriptedConnection) -> None:
        while True:
            words = f"{name}: {await connection.receive_text()}"
            connection.emit(text_piece(words), text_piece(words, partial=False), turn_complete())
            await connection.receive_text()
            connection.emit(tool_call(end, **args))

    return ScriptedLlm(model=name, scripts=[work])


async def test_agent_that_takes_over_has_its_own_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a connection of its own, and its model's voice goes before the operator's."""

    async def script(connection: Connection) -> None:
        await connection.accept()
        if len(connections) == 1:
            args = {"agent_name": "expert"}
            call = {"id": "1", "name": "transfer_to_agent", "args": args}
            await connection.send({"toolCall": {"functionCalls": [call]}})
        else:
            await connection.speech("I am the expert.")

    async with gemini_stand_in([script], tmp_path, monkeypatch) as connections:
        own = Gemini(model=MODEL, speech_config=voice("Puck"))
        expert = LlmAgent(name="expert", model=own, description="knows")
        root = LlmAgent(name="root", model=MODEL, sub_agents=[expert])
        settings = Settings(voice="Kore", limits=Limits(uplink_backlog_s=2.0))
        async with serve_agent(root, settings=settings) as server:
            async with server.call("audio") as live:
                seen = await until(live, lambda one: isinstance(one, AgentAudio | AgentFailed))
            for model in (root.model, own):
                assert isinstance(model, Gemini)
                await model.api_client.aio.aclose()
                await model._live_api_client.aio.aclose()
    kinds = (ToolCalled, AgentChanged, AgentAudio, AgentFailed)
    assert [type(one) for one in seen if isinstance(one, kinds)] == [
        ToolCalled,
        AgentChanged,
        AgentAudio,
    ]
    assert [voice_in(one.setup) for one in connections] == ["Kore", "Puck"]


async def test_sequence_of_agents_goes_on_and_begins_again() -> None:
    """One after the other has the word; the end of the last is no failure."""
    one, two = worker("one"), worker("two")
    agents = [LlmAgent(name=model.model, model=model) for model in (one, two)]
    root = SequentialAgent(name="root", sub_agents=list(agents))
    async with serve_agent(root) as server, server.call() as live:
        live.send_text("a")
        live.send_text("done")
        seen = await until(live, lambda event: isinstance(event, ToolReturned | AgentFailed))
        live.send_text("b")
        live.send_text("done")
        seen += await until(live, lambda event: isinstance(event, ToolReturned | AgentFailed))
        live.send_text("c")
        seen += await until(live, says("one: c"))
    assert failures(seen) == []
    told = [one for one in seen if isinstance(one, AgentText | AgentChanged)]
    assert told == [
        AgentText("one: a"),
        AgentChanged("two"),
        AgentText("two: b"),
        AgentChanged("one"),
        AgentText("one: c"),
    ]
    ends = [at for at, event in enumerate(seen) if isinstance(event, ToolReturned)]
    assert [seen[at + 1] for at in ends if at + 1 < len(seen)][:1] == [ModelTurnComplete()]


async def test_sequence_that_begins_again_does_not_go_on_with_the_session_of_its_last_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's session is that of one agent; the first is told the history."""
    third = asyncio.Event()

    async def finish(connection: Connection) -> None:
        await connection.accept()
        await connection.handle(f"of-connection-{len(connections)}")
        if len(connections) == 3:
            third.set()
            return
        call = {"id": "1", "name": "task_completed", "args": {}}
        await connection.send({"toolCall": {"functionCalls": [call]}})

    async with gemini_stand_in([finish], tmp_path, monkeypatch) as connections:
        models = [Gemini(model=MODEL) for _ in range(2)]
        agents: list[Any] = [
            LlmAgent(name=name, model=model)
            for name, model in zip(("one", "two"), models, strict=True)
        ]
        root = SequentialAgent(name="root", sub_agents=agents)
        async with serve_agent(root) as server, server.call("audio"):
            await third.wait()
        for model in models:
            await model.api_client.aio.aclose()
            await model._live_api_client.aio.aclose()
    assert ["of-connection" in str(one.setup) for one in connections] == [False] * 3


async def test_workflow_of_agents_goes_on_and_begins_again() -> None:
    """A node of it is an agent with a task; its models are observed like an agent's."""
    models = [worker(name, "finish_task", result="x") for name in ("one", "two")]
    agents = [LlmAgent(name=model.model, model=model, mode="task") for model in models]
    root = Workflow(name="root", edges=[(START, agents[0]), (agents[0], agents[1])])
    assert prepare_models(root).observed
    async with serve_agent(root) as server, server.call() as live:
        live.send_text("a")
        live.send_text("done")
        seen = await until(live, lambda event: isinstance(event, ToolReturned | AgentFailed))
        live.send_text("b")
        live.send_text("done")
        seen += await until(live, lambda event: isinstance(event, ToolReturned | AgentFailed))
        live.send_text("c")
        seen += await until(live, says("one: c"))
    assert failures(seen) == []
    assert [one.name for one in seen if isinstance(one, AgentChanged)] == ["two", "one"]


async def test_workflow_that_ends_without_a_word_is_not_redialled_at_once() -> None:
    """Its runs follow each other with the pause of a first failure."""
    loop = asyncio.get_running_loop()
    connected_at: list[float] = []

    async def finish(connection: ScriptedConnection) -> None:
        connected_at.append(loop.time())
        connection.emit(tool_call("finish_task", result="x"))

    agent = LlmAgent(name="one", model=ScriptedLlm(scripts=[finish]), mode="task")
    pause_s = 0.15
    async with (
        serve_agent(
            Workflow(name="root", edges=[(START, agent)]),
            retry=replace(FAST, first_delay_s=pause_s, max_delay_s=9.0),
        ) as server,
        server.call() as live,
    ):

        def third(event: LiveEvent) -> bool:
            return isinstance(event, ToolReturned) and len(connected_at) == 3

        seen = await until(live, third)
        spacing_s = [later - earlier for earlier, later in itertools.pairwise(connected_at)]
    assert min(spacing_s) > pause_s * 0.99
    assert failures(seen) == []


@pytest.mark.parametrize("kind", [LoopAgent, ParallelAgent])
def test_agent_that_adk_does_not_run_live_is_refused_at_start(kind: type[Any]) -> None:
    """By a sentence that says what can be used in its place."""
    agent = kind(name="root", sub_agents=[LlmAgent(name="one", model=ScriptedLlm())])
    with pytest.raises(AgentLoadError, match=f"is a {kind.__name__}, which ADK does not run live"):
        LoadedAgent.from_object("root", agent)


@pytest.mark.parametrize("kind", [LoopAgent, ParallelAgent])
def test_sequence_that_comes_to_such_an_agent_is_refused_at_start(kind: type[Any]) -> None:
    """Its run would fail in the middle of each call."""
    inner = kind(name="inner", sub_agents=[LlmAgent(name="two", model=ScriptedLlm())])
    first = LlmAgent(name="one", model=ScriptedLlm())
    root = SequentialAgent(name="root", sub_agents=[first, inner])
    words = f"goes on with inner, a {kind.__name__}, which ADK does not run live"
    with pytest.raises(AgentLoadError, match=words):
        LoadedAgent.from_object("root", root)


@pytest.mark.parametrize("kind", [LoopAgent, ParallelAgent])
def test_such_an_agent_that_a_model_may_transfer_to_is_warned_of(
    kind: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of the tree is of use without it."""
    inner = kind(name="inner", sub_agents=[LlmAgent(name="two", model=ScriptedLlm())])
    root = LlmAgent(name="root", model=ScriptedLlm(), sub_agents=[inner])
    LoadedAgent.from_object("root", root)
    assert f"inner, a {kind.__name__}" in caplog.text


def test_such_an_agent_within_a_tool_is_run_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    inner = LoopAgent(name="inner", sub_agents=[LlmAgent(name="two", model=ScriptedLlm())])
    root = LlmAgent(name="root", model=ScriptedLlm(), tools=[AgentTool(inner)])
    LoadedAgent.from_object("root", root)
    assert "does not run it live" not in caplog.text
