"""A caller who hangs up at the worst moment of every bad day: nothing of his call is left.

What is left when all is over (tasks, threads, sockets) fails the test besides, see conftest.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rtc_server.settings import Settings
from tests.e2e.gemini import MODELS, PING, gemini_server
from tests.e2e.test_overdue_answers import slow
from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import (
    BROKEN_JSON,
    CLOSE_CODES,
    OVERSIZED,
    UNKNOWN_MESSAGE,
    Abort,
    CancelTools,
    Close,
    Day,
    Deed,
    EmptyHandle,
    GoAway,
    HttpStatus,
    Refuse,
    RefuseHandle,
    Stall,
    StopReading,
    at,
)
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

QUICK = Pace(playback=0.0, word_s=0.06)

WORST: dict[Moment, list[tuple[Deed, ...]]] = {
    Moment.CONNECT: [*((HttpStatus(one),) for one in (401, 429, 503)), (Refuse(0.1),)],
    Moment.SETUP: [(Stall(),), (Abort(),), (Close(1008),)],
    Moment.READY: [(Stall(),), (Abort(),)],
    Moment.QUESTION: [(Stall(),), (Stall(0.2),), (Abort(),)],
    Moment.MID_ANSWER: [
        *((Close(code),) for code in CLOSE_CODES),
        *((one,) for one in (Abort(), GoAway(0.2), Refuse(0.1), Stall(), StopReading())),
        *((one,) for one in (BROKEN_JSON, UNKNOWN_MESSAGE, OVERSIZED)),
        (EmptyHandle(), Abort()),
        (EmptyHandle(), Close(1000)),
    ],
    Moment.TOOL: [(Stall(),), (CancelTools(),), (Abort(),)],
}


def worst_days() -> list[list[Day]]:
    """Of the connections of one call each; all that follow are good."""
    days = [
        [Day(*(at(moment, one) for one in deeds))]
        for moment, ways in WORST.items()
        for deeds in ways
    ]
    refused = Day(at(Moment.SETUP, RefuseHandle()))
    return [*days, [Day(at(Moment.MID_ANSWER, Abort())), refused]]


def named_tasks() -> set[str]:
    """Those of the server: what websockets and aiohttp start has no name of its own."""
    names = {one.get_name() for one in asyncio.all_tasks()}
    return {one for one in names if not one.startswith("Task-")}


@pytest.mark.deadline(120)
@pytest.mark.parametrize(
    ("model", "audio"),
    [(MODELS["2.x"], "sendrecv"), (MODELS["3.x"], None)],
    ids=["2.x, voice", "3.x, text"],
)
async def test_after_every_bad_day_nothing_is_left_of_a_call_whose_caller_hangs_up(
    model: str, audio: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once when the last of it has happened, while the server is about to see to it."""
    to_come: list[Day] = []
    async with gemini_server(
        tmp_path,
        monkeypatch,
        model=model,
        days=lambda _: to_come.pop(0) if to_come else Day(),
        pace=QUICK,
        settings=Settings(port=0),
        tools=[slow],
        pings=PING,
    ) as (server, api):
        before = named_tasks()
        for days in worst_days():
            to_come[:] = days
            deeds = [one for day in days for one in day.deeds]
            uses_tool = deeds[0].moment is Moment.TOOL
            all_done = len(api.done) + len(deeds)
            async with server.call(audio=audio) as caller:
                words = "use slow" if uses_tool else "count to 30"
                caller.client.send({"type": "text", "data": words})
                await until(lambda n=all_done: len(api.done) >= n)  # type: ignore[misc]
            await until(lambda: server.calls.active == 0)
            await until(lambda: named_tasks() <= before)
