"""Tools with ADK's ``Gemini`` and Google's client: cancelled, interrupted, streaming."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from rtc_server.agent.live_events import (
    AgentAudio,
    AgentFailed,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
    SourcesFound,
    ToolCalled,
    ToolCancelled,
    ToolProgressed,
    ToolReturned,
)
from rtc_server.agent.live_session import LiveSession

from .conftest import ServeGemini as Serve
from .gemini_stand_in import Connection

pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

TWO, THREE = "gemini-2.5-flash-live-stand-in", "gemini-3.1-flash-live-preview"


async def until(live: LiveSession, *kinds: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


def of(events: list[LiveEvent], *kinds: type[Any]) -> list[LiveEvent]:
    return [one for one in events if isinstance(one, kinds)]


async def call_tool(connection: Connection, id: str = "1", name: str = "look") -> None:
    call = {"id": id, "name": name, "args": {}}
    await connection.send({"toolCall": {"functionCalls": [call]}})
    if "2.5" in connection.setup["model"]:
        await connection.send({"serverContent": {"turnComplete": True}})


async def cancel(connection: Connection, *ids: str) -> None:
    await connection.send({"toolCallCancellation": {"ids": list(ids)}})


class Tool:
    """A tool that says that it was started and how it ended."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = False

    async def look(self) -> dict[str, str]:
        """Looks."""
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return {"seen": "a cat"}


@pytest.mark.parametrize("model", [TWO, THREE])
async def test_cancelled_tool_is_told_stopped_and_not_answered(serve: Serve, model: str) -> None:
    """The next turn is answered, and the model was sent no result."""
    tool = Tool()
    answered: list[Any] = []

    async def script(connection: Connection) -> None:
        await connection.accept()
        await call_tool(connection)
        await tool.started.wait()
        await cancel(connection, "1")
        # Anything but audio is passed over: a result would be found in what was received.
        message = await connection.receive_any("tool_response", "client_content", "realtime_input")
        answered.append(message)
        await connection.speech("Yes.")

    async with serve(script, tool.look, model=model) as server, server.call("audio") as live:
        seen = await until(live, ToolCancelled, AgentFailed)
        live.send_text("Go on.")
        seen += await until(live, AgentAudio, AgentFailed)
    assert of(seen, ToolCalled, ToolReturned, ToolCancelled, AgentFailed) == [
        ToolCalled("1", "look", {}),
        ToolCancelled("1", "look"),
    ]
    assert tool.cancelled
    assert "tool_response" not in answered[0]


async def test_tool_that_ignores_its_cancellation_holds_nothing(serve: Serve) -> None:
    """A blocking one goes on in its thread; the call goes on without it."""
    started, release = threading.Event(), threading.Event()

    def look() -> dict[str, str]:
        """Blocks."""
        started.set()
        release.wait(20)
        return {}

    async def script(connection: Connection) -> None:
        await connection.accept()
        await call_tool(connection)
        await asyncio.to_thread(started.wait, 20)
        await cancel(connection, "1")
        await connection.speech("Yes.")

    async with serve(script, look) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
        release.set()
    assert of(seen, ToolReturned, ToolCancelled, AgentFailed) == [ToolCancelled("1", "look")]


async def test_one_of_two_calls_is_cancelled_and_the_other_answered(serve: Serve) -> None:
    """Only the result of the other goes to the model."""
    first, second = Tool(), Tool()
    responses: list[Any] = []

    async def one() -> dict[str, str]:
        """One."""
        return await first.look()

    async def two() -> dict[str, str]:
        """Two."""
        return await second.look()

    async def script(connection: Connection) -> None:
        await connection.accept()
        calls = [{"id": "1", "name": "one", "args": {}}, {"id": "2", "name": "two", "args": {}}]
        await connection.send({"toolCall": {"functionCalls": calls}})
        await first.started.wait()
        await second.started.wait()
        await cancel(connection, "1")
        second.release.set()
        responses.append(await connection.receive("tool_response"))
        await connection.speech("Yes.")

    async with serve(script, one, two) as server, server.call("audio") as live:
        seen = await until(live, ModelTurnComplete, AgentFailed)
    assert of(seen, ToolReturned, ToolCancelled) == [
        ToolCancelled("1", "one"),
        ToolReturned("2", "two", {"seen": "a cat"}),
    ]
    (sent,) = responses[0].get("functionResponses") or responses[0]["function_responses"]
    assert sent["id"] == "2"


@pytest.mark.parametrize("model", [TWO, THREE])
async def test_interruption_is_told_while_a_tool_is_at_work(serve: Serve, model: str) -> None:
    """At once, and the next answer is heard; the tool works on, and its result is sent."""
    tool = Tool()

    async def script(connection: Connection) -> None:
        await connection.accept()
        await call_tool(connection)
        await tool.started.wait()
        await connection.send({"serverContent": {"interrupted": True}})
        await connection.speech("Yes?")
        await connection.receive("tool_response")
        await connection.speech("A cat.")

    async with serve(script, tool.look, model=model) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
        tool.release.set()
        seen += await until(live, ToolReturned, AgentFailed)
        seen += await until(live, AgentAudio, AgentFailed)
    kinds = (ToolCalled, ToolReturned, ModelInterrupted, AgentFailed)
    assert of(seen, *kinds) == [
        ToolCalled("1", "look", {}),
        ModelInterrupted(ahead=True),
        ModelInterrupted(),
        ToolReturned("1", "look", {"seen": "a cat"}),
    ]


async def test_connection_that_breaks_after_an_interruption_ends_it(serve: Serve) -> None:
    """Nothing waits for the end of an answer that ADK will not tell any more."""
    tool = Tool()
    connections = 0

    async def script(connection: Connection) -> None:
        nonlocal connections
        connections += 1
        await connection.accept()
        if connections == 1:
            await call_tool(connection)
            await tool.started.wait()
            await connection.send({"serverContent": {"interrupted": True}})
            await connection.refuse(1011)
        else:
            await connection.speech("Yes.")

    async with serve(script, tool.look) as server, server.call("audio") as live:
        seen = await until(live, ModelInterrupted)
        tool.release.set()
        seen += await until(live, AgentAudio)
    ends = [one.ahead for one in seen if isinstance(one, ModelInterrupted)]
    assert ends[:2] == [True, False]


@pytest.mark.parametrize("model", [TWO, THREE])
async def test_streaming_tool_is_told_yield_by_yield(serve: Serve, model: str) -> None:
    """Each goes to the model, too; the notice that they are pending is not told."""
    responses: list[Any] = []
    go_on = asyncio.Event()

    async def watch() -> AsyncGenerator[Any, None]:
        """Watches."""
        yield {"at": 50}
        await go_on.wait()
        yield "all"

    async def script(connection: Connection) -> None:
        await connection.accept()
        await call_tool(connection, name="watch")
        for _ in range(2):
            responses.append(await connection.receive("tool_response"))
        go_on.set()
        responses.append(await connection.receive("tool_response"))
        await connection.speech("Yes.")

    async with serve(script, watch, model=model) as server, server.call("audio") as live:
        seen = await until(live, AgentAudio, AgentFailed)
    kinds = (ToolCalled, ToolProgressed, ToolReturned, ToolCancelled, AgentFailed)
    assert of(seen, *kinds) == [
        ToolCalled("1", "watch", {}, long_running=True),
        ToolProgressed("1", "watch", {"at": 50}),
        ToolProgressed("1", "watch", {"result": "all"}),
        ToolReturned("1", "watch", {}),
    ]
    assert len(responses) == 3


async def test_streaming_tool_is_stopped_by_its_cancellation(serve: Serve) -> None:
    """It is in the background, and nothing of it is sent any more."""
    ended = asyncio.Event()

    async def watch() -> AsyncGenerator[Any, None]:
        """Watches."""
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def script(connection: Connection) -> None:
        await connection.accept()
        await call_tool(connection, name="watch")
        await connection.receive("tool_response")
        await connection.receive("tool_response")
        await cancel(connection, "1")

    async with serve(script, watch) as server, server.call("audio") as live:
        seen = await until(live, ToolCancelled, AgentFailed)
        await ended.wait()
    assert of(seen, ToolReturned, ToolCancelled, AgentFailed) == [ToolCancelled("1", "watch")]


async def test_streaming_tool_that_raises_is_told_as_failed(serve: Serve) -> None:
    """What the exception says is not."""

    async def watch() -> AsyncGenerator[Any, None]:
        """Watches."""
        yield 1
        raise ValueError("secret")

    async def script(connection: Connection) -> None:
        await connection.accept()
        await call_tool(connection, name="watch")

    async with serve(script, watch) as server, server.call("audio") as live:
        seen = await until(live, ToolReturned, AgentFailed)
    assert of(seen, ToolProgressed, ToolReturned, AgentFailed) == [
        ToolProgressed("1", "watch", {"result": 1}),
        ToolReturned("1", "watch", {"error": "The tool watch failed."}),
    ]


async def test_end_of_the_run_cancels_a_tool_of_the_background(serve: Serve) -> None:
    """No client waits for it; the failure of the run is told after it."""

    async def watch() -> AsyncGenerator[Any, None]:
        """Watches."""
        yield 1
        await asyncio.Event().wait()

    connections = 0

    async def script(connection: Connection) -> None:
        nonlocal connections
        connections += 1
        await connection.accept()
        if connections == 1:
            await call_tool(connection, name="watch")
            await connection.receive("tool_response")
            await connection.receive("tool_response")
            await connection.refuse(1008)

    async with serve(script, watch) as server, server.call("audio") as live:
        seen = await until(live, AgentFailed)
    assert of(seen, ToolReturned, ToolCancelled) == [ToolCancelled("1", "watch")]


async def test_pages_that_the_model_read_are_told(serve: Serve) -> None:
    """ADK's events do not have them."""
    page = {"retrievedUrl": "https://a.example/"}

    async def script(connection: Connection) -> None:
        await connection.accept()
        metadata = {"urlMetadata": [page]}
        await connection.send({"serverContent": {"urlContextMetadata": metadata}})

    async with serve(script) as server, server.call("audio") as live:
        seen = await until(live, SourcesFound, AgentFailed)
    assert seen[-1] == SourcesFound((), ({"uri": "https://a.example/"},))
