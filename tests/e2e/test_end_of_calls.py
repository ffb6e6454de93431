"""A call whose agent does not hang up: the caller is not kept waiting by it."""

from __future__ import annotations

import asyncio

from rtc_server.agent.retry_rules import RetryRules
from tests.agent.scripted_llm import ScriptedConnection, ScriptedLlm, never_answer
from tests.e2e.server import Server
from tests.waiting import until


class Stuck(ScriptedConnection):
    """Its ``close()`` returns when the test lets it, and ``receive()`` does not end."""

    may_close: asyncio.Event

    async def close(self) -> None:
        await type(self).may_close.wait()


def stuck() -> type[Stuck]:
    return type("StuckOnce", (Stuck,), {"may_close": asyncio.Event()})


PATIENT = RetryRules(close_s=60.0, hang_up_s=0.05)
"""Who waits for the agent to close waits longer than the test."""


async def test_the_goodbye_to_the_peer_is_not_held_back_by_the_agent() -> None:
    """A hang-up and its answer neither; nobody is said not to be ready for what is said then."""
    kind = stuck()
    llm = ScriptedLlm(scripts=[never_answer], connection_type=kind)
    async with Server.running(llm, retry=PATIENT) as server, server.call() as caller:
        await llm.wait_connected()
        async with server.http.get("/metrics") as response:
            before = not_ready(await response.text())
        assert await caller.hang_up() == 200
        await caller.client.wait_for(lambda: caller.client.pc.connectionState == "closed")
        async with server.http.get("/metrics") as response:
            assert not_ready(await response.text()) == before
        assert not kind.may_close.is_set()
        kind.may_close.set()
        await until(lambda: server.calls.active == 0)


async def test_who_takes_a_session_over_waits_for_the_old_agent_and_the_old_caller_does_not() -> (
    None
):
    kind = stuck()
    llm = ScriptedLlm(scripts=[never_answer], connection_type=kind)
    async with (
        Server.running(llm, retry=PATIENT) as server,
        server.call(session_id="s1") as old,
    ):
        await llm.wait_connected()
        async with server.call(session_id="s1") as new:
            await old.client.next_message("goaway")
            await old.client.wait_for(lambda: old.client.pc.connectionState == "closed")
            assert len(llm.connections) == 1
            kind.may_close.set()
            await until(lambda: len(llm.connections) == 2)
            await new.client.next_message("ready")


def not_ready(exposition: str) -> str:
    """The line of what was dropped before an agent was ready."""
    lines = exposition.splitlines()
    found = [one for one in lines if 'dropped_seconds_total{direction="uplink",reason="not_' in one]
    return "".join(found)
