"""Tools that block their threads: each call has a share, and what does not return is counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from rtc_server.agent.tools.tool_threads import NoToolThread, SyncTools, ToolShare, ToolThreads
from tests.waiting import until

pytestmark = pytest.mark.leaves_resources("idle threads end shortly after the pool")


class Blocked:
    """Small threads, and tools that block until they are let go."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.told = SyncTools(0, 0, 0)
        self.threads = ToolThreads(
            self._tell, at_once=4, per_call=2, given_up=4, given_up_per_call=3
        )

    def _tell(self, counts: SyncTools) -> None:
        self.told = counts

    def block(self, share: ToolShare, number: int = 1) -> list[asyncio.Future[object]]:
        loop = asyncio.get_running_loop()
        return [loop.run_in_executor(share, self.release.wait, 60) for _ in range(number)]

    async def give_up(self, *tools: asyncio.Future[object]) -> None:
        for tool in tools:
            tool.cancel()
        await asyncio.sleep(0)  # the future of the thread hears of it by a callback


async def answer(share: ToolShare, run: Callable[[], object] = lambda: "done") -> object:
    return await asyncio.get_running_loop().run_in_executor(share, run)


@pytest_asyncio.fixture
async def blocked() -> AsyncIterator[Blocked]:
    blocked = Blocked()
    yield blocked
    blocked.release.set()
    blocked.threads.close()
    await until(lambda: blocked.told.at_work == blocked.told.given_up == 0)


async def test_a_call_that_blocks_its_share_leaves_threads_to_the_others(blocked: Blocked) -> None:
    """What it starts beyond its share waits, and nobody behind it does."""
    greedy = blocked.threads.share()
    tools = blocked.block(greedy, 6)
    assert blocked.told == SyncTools(at_work=2, waiting=4, given_up=0)
    assert await answer(blocked.threads.share()) == "done"
    blocked.release.set()
    await asyncio.gather(*tools)
    assert blocked.told == SyncTools(0, 0, 0)


async def test_a_tool_that_was_given_up_makes_room_while_it_blocks(blocked: Blocked) -> None:
    calls = [blocked.threads.share() for _ in range(2)]
    tools = [tool for call in calls for tool in blocked.block(call, 2)]
    waits = asyncio.ensure_future(answer(blocked.threads.share()))
    await asyncio.sleep(0)
    assert blocked.told == SyncTools(at_work=4, waiting=1, given_up=0)
    await blocked.give_up(tools[0])
    assert await waits == "done"
    assert blocked.told == SyncTools(at_work=3, waiting=0, given_up=1)


async def test_a_tool_that_waits_and_is_given_up_never_runs(blocked: Blocked) -> None:
    call, ran = blocked.threads.share(), threading.Event()
    tools = blocked.block(call, 2)
    waits = asyncio.ensure_future(answer(call, ran.set))
    await asyncio.sleep(0)
    await blocked.give_up(waits)
    assert blocked.told == SyncTools(at_work=2, waiting=0, given_up=0)
    blocked.release.set()
    await asyncio.gather(*tools)
    assert not ran.is_set()


async def test_a_call_whose_tools_do_not_return_is_refused_more_at_once(blocked: Blocked) -> None:
    """It alone; and no longer once they have returned."""
    call = blocked.threads.share()
    for _ in range(3):
        await blocked.give_up(*blocked.block(call))
    with pytest.raises(NoToolThread):
        await answer(call)
    assert await answer(blocked.threads.share()) == "done"
    blocked.release.set()
    await until(lambda: blocked.told.given_up == 0)
    assert await answer(call) == "done"


async def test_when_too_many_of_all_calls_do_not_return_it_is_said_once(
    blocked: Blocked, caplog: pytest.LogCaptureFixture
) -> None:
    """Threads are not made without end."""
    for _ in range(4):
        await blocked.give_up(*blocked.block(blocked.threads.share()))
    for _ in range(3):
        with pytest.raises(NoToolThread):
            await answer(blocked.threads.share())
    (said,) = caplog.records
    assert said.getMessage().endswith("a tool is refused (0 at work, 4 given up)")


async def test_what_a_tool_raises_comes_to_who_waits_for_it(blocked: Blocked) -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await answer(blocked.threads.share(), fail)
    assert blocked.told == SyncTools(0, 0, 0)


async def test_closing_cancels_what_waits(blocked: Blocked) -> None:
    tools = blocked.block(blocked.threads.share(), 3)
    blocked.threads.close()
    with pytest.raises(asyncio.CancelledError):
        await tools[2]
    blocked.release.set()
    assert await asyncio.gather(*tools[:2]) == [True, True]
