"""The judgement of the loop's load: pure, on a manual clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc_server.headroom import (
    CALL_LOAD,
    FULL_LOAD,
    RELIEF_LOAD,
    WINDOW_S,
    Headroom,
    Pressure,
)

BEAT_S = 0.1


class Loop:
    """A loop that beats, wants so much of each beat, and has so many calls."""

    def __init__(self, *, refuses: bool = True) -> None:
        self.headroom = Headroom(refuses=refuses)
        self.now = 50.0
        self.wanted_s = 7.0
        self.calls = 0
        self.beat(0.0)

    def beat(self, load: float, *, lag_s: float = 0.0, period_s: float = BEAT_S) -> None:
        self.now += period_s + lag_s
        self.wanted_s += load * (period_s + lag_s)
        self.headroom.beat(self.now, wanted_s=self.wanted_s, lag_s=lag_s, calls=self.calls)

    def run(self, seconds: float, load: float, *, lag_s: float = 0.0) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.beat(load, lag_s=lag_s)

    def serve(self, calls: int, load: float) -> Headroom:
        """So many calls, which came one by one, and have gone on for some time."""
        while self.calls < calls:
            self.calls += 1
            self.run(WINDOW_S, load * self.calls / calls)
        self.calls = calls
        self.run(2 * WINDOW_S, load)
        return self.headroom


def test_load_is_the_share_of_the_time_that_the_loop_wanted() -> None:
    """Over the window, whatever was before it."""
    loop = Loop()
    loop.run(20, 0.9)
    loop.run(WINDOW_S + BEAT_S, 0.3)
    assert loop.headroom.load == pytest.approx(0.3)


def test_an_idle_server_takes_a_call_whatever_is_measured() -> None:
    """The core may be busy with something else for ever; one call is always tried."""
    headroom = Loop().serve(0, 1.0)
    assert headroom.takes(0)
    assert headroom.pressure is Pressure.NONE


def test_before_the_first_beat_there_is_room() -> None:
    """Nothing is known, and nothing held against a caller."""
    assert Headroom().takes(3)
    assert Headroom().load == 0.0


def test_calls_are_taken_up_to_the_limit_and_no_further() -> None:
    """What one more would add counts: 20 calls at 0.04 each have room for one, 21 for none."""
    assert Loop().serve(20, 0.80).takes(20)
    full = Loop().serve(21, 0.84)
    assert not full.takes(21)
    assert full.pressure is Pressure.FULL


def test_where_the_operator_gave_a_limit_none_is_refused_by_load() -> None:
    """Encoders save CPU all the same."""
    loop = Loop(refuses=False)
    headroom = loop.serve(30, 1.0)
    assert headroom.takes(30)
    assert headroom.pressure is Pressure.RELIEF


def test_calls_taken_a_moment_ago_count_before_the_measure_shows_them() -> None:
    """All callers at once do not get in because none has spoken yet."""
    loop = Loop()
    loop.run(10, 0.01)
    taken = 0
    while loop.headroom.takes(taken):
        taken += 1
    assert taken == pytest.approx(FULL_LOAD / CALL_LOAD, rel=0.15)


def test_calls_that_have_just_ended_make_room_before_the_measure_shows_it() -> None:
    """A full server whose calls hang up takes new ones at once."""
    loop = Loop()
    loop.serve(20, 0.9)
    loop.calls = 5
    loop.beat(0.2)
    assert loop.headroom.load > 0.85
    assert loop.headroom.takes(5)


def test_what_set_ups_cost_is_not_taken_for_what_calls_cost() -> None:
    """Twenty calls within four seconds: the load is high for so few, and there is room."""
    loop = Loop()
    loop.run(10, 0.01)
    for _ in range(20):
        loop.calls += 1
        loop.run(0.15, 0.5)
    assert loop.headroom.takes(20)
    assert loop.headroom.pressure is not Pressure.FULL


def test_the_cost_of_a_call_is_learned_from_those_there_are() -> None:
    """Heavy agents leave room for fewer more, light ones for more."""
    heavy, light = Loop().serve(6, 0.5), Loop().serve(24, 0.5)
    assert heavy.call_load > CALL_LOAD > light.call_load
    assert light.load_of(30) == pytest.approx(0.5 + 6 * light.call_load)


def test_a_costly_first_call_keeps_no_second_one_out() -> None:
    """An agent that warms up for a second in its first call says little of the next."""
    loop = Loop()
    loop.run(5, 0.0)
    loop.calls = 1
    loop.run(1.0, 1.0)
    assert loop.headroom.takes(1)


@pytest.mark.parametrize("calls", [1, 5, 12])
@pytest.mark.parametrize("stall_s", [0.1, 0.3, 1.0])
def test_one_stall_refuses_no_call(calls: int, stall_s: float) -> None:
    """A garbage collection, a tool that blocks once."""
    loop = Loop()
    loop.serve(calls, calls * 0.03)
    loop.beat(1.0, lag_s=stall_s)
    assert loop.headroom.takes(calls)


def test_the_first_second_after_the_start_refuses_no_call() -> None:
    """It is all work, and says nothing of what comes."""
    loop = Loop()
    loop.calls = 2
    loop.run(1.0, 1.0)
    assert loop.headroom.takes(2)


def test_an_overload_is_seen_within_the_window() -> None:
    """And is over as soon."""
    loop = Loop()
    loop.serve(20, 0.4)
    loop.run(WINDOW_S, 1.0)
    assert not loop.headroom.takes(20)
    loop.run(WINDOW_S, 0.4)
    assert loop.headroom.takes(20)


def test_a_loop_that_wakes_late_is_full_though_its_thread_did_nothing() -> None:
    """Other threads hold the GIL, or an agent sleeps in the loop."""
    loop = Loop()
    loop.calls = 3
    loop.run(2 * WINDOW_S, 0.05, lag_s=0.03)
    assert not loop.headroom.takes(3)
    loop.run(2 * WINDOW_S, 0.05)
    assert loop.headroom.takes(3)


def test_an_agent_that_blocks_once_a_second_leaves_no_room() -> None:
    """Each block is short of an alarm; together they spoil every call."""
    loop = Loop()
    loop.calls = 3
    for _ in range(10):
        loop.run(0.7, 0.05)
        loop.beat(0.0, lag_s=0.3)
    assert loop.headroom.pressure is Pressure.FULL


def test_a_stall_longer_than_the_window_is_one_stall() -> None:
    """After ten seconds of standing still calls are taken again."""
    loop = Loop()
    loop.serve(3, 0.1)
    loop.beat(0.0, lag_s=10.0)
    assert loop.headroom.takes(3)


def test_relief_comes_before_refusal_and_goes_below_where_it_came() -> None:
    """And what it saves does not end it."""
    loop = Loop()
    assert loop.serve(17, RELIEF_LOAD - 0.02).complexity_limit is None
    relieved = loop.serve(18, RELIEF_LOAD + 0.02)
    assert relieved.pressure is Pressure.RELIEF
    assert relieved.complexity_limit == 0
    assert relieved.takes(18)
    assert loop.serve(18, RELIEF_LOAD * 0.93).complexity_limit == 0
    assert loop.serve(18, 0.55).complexity_limit is None


def test_a_full_server_is_full_until_there_is_room_for_more_than_a_breath() -> None:
    """It does not say yes and no by turns."""
    loop = Loop()
    loop.serve(21, 0.86)
    assert not loop.serve(21, 0.81).takes(21)
    assert loop.serve(21, 0.72).takes(21)


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 1.0), st.floats(0.0, 3.0), st.integers(0, 60), st.floats(0.001, 0.5)
        ),
        max_size=60,
    )
)
def test_whatever_is_measured_the_judgement_holds_together(
    beats: list[tuple[float, float, int, float]],
) -> None:
    """An idle server takes a call, a full one is relieved, more calls have no more room."""
    loop = Loop()
    for load, lag_s, calls, period_s in beats:
        loop.calls = calls
        loop.beat(load, lag_s=lag_s, period_s=period_s)
        headroom = loop.headroom
        assert headroom.load >= 0.0
        assert 0.0 < headroom.call_load <= 0.1
        assert headroom.takes(0)
        assert not headroom.takes(calls + 1) or headroom.takes(calls)
        assert len(headroom._window) <= WINDOW_S / 0.001 + 2
        if headroom.pressure is Pressure.FULL:
            assert headroom.complexity_limit == 0
            assert headroom.load_of(calls) > RELIEF_LOAD - 1e-9
            assert not headroom.takes(calls)
