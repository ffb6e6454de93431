"""A busy loop wakes less often, and an idle one at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from rtc_server.event_loop import LEAST_SLEEP_S, ModeratedSelector, new_event_loop


class Bench:
    """A selector on a manual clock, with one socket to read from."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []
        self.selector = ModeratedSelector(clock=lambda: self.now, sleep=self._sleep)
        self.ours, self.theirs = socket.socketpair()
        self.selector.register(self.ours, 1)

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def wake(self, after_s: float) -> None:
        """A packet comes, and the loop, which has slept, reads it."""
        self.now += after_s
        self.theirs.send(b"\0")
        assert len(self.selector.select(1.0)) == 1
        self.ours.recv(16)

    def close(self) -> None:
        self.selector.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    try:
        yield bench
    finally:
        bench.close()


def test_with_few_packets_the_loop_wakes_for_each(bench: Bench) -> None:
    for _ in range(200):
        bench.wake(0.01)
    assert bench.sleeps == []
    assert not bench.selector.is_moderating


def test_with_many_packets_it_sleeps_2_ms_at_least(bench: Bench) -> None:
    """From one wake to the next, the time that it worked included."""
    for _ in range(2000):
        bench.wake(0.0005)
    assert bench.selector.is_moderating
    bench.sleeps.clear()
    bench.wake(0.0005)
    assert bench.sleeps == [pytest.approx(LEAST_SLEEP_S - 0.0005)]
    bench.wake(0.003)
    assert len(bench.sleeps) == 1


def test_work_that_is_ready_is_not_held_back(bench: Bench) -> None:
    """A timeout of 0 says that there is some."""
    for _ in range(2000):
        bench.wake(0.0005)
    bench.sleeps.clear()
    assert bench.selector.select(0) == []
    assert bench.sleeps == []


def test_when_the_calls_are_over_it_wakes_for_each_again(bench: Bench) -> None:
    for _ in range(2000):
        bench.wake(0.0005)
    for _ in range(100):
        bench.wake(0.02)
    assert not bench.selector.is_moderating


def test_a_timer_is_late_by_the_sleep_at_most(bench: Bench) -> None:
    for _ in range(2000):
        bench.wake(0.0005)
    bench.sleeps.clear()
    begin = bench.now
    assert bench.selector.select(0.0001) == []
    assert bench.now - begin <= LEAST_SLEEP_S


def test_it_is_an_event_loop_like_any_other() -> None:
    """Tasks, timers, threads and sockets."""

    async def main() -> list[bytes]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        read = []
        with theirs:
            for n in range(3000):  # many enough to be moderated on the way
                theirs.send(bytes([n % 256]))
                read.append(await reader.read(1))
        writer.close()
        await writer.wait_closed()
        assert await loop.run_in_executor(None, lambda: 7) == 7
        await asyncio.sleep(0.001)
        return read

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(main()) == [bytes([n % 256]) for n in range(3000)]
