"""A server without headroom: who is refused, and who is not."""

from __future__ import annotations

import logging
import time

import pytest

from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedLlm, echo_text, talker
from tests.e2e.server import Server
from tests.peer.rtc_client import RtcClient
from tests.waiting import until


class Measure:
    """Stands for the time that the loop's thread wanted: so much of the time as the test says."""

    def __init__(self) -> None:
        self.load = 0.0
        self._wanted_s = 0.0
        self._last = time.monotonic()

    def __call__(self) -> float:
        now = time.monotonic()
        self._wanted_s += self.load * (now - self._last)
        self._last = now
        return self._wanted_s

    def overload(self) -> None:
        """Within one or two beats instead of four seconds."""
        self.load = 50.0


async def status_of(server: Server, path: str) -> int:
    async with server.http.get(path) as response:
        return response.status


async def is_full(server: Server) -> bool:
    return await status_of(server, "/readyz") == 503


async def test_a_server_without_headroom_refuses_calls_and_goes_on_with_those_it_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """503 with when to come back; a call that is there is answered; then calls are taken again."""
    measure = Measure()
    caplog.set_level(logging.INFO, "rtc_server.load_meter")
    async with (
        Server.running(ScriptedLlm(scripts=[echo_text]), thread_time=measure) as server,
        server.call(audio=None) as there,
    ):
        assert not await is_full(server)
        measure.overload()
        await until(lambda: is_full(server))
        offer = {"type": "offer", "sdp": there.client.pc.localDescription.sdp}
        async with server.http.post("/api/calls", json=offer) as response:
            assert response.status == 503
            assert response.content_type == "application/problem+json"
            assert int(response.headers["Retry-After"]) > 0
            assert "no room" in (await response.json(content_type=None))["detail"]
        assert await status_of(server, "/healthz") == 200
        assert (await server.metrics())["rtc_load_ratio"] > 0.85
        there.client.send({"type": "text", "data": "hello"})
        await there.client.next_message("turn")

        measure.load = 0.0
        await until(lambda: server.calls.is_ready)
        async with server.call(audio=None) as again:
            await again.client.next_message("ready")
    refusals = [one for one in caplog.records if "refused" in one.getMessage()]
    assert len(refusals) == 1


async def test_a_call_that_takes_over_its_session_needs_no_headroom() -> None:
    """It comes in place of another; an offer for a session without a call is refused."""
    measure = Measure()
    async with (
        Server.running(ScriptedLlm(scripts=[echo_text]), thread_time=measure) as server,
        server.call(audio=None, session_id="s1") as old,
    ):
        measure.overload()
        await until(lambda: is_full(server))
        sdp = old.client.pc.localDescription.sdp
        assert (await server.post_offer(sdp, session_id="s2"))[0] == 503
        assert (await server.post_offer(sdp, session_id="s1", user_id="mallory"))[0] == 503
        async with server.call(audio=None, session_id="s1") as new:
            await old.client.wait_for(lambda: old.client.pc.connectionState == "closed")
            new.client.send({"type": "text", "data": "hello"})
            await new.client.next_message("turn")
            assert server.calls.active == 1


async def test_an_idle_server_takes_a_call_whatever_else_the_machine_does() -> None:
    """The measure stays full, and the last call that ends makes room for one."""
    measure = Measure()
    async with Server.running(ScriptedLlm(scripts=[echo_text]), thread_time=measure) as server:
        measure.overload()
        await until(lambda: server.calls.load > 1.0)
        assert not await is_full(server)
        async with server.call(audio=None) as only:
            await only.client.next_message("ready")
            assert await is_full(server)
        await until(lambda: server.calls.active == 0)
        assert not await is_full(server)


async def test_a_limit_that_the_operator_gave_is_the_only_one() -> None:
    """With --max-calls no call is refused by measure; its voice is encoded at less CPU."""
    measure = Measure()
    settings = Settings(port=0, limits=Limits(max_calls=2))
    llm = ScriptedLlm(scripts=[talker()])
    async with (
        Server.running(llm, settings, thread_time=measure) as server,
        server.call() as one,
    ):
        measure.overload()
        await until(lambda: server.calls.load > 1.0)
        assert not await is_full(server)
        async with server.call(audio=None):
            assert await is_full(server)
        client: RtcClient = one.client
        await one.ask_aloud()
        await client.next_message("turn")
        assert sum(len(packet.payload) > 20 for packet in client.packets) >= 45
