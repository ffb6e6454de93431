"""A real browser hears itself through our server, and the delay can be told."""

from __future__ import annotations

import pytest

from benches.mouth_to_ear import WAYS, measure
from benches.mouth_to_ear_sound import phases_of

CALLS_MAX = 3
"""On a machine that has no time for sound a call may bring nothing that can be told."""


@pytest.mark.deadline(240)
async def test_a_chirp_comes_back_through_the_agent_in_less_than_a_second() -> None:
    """Speaking without a pause and in spurts; the browser says what its jitter buffer kept."""
    phases = phases_of(3, 3)
    for _ in range(CALLS_MAX):
        run = await measure(WAYS["ours"], phases)
        if all(run[phase.name]["delays_ms"] for phase in phases):
            break
    for phase in phases:
        delays_ms = run[phase.name]["delays_ms"]
        assert delays_ms
        assert all(0 < delay_ms < 1000 for delay_ms in delays_ms)
        assert 0 < run[phase.name]["jitter_buffer_ms"] < 1000


@pytest.mark.deadline(120)
async def test_without_a_server_the_delay_is_the_browsers_own() -> None:
    """The instrument itself works wherever there is a browser."""
    run = await measure(WAYS["browser"], phases_of(2, 1))
    assert all(0 < delay_ms < 1000 for delay_ms in run["speaking"]["delays_ms"])
    assert run["speaking"]["delays_ms"]
