"""The events of a live session, on their way to whoever serves the caller."""

from __future__ import annotations

import asyncio

from rtc_server.agent.event_queue import EventQueue
from rtc_server.agent.live_events import AgentText, LiveEvent


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
    events = EventQueue(max_events=2)
    await events.put(AgentText("one"))
    await events.put(AgentText("two"))
    events.tell(AgentText("lost"))
    assert events.full()
    reading = events.read()
    assert [await anext(reading), await anext(reading)] == [AgentText("one"), AgentText("two")]
    events.end()
    assert [event async for event in reading] == []


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
