"""The watch over the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Awaitable, Callable

import pytest

from rtc_server.loop_watch import LoopWatch, culprit_in
from rtc_server.metrics import Metrics
from tests.waiting import until


def beats(metrics: Metrics) -> float:
    name = "rtc_event_loop_lag_seconds_count "
    lines = metrics.exposition().decode().splitlines()
    return next(float(one.removeprefix(name)) for one in lines if one.startswith(name))


def blocking_tool() -> None:
    time.sleep(1.0)  # so long that the watch looks within it, whatever else the machine does


async def told_of(
    block: Callable[[], Awaitable[None]], name: str, caplog: pytest.LogCaptureFixture
) -> logging.LogRecord:
    """What the log says of it; a machine that stands still blocks the loop at other places, too."""
    metrics = Metrics()

    def records() -> list[logging.LogRecord]:
        return [one for one in caplog.records if name in one.getMessage()]

    with (
        caplog.at_level(logging.WARNING, "rtc_server.loop_watch"),
        LoopWatch(metrics, period_s=0.02, blocked_s=0.1),
    ):
        await until(lambda: beats(metrics) >= 2)
        await block()
        await until(lambda: bool(records()))
    [record] = records()
    return record


async def test_what_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The log says which function of which file stood still."""

    async def block() -> None:
        blocking_tool()

    record = await told_of(block, "blocking_tool", caplog)
    assert "(0.0" in record.getMessage()  # it slept
    assert __file__ in record.getMessage()


async def test_work_is_told_from_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """What keeps the processor busy is of our own making; what waits may be of others'."""

    async def compute() -> None:
        until_s = time.thread_time() + 0.3
        while time.thread_time() < until_s:
            pass

    record = await told_of(compute, "in compute", caplog)
    assert isinstance(record.args, tuple)
    assert record.args[1] == pytest.approx(0.3, abs=0.06)


async def test_the_task_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The name of a tool's task says which tool of which call it is."""

    async def look_up() -> None:
        blocking_tool()

    async def call() -> None:
        await asyncio.create_task(look_up(), name="the tool look_up of call c1")

    record = await told_of(call, "blocking_tool", caplog)
    assert record.getMessage().endswith(", by the tool look_up of call c1")


async def test_each_beat_is_measured_and_the_thread_ends() -> None:
    """The lag is exported; nothing is left behind."""
    metrics = Metrics()
    with LoopWatch(metrics, period_s=0.05):
        await until(lambda: beats(metrics) >= 5)
    assert not [one for one in threading.enumerate() if one.name == "loop-watch"]


async def test_each_beat_is_told_with_its_delay() -> None:
    """The time is that of the beat, and a stall is in the delay of the next one."""
    told: list[tuple[float, float]] = []
    with LoopWatch(Metrics(), period_s=0.02, on_beat=lambda *beat: told.append(beat)):
        await until(lambda: len(told) >= 2)
        begun_at = time.monotonic()
        blocking_tool()
        await until(lambda: told[-1][0] >= begun_at + 1.0)
    assert [at for at, _ in told] == sorted(at for at, _ in told)
    assert max(lag_s for _, lag_s in told) >= 0.97


def test_the_callers_place_is_named_and_not_the_librarys() -> None:
    """A stack that ends in the standard library is the caller's affair."""
    stack = [
        traceback.FrameSummary("/home/me/my_agent/agent.py", 12, "look_up"),
        traceback.FrameSummary(threading.__file__, 300, "wait"),
    ]
    assert culprit_in(stack) == "/home/me/my_agent/agent.py:12 in look_up"
    assert culprit_in(stack[1:]).endswith(":300 in wait")
