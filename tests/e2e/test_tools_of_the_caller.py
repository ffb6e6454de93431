"""Consent and tools of the client in whole calls: the harness against a scripted model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.adk.tools.function_tool import FunctionTool

from rtc_harness.caller_tools import CallerTools, ClientTool
from rtc_harness.cli import call_command
from rtc_harness.client import RtcClient
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    audio_piece,
    said,
    tone,
    tool_call,
    turn_complete,
    uses_tool,
)
from tests.e2e.server import Server
from tests.e2e.test_workers import Front
from tests.waiting import until

RUNS: list[int] = []


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    RUNS.clear()


async def pay(euros: int) -> dict[str, Any]:
    """Pays."""
    RUNS.append(euros)
    return {"paid": euros}


TOOLS = [FunctionTool(pay, require_confirmation=True)]
BEEP = {"name": "beep", "description": "Beeps."}


def types_of(client: RtcClient) -> list[tuple[str, str | None]]:
    return [(one.body["type"], one.body.get("phase")) for one in client.messages]


@pytest.mark.parametrize("agrees", [True, False])
async def test_the_caller_is_asked_and_his_answer_counts(agrees: bool) -> None:
    """He sees what he would agree to, the tool's messages tell of it, the answer says the rest."""
    asked: list[Mapping[str, Any]] = []

    async def decide(message: Mapping[str, Any]) -> bool:
        asked.append(message)
        return agrees

    llm = ScriptedLlm(scripts=[uses_tool("pay", euros=5)])
    async with (
        Server.running(llm, tools=TOOLS) as server,
        RtcClient.connect(server.url, audio=False, tools=CallerTools(decide=decide)) as client,
    ):
        answer = await client.answer_to(client.send_text("pay"))
        shown = types_of(client)
    (confirm,) = asked
    assert (confirm["name"], confirm["args"], confirm["seconds"]) == ("pay", {"euros": 5}, 60)
    assert ([5] if agrees else []) == RUNS
    assert ("paid" if agrees else "refused") in answer.said
    assert shown.index(("tool", "call")) < shown.index(("tool", "result"))


async def test_while_the_caller_is_asked_he_hears_the_agent() -> None:
    """Sound that comes after the question is played before the answer to it."""

    async def talk_on(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("pay", "call-1", euros=5))
        connection.emit(audio_piece(tone(0.6)), said("Please look at your screen."))
        await connection.receive_content()
        connection.emit(turn_complete())

    heard = asyncio.Event()

    async def decide(message: Mapping[str, Any]) -> bool:
        await heard.wait()
        return True

    async with (
        Server.running(ScriptedLlm(scripts=[talk_on]), tools=TOOLS) as server,
        RtcClient.connect(server.url, tools=CallerTools(decide=decide)) as client,
    ):
        question = client.send_text("pay")
        await client.wait_until_audible(question)
        assert RUNS == []
        heard.set()
        await client.answer_to(question)
    assert RUNS == [5]


async def test_an_interrupted_caller_is_asked_no_more_and_a_late_yes_is_refused() -> None:
    """One error; the tool does not run."""
    llm = ScriptedLlm(scripts=[uses_tool("pay", euros=5)])
    async with Server.running(llm, tools=TOOLS) as server, server.call(audio=None) as caller:
        caller.client.send({"type": "text", "data": "pay"})
        confirm = await caller.client.next_message("confirm")
        caller.client.send({"type": "interrupt"})
        result = await caller.client.next_message("tool")
        while result["phase"] != "result":
            result = await caller.client.next_message("tool")
        assert result["id"] == confirm["id"]
        caller.client.send({"type": "confirm", "id": confirm["id"], "confirmed": True})
        assert (await caller.client.next_message("error"))["code"] == "unknown_confirmation"
    assert RUNS == []


async def test_a_caller_whose_data_channel_is_gone_is_waited_for_no_longer() -> None:
    """He talks on: the tool does not run, and the model is told why at once, not after 60 s."""
    told: list[Any] = []

    async def script(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("pay", euros=5))
        told.extend((await connection.receive_content()).parts or [])

    llm = ScriptedLlm(scripts=[script])
    async with Server.running(llm, tools=TOOLS) as server, server.call() as caller:
        caller.client.send({"type": "text", "data": "pay"})
        await caller.client.next_message("confirm")
        assert caller.client.channel is not None
        caller.client.channel.close()
        await until(lambda: bool(told))
        assert (await caller.describe())["connected"]
    assert "cannot be asked" in str(told[0].function_response.response)
    assert RUNS == []


@pytest.mark.parametrize("way", ["leave", "hang up", "take over"])
async def test_a_call_that_ends_while_its_caller_is_asked_leaves_nothing(way: str) -> None:
    """The tool does not run, nobody waits; the leak check of every test looks."""
    llm = ScriptedLlm(scripts=[uses_tool("pay", euros=5)])
    async with Server.running(llm, tools=TOOLS) as server:
        async with server.call(audio=None, session_id="s") as caller:
            caller.client.send({"type": "text", "data": "pay"})
            await caller.client.next_message("confirm")
            if way == "hang up":
                assert await caller.hang_up() == 200
            elif way == "take over":
                async with server.call(audio=None, session_id="s") as other:
                    assert (await caller.client.next_message("goaway"))["reason"] == "replaced"
                    other.client.send({"type": "text", "data": "pay"})
                    confirm = await other.client.next_message("confirm")
                    other.client.send({"type": "confirm", "id": confirm["id"], "confirmed": True})
                    await other.client.next_message("turn")
        await until(lambda: server.calls.active == 0)
    assert ([5] if way == "take over" else []) == RUNS


async def test_a_tool_runs_on_the_client() -> None:
    """Declared in the offer, called with its arguments; its result reaches the model."""
    calls: list[Any] = []

    def beep(args: dict[str, Any]) -> dict[str, Any]:
        calls.append(args)
        return {"beeped": args["times"]}

    tool = ClientTool("beep", "Beeps.", beep)
    llm = ScriptedLlm(scripts=[uses_tool("beep", times=2)])
    async with (
        Server.running(llm) as server,
        RtcClient.connect(server.url, audio=False, tools=CallerTools([tool])) as client,
    ):
        answer = await client.answer_to(client.send_text("beep"))
    assert calls == [{"times": 2}]
    assert answer.said == "The tool says {'beeped': 2}"


async def test_a_client_that_does_not_answer_is_not_waited_for() -> None:
    """The model is told, and the late result is refused with one error."""
    llm = ScriptedLlm(scripts=[uses_tool("beep")])
    settings = Settings(port=0, limits=Limits(client_tool_s=0.1))
    async with (
        Server.running(llm, settings) as server,
        server.call(audio=None, client_tools=[BEEP]) as caller,
    ):
        caller.client.send({"type": "text", "data": "beep"})
        called = await caller.client.next_message("client_tool")
        assert called["seconds"] == 0.1
        text = await caller.client.next_message("text")
        assert "too long" in text["data"]
        caller.client.send({"type": "client_tool_result", "id": called["id"], "result": {}})
        assert (await caller.client.next_message("error"))["code"] == "unknown_client_tool"


async def test_declarations_that_do_not_fit_are_refused_before_there_is_a_call() -> None:
    """400, and the field is named."""
    llm = ScriptedLlm(scripts=[uses_tool("beep")])
    async with Server.running(llm) as server:
        bad = [{**BEEP, "parameters": {"type": "string"}}]
        status, problem = await server.post_offer("v=0", client_tools=bad)
    assert status == 400
    assert "client_tools[0].parameters.type" in problem["detail"]


@pytest.mark.deadline(120)
async def test_a_tool_of_the_client_works_across_worker_processes() -> None:
    """Its declaration goes through the front to the worker that has the call."""
    async with (
        Front.running() as front,
        front.call(client_tools=[BEEP]) as caller,
    ):
        caller.client.send({"type": "text", "data": "beep"})
        called = await caller.client.next_message("client_tool")
        caller.client.send({"type": "client_tool_result", "id": called["id"], "result": {"a": 1}})
        assert "'a': 1" in (await caller.client.next_message("text"))["data"]


async def test_the_command_answers_what_it_was_told_to(tmp_path: Path) -> None:
    """``--client-tool`` and ``--confirm``: printed, and seen in the answer."""
    file = tmp_path / "tools.json"
    file.write_text(json.dumps({**BEEP, "result": {"beeped": True}}))

    async def both(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("beep", "call-1"))
        await connection.receive_content()
        connection.emit(tool_call("pay", "call-2", euros=5))
        await connection.receive_content()
        connection.emit(said("Done."), audio_piece(tone(0.2)), turn_complete())

    async with Server.running(ScriptedLlm(scripts=[both]), tools=TOOLS) as server:
        args = ["--url", server.url, "--text", "go", "--modality", "audio"]
        args += ["--client-tool", str(file), "--confirm", "yes"]
        result = await asyncio.to_thread(CliRunner().invoke, call_command, args)
    assert result.exit_code == 0, result.output
    assert RUNS == [5]
    assert "runs   beep {}" in result.output
    assert 'asks   may pay {"euros": 5} run?' in result.output
    assert "you    yes" in result.output
