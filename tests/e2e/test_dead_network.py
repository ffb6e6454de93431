"""A network to the model that dies without a word, and a connection that dies under a tool."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from rtc_server.agent.models.agent_models import PING
from rtc_server.settings import Settings
from tests.e2e.gemini import answers, ask, gemini_server, of_type
from tests.e2e.server import Caller
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import Abort, Close, Day, Deed, StopReading, at
from tests.gemini.server import Served
from tests.stolen_time import StolenTime
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

QUICK = Pace(playback=0.0, word_s=0.06)
PROMISED_S = 5.0

JUST_ANSWERED, ALMOST_DUE = 0.0, 0.9
"""Where between two pings the network dies, as a part of their interval."""


def dies_at(phase: float) -> Day:
    """In the middle of the second answer, at this phase of the pings."""
    death = StopReading(after_ping_s=phase * PING["ping_interval"])
    return Day(at(Moment.MID_ANSWER, death, nth=2))


async def notice_s(caller: Caller, served: Served, stolen: StolenTime) -> float:
    """How long the caller waits to be told that the network to his model has died."""
    await ask(caller, "I am Ada")
    told = await ask(caller, "count to 30")
    assert (told["turn"], told["interrupted"]) == (2, True)
    error = await caller.client.next_message("error")
    died_at, now = served.done_at[0], time.monotonic()
    waited_s = now - died_at - stolen.between(died_at, now)
    assert (error["code"], error["retryable"]) == ("agent_reconnected", True)
    turn = await ask(caller, "What did I say?")
    assert "I am Ada" in answers(caller)[turn["turn"]]
    return waited_s


async def test_a_network_that_dies_is_told_within_5_s_at_any_phase_of_the_pings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls at once, by voice and by text: a ping was just answered there, or is almost due."""
    kinds = [
        (audio, phase) for audio in ("sendrecv", None) for phase in (JUST_ANSWERED, ALMOST_DUE)
    ]

    def day(number: int) -> Day:
        return dies_at(kinds[number][1]) if number < len(kinds) else Day()

    async with contextlib.AsyncExitStack() as stack:
        stolen = await stack.enter_async_context(StolenTime())
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
                notice_s(caller, served, stolen)
                for caller, served in zip(calls, api.connections, strict=True)
            )
        )
        assert max(waited_s) < PROMISED_S
        # Else the phases were missed, and the longest wait was not seen.
        assert min(waited_s[0], waited_s[2]) > max(waited_s[1], waited_s[3])
        assert api.taken == 2 * len(kinds)


@pytest.mark.parametrize("deed", [Abort(), Close(1012)], ids=["drop", "close 1012"])
async def test_a_connection_that_goes_while_a_tool_works_leaves_no_run_behind(
    deed: Deed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK, cancelled, would connect once more, and take half of what is meant for the next run."""

    async def work() -> dict[str, str]:
        """Works for ever."""
        await asyncio.Event().wait()
        return {}

    days = [Day(at(Moment.TOOL, deed)), Day()]
    async with (
        gemini_server(
            tmp_path, monkeypatch, days=days, pace=QUICK, settings=Settings(port=0), tools=[work]
        ) as (server, api),
        server.call() as caller,
    ):
        lost = await ask(caller, "use work")
        assert (lost["turn"], lost["interrupted"]) == (1, True)
        error = await caller.client.next_message("error")
        assert error["retryable"]
        assert [one["phase"] for one in of_type(caller, "tool")] == ["call", "cancelled"]
        turn = await ask(caller, "hello")
        assert (turn["turn"], answers(caller)[2]) == (2, "You said: hello")
        assert of_type(caller, "error") == [error]
        assert api.taken == 2
