"""What is heard of any model at ADK's seam: in order, by one task, ahead while a tool works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_response import LlmResponse

from rtc_server.agent.models.connection_tap import tapped_at_the_seam
from tests.agent.scripted_llm import audio_piece, interrupted, text_piece, tool_call, turn_complete
from tests.waiting import until

SPEECH = text_piece("a")
INTERRUPTED = interrupted()
COMPLETE = turn_complete()
CALL = tool_call("look")


class Connection(BaseLlmConnection):
    """Responses as they are put; None ends a ``receive()``."""

    def __init__(self) -> None:
        self.responses: asyncio.Queue[LlmResponse | Exception | None] = asyncio.Queue()
        self.begun = 0
        self.ended = 0
        self.tasks: set[Any] = set()
        self.closed = 0

    def put(self, *responses: LlmResponse | Exception | None) -> None:
        for one in responses:
            self.responses.put_nowait(one)

    async def receive(self) -> AsyncGenerator[LlmResponse, None]:
        self.begun += 1
        self.tasks.add(asyncio.current_task())
        try:
            # It is allowed to, and would cancel whichever task had begun it.
            async with asyncio.timeout(60):
                while (one := await self.responses.get()) is not None:
                    if isinstance(one, Exception):
                        raise one
                    yield one
        finally:
            self.tasks.add(asyncio.current_task())
            self.ended += 1

    async def close(self) -> None:
        self.closed += 1

    async def send_history(self, history: Any) -> None: ...

    async def send_content(self, content: Any) -> None: ...

    async def send_realtime(self, blob: Any) -> None: ...


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def interrupted_ahead(self) -> None:
        self.told.append("interrupted")

    def spoke_ahead(self) -> None:
        self.told.append("spoke")

    def tool_calls_cancelled(self, ids: Sequence[str]) -> None:
        raise AssertionError("no response has that")

    def urls_read(self, metadata: object) -> None:
        raise AssertionError("no response has that")


@pytest.fixture
def connection() -> Connection:
    return Connection()


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def test_without_a_tool_each_response_is_read_when_it_is_asked_for(
    connection: Connection, heard: Heard
) -> None:
    """One at a time: what comes next waits where it did before."""
    connection.put(SPEECH, INTERRUPTED, SPEECH)
    async with tapped_at_the_seam(connection, heard):
        received = connection.receive()
        assert [await anext(received), await anext(received)] == [SPEECH, INTERRUPTED]
        await asyncio.sleep(0)
        assert connection.responses.qsize() == 1
    assert heard.told == []


async def test_interruption_is_heard_while_nobody_asks(
    connection: Connection, heard: Heard
) -> None:
    """A tool is at work: ADK does not receive, and yet the interruption is known at once."""
    connection.put(CALL)
    async with tapped_at_the_seam(connection, heard):
        received = connection.receive()
        await anext(received)
        connection.put(SPEECH, INTERRUPTED, COMPLETE)
        await until(lambda: heard.told == ["spoke", "interrupted"])
        assert [await anext(received) for _ in range(3)] == [SPEECH, INTERRUPTED, COMPLETE]
    assert heard.told == ["spoke", "interrupted"]


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (SPEECH, ["spoke"]),
        (audio_piece(b"\0\0"), ["spoke"]),
        (text_piece("hm", thought=True), []),
        (CALL, []),
        (COMPLETE, []),
    ],
)
async def test_only_what_is_for_the_listener_is_speech(
    connection: Connection, heard: Heard, response: LlmResponse, told: list[str]
) -> None:
    """A model that thinks, or calls another tool, may wait for the first all the same."""
    connection.put(CALL, response)
    async with tapped_at_the_seam(connection, heard):
        await anext(connection.receive())
        await until(connection.responses.empty)
        await asyncio.sleep(0)
    assert heard.told == told


async def test_interruption_that_is_waited_for_is_not_told_ahead(
    connection: Connection, heard: Heard
) -> None:
    """ADK is there to say it itself, and nothing is read ahead from then on."""
    connection.put(CALL)
    async with tapped_at_the_seam(connection, heard):
        received = connection.receive()
        await anext(received)
        asked = asyncio.create_task(anext(received))
        await asyncio.sleep(0)
        connection.put(INTERRUPTED, SPEECH)
        assert await asked == INTERRUPTED
        await asyncio.sleep(0)
        assert connection.responses.qsize() == 1
    assert heard.told == []


async def test_receive_that_ends_with_each_turn_is_called_again(
    connection: Connection, heard: Heard
) -> None:
    """ADK does so, and what comes of the next one is heard while a tool is at work, too."""
    connection.put(CALL, None)
    async with tapped_at_the_seam(connection, heard):
        received = connection.receive()
        assert await anext(received) == CALL
        connection.put(INTERRUPTED)
        await until(lambda: heard.told == ["interrupted"])
        assert [one async for one in received] == []
        assert await anext(connection.receive()) == INTERRUPTED
    assert connection.begun == connection.ended == 2


async def test_receive_that_gives_nothing_is_called_again_only_when_asked(
    connection: Connection, heard: Heard
) -> None:
    """That is how a connection is over: ADK asks no more."""
    connection.put(CALL, None, None)
    async with tapped_at_the_seam(connection, heard):
        received = connection.receive()
        assert await anext(received) == CALL
        await until(lambda: connection.ended == 2)
        assert [one async for one in received] == []
        assert [one async for one in connection.receive()] == []
        assert connection.begun == 2
        connection.put(SPEECH)
        assert await anext(connection.receive()) == SPEECH
        assert connection.begun == 3


async def test_what_receive_raises_comes_after_what_was_read(
    connection: Connection, heard: Heard
) -> None:
    """In its place, and once."""
    connection.put(CALL, SPEECH, ConnectionError("gone"))
    async with tapped_at_the_seam(connection, heard):
        received = connection.receive()
        await anext(received)
        await until(lambda: connection.ended == 1)
        assert await anext(received) == SPEECH
        with pytest.raises(ConnectionError, match="gone"):
            await anext(received)


async def test_cancellation_that_the_model_raises_is_passed_on(heard: Heard) -> None:
    """Nobody has cancelled the reading: ADK gets what its model has made of itself."""

    class Cancelled(Connection):
        async def receive(self) -> AsyncGenerator[LlmResponse, None]:
            yield SPEECH
            raise asyncio.CancelledError

    connection = Cancelled()
    async with tapped_at_the_seam(connection, heard):
        received = connection.receive()
        assert await anext(received) == SPEECH
        with pytest.raises(asyncio.CancelledError):
            await anext(received)


async def test_cancelled_receiver_loses_no_response(connection: Connection, heard: Heard) -> None:
    """The next one who asks gets it."""
    async with tapped_at_the_seam(connection, heard):
        asked = asyncio.create_task(anext(connection.receive()))
        await until(lambda: connection.begun == 1)
        asked.cancel()
        await asyncio.wait({asked})
        connection.put(SPEECH, COMPLETE)
        received = connection.receive()
        assert [await anext(received), await anext(received)] == [SPEECH, COMPLETE]


async def test_what_is_read_ahead_is_bounded(connection: Connection, heard: Heard) -> None:
    """Beyond it the model waits; nothing is lost, and nothing changes its place."""
    many = [text_piece(str(n)) for n in range(600)]
    connection.put(CALL, *many, COMPLETE)
    async with tapped_at_the_seam(connection, heard):
        received = connection.receive()
        await anext(received)
        await until(lambda: connection.responses.qsize() == 101)
        await asyncio.sleep(0)
        assert connection.responses.qsize() == 101
        assert [await anext(received) for _ in range(601)] == [*many, COMPLETE]


@pytest.mark.parametrize("before", [[SPEECH], [CALL]], ids=["between two", "while it waits"])
async def test_one_task_has_receive_to_itself_and_ends_with_the_connection(
    connection: Connection, heard: Heard, before: list[LlmResponse]
) -> None:
    """It is closed where it was begun: it may hold a timeout or a task group open."""
    connection.put(*before)
    async with tapped_at_the_seam(connection, heard):
        await anext(connection.receive())
        connection.put(SPEECH)
        await anext(connection.receive())
        assert connection.ended == 0
    assert (connection.begun, connection.ended) == (1, 1)
    (task,) = connection.tasks
    assert task is not asyncio.current_task()
    assert task.done()


async def test_what_a_connection_says_while_it_is_closed_interrupts_nobody(
    connection: Connection, heard: Heard
) -> None:
    """ADK closes it when an agent hands over to another, who speaks already."""
    connection.put(CALL)
    async with tapped_at_the_seam(connection, heard):
        await anext(connection.receive())
        await connection.close()
        connection.put(INTERRUPTED)
        await until(lambda: connection.responses.empty())
    assert (heard.told, connection.closed) == ([], 1)


async def test_connection_is_left_as_it_was(connection: Connection, heard: Heard) -> None:
    """A model may serve several calls by one connection."""
    for _ in range(2):
        connection.put(SPEECH)
        async with tapped_at_the_seam(connection, heard):
            assert await anext(connection.receive()) == SPEECH
        assert vars(connection).keys() == vars(Connection()).keys()
