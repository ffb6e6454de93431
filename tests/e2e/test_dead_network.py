"""A network to the model that dies without a word, with the pings that the server sets itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from rtc_server.agent.models.agent_models import PING
from rtc_server.settings import Settings
from tests.e2e.gemini import answers, ask, gemini_server
from tests.e2e.server import Caller
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import Day, StopReading, at
from tests.gemini.server import Served
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

QUICK = Pace(playback=0.0, word_s=0.06)
PROMISED_S = 5.0

JUST_ANSWERED, ALMOST_DUE = 0.1, 0.9
"""Where between two pings the network dies, as a part of their interval."""


async def notice_s(caller: Caller, served: Served, phase: float) -> float:
    """How long the caller waits to be told that the network to his model has died.

    It dies at this phase of the pings, in the middle of an answer.
    """
    await ask(caller, "I am Ada")
    interval_s = PING["ping_interval"]
    since_s = time.monotonic() - served.opened_at
    await asyncio.sleep((phase * interval_s - since_s) % interval_s)
    told = await ask(caller, "count to 30")
    assert (told["turn"], told["interrupted"]) == (2, True)
    error = await caller.client.next_message("error")
    waited_s = time.monotonic() - served.done_at[0]
    assert (error["code"], error["retryable"]) == ("agent_reconnected", True)
    turn = await ask(caller, "What did I say?")
    assert "I am Ada" in answers(caller)[turn["turn"]]
    return waited_s


@pytest.mark.parametrize("audio", ["sendrecv", None], ids=["voice", "text"])
async def test_a_network_that_dies_is_told_within_5_s_at_any_phase_of_the_pings(
    audio: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls: a ping was just answered, or is almost due; the first has the longer wait."""
    dies = Day(at(Moment.MID_ANSWER, StopReading(), nth=2))

    def day(number: int) -> Day:
        return dies if number < 2 else Day()

    async with (
        gemini_server(
            tmp_path, monkeypatch, days=day, pace=QUICK, settings=Settings(port=0), pings=None
        ) as (server, api),
        server.call(audio=audio) as first,
    ):
        await until(lambda: api.taken == 1)
        async with server.call(audio=audio) as second:
            await until(lambda: api.taken == 2)
            waited_s = await asyncio.gather(
                notice_s(first, api.connections[0], JUST_ANSWERED),
                notice_s(second, api.connections[1], ALMOST_DUE),
            )
        assert max(waited_s) < PROMISED_S
        # Else the phases were missed, and the longest wait was not seen.
        assert waited_s[0] > waited_s[1]
        assert api.taken == 4
