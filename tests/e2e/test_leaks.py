"""After any call, however it ended, nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest

from rtc_server.peer import aiortc_liveness
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedConnection, ScriptedLlm, talker
from tests.e2e.server import Caller, Server
from tests.waiting import until

OURS = "rtc_server."

SERVERS = {"rtc_server.headroom._Totals"}
"""What the server keeps of the last seconds, however many calls there are: of a loop that is late
it sees less often, so that a moment later there may be one more."""


async def leave(caller: Caller) -> None:
    """The client closes its connection."""


async def hang_up(caller: Caller) -> None:
    """The client says so over HTTP."""
    assert await caller.hang_up() == 200


async def leave_in_the_middle_of_an_answer(caller: Caller) -> None:
    """The client closes while the agent speaks."""
    caller.client.send({"type": "text", "data": "hello"})
    await caller.client.wait_for(lambda: len(caller.client.packets) >= 3)


async def vanish(caller: Caller) -> None:
    """The client is gone without a word."""
    caller.client.send({"type": "text", "data": "hello"})
    await caller.client.wait_for(lambda: len(caller.client.packets) >= 3)
    caller.client.vanish()


async def make_the_agent_fail(caller: Caller) -> None:
    """The agent fails for good while the client is there."""
    caller.client.send({"type": "text", "data": "fail"})
    await caller.client.next_message("error")


WAYS: list[Callable[[Caller], Awaitable[None]]] = [
    leave,
    hang_up,
    leave_in_the_middle_of_an_answer,
    vanish,
    make_the_agent_fail,
]


async def talk_or_fail(connection: ScriptedConnection) -> None:
    """Answers, and fails when told so."""
    talk = talker(seconds=2.0)

    class Failing(Exception):
        pass

    receive_text = connection.hear

    async def hear() -> object:
        one = await receive_text()
        parts = getattr(one, "parts", None)
        if parts and parts[0].text == "fail":
            raise Failing
        return one

    connection.hear = hear  # type: ignore[method-assign, assignment]
    await talk(connection)


def left() -> Counter[str]:
    """Our objects, by class, that are alive; tasks, threads and descriptors."""
    gc.collect()
    counts = Counter(
        f"{type(one).__module__}.{type(one).__qualname__}"
        for one in gc.get_objects()
        if str(type(one).__module__).startswith(OURS)
    )
    for name in SERVERS:
        del counts[name]
    counts["tasks"] = len(asyncio.all_tasks())
    counts["threads"] = threading.active_count()
    counts["descriptors"] = len(os.listdir("/proc/self/fd"))
    return counts


async def settle(server: Server) -> None:
    """Until the last call has ended."""
    await until(lambda: server.calls.active == 0)


@pytest.fixture
def quick_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vanished peer is noticed in a second instead of twelve."""
    monkeypatch.setattr(aiortc_liveness, "CONSENT_INTERVAL_S", 0.3)


@pytest.fixture
def no_log() -> Iterator[None]:
    """pytest keeps the records of a test, and a record with a traceback keeps its frames."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.deadline(150)
@pytest.mark.usefixtures("quick_consent", "no_log")
async def test_twenty_calls_in_a_row_and_five_at_once_leave_nothing() -> None:
    # With a number of calls given, none is refused because this machine is busy.
    settings = Settings(port=0, limits=Limits(offers_per_minute=10_000, max_calls=10))
    async with Server.running(ScriptedLlm(scripts=[talk_or_fail]), settings) as server:

        async def one_call(end: Callable[[Caller], Awaitable[None]]) -> None:
            async with server.call() as caller:
                await end(caller)

        for end in WAYS:  # each once, so that what is made once is there
            await one_call(end)
        await settle(server)
        server.llm.connections.clear()
        before = left()
        for n in range(20):
            await one_call(WAYS[n % len(WAYS)])
        async with asyncio.TaskGroup() as group:
            for end in WAYS:
                group.create_task(one_call(end))
        await settle(server)
        server.llm.connections.clear()

        def more() -> dict[str, int]:
            return {name: n - before[name] for name, n in left().items() if n > before[name]}

        # asyncio keeps a timer that was cancelled, with its context, until it would be due.
        with contextlib.suppress(TimeoutError):
            await until(lambda: not more())
        assert more() == {}


@pytest.mark.usefixtures("quick_consent")
async def test_a_call_that_is_never_connected_is_given_up() -> None:
    settings = Settings(port=0, limits=Limits(connect_timeout_s=3.0))
    async with Server.running(ScriptedLlm(scripts=[talk_or_fail]), settings) as server:
        async with server.call(audio=None) as caller:
            offer = caller.client.pc.localDescription.sdp
            status, _ = await server.post_offer(offer, session_id="never")
            assert status == 201
            await until(lambda: server.calls.active == 1)
        await settle(server)
        assert (await server.metrics())['rtc_calls_total{outcome="never_connected"}'] == 1
        # Its session went with it: nothing of a conversation that never was is resumed.
        async with server.call(audio=None, session_id="never") as caller:
            assert (await caller.client.next_message("ready"))["resumed"] is False
