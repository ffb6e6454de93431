"""A browser for each module of tests, and a server without an agent for each test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import launch_chromium
from tests.browser.stand_in_server import StandInServer


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    await _open_worker_threads(2)
    async with launch_chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[StandInServer]:
    async with StandInServer() as server:
        yield server


async def _open_worker_threads(number: int) -> None:
    """Start the threads that the loop of the module keeps, so that no test seems to leave them."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(number))
    all_here = threading.Barrier(number)
    await asyncio.gather(*(asyncio.to_thread(all_here.wait) for _ in range(number)))
