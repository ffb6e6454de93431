"""A real browser hears itself through our server, and the delay can be told."""

from __future__ import annotations

import pytest

from benches.mouth_to_ear import WAYS, measure
from benches.mouth_to_ear_sound import phases_of


@pytest.mark.deadline(180)
async def test_a_chirp_comes_back_through_the_agent_in_less_than_a_second() -> None:
    """Speaking without a pause and in spurts; the browser says what its jitter buffer kept."""
    run = await measure(WAYS["ours"], phases_of(2, 2))
    for phase in ("speaking", "spurts"):
        assert run[phase]["delays_ms"]
        assert all(0 < delay_ms < 1000 for delay_ms in run[phase]["delays_ms"])
        assert 0 < run[phase]["jitter_buffer_ms"] < 1000


@pytest.mark.deadline(120)
async def test_without_a_server_the_delay_is_the_browsers_own() -> None:
    """The instrument itself works wherever there is a browser."""
    run = await measure(WAYS["browser"], phases_of(2, 1))
    assert all(0 < delay_ms < 1000 for delay_ms in run["speaking"]["delays_ms"])
    assert run["speaking"]["delays_ms"]
