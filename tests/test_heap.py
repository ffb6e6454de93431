"""What ended calls leave is freed a few calls at a time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from rtc_server import heap
from rtc_server.heap import ENDED_CALLS, HeapSweeper, settle_heap


class Circle:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def settled() -> Iterator[None]:
    settle_heap()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
        heap._state["is_settled"] = False


@pytest.mark.usefixtures("settled")
def test_what_calls_left_in_circles_is_freed_after_the_fourth() -> None:
    sweeper, left = HeapSweeper(), weakref.ref(Circle())
    for _ in range(ENDED_CALLS - 1):
        sweeper.call_ended()
    assert left() is not None
    sweeper.call_ended()
    assert left() is None


@pytest.mark.usefixtures("settled")
def test_what_was_there_at_the_start_is_not_looked_through() -> None:
    """The calls that go on are all that a collection sees."""
    assert len(gc.get_objects()) < gc.get_freeze_count() / 10


def test_nothing_is_collected_in_a_process_whose_heap_was_not_settled() -> None:
    gc.disable()
    try:
        sweeper, left = HeapSweeper(), weakref.ref(Circle())
        for _ in range(2 * ENDED_CALLS):
            sweeper.call_ended()
        assert left() is not None
    finally:
        gc.enable()


@pytest.mark.usefixtures("settled")
def test_once_a_sweep_takes_long_no_further_one_stops_the_calls() -> None:
    """What is looked through grows with the conversations in memory."""
    times = iter((0.0, 0.011))
    sweeper = HeapSweeper(clock=lambda: next(times))
    for _ in range(ENDED_CALLS):
        sweeper.call_ended()
    left = weakref.ref(Circle())
    for _ in range(3 * ENDED_CALLS):
        sweeper.call_ended()
    assert left() is not None
