"""What the pacer promises whatever the loop and the agent do."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rtc_server.peer.pacer import CLOCK_RATE, Pacer

INTERVAL_S = 0.02
MOST_LATE_S = 0.06 + INTERVAL_S
"""What a listener's jitter buffer holds, and the frame itself."""

BEGUN_AT, EPSILON_S = 50.0, 1e-4  # a timestamp is rounded

lateness = st.sampled_from((0.0, 0.0, 0.0, 0.001, 0.01, 0.03, 0.05, 0.07, 0.3, 2.0))
silences = st.sampled_from((None, None, None, None, 0.0, 0.005, 0.1, 4.0))


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(lateness, silences), min_size=1, max_size=80))
def test_frames_are_paced_and_their_clock_is_the_listeners(
    frames: list[tuple[float, float | None]],
) -> None:
    """No packet is from the future, none later than a jitter buffer holds, none waits for more.

    Each frame is sent when it is due, or late, and after some the agent is silent.
    """
    pacer = Pacer(INTERVAL_S)
    now, last = BEGUN_AT, -960
    for late_s, silence_s in frames:
        due = pacer.begin(now)
        assert pacer.due == due
        now = max(now, due) + late_s
        timestamp, told_late_s = pacer.sent(now)
        assert told_late_s >= -EPSILON_S
        assert abs(now - told_late_s - due) < EPSILON_S
        assert timestamp >= last + 960
        last = timestamp
        ahead_s = timestamp / CLOCK_RATE - (now - BEGUN_AT)
        assert -MOST_LATE_S - EPSILON_S <= ahead_s <= INTERVAL_S + EPSILON_S
        following = pacer.due
        assert following is not None
        assert following <= now + INTERVAL_S + EPSILON_S, "no delay is added"
        if silence_s is not None:
            pacer.end()
            assert pacer.due is None
            now += silence_s


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.floats(0.0, 3.0), st.integers(1, 20))
def test_after_any_stall_the_pace_is_the_old_one(stall_s: float, before: int) -> None:
    """At most two frames leave at once, and from then on one each 20 ms."""
    pacer = Pacer(INTERVAL_S)
    now = 10.0
    for _ in range(before):
        now = max(now, pacer.begin(now))
        pacer.sent(now)
    now = pacer.begin(now) + stall_s
    sent = []
    for _ in range(10):
        now = max(now, pacer.begin(now))
        pacer.sent(now)
        sent.append(now)
    gaps = [later - one for one, later in pairwise(sent)]
    assert all(gap >= INTERVAL_S - EPSILON_S for gap in gaps[2:])
    assert all(gap <= INTERVAL_S + EPSILON_S for gap in gaps)
