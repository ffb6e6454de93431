"""Some calls at once on a model that fails at random: a small ``benches/bad_days.py``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benches.bad_day_callers import Callers
from rtc_server.settings import Limits, Settings
from tests.e2e.gemini import PING, gemini_server
from tests.gemini.live_model import Pace
from tests.gemini.misbehaviour import random_day
from tests.waiting import until

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

ANSWER_S = 3.0
MARGIN_S = 6.0


@pytest.mark.deadline(100)
async def test_every_turn_is_accounted_for_while_the_model_fails_at_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered, told to be lost, or ended with a word; and nothing is left, see conftest."""
    rng = random.Random(5)
    limits = Limits(answer_s=ANSWER_S, offers_per_minute=10_000)
    async with gemini_server(
        tmp_path,
        monkeypatch,
        days=lambda number: random_day(rng, 0.9),
        pace=Pace(playback=0.5, word_s=0.1),
        settings=Settings(port=0, limits=limits),
        pings=PING,
    ) as (server, api):
        callers = Callers(
            server.url, 6, ANSWER_S + MARGIN_S, aloud=1, text=2, seed=5, pause_s=(0.2, 1.0)
        )
        report = await callers.run(12.0)
        await until(lambda: server.calls.active == 0)
    assert report.broken == [], report.stories
    assert report.outcomes["answered"] >= 3
    assert len(api.done) >= 3
