"""The watch over the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback

import pytest

from rtc_server.loop_watch import LoopWatch, culprit_in
from rtc_server.metrics import Metrics
from tests.waiting import until


def beats(metrics: Metrics) -> float:
    name = "rtc_event_loop_lag_seconds_count "
    lines = metrics.exposition().decode().splitlines()
    return next(float(one.removeprefix(name)) for one in lines if one.startswith(name))


def blocking_tool() -> None:
    time.sleep(0.3)


async def test_what_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The log says which function of which file stood still."""
    with LoopWatch(Metrics(), period_s=0.02, blocked_s=0.1):
        await asyncio.sleep(0.05)
        with caplog.at_level(logging.WARNING, "rtc_server.loop_watch"):
            blocking_tool()
            await asyncio.sleep(0.05)
    [record] = caplog.records
    assert "blocking_tool" in record.getMessage()
    assert "(0.0" in record.getMessage()  # it slept
    assert __file__ in record.getMessage()


async def test_work_is_told_from_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """What keeps the processor busy is of our own making; what waits may be of others'."""
    with LoopWatch(Metrics(), period_s=0.02, blocked_s=0.1):
        await asyncio.sleep(0.05)
        with caplog.at_level(logging.WARNING, "rtc_server.loop_watch"):
            until_s = time.thread_time() + 0.3
            while time.thread_time() < until_s:
                pass
            await asyncio.sleep(0.05)
    [record] = caplog.records
    assert isinstance(record.args, tuple)
    assert record.args[1] == pytest.approx(0.3, abs=0.06)


async def test_the_task_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The name of a tool's task says which tool of which call it is."""

    async def look_up() -> None:
        blocking_tool()

    with (
        LoopWatch(Metrics(), period_s=0.02, blocked_s=0.1),
        caplog.at_level(logging.WARNING, "rtc_server.loop_watch"),
    ):
        await asyncio.sleep(0.05)
        await asyncio.create_task(look_up(), name="the tool look_up of call c1")
        await asyncio.sleep(0.05)
    assert caplog.records[0].getMessage().endswith(", by the tool look_up of call c1")


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
        await until(lambda: told[-1][0] >= begun_at + 0.3)
    assert [at for at, _ in told] == sorted(at for at, _ in told)
    assert max(lag_s for _, lag_s in told) >= 0.27


def test_the_callers_place_is_named_and_not_the_librarys() -> None:
    """A stack that ends in the standard library is the caller's affair."""
    stack = [
        traceback.FrameSummary("/home/me/my_agent/agent.py", 12, "look_up"),
        traceback.FrameSummary(threading.__file__, 300, "wait"),
    ]
    assert culprit_in(stack) == "/home/me/my_agent/agent.py:12 in look_up"
    assert culprit_in(stack[1:]).endswith(":300 in wait")
