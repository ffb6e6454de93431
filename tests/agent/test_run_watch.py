"""A live run in a task of its own: what it raises is read, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging

import pytest

from rtc_server.agent.failures import AgentStalled, Renewed
from rtc_server.agent.live_request_queue import BoundedLiveRequestQueue
from rtc_server.agent.run_watch import RunWatch
from tests.waiting import until

from .conftest import FAST


def watch_of(queue: BoundedLiveRequestQueue | None = None) -> RunWatch:
    return RunWatch(
        queue or BoundedLiveRequestQueue(),
        FAST,
        is_connected=lambda: True,
        closing=asyncio.Event(),
        log=logging.LoggerAdapter(logging.getLogger(__name__)),
    )


@pytest.fixture
async def unread() -> list[str]:
    """What asyncio says of tasks whose exception nobody has read."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(str(context["message"]))
    )
    return told


async def fail_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise RuntimeError("what closing a connection may raise") from None


async def test_run_that_is_ended_and_raises_is_read(unread: list[str]) -> None:
    """asyncio would log it, with a traceback that is of no use to anybody."""
    watch = watch_of()
    going = asyncio.Event()

    async def serve() -> None:
        going.set()
        await fail_when_cancelled()

    run = asyncio.create_task(watch.run(serve))
    await going.wait()
    watch.end(Renewed())
    assert isinstance(await run, Renewed)
    del run, watch
    gc.collect()
    assert unread == []


async def test_run_that_is_deaf_and_raises_is_read(unread: list[str]) -> None:
    queue = BoundedLiveRequestQueue()
    queue.send_activity_start()  # and nobody takes it
    assert isinstance(await watch_of(queue).run(fail_when_cancelled), AgentStalled)
    gc.collect()
    assert unread == []


class Dying(BoundedLiveRequestQueue):
    """Whenever one looks, another sender has just died of its connection."""

    looks = 0

    @property
    def taker_error(self) -> BaseException | None:
        self.looks += 1
        return OSError()


async def test_run_whose_senders_die_one_after_another_is_not_deaf() -> None:
    """ADK renews each: it is one sender without a successor that makes a run deaf."""
    queue = Dying()

    async def go_on() -> None:
        await until(lambda: queue.looks >= 4)

    assert await watch_of(queue).run(go_on) is None


async def test_run_that_raises_late_is_read(unread: list[str]) -> None:
    """It was left to itself, because it did not end in time."""
    watch = watch_of()
    going, late = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        going.set()
        while not late.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await late.wait()
        raise RuntimeError

    run = asyncio.create_task(watch.run(serve))
    await going.wait()
    watch.end(Renewed())
    assert isinstance(await run, Renewed)
    late.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del run, watch
    gc.collect()
    assert unread == []


async def test_run_that_is_given_up_is_known_to_be_cancelled_until_the_next_begins() -> None:
    """It must not connect to a model once more while it ends."""
    watch = watch_of()
    seen: list[bool] = []

    async def end_slowly() -> None:
        seen.append(watch.is_cancelled)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(watch.is_cancelled)

    run = asyncio.create_task(watch.run(end_slowly))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run
    assert seen == [False, True]

    async def end_at_once() -> None:
        seen.append(watch.is_cancelled)

    await watch.run(end_at_once)
    assert seen[2:] == [False]
