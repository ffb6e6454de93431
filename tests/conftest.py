"""What every test is held to: a deadline, and nothing left behind.

* An async test has 60 seconds (``@pytest.mark.deadline(seconds)`` for another figure).
* After a test, its fixtures torn down, no task of its loop, no thread, no socket and no
  pipe that it opened is left (``@pytest.mark.leaves_resources("reason")`` to be let off).
* Warnings are errors: see ``filterwarnings`` in ``pyproject.toml``.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.stolen_time import StolenTime

DEADLINE_S = 60.0
"""What an async test may take unless it is marked otherwise."""

GRACE_S = 3.0
"""How long what a test closed may take to be gone: a thread to end, a socket to close."""


# -- deadline ------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every async test under its deadline and under the check for tasks."""
    for item in items:
        if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj):
            continue
        marker = item.get_closest_marker("deadline")
        item.obj = _within(float(marker.args[0]) if marker else DEADLINE_S, item.obj)
        names = item.fixturenames  # one list for all the parameters of a test
        if _is_checked(item) and "_no_task_left" not in names:
            # After the wider scopes, before the test's own fixtures: torn down after them.
            names.insert(names.index("_snapshot") + 1, "_no_task_left")


def _within(
    seconds: float, test: Callable[..., Awaitable[object]]
) -> Callable[..., Awaitable[None]]:
    """``test``, cancelled and failed when it takes longer than ``seconds``."""

    @functools.wraps(test)
    async def limited(*args: Any, **kwargs: Any) -> None:
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                await test(*args, **kwargs)
        except TimeoutError:
            if deadline.expired():
                pytest.fail(f"the test took longer than its deadline of {seconds:g} s")
            raise

    return limited


@pytest.fixture
async def stolen() -> AsyncIterator[StolenTime]:
    """What a machine that has other things to do takes from the test: no fault of ours."""
    async with StolenTime() as time_:
        yield time_


# -- leaks ---------------------------------------------------------------------------------


_BEFORE = pytest.StashKey[tuple[set[threading.Thread], set[str]]]()


def _is_checked(item: pytest.Item) -> bool:
    return item.get_closest_marker("leaves_resources") is None


@pytest.fixture(autouse=True)
def _snapshot(request: pytest.FixtureRequest) -> None:
    """What was open before the test and its own fixtures; wider scopes have been set up."""
    request.node.stash[_BEFORE] = (set(threading.enumerate()), _open_descriptors())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail a test that leaves a thread, a socket or a pipe, once all is torn down."""
    yield
    before = item.stash.get(_BEFORE, None)
    if before is None or not _is_checked(item):
        return
    if left := _wait_until_none(lambda: _leftovers(*before)):
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    """No task of the test's event loop outlives the test and its fixtures."""
    before = asyncio.all_tasks()
    yield
    this = asyncio.current_task()
    deadline = time.monotonic() + GRACE_S
    while left := asyncio.all_tasks() - before - {this}:
        if time.monotonic() > deadline:
            names = "; ".join(sorted(map(str, left)))
            pytest.fail(f"tasks left behind: {names}", pytrace=False)
        await asyncio.wait(left, timeout=0.1)


def _leftovers(threads: set[threading.Thread], descriptors: set[str]) -> list[str]:
    left = [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread not in threads and not thread.daemon and thread.is_alive()
    ]
    return left + sorted(_open_descriptors() - descriptors)


def _open_descriptors() -> set[str]:
    """The sockets and pipes of this process by name; an inode tells one from its successor."""
    try:
        numbers = os.listdir("/proc/self/fd")
    except FileNotFoundError:  # not Linux: threads and tasks are still checked
        return set()
    names = set()
    for number in numbers:
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # listdir's own
            continue
        if name.startswith(("socket:", "pipe:")):
            names.add(name)
    return names


def _wait_until_none(leftovers: Callable[[], list[str]]) -> list[str]:
    """Give what was closed a bounded time to be gone; the rest is what leaked."""
    if not leftovers():
        return []
    gc.collect()  # a reference cycle is no leak, but holds its sockets until it is collected
    deadline = time.monotonic() + GRACE_S
    while (left := leftovers()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
