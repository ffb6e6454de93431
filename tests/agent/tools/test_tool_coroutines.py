"""Which coroutine functions are synchronous in all but name, and how they run."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rtc_server.agent.tools.tool_coroutines import in_threads, never_suspends

started: list[asyncio.Future[None]] = []
queue: asyncio.Queue[int] = asyncio.Queue()
place: contextvars.ContextVar[str] = contextvars.ContextVar("place")


async def plain(city: str, *, unit: str = "C") -> str:
    """Tells."""
    return f"{city} {unit} {place.get('nowhere')} {threading.current_thread().name}"


async def awaits() -> None:
    await asyncio.sleep(0)


async def iterates(numbers: AsyncIterator[int]) -> None:
    async for _ in numbers:
        pass


async def enters(lock: asyncio.Lock) -> None:
    async with lock:
        pass


async def comprehends(numbers: AsyncIterator[int]) -> list[int]:
    return [one async for one in numbers]


async def puts() -> None:
    queue.put_nowait(1)


async def starts() -> None:
    def later() -> None:
        started.append(asyncio.ensure_future(awaits()))

    later()


async def streams() -> AsyncIterator[int]:
    yield 1


@functools.wraps(plain)
async def decorated(city: str) -> str:
    return await plain(city)


def synchronous() -> None:
    pass


class Desk:
    async def ask(self, city: str) -> str:
        return city


@pytest.mark.parametrize("function", [plain, Desk().ask])
def test_what_has_nothing_to_wait_for_needs_no_loop(function: Any) -> None:
    assert never_suspends(function)


@pytest.mark.parametrize(
    "function",
    [awaits, iterates, enters, comprehends, puts, starts, streams, decorated, synchronous, len],
)
def test_what_may_wait_or_knows_the_loop_stays_on_it(function: Any) -> None:
    assert not never_suspends(function)


async def test_it_runs_in_a_thread_as_if_it_had_been_awaited() -> None:
    """With its arguments, its context and what it raises."""

    async def fails() -> None:
        raise LookupError("no such city")

    place.set("here")
    with ThreadPoolExecutor(1, thread_name_prefix="tools") as threads:
        told = await in_threads(plain, lambda: threads)("Rome", unit="F")
        assert told == "Rome F here tools_0"
        with pytest.raises(LookupError, match="no such city"):
            await in_threads(fails, lambda: threads)()
    assert (await in_threads(plain, lambda: None)("Rome")).endswith("MainThread")


def test_it_is_declared_as_it_was_written() -> None:
    """Its name, its words and its parameters are what the model is told."""
    wrapped = in_threads(plain, lambda: None)
    assert (wrapped.__name__, wrapped.__doc__) == ("plain", "Tells.")
    assert asyncio.iscoroutinefunction(wrapped)
