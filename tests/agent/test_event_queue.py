"""The events of a live session, on their way to whoever serves the caller."""

from __future__ import annotations

import asyncio

import pytest

from rtc_server.agent.event_queue import EventQueue
from rtc_server.agent.live_events import AgentText, LiveEvent, ModelInterrupted, ToolCancelled


async def read(events: EventQueue) -> list[LiveEvent]:
    return [event async for event in events.read()]


async def test_events_are_read_in_order_and_to_their_end() -> None:
    """What was put and what was told come in one order, and the end comes last."""
    events = EventQueue()
    await events.put(AgentText("one"))
    events.tell(AgentText("two"))
    events.end()
    assert await read(events) == [AgentText("one"), AgentText("two")]


async def test_an_event_that_cannot_wait_is_lost_on_a_full_queue() -> None:
    """Nothing that is told waits for room."""
    dropped: list[int] = []
    events = EventQueue(max_events=2, on_dropped=lambda: dropped.append(1))
    await events.put(AgentText("one"))
    await events.put(AgentText("two"))
    events.tell(AgentText("lost"))
    assert events.full()
    assert dropped == [1]
    reading = events.read()
    assert [await anext(reading), await anext(reading)] == [AgentText("one"), AgentText("two")]
    events.end()
    assert [event async for event in reading] == []


@pytest.mark.parametrize("event", [ModelInterrupted(ahead=True), ToolCancelled("1", "look")])
async def test_what_later_events_are_understood_by_is_never_lost(event: LiveEvent) -> None:
    """An interruption, and a tool that is taken back, find room in a full queue."""
    dropped: list[int] = []
    events = EventQueue(max_events=1, on_dropped=lambda: dropped.append(1))
    await events.put(AgentText("one"))
    events.tell(event)
    assert dropped == []
    reading = events.read()
    assert [await anext(reading), await anext(reading)] == [AgentText("one"), event]
    events.end()
    assert [one async for one in reading] == []


async def test_who_waits_for_room_goes_on_when_there_is_some() -> None:
    """In order, one for each that is read."""
    events = EventQueue(max_events=1)
    async with asyncio.TaskGroup() as tasks:
        for text in ("one", "two", "three"):
            tasks.create_task(events.put(AgentText(text)))
        reading = events.read()
        read_texts = [await anext(reading) for _ in range(3)]
    assert sorted(str(one) for one in read_texts) == sorted(
        str(AgentText(text)) for text in ("one", "two", "three")
    )


async def test_the_end_finds_room_in_a_full_queue() -> None:
    """A reader who has gone keeps nobody from ending."""
    events = EventQueue(max_events=1)
    await events.put(AgentText("unread"))
    events.end()
    assert await read(events) == []


async def test_a_closed_queue_lets_go_of_who_waits_and_takes_no_more() -> None:
    """Who waited for room goes on; what comes after the closing is dropped."""
    events = EventQueue(max_events=1)
    await events.put(AgentText("unread"))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(events.put(AgentText("waits")))
        await asyncio.sleep(0)
        assert not waiting.done()
        events.close()
    events.close()
    await events.put(AgentText("late"))
    events.tell(AgentText("late"))
    events.end()
    assert await read(events) == []
