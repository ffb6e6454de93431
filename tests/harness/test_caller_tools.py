"""What a caller does for the agent, message by message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rtc_harness.caller_tools import CallerTools, ClientTool, Decide, read_client_tools
from rtc_harness.errors import CallEndedEarly, HarnessError

CALL = {"type": "client_tool", "id": "a", "name": "beep", "args": {"times": 2}, "seconds": 30}
ASK = {"type": "confirm", "id": "a", "name": "pay", "args": {"euros": 5}, "seconds": 60}


class Sent:
    """What was sent, and a wait for it."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    def opened(self, *tools: ClientTool, decide: Decide | None = None) -> CallerTools:
        made = CallerTools(tools, decide)
        made.open(self.messages.put_nowait)
        return made


def beep(run: Any) -> ClientTool:
    return ClientTool("beep", "Beeps.", run)


async def test_a_tool_is_run_and_its_result_sent() -> None:
    """Plain and asynchronous functions; what is no object is put into one."""

    async def later(args: dict[str, Any]) -> int:
        await asyncio.sleep(0)
        return int(args["times"]) + 1

    for run, result in ((dict, {"times": 2}), (later, {"result": 3})):
        sent = Sent()
        sent.opened(beep(run)).on_message(CALL)
        assert await sent.messages.get() == {
            "type": "client_tool_result",
            "id": "a",
            "result": result,
        }


async def test_what_goes_wrong_is_told_to_the_agent() -> None:
    """A tool that raises, a result that is no JSON, a tool that is not there."""

    def fail(args: dict[str, Any]) -> None:
        raise OSError("no loudspeaker")

    for tools, words in (
        ([beep(fail)], "no loudspeaker"),
        ([beep(lambda args: {"x": object()})], "not JSON serializable"),
        ([beep(lambda args: {"x": float("nan")})], "not JSON compliant"),
        ([], "no such tool"),
    ):
        sent = Sent()
        sent.opened(*tools).on_message(CALL)
        assert words in (await sent.messages.get())["error"]


@pytest.mark.parametrize("agreed", [True, False, None])
async def test_a_question_is_answered_by_who_decides_and_else_with_no(agreed: bool | None) -> None:
    """He is shown the whole message."""
    seen: list[Any] = []

    def decide(message: Mapping[str, Any]) -> bool:
        seen.append(message)
        return bool(agreed)

    sent = Sent()
    sent.opened(decide=None if agreed is None else decide).on_message(ASK)
    assert await sent.messages.get() == {"type": "confirm", "id": "a", "confirmed": bool(agreed)}
    assert seen == ([] if agreed is None else [ASK])


async def test_a_decision_that_fails_is_a_no_and_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else the agent would wait for it as long as it waits for a person."""

    async def decide(message: Mapping[str, Any]) -> bool:
        raise KeyError("euros")

    sent = Sent()
    sent.opened(decide=decide).on_message(ASK)
    async with asyncio.timeout(20):
        assert await sent.messages.get() == {"type": "confirm", "id": "a", "confirmed": False}
    assert "pay" in caplog.text
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("phase", ["cancelled", "result"])
async def test_what_nobody_waits_for_any_more_is_stopped(phase: str) -> None:
    """The server says so by the tool's id; nothing is sent."""
    started = asyncio.Event()

    async def wait(args: dict[str, Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    sent = Sent()
    tools = sent.opened(beep(wait))
    tools.on_message(CALL)
    await started.wait()
    tools.on_message({"type": "tool", "phase": phase, "id": "a", "name": "beep"})
    await tools.close()
    assert sent.messages.empty()


async def test_closing_stops_what_runs_and_an_ended_call_takes_no_answer() -> None:
    """No task is left, and nothing is raised."""

    def send(message: Mapping[str, Any]) -> None:
        ended.set()
        raise CallEndedEarly("gone")

    ended = asyncio.Event()
    tools = CallerTools([beep(dict)])
    tools.open(send)
    tools.on_message(CALL)
    await ended.wait()
    await tools.close()
    await tools.close()


def test_tools_are_read_from_a_file(tmp_path: Path) -> None:
    """One or several, with what each gives."""
    path = tmp_path / "tools.json"
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}}
    place = {"name": "place", "description": "Where.", "parameters": parameters, "result": {"x": 1}}
    path.write_text(json.dumps([place, {"name": "beep", "description": "Beeps.", "error": "no"}]))
    one, other = read_client_tools(path)
    assert one.declaration() == {
        "name": "place",
        "description": "Where.",
        "parameters": parameters,
    }
    assert one.run({}) == {"x": 1}
    with pytest.raises(RuntimeError, match="no"):
        other.run({})
    path.write_text(json.dumps(place))
    assert [tool.name for tool in read_client_tools(path)] == ["place"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("3", "no declaration"),
        ('{"name": "a", "result": {}}', '"description"'),
        ('{"name": "a", "description": "b"}', '"result"'),
        ('{"name": "a", "description": "b", "result": 1}', '"result"'),
        ('{"name": "a", "description": "b", "result": {}, "error": "c"}', '"result"'),
        ('{"name": "a", "description": "b", "result": {}, "parameters": 1}', '"parameters"'),
    ],
)
def test_a_file_that_holds_no_tools_is_refused_in_words(
    text: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "tools.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(HarnessError, match=words):
        read_client_tools(path)
