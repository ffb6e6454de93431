"""Tools that need the caller's yes, over ADK's real runner, with a scripted model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.adk.agents.readonly_context import ReadonlyContext
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.base_toolset import BaseToolset
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from rtc_server.agent.live_events import (
    AgentFailed,
    AgentText,
    ConfirmationAsked,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
    ToolCancelled,
    ToolReturned,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.settings import Limits, Settings

from ..conftest import agent_of, serve_agent
from ..scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    interrupted,
    text_piece,
    tool_call,
    turn_complete,
    uses_tool,
)

RUNS: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    RUNS.clear()


async def transfer(euros: int, tool_context: ToolContext) -> dict[str, Any]:
    """Transfers money."""
    RUNS.append({"euros": euros, "confirmation": tool_context.tool_confirmation})
    return {"transferred": euros}


def take_leave(days: int, tool_context: ToolContext) -> dict[str, Any]:
    """Asks by itself, as ADK's own sample does."""
    RUNS.append({"days": days})
    if tool_context.tool_confirmation is None:
        tool_context.request_confirmation(hint="May I?", payload={"days": days})
        return {"status": "A manager has to agree."}
    payload: Any = tool_context.tool_confirmation.payload
    return {"granted": payload["days"]}


async def until(live: LiveSession, kind: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kind):
            break
    return seen


def asked(events: list[LiveEvent]) -> ConfirmationAsked:
    (one,) = [one for one in events if isinstance(one, ConfirmationAsked)]
    return one


def result(events: list[LiveEvent]) -> dict[str, Any]:
    (one,) = [one for one in events if isinstance(one, ToolReturned)]
    assert one.result is not None
    return dict(one.result)


def paying(llm: ScriptedLlm, **more: Any) -> Any:
    llm.scripts = [uses_tool("transfer", euros=5)]
    return agent_of(llm, tools=[FunctionTool(transfer, require_confirmation=True)], **more)


async def test_a_tool_runs_after_the_callers_yes_and_the_model_gets_its_result_alone(
    llm: ScriptedLlm,
) -> None:
    """One call, one response; the tool finds the confirmation in its context."""
    async with serve_agent(paying(llm)) as server, server.call() as live:
        live.send_text("pay")
        one = asked(await until(live, ConfirmationAsked))
        assert (one.name, one.args, one.hint) == ("transfer", {"euros": 5}, None)
        assert RUNS == []
        assert live.questions.answer_confirmation(one.id, confirmed=True, payload={"pin": 1})
        events = await until(live, ModelTurnComplete)
    assert result(events) == {"transferred": 5}
    assert RUNS[0]["confirmation"].confirmed
    assert RUNS[0]["confirmation"].payload == {"pin": 1}
    text = "".join(one.text for one in events if isinstance(one, AgentText))
    assert text == "The tool says {'transferred': 5}"


async def test_a_tool_that_the_caller_refuses_does_not_run(llm: ScriptedLlm) -> None:
    """The model is told, and can say so."""
    async with serve_agent(paying(llm)) as server, server.call() as live:
        live.send_text("pay")
        one = asked(await until(live, ConfirmationAsked))
        live.questions.answer_confirmation(one.id, confirmed=False)
        events = await until(live, ModelTurnComplete)
    assert "refused" in result(events)["error"]
    assert RUNS == []


async def test_a_caller_who_does_not_answer_has_not_agreed(llm: ScriptedLlm) -> None:
    """After the time that the operator set."""
    settings = Settings(limits=Limits(confirm_s=0.05))
    async with serve_agent(paying(llm), settings=settings) as server, server.call() as live:
        live.send_text("pay")
        events = await until(live, ModelTurnComplete)
        assert asked(events).seconds == 0.05
        assert "in time" in result(events)["error"]
        assert not live.questions.answer_confirmation(asked(events).id, confirmed=True)
    assert RUNS == []


async def test_a_predicate_decides_by_the_arguments(llm: ScriptedLlm) -> None:
    """ADK's ``require_confirmation`` may be a function of them."""
    llm.scripts = [uses_tool("transfer", euros=5)]

    def is_much(euros: int, tool_context: ToolContext) -> bool:
        return euros > 100

    agent = agent_of(llm, tools=[FunctionTool(transfer, require_confirmation=is_much)])
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("pay")
        events = await until(live, ModelTurnComplete)
    assert result(events) == {"transferred": 5}
    assert not any(isinstance(one, ConfirmationAsked) for one in events)


async def test_a_predicate_that_raises_is_a_tool_that_fails(llm: ScriptedLlm) -> None:
    """The call goes on."""
    llm.scripts = [uses_tool("transfer", euros=5)]

    def broken(euros: int, tool_context: ToolContext) -> bool:
        raise LookupError(euros)

    agent = agent_of(llm, tools=[FunctionTool(transfer, require_confirmation=broken)])
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("pay")
        assert result(await until(live, ModelTurnComplete)) == {
            "error": "The tool transfer failed."
        }
    assert RUNS == []


@pytest.mark.parametrize("as_function", [False, True])
async def test_a_tool_that_asks_by_itself_runs_again_after_a_yes(
    llm: ScriptedLlm, as_function: bool
) -> None:
    """With the payload that the caller gave; the interim result stays between the two runs."""
    llm.scripts = [uses_tool("take_leave", days=5)]
    agent = agent_of(llm, tools=[take_leave if as_function else FunctionTool(take_leave)])
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("leave")
        one = asked(await until(live, ConfirmationAsked))
        assert (one.hint, one.payload) == ("May I?", {"days": 5})
        live.questions.answer_confirmation(one.id, confirmed=True, payload={"days": 3})
        events = await until(live, ModelTurnComplete)
    assert result(events) == {"granted": 3}
    assert len(RUNS) == 2


async def test_a_yes_without_a_payload_agrees_to_the_one_that_was_shown(llm: ScriptedLlm) -> None:
    llm.scripts = [uses_tool("take_leave", days=5)]
    async with serve_agent(agent_of(llm, tools=[take_leave])) as server, server.call() as live:
        live.send_text("leave")
        one = asked(await until(live, ConfirmationAsked))
        live.questions.answer_confirmation(one.id, confirmed=True)
        assert result(await until(live, ModelTurnComplete)) == {"granted": 5}


async def test_a_tool_that_asks_by_itself_does_not_run_again_after_a_no(llm: ScriptedLlm) -> None:
    llm.scripts = [uses_tool("take_leave", days=5)]
    async with serve_agent(agent_of(llm, tools=[take_leave])) as server, server.call() as live:
        live.send_text("leave")
        one = asked(await until(live, ConfirmationAsked))
        live.questions.answer_confirmation(one.id, confirmed=False)
        assert "refused" in result(await until(live, ModelTurnComplete))["error"]
    assert len(RUNS) == 1


async def test_a_second_run_that_raises_is_a_tool_that_fails(llm: ScriptedLlm) -> None:
    """The run of the agent goes on, and nothing of the exception reaches the model."""
    llm.scripts = [uses_tool("take_leave", days=5)]
    async with serve_agent(agent_of(llm, tools=[take_leave])) as server, server.call() as live:
        live.send_text("leave")
        one = asked(await until(live, ConfirmationAsked))
        live.questions.answer_confirmation(one.id, confirmed=True, payload={"weeks": 1})
        events = await until(live, ModelTurnComplete)
    assert result(events) == {"error": "The tool take_leave failed."}


async def test_the_agents_own_callbacks_see_the_final_result(llm: ScriptedLlm) -> None:
    """And may change it, as they could without a confirmation."""
    seen: list[Any] = []

    def after(tool: BaseTool, args: Any, tool_context: Any, tool_response: Any) -> Any:
        seen.append(tool_response)
        return {"altered": tool_response}

    llm.scripts = [uses_tool("take_leave", days=5)]
    agent = agent_of(llm, tools=[take_leave], after_tool_callback=after)
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("leave")
        one = asked(await until(live, ConfirmationAsked))
        live.questions.answer_confirmation(one.id, confirmed=True)
        assert result(await until(live, ModelTurnComplete)) == {"altered": {"granted": 5}}
    assert seen == [{"granted": 5}]


class Bank(BaseToolset):
    """A toolset, as an MCP server's is: it makes its tools when they are asked for."""

    async def get_tools(self, readonly_context: ReadonlyContext | None = None) -> list[BaseTool]:
        return [FunctionTool(transfer, require_confirmation=True)]

    async def close(self) -> None: ...


async def test_tools_of_a_toolset_ask_too(llm: ScriptedLlm) -> None:
    """Under the name with the toolset's prefix."""
    llm.scripts = [uses_tool("bank_transfer", euros=5)]
    agent = agent_of(llm, tools=[Bank(tool_name_prefix="bank")])
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("pay")
        one = asked(await until(live, ConfirmationAsked))
        assert one.name == "bank_transfer"
        live.questions.answer_confirmation(one.id, confirmed=True)
        assert result(await until(live, ModelTurnComplete)) == {"transferred": 5}


@pytest.mark.parametrize("tool", ["transfer", "take_leave"])
async def test_while_the_caller_is_asked_the_agent_is_heard(llm: ScriptedLlm, tool: str) -> None:
    """What the model says reaches the caller before he has answered; other tools run."""

    async def talk_on(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call(tool, "call-1", **{"euros": 5, "days": 5}))
        connection.emit(text_piece("Please look at your screen."))
        connection.emit(tool_call("clock", "call-2"))
        while True:
            content = await connection.receive_content()
            for part in content.parts or []:
                if part.function_response and part.function_response.id == "call-1":
                    connection.emit(turn_complete())

    async def clock() -> dict[str, Any]:
        return {"time": "noon"}

    llm.scripts = [talk_on]
    agent = agent_of(
        llm, tools=[FunctionTool(transfer, require_confirmation=True), take_leave, clock]
    )
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("pay")
        events = await until(live, ToolReturned)
        assert result(events) == {"time": "noon"}
        assert "Please look at your screen." in [
            one.text for one in events if isinstance(one, AgentText)
        ]
        while not any(isinstance(one, ConfirmationAsked) for one in events):
            events += await until(live, ConfirmationAsked)
        live.questions.answer_confirmation("call-1", confirmed=True)
        await until(live, ModelTurnComplete)


async def test_an_interruption_withdraws_the_question(llm: ScriptedLlm) -> None:
    """It is seen at once, though the tool waits; the tool does not run."""

    async def interrupt(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("transfer", "call-1", euros=5))
        await asked_once.wait()
        connection.emit(interrupted(), turn_complete())

    asked_once = asyncio.Event()
    agent = paying(llm)
    llm.scripts = [interrupt]
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("pay")
        await until(live, ConfirmationAsked)
        asked_once.set()
        await until(live, ModelInterrupted)
        assert "interrupted" in result(await until(live, ToolReturned))["error"]
        assert not live.questions.answer_confirmation("call-1", confirmed=True)
    assert RUNS == []


async def test_the_callers_interrupt_withdraws_the_question(llm: ScriptedLlm) -> None:
    """Also where the model cannot be told of it."""
    async with serve_agent(paying(llm)) as server, server.call() as live:
        live.send_text("pay")
        await until(live, ConfirmationAsked)
        live.interrupt()
        assert "interrupted" in result(await until(live, ToolReturned))["error"]
    assert RUNS == []


async def test_a_failed_run_takes_the_question_back_and_the_next_one_can_ask(
    llm: ScriptedLlm,
) -> None:
    """The caller is told; his late answer is not taken."""

    async def fail(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("transfer", "call-1", euros=5))
        await asked_once.wait()
        connection.fail(OSError("gone"))

    asked_once = asyncio.Event()
    agent = paying(llm)
    llm.scripts = [fail, uses_tool("transfer", euros=6)]
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("pay")
        await until(live, ConfirmationAsked)
        asked_once.set()
        events = await until(live, AgentFailed)
        assert ToolCancelled("call-1", "transfer") in events
        assert not live.questions.answer_confirmation("call-1", confirmed=True)
        live.send_text("pay")
        one = asked(await until(live, ConfirmationAsked))
        live.questions.answer_confirmation(one.id, confirmed=True)
        assert result(await until(live, ModelTurnComplete)) == {"transferred": 6}


async def test_a_hang_up_while_the_caller_is_asked_leaves_nothing(llm: ScriptedLlm) -> None:
    """No task, no run of the tool; the leak check of every test looks."""
    async with serve_agent(paying(llm)) as server, server.call() as live:
        live.send_text("pay")
        await until(live, ConfirmationAsked)
    assert live.questions.waiting == 0
    assert RUNS == []


async def test_a_streaming_tool_begins_after_the_yes(llm: ScriptedLlm) -> None:
    """ADK starts it in its loop, so it is asked for there."""

    async def watch(euros: int) -> AsyncIterator[dict[str, Any]]:
        RUNS.append({"euros": euros})
        yield {"price": euros}

    async def use(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("watch", "call-1", euros=5))
        while True:
            content = await connection.receive_content()
            for part in content.parts or []:
                response = part.function_response
                if response is not None and response.response == {"price": 5}:
                    connection.emit(turn_complete())

    llm.scripts = [use]
    agent = agent_of(llm, tools=[FunctionTool(watch, require_confirmation=True)])
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("watch")
        one = asked(await until(live, ConfirmationAsked))
        assert RUNS == []
        live.questions.answer_confirmation(one.id, confirmed=True)
        await until(live, ModelTurnComplete)
    assert RUNS == [{"euros": 5}]


async def test_outside_of_our_calls_adks_own_behaviour_stays(llm: ScriptedLlm) -> None:
    """A run that is not ours is refused the tool, as ADK does it, and asks nobody."""
    from google.adk.agents.live_request_queue import LiveRequestQueue
    from google.adk.runners import InMemoryRunner

    agent = paying(llm)
    async with serve_agent(agent):
        runner = InMemoryRunner(agent=agent, app_name="other")
        await runner.session_service.create_session(
            app_name="other", user_id="user", session_id="session"
        )
        queue = LiveRequestQueue()
        queue.send_content(types.Content(role="user", parts=[types.Part(text="pay")]))
        responses: list[Any] = []
        run = runner.run_live(user_id="user", session_id="session", live_request_queue=queue)
        async for event in run:
            responses += [one.response for one in event.get_function_responses()]
            if event.turn_complete:
                break
        queue.close()
        await run.aclose()
        await runner.close()
    assert "requires confirmation" in responses[0]["error"]
    assert RUNS == []
