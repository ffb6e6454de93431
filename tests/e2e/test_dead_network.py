"""A network to the model that dies without a word, with the pings that the server sets itself."""

from __future__ import annotations

import asyncio
import contextlib
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


async def test_a_network_that_dies_is_told_within_5_s_at_any_phase_of_the_pings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls at once, by voice and by text: a ping was just answered there, or is almost due."""
    dies = Day(at(Moment.MID_ANSWER, StopReading(), nth=2))
    kinds = [
        (audio, phase) for audio in ("sendrecv", None) for phase in (JUST_ANSWERED, ALMOST_DUE)
    ]

    def day(number: int) -> Day:
        return dies if number < len(kinds) else Day()

    async with contextlib.AsyncExitStack() as stack:
        server, api = await stack.enter_async_context(
            gemini_server(
                tmp_path, monkeypatch, days=day, pace=QUICK, settings=Settings(port=0), pings=None
            )
        )
        calls = []
        for number, (audio, _) in enumerate(kinds, 1):
            calls.append(await stack.enter_async_context(server.call(audio=audio)))
            await until(lambda number=number: api.taken == number)  # type: ignore[misc]
        waited_s = await asyncio.gather(
            *(
                notice_s(caller, served, phase)
                for caller, served, (_, phase) in zip(calls, api.connections, kinds, strict=True)
            )
        )
        assert max(waited_s) < PROMISED_S
        # Else the phases were missed, and the longest wait was not seen.
        assert min(waited_s[0], waited_s[2]) > max(waited_s[1], waited_s[3])
        assert api.taken == 2 * len(kinds)
