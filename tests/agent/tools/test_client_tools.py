"""Tools that the caller declared, over ADK's real runner; with a scripted model and on the wire."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini
from google.adk.tools.function_tool import FunctionTool
from google.genai import types

from rtc_server.agent.live_events import (
    AgentText,
    ClientToolCalled,
    ConfirmationAsked,
    LiveEvent,
    ModelTurnComplete,
    ToolCalled,
    ToolCancelled,
    ToolReturned,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.settings import Limits, Settings

from ..conftest import Server, agent_of, serve_agent
from ..gemini_stand_in import Connection, Script, gemini_stand_in
from ..scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    text_piece,
    tool_call,
    turn_complete,
    uses_tool,
)

BEEP = {
    "name": "beep",
    "description": "Beeps.",
    "parameters": {"type": "object", "properties": {"times": {"type": "integer"}}},
}


async def until(live: LiveSession, kind: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kind):
            break
    return seen


def result(events: list[LiveEvent]) -> dict[str, Any]:
    (one,) = [one for one in events if isinstance(one, ToolReturned)]
    assert one.result is not None
    return dict(one.result)


async def test_a_tool_of_the_client_is_called_there_and_its_result_told_to_the_model(
    llm: ScriptedLlm,
) -> None:
    """It is told of as any tool is."""
    llm.scripts = [uses_tool("beep", times=2)]
    async with serve_agent(agent_of(llm)) as server, server.call(client_tools=[BEEP]) as live:
        live.send_text("beep")
        events = await until(live, ClientToolCalled)
        assert events[-1] == ClientToolCalled("call-1", "beep", {"times": 2}, 30.0)
        assert ToolCalled("call-1", "beep", {"times": 2}) in events
        assert live.questions.answer_tool("call-1", {"beeped": 2})
        events = await until(live, ModelTurnComplete)
    assert result(events) == {"beeped": 2}
    text = "".join(one.text for one in events if isinstance(one, AgentText))
    assert text == "The tool says {'beeped': 2}"


async def test_it_is_declared_for_its_call_alone(llm: ScriptedLlm) -> None:
    """The next call of the same agent knows nothing of it."""
    llm.scripts = [uses_tool("beep", times=2)]
    async with serve_agent(agent_of(llm)) as server:
        async with server.call(client_tools=[BEEP]) as live:
            live.send_text("beep")
            await until(live, ClientToolCalled)
        async with server.call() as live:
            live.send_text("beep")
            assert "no tool" in result(await until(live, ModelTurnComplete))["error"]
    declared = [list(one.request.tools_dict) for one in llm.connections]
    assert declared == [["beep"], []]


async def test_a_client_that_takes_too_long_is_given_up(llm: ScriptedLlm) -> None:
    """The model is told; the result that comes late is not taken."""
    llm.scripts = [uses_tool("beep")]
    settings = Settings(limits=Limits(client_tool_s=0.05))
    async with (
        serve_agent(agent_of(llm), settings=settings) as server,
        server.call(client_tools=[BEEP]) as live,
    ):
        live.send_text("beep")
        assert "too long" in result(await until(live, ModelTurnComplete))["error"]
        assert not live.questions.answer_tool("call-1", {})


async def test_a_tool_of_the_agents_own_is_not_replaced(llm: ScriptedLlm) -> None:
    """The caller's of the same name is not declared, whatever it says it does."""

    async def beep() -> dict[str, Any]:
        """The agent's own."""
        return {"own": True}

    llm.scripts = [uses_tool("beep")]
    async with (
        serve_agent(agent_of(llm, tools=[beep])) as server,
        server.call(client_tools=[BEEP]) as live,
    ):
        live.send_text("beep")
        assert result(await until(live, ModelTurnComplete)) == {"own": True}


async def test_a_sub_agent_has_the_callers_tools_too(llm: ScriptedLlm) -> None:
    """Whichever agent of the tree speaks."""

    async def hand_over(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("transfer_to_agent", "call-0", agent_name="other"))

    async def use(connection: ScriptedConnection) -> None:
        connection.emit(tool_call("beep", "call-1"))
        while True:
            content = await connection.receive_content()
            if any(part.function_response for part in content.parts or []):
                connection.emit(text_piece("Done.", partial=False), turn_complete())

    other = ScriptedLlm(model="other", scripts=[use])
    llm.scripts = [hand_over]
    agent = agent_of(llm, sub_agents=[LlmAgent(name="other", model=other)])
    async with serve_agent(agent) as server, server.call(client_tools=[BEEP]) as live:
        live.send_text("beep")
        await until(live, ClientToolCalled)
        live.questions.answer_tool("call-1", {"beeped": 1})
        events = await until(live, ModelTurnComplete)
    assert result(events) == {"beeped": 1}


async def test_a_lost_run_takes_the_call_back_from_the_client(llm: ScriptedLlm) -> None:
    """The next run has the tool again."""

    async def fail(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("beep", "call-0"))
        await connection.receive_text()
        connection.fail(OSError("gone"))

    llm.scripts = [fail, uses_tool("beep")]
    async with serve_agent(agent_of(llm)) as server, server.call(client_tools=[BEEP]) as live:
        live.send_text("beep")
        await until(live, ClientToolCalled)
        live.send_text("fail")
        await until(live, ToolCancelled)
        assert not live.questions.answer_tool("call-0", {})
        live.send_text("beep")
        await until(live, ClientToolCalled)
        live.questions.answer_tool("call-1", {"beeped": 1})
        assert result(await until(live, ModelTurnComplete)) == {"beeped": 1}


async def test_the_tool_thread_pool_of_adk_does_not_move_it_to_another_loop(
    llm: ScriptedLlm,
) -> None:
    """ADK runs all but plain functions on event loops of its own there."""
    llm.scripts = [uses_tool("beep")]
    overrides = {"tool_thread_pool_config": {"max_workers": 1}}
    async with (
        serve_agent(agent_of(llm)) as server,
        server.call(client_tools=[BEEP], run_config=overrides) as live,
    ):
        live.send_text("beep")
        await until(live, ClientToolCalled)
        live.questions.answer_tool("call-1", {"beeped": 1})
        assert result(await until(live, ModelTurnComplete)) == {"beeped": 1}


# On the wire ------------------------------------------------------------------

# ADK still uses it for typed text; as an error it kills ADK's sender.
on_the_wire = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

TWO = "gemini-2.5-flash-live-stand-in"
THREE = "gemini-3.1-flash-live-stand-in"


@contextlib.asynccontextmanager
async def gemini(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *scripts: Script, model: str, **agent: Any
) -> AsyncIterator[tuple[Server, list[Connection]]]:
    """An agent of ADK's ``Gemini`` and the stand-in that it talks to."""
    async with gemini_stand_in(list(scripts), folder, monkeypatch) as connections:
        talker = LlmAgent(name="talker", model=model, **agent)
        async with serve_agent(talker) as server:
            yield server, connections
            assert isinstance(talker.model, Gemini)
            await talker.model.api_client.aio.aclose()
            await talker.model._live_api_client.aio.aclose()


async def is_asked(connection: Connection) -> None:
    """Typed text comes as client content from 2.x models' client, as realtime input from 3.x."""
    await connection.receive_any("client_content", "realtime_input")


async def calls_a_tool(connection: Connection, name: str, **args: Any) -> None:
    await connection.accept()
    await connection.handle("the-handle")
    await is_asked(connection)
    call = {"id": "call-1", "name": name, "args": args}
    await connection.send({"toolCall": {"functionCalls": [call]}})
    if "gemini-2" in connection.setup["model"]:
        # ADK hands calls of 2.x models on at the end of the turn, which they have here.
        await connection.send({"serverContent": {"turnComplete": True}})


async def ends_the_turn_with_the_result(connection: Connection, into: list[Any]) -> None:
    into.append(await connection.receive("tool_response"))
    await connection.text("Done.")


async def until_done(live: LiveSession) -> None:
    async for event in live.events():
        if isinstance(event, AgentText) and "Done." in event.text:
            return


def declarations(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tool in connection.setup["tools"]:
        for one in tool["functionDeclarations"]:
            found[one["name"]] = one
    return found


@on_the_wire
@pytest.mark.parametrize("model", [TWO, THREE])
async def test_gemini_is_told_of_a_blocking_tool_and_gets_one_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """While the client works the model is heard; nothing says that the tool is non-blocking."""
    responses: list[Any] = []

    async def script(connection: Connection) -> None:
        await calls_a_tool(connection, "beep", times=2)
        turn = {"modelTurn": {"role": "model", "parts": [{"text": "A moment."}]}}
        await connection.send({"serverContent": turn})
        await ends_the_turn_with_the_result(connection, responses)
        responses.append(await connection.receive("tool_response"))

    async with (
        gemini(tmp_path, monkeypatch, script, model=model) as (server, connections),
        server.call("text", client_tools=[BEEP]) as live,
    ):
        live.send_text("beep")
        seen = await until(live, AgentText)
        if not any(isinstance(one, ClientToolCalled) for one in seen):
            await until(live, ClientToolCalled)
        live.questions.answer_tool("call-1", {"beeped": 2})
        await until_done(live)
    declared = declarations(connections[0])["beep"]
    assert declared["description"] == "Beeps."
    assert BEEP["parameters"] in declared.values()
    assert "behavior" not in declared
    (response,) = responses[0]["functionResponses"]
    assert (response["id"], response["name"]) == ("call-1", "beep")
    assert response["response"] == {"beeped": 2}
    assert len(responses) == 1


@on_the_wire
@pytest.mark.parametrize("model", [TWO, THREE])
async def test_gemini_gets_the_result_of_a_tool_that_the_caller_agreed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """On the wire the tool is declared as its author wrote it, and answered once."""
    responses: list[Any] = []

    async def pay(euros: int) -> dict[str, Any]:
        """Pays."""
        return {"paid": euros}

    async def script(connection: Connection) -> None:
        await calls_a_tool(connection, "pay", euros=5)
        await ends_the_turn_with_the_result(connection, responses)

    tools = [FunctionTool(pay, require_confirmation=True)]
    async with (
        gemini(tmp_path, monkeypatch, script, model=model, tools=tools) as (server, connections),
        server.call("text") as live,
    ):
        live.send_text("pay")
        await until(live, ConfirmationAsked)
        live.questions.answer_confirmation("call-1", confirmed=True)
        await until_done(live)
    assert "behavior" not in declarations(connections[0])["pay"]
    assert [one["response"] for one in responses[0]["functionResponses"]] == [{"paid": 5}]


@on_the_wire
async def test_a_non_blocking_tool_is_declared_as_its_author_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put back is what we changed, not what he wants."""

    async def pay(euros: int) -> dict[str, Any]:
        """Pays."""
        return {"paid": euros}

    async def script(connection: Connection) -> None:
        await connection.accept()
        await is_asked(connection)
        await connection.text("Done.")

    tool = FunctionTool(pay, require_confirmation=True)
    tool.response_scheduling = types.FunctionResponseScheduling.WHEN_IDLE
    async with (
        gemini(tmp_path, monkeypatch, script, model=TWO, tools=[tool]) as (server, connections),
        server.call("text") as live,
    ):
        live.send_text("pay")
        await until_done(live)
    assert declarations(connections[0])["pay"]["behavior"] == "NON_BLOCKING"


@on_the_wire
async def test_a_client_tool_outlives_the_models_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK resumes the session within its run: the result goes over the new connection."""
    responses: list[Any] = []
    is_resumed = asyncio.Event()

    async def leave(connection: Connection) -> None:
        await calls_a_tool(connection, "beep")
        await connection.send({"goAway": {"timeLeft": "1s"}})

    async def resumed(connection: Connection) -> None:
        await connection.accept()
        is_resumed.set()
        await ends_the_turn_with_the_result(connection, responses)

    async with (
        gemini(tmp_path, monkeypatch, leave, resumed, model=TWO) as (server, connections),
        server.call("text", client_tools=[BEEP]) as live,
    ):
        live.send_text("beep")
        await until(live, ClientToolCalled)
        await is_resumed.wait()
        assert live.questions.answer_tool("call-1", {"beeped": 2})
        await until_done(live)
    assert connections[1].setup["sessionResumption"]["handle"] == "the-handle"
    assert list(declarations(connections[1])) == ["beep"]
    assert [one["response"] for one in responses[0]["functionResponses"]] == [{"beeped": 2}]


@on_the_wire
@pytest.mark.parametrize("model", [TWO, THREE])
async def test_a_call_that_the_model_takes_back_is_answered_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """The tool that waited for the caller's yes does not run, and no response goes out."""
    runs: list[int] = []
    inputs: list[Any] = []

    async def pay(euros: int) -> dict[str, Any]:
        """Pays."""
        runs.append(euros)
        return {"paid": euros}

    async def script(connection: Connection) -> None:
        await calls_a_tool(connection, "pay", euros=5)
        await asked.wait()
        await connection.send({"toolCallCancellation": {"ids": ["call-1"]}})
        while True:
            message = await connection.receive_any(
                "client_content", "realtime_input", "tool_response"
            )
            inputs.append(message)
            if "tool_response" not in message:
                await connection.text("Done.")

    asked = asyncio.Event()
    tools = [FunctionTool(pay, require_confirmation=True)]
    async with (
        gemini(tmp_path, monkeypatch, script, model=model, tools=tools) as (server, _),
        server.call("text") as live,
    ):
        live.send_text("pay")
        await until(live, ConfirmationAsked)
        asked.set()
        events = await until(live, ToolCancelled)
        assert events[-1] == ToolCancelled("call-1", "pay")
        assert not live.questions.answer_confirmation("call-1", confirmed=True)
        live.send_text("and now?")
        await until_done(live)
        assert live.questions.waiting == 0
    assert runs == []
    assert len(inputs) == 1
