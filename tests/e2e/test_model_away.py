"""A call whose model is away, over real WebRTC: what the caller sees and hears."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest

from rtc_server.agent.retry_rules import RetryRules
from rtc_server.media.away_notice import load_notice
from rtc_server.media.pcm import is_audible
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedLlm, never_answer, stall, talker
from tests.peer.rtc_client import dominant_frequency
from tests.waiting import until

from .server import Caller, Server


class Outage(ScriptedLlm):
    """A model that hangs for as long as it is away: no connection is taken, none is refused."""

    _back: Any = None

    @contextlib.asynccontextmanager
    async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
        if self._back is not None:
            await self._back.wait()
        async with super().connect(llm_request) as connection:
            yield connection

    def go_away(self) -> None:
        self._back = asyncio.Event()
        for connection in self.connections:
            connection.fail(OSError("secret"))

    def come_back(self) -> None:
        self._back.set()


def states(caller: Caller) -> list[str]:
    return [one["state"] for one in caller.client.messages if one["type"] == "state"]


async def test_caller_sees_and_hears_that_the_model_is_away_and_then_that_it_is_back() -> None:
    """Two soft notes, which are no answer; then the agent answers."""
    llm = Outage(scripts=[never_answer, talker(seconds=0.4, wait_playback=False)])
    async with Server.running(llm) as server, server.call() as caller:
        client = caller.client
        await llm.wait_connected()
        llm.go_away()
        away = await client.next_message("model")
        assert away == {"type": "model", "state": "away"}
        await client.wait_for(lambda: len(client.pcm()) > 48_000)
        heard = client.pcm()
        assert is_audible(heard)
        assert 300 < dominant_frequency(heard) < 420
        assert "speaking" not in states(caller)
        llm.come_back()
        assert await client.next_message("model") == {"type": "model", "state": "back"}
        client.send({"type": "text", "data": "hello"})
        turn = await client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (1, False)
        assert states(caller).count("speaking") == 1
        metrics = await server.metrics()
        assert metrics['rtc_agent_model_down{model="scripted"}'] == 0


async def test_model_that_never_answers_is_asked_again_over_a_new_connection() -> None:
    """The turn ends with an error, the next one is answered."""
    llm = ScriptedLlm(scripts=[never_answer, talker(seconds=0.2, wait_playback=False)])
    settings = Settings(port=0, limits=Limits(answer_s=2.0))
    async with Server.running(llm, settings) as server, server.call() as caller:
        caller.client.send({"type": "text", "data": "hello"})
        error = await caller.client.next_message("error")
        assert (error["code"], error["retryable"]) == ("agent_timeout", True)
        assert (await server.metrics())['rtc_agent_errors_total{code="agent_timeout"}'] == 1
        caller.client.send({"type": "text", "data": "again"})
        turn = await caller.client.next_message("turn")
        assert turn["interrupted"] is False
    assert llm.connects == 2


async def test_model_that_takes_nothing_of_what_is_said_is_told_and_asked_anew() -> None:
    """Until then the oldest of what waits is dropped, so that it hears what is new."""
    llm = ScriptedLlm(scripts=[stall, talker(seconds=0.2, wait_playback=False)])
    settings = Settings(port=0, limits=Limits(uplink_backlog_s=0.5))
    retry = RetryRules(first_delay_s=0.02, stall_s=1.0, close_s=1.0)
    async with Server.running(llm, settings, retry=retry) as server, server.call() as caller:
        caller.client.microphone.tone(440, 3.0)
        error = await caller.client.next_message("error")
        assert (error["code"], error["retryable"]) == ("agent_stalled", True)
        metrics = await server.metrics()
        dropped = 'rtc_audio_dropped_seconds_total{direction="uplink",reason="stalled"}'
        assert metrics[dropped] > 0
        assert metrics['rtc_agent_errors_total{code="agent_stalled"}'] == 1
        await until(lambda: llm.connects == 2)
        caller.client.send({"type": "text", "data": "hello"})
        turn = await caller.client.next_message("turn")
        assert turn["interrupted"] is False


async def test_notice_that_cannot_be_read_is_said_at_the_start(tmp_path: Path) -> None:
    """And not in the first call."""
    settings = Settings(port=0, away_notice=str(tmp_path / "none.wav"))
    with pytest.raises(Exception, match="--away-notice"):
        async with Server.running(ScriptedLlm(), settings):
            pass
    assert load_notice("tone") is not None
