"""The end of a live session: bounded in every state, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse

from rtc_server.agent.live_events import AgentAudio
from rtc_server.agent.retry_rules import RetryRules

from .conftest import agent_of, serve_agent
from .listening import SPEECH, until
from .scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    fail_after,
    never_answer,
    said,
    stall,
    talker,
)


async def test_close_is_bounded_though_the_agent_ignores_it(llm: ScriptedLlm) -> None:
    """The run is cancelled after a while, and no task is left (the leak check sees to it)."""

    class Deaf(ScriptedConnection):
        async def close(self) -> None:
            pass

    llm.scripts = [never_answer]
    llm.connection_type = Deaf
    async with serve_agent(agent_of(llm)) as server:
        async with server.call() as live:
            await llm.wait_connected()
        await live.close()
        assert [event async for event in live.events()] == []


async def test_model_that_was_told_to_close_and_goes_on_is_not_waited_for(
    llm: ScriptedLlm,
) -> None:
    """Its ``close()`` has returned, and ``receive()`` does not end by that."""

    class Deaf(ScriptedConnection):
        async def close(self) -> None:
            self.closed.set()

    llm.scripts = [never_answer]
    llm.connection_type = Deaf
    patient = RetryRules(close_s=60.0, hang_up_s=0.05)
    async with serve_agent(agent_of(llm), retry=patient) as server:
        async with server.call():
            await llm.wait_connected()
        assert llm.connections[0].closed.is_set()


async def test_model_that_takes_its_time_to_close_is_waited_for(llm: ScriptedLlm) -> None:
    """Longer than one that was told: it ends by itself, and is not cancelled."""
    ends: list[str] = []

    class Slow(ScriptedConnection):
        async def close(self) -> None:
            if not self.closed.is_set():
                await asyncio.sleep(0.2)
                await super().close()

        async def receive(self) -> AsyncGenerator[LlmResponse, None]:
            try:
                async for one in super().receive():
                    yield one
            except BaseException as error:
                ends.append(type(error).__name__)
                raise

    llm.scripts = [never_answer]
    llm.connection_type = Slow
    patient = RetryRules(close_s=60.0, hang_up_s=0.05)
    async with serve_agent(agent_of(llm), retry=patient) as server, server.call():
        await llm.wait_connected()
    assert ends == ["ConnectionClosedOK"]


async def test_model_that_does_not_close_is_waited_for_a_bounded_time(llm: ScriptedLlm) -> None:
    class Stuck(ScriptedConnection):
        async def close(self) -> None:
            await asyncio.Event().wait()

    class StuckLlm(ScriptedLlm):
        @contextlib.asynccontextmanager
        async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
            self._connects += 1
            self._connected.set()
            yield Stuck(llm_request)

    stuck = StuckLlm()
    short = RetryRules(close_s=0.1, hang_up_s=60.0)
    async with serve_agent(agent_of(stuck), retry=short) as server, server.call():
        await stuck._connected.wait()


async def test_close_ends_the_events_and_may_be_called_twice(llm: ScriptedLlm) -> None:
    """Also while somebody reads, and while the agent answers."""
    llm.scripts = [talker(seconds=60)]
    async with serve_agent(agent_of(llm)) as server:
        live = server.call("audio")
        async with live:
            live.send_text("go")
            reader = asyncio.ensure_future(until(live, lambda _: False))
            await until(live, lambda event: isinstance(event, AgentAudio))
            await asyncio.gather(live.close(), live.close())
            await reader
            live.send_text("too late")
            live.send_audio(SPEECH)
        await live.close()


@pytest.mark.parametrize("scripts", [[stall], [fail_after(OSError())], [never_answer]])
async def test_close_in_any_state_leaves_nothing(llm: ScriptedLlm, scripts: list[Any]) -> None:
    """Stalled, between two runs, or listening."""
    llm.scripts = scripts
    slow = RetryRules(first_delay_s=60.0, close_s=0.3)
    async with serve_agent(agent_of(llm), retry=slow) as server, server.call("audio") as live:
        await llm.wait_connected()
        live.send_audio(SPEECH)
        await asyncio.sleep(0)


async def test_close_at_once_leaves_nothing(llm: ScriptedLlm) -> None:
    """A call that ends before the model was reached."""
    llm.scripts = [never_answer]
    async with serve_agent(agent_of(llm)) as server, server.call():
        pass


async def test_cancelled_call_leaves_nothing(llm: ScriptedLlm) -> None:
    """The call's task is cancelled in the middle of an answer."""
    llm.scripts = [talker(seconds=60)]
    speaking = asyncio.Event()

    async with serve_agent(agent_of(llm)) as server:

        async def call() -> None:
            async with server.call("audio") as live:
                live.send_text("go")
                async for _ in live.events():
                    speaking.set()

        task = asyncio.ensure_future(call())
        await speaking.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_events_that_nobody_reads_do_not_hinder_the_end(llm: ScriptedLlm) -> None:
    """A full queue is emptied when the session closes."""

    flooded = asyncio.Event()

    async def flood(connection: ScriptedConnection) -> None:
        for n in range(3000):
            connection.emit(said(str(n)))
        while not live._events.full():  # noqa: ASYNC110  (there is no event for it)
            await asyncio.sleep(0)
        flooded.set()

    llm.scripts = [flood]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        await flooded.wait()
