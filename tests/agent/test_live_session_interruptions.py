"""A model that is not Gemini is interrupted while a tool holds ADK's receive loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.tools.tool_context import ToolContext

from rtc_server.agent.live_events import (
    AgentFailed,
    AgentText,
    LiveEvent,
    ModelInterrupted,
    StateChanged,
    ToolCalled,
    ToolCancelled,
    ToolReturned,
)
from tests.agent.held_tools import Tool, blocking, slow

from .conftest import agent_of, serve_agent
from .listening import until
from .scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    echo_text,
    interrupted,
    text_piece,
    tool_call,
    turn_complete,
)

pytestmark = pytest.mark.leaves_resources("the idle thread of the tools ends shortly after")


@pytest.fixture(params=[slow, blocking])
def tool(request: pytest.FixtureRequest) -> Iterator[Tool]:
    made: Tool = request.param()
    yield made
    made.release()


KINDS = (ToolCalled, ToolReturned, ModelInterrupted, AgentFailed)


def of(events: list[LiveEvent]) -> list[LiveEvent]:
    return [one for one in events if isinstance(one, KINDS)]


def says(text: str) -> Callable[[LiveEvent], bool]:
    return lambda event: isinstance(event, AgentText | AgentFailed) and text in str(event)


async def test_next_answer_does_not_wait_for_the_tool_of_an_interrupted_one(
    llm: ScriptedLlm, tool: Tool
) -> None:
    """The interruption is told at once, and by ADK; the tool works on, its result is sent."""
    results: list[Any] = []

    async def script(connection: ScriptedConnection) -> None:
        connection.emit(text_piece("Let me see. "), tool_call("look"))
        await tool.started()
        connection.emit(interrupted(), turn_complete(), text_piece("Yes?"), turn_complete())
        content = await connection.receive_content()
        results.append((content.parts or [])[0].function_response)
        connection.emit(text_piece("A cat."), turn_complete())

    llm.scripts = [script]
    async with serve_agent(agent_of(llm, tools=[tool.look])) as server, server.call() as live:
        seen = await until(live, says("Yes?"))
        tool.release()
        seen += await until(live, says("A cat."))
    assert of(seen) == [
        ToolCalled("call-1", "look", {}),
        ModelInterrupted(ahead=True),
        ModelInterrupted(),
        ToolReturned("call-1", "look", {"seen": "a cat"}),
    ]
    assert results[0].response == {"seen": "a cat"}


async def test_interruption_right_behind_a_call_holds_nothing(llm: ScriptedLlm, tool: Tool) -> None:
    """It is read before ADK has begun with the tool."""

    async def script(connection: ScriptedConnection) -> None:
        connection.emit(tool_call("look"), interrupted(), text_piece("Yes?"), turn_complete())
        await connection.receive_content()
        connection.emit(tool_call("look", "call-2"))
        await connection.receive_content()
        connection.emit(text_piece("Two."), turn_complete())

    llm.scripts = [script]
    async with serve_agent(agent_of(llm, tools=[tool.look])) as server, server.call() as live:
        seen = await until(live, says("Yes?"))
        tool.release()
        seen += await until(live, says("Two."))
    returned = [one.id for one in seen if isinstance(one, ToolReturned)]
    assert returned == ["call-1", "call-2"]


async def test_model_that_goes_on_speaking_is_heard_while_its_tool_works(
    llm: ScriptedLlm, tool: Tool
) -> None:
    """It does not wait for the result, so ADK does not either; callbacks see it once."""
    after: list[Any] = []

    async def script(connection: ScriptedConnection) -> None:
        connection.emit(tool_call("look"))
        await tool.started()
        connection.emit(text_piece("One moment."))
        await connection.receive_content()
        connection.emit(turn_complete(), text_piece("A cat."), turn_complete())

    def mend(tool: Any, args: Any, tool_context: ToolContext, tool_response: Any) -> Any:
        after.append(tool_response)
        tool_context.state["seen"] = True
        return {"seen": "two cats"}

    llm.scripts = [script]
    agent = agent_of(llm, tools=[tool.look], after_tool_callback=mend)
    async with serve_agent(agent) as server, server.call() as live:
        seen = await until(live, says("One moment."))
        assert after == []
        tool.release()
        seen += await until(live, says("A cat."))
        session = await server.runtime.sessions.read("user", server.session_id)
        assert session is not None
        responses = [one for event in session.events for one in event.get_function_responses()]
    history = [one.response for one in responses]
    assert after == [{"seen": "a cat"}]
    returned = [one.result for one in seen if isinstance(one, ToolReturned)]
    assert returned == history == [{"seen": "two cats"}]
    assert [one.delta for one in seen if isinstance(one, StateChanged)] == [{"seen": True}]


async def test_tool_that_works_on_is_stopped_with_the_run(llm: ScriptedLlm) -> None:
    """And the caller is told that nothing comes of it."""
    tool = slow()
    cancelled = asyncio.Event()

    async def look() -> dict[str, str]:
        """Looks."""
        try:
            return dict(await tool.look())
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def script(connection: ScriptedConnection) -> None:
        connection.emit(tool_call("look"))
        await tool.started()
        connection.emit(text_piece("One moment."))
        await connection.receive_text()
        connection.fail(ConnectionError("gone"))

    llm.scripts = [script, echo_text]
    async with serve_agent(agent_of(llm, tools=[look])) as server, server.call() as live:
        await until(live, says("One moment."))
        live.send_text("go on")
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        assert cancelled.is_set()
    assert [one.id for one in seen if isinstance(one, ToolCancelled)] == ["call-1"]
    assert not [one for one in seen if isinstance(one, ToolReturned)]


async def test_receive_that_ends_with_each_turn_is_heard_too(llm: ScriptedLlm, tool: Tool) -> None:
    """As that of Gemini does."""

    async def script(connection: ScriptedConnection) -> None:
        connection.emit(tool_call("look"), turn_complete())
        await tool.started()
        connection.emit(interrupted(), turn_complete())
        await connection.receive_content()
        connection.emit(text_piece("A cat."), turn_complete())

    class TurnByTurn(ScriptedConnection):
        async def receive(self) -> Any:
            async for response in super().receive():
                yield response
                if response.turn_complete:
                    return

    llm.scripts, llm.connection_type = [script], TurnByTurn
    async with serve_agent(agent_of(llm, tools=[tool.look])) as server, server.call() as live:
        seen = await until(live, lambda event: isinstance(event, ModelInterrupted | AgentFailed))
        tool.release()
        seen += await until(live, says("A cat."))
    assert [one.ahead for one in seen if isinstance(one, ModelInterrupted)] == [True, False]
    assert llm.connects == 1


async def test_connection_that_breaks_after_an_interruption_ends_it(
    llm: ScriptedLlm, tool: Tool
) -> None:
    """Nothing waits for the end of an answer that ADK will not tell any more."""

    async def breaks(connection: ScriptedConnection) -> None:
        connection.emit(tool_call("look"))
        await tool.started()
        connection.emit(interrupted())
        connection.fail(ConnectionError("gone"))

    async def goes_on(connection: ScriptedConnection) -> None:
        connection.emit(text_piece("Back."), turn_complete())

    llm.scripts = [breaks, goes_on]
    async with serve_agent(agent_of(llm, tools=[tool.look])) as server, server.call() as live:
        seen = await until(live, lambda event: isinstance(event, ModelInterrupted))
        tool.release()
        seen += await until(live, says("Back."))
    ends = [one.ahead for one in seen if isinstance(one, ModelInterrupted)]
    assert ends[:2] == [True, False]


async def test_interruption_of_an_agent_that_hands_over_ends_with_it(llm: ScriptedLlm) -> None:
    """ADK closes the connection on which it came: the next agent is listened to."""

    async def first(connection: ScriptedConnection) -> None:
        connection.emit(tool_call("transfer_to_agent", agent_name="second"))
        connection.emit(interrupted())

    async def second(connection: ScriptedConnection) -> None:
        connection.emit(text_piece("It is me now."), turn_complete())

    llm.scripts = [first]
    other = LlmAgent(name="second", model=ScriptedLlm(scripts=[second]))
    agent = agent_of(llm, sub_agents=[other])
    async with serve_agent(agent) as server, server.call() as live:
        seen = await until(live, says("It is me now."))
    assert [one.ahead for one in seen if isinstance(one, ModelInterrupted)] == [True, False]
