"""What is heard of the model below ADK: read ahead while a tool is at work, and in passing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from google.genai import types
from google.genai.live import AsyncSession

from rtc_server.agent.adk_internals import tap_receive
from rtc_server.agent.models.model_tap import ReadAhead
from tests.waiting import until

Message = types.LiveServerMessage


class Wire:
    """A session's messages, given as they are put; counts who reads them."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self.readers = 0

    async def receive(self) -> Message:
        self.readers += 1
        try:
            assert self.readers == 1, "two read at once"
            one = await self.messages.get()
        finally:
            self.readers -= 1
        if isinstance(one, Exception):
            raise one
        return one

    def put(self, *messages: Message | Exception) -> None:
        for one in messages:
            self.messages.put_nowait(one)


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tool_calls_cancelled(self, ids: Sequence[str]) -> None:
        self.told.append(list(ids))

    def interrupted_ahead(self) -> None:
        self.told.append("interrupted")

    def spoke_ahead(self) -> None:
        self.told.append("spoke")

    def urls_read(self, metadata: types.UrlContextMetadata) -> None:
        self.told.append(metadata)


def content(**fields: Any) -> Message:
    return Message(server_content=types.LiveServerContent(**fields))


def call(id: str = "1") -> Message:
    calls = [types.FunctionCall(id=id, name="look", args={})]
    return Message(tool_call=types.LiveServerToolCall(function_calls=calls))


def cancellation(*ids: str) -> Message:
    return Message(tool_call_cancellation=types.LiveServerToolCallCancellation(ids=list(ids)))


SPEECH = content(model_turn=types.Content(role="model", parts=[types.Part(text="a")]))
INTERRUPTED = content(interrupted=True)
COMPLETE = content(turn_complete=True)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def test_without_a_tool_nothing_is_read_ahead(wire: Wire, heard: Heard) -> None:
    """Each message is read when it is asked for, and no task is there."""
    ahead = ReadAhead(wire.receive, heard)
    wire.put(SPEECH, COMPLETE, SPEECH)
    assert [await ahead.receive(), await ahead.receive()] == [SPEECH, COMPLETE]
    assert wire.messages.qsize() == 1
    assert [one.get_name() for one in asyncio.all_tasks()] == [
        asyncio.current_task().get_name()  # type: ignore[union-attr]
    ]


async def test_interruption_is_heard_while_nobody_asks(wire: Wire, heard: Heard) -> None:
    """A tool is at work: ADK does not receive, and yet the interruption is known at once."""
    ahead = ReadAhead(wire.receive, heard)
    wire.put(call())
    await ahead.receive()
    wire.put(SPEECH, INTERRUPTED, COMPLETE)
    await until(lambda: heard.told == ["spoke", "interrupted"])
    assert [await ahead.receive() for _ in range(3)] == [SPEECH, INTERRUPTED, COMPLETE]
    await ahead.close()


async def test_interruption_that_is_waited_for_is_not_told_ahead(wire: Wire, heard: Heard) -> None:
    """ADK is there to say it itself."""
    ahead = ReadAhead(wire.receive, heard)
    wire.put(call())
    await ahead.receive()
    asked = asyncio.create_task(ahead.receive())
    await until(lambda: ahead._waiter is not None)
    wire.put(INTERRUPTED)
    assert await asked == INTERRUPTED
    assert heard.told == []
    wire.put(SPEECH)
    assert await ahead.receive() == SPEECH
    assert ahead._reader is None
    await ahead.close()


async def test_model_of_2x_is_read_ahead_from_the_end_of_the_turn(wire: Wire, heard: Heard) -> None:
    """ADK keeps its tool calls back until then."""
    ahead = ReadAhead(wire.receive, heard)
    wire.put(call(), COMPLETE)
    assert (await ahead.receive()).tool_call is not None
    assert await ahead.receive() == COMPLETE
    wire.put(INTERRUPTED)
    await until(lambda: heard.told == ["interrupted"])
    await ahead.close()


async def test_cancellation_and_pages_are_told_in_any_case(wire: Wire, heard: Heard) -> None:
    """ADK drops both."""
    ahead = ReadAhead(wire.receive, heard)
    pages = types.UrlContextMetadata(url_metadata=[types.UrlMetadata(retrieved_url="https://a")])
    wire.put(cancellation("1", "2"), content(url_context_metadata=pages))
    await ahead.receive()
    await ahead.receive()
    assert heard.told == [["1", "2"], pages]


async def test_end_of_the_connection_comes_after_what_was_read(wire: Wire, heard: Heard) -> None:
    """It is raised where the next message is asked for, and again by whoever reads then."""
    ahead = ReadAhead(wire.receive, heard)
    wire.put(call(), SPEECH, ConnectionError("gone"), ConnectionError("still gone"))
    await ahead.receive()
    assert await ahead.receive() == SPEECH
    with pytest.raises(ConnectionError, match=r"^gone"):
        await ahead.receive()
    with pytest.raises(ConnectionError, match="still gone"):
        await ahead.receive()
    await ahead.close()


async def test_cancelled_receiver_loses_no_message(wire: Wire, heard: Heard) -> None:
    """The next one who asks gets it."""
    ahead = ReadAhead(wire.receive, heard)
    wire.put(call())
    await ahead.receive()
    asked = asyncio.create_task(ahead.receive())
    await until(lambda: ahead._waiter is not None)
    asked.cancel()
    await asyncio.wait({asked})
    wire.put(SPEECH, COMPLETE)
    assert [await ahead.receive(), await ahead.receive()] == [SPEECH, COMPLETE]
    await ahead.close()


async def test_what_is_read_ahead_is_bounded(wire: Wire, heard: Heard) -> None:
    """Beyond it the connection waits; nothing is lost."""
    ahead = ReadAhead(wire.receive, heard)
    wire.put(call(), *[SPEECH] * 600, COMPLETE)
    await ahead.receive()
    await until(lambda: len(ahead._messages) == 500 and ahead._reader is None)
    messages = [await ahead.receive() for _ in range(601)]
    assert messages[-1] == COMPLETE
    await ahead.close()


async def test_close_ends_the_reading(wire: Wire, heard: Heard) -> None:
    """It may be called twice."""
    ahead = ReadAhead(wire.receive, heard)
    wire.put(call())
    await ahead.receive()
    await until(lambda: wire.readers == 1)
    await ahead.close()
    await ahead.close()
    assert wire.readers == 0


async def test_clients_session_receives_through_what_was_tapped() -> None:
    """A private name of google-genai: this fails when it moves."""
    session = AsyncSession(api_client=None, websocket=None)  # type: ignore[arg-type]

    async def receive() -> Message:
        return COMPLETE

    assert callable(tap_receive(session, receive))
    assert [one async for one in session.receive()] == [COMPLETE]
