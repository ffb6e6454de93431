"""The measure of the loop's thread, and what the log says of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rtc_server.headroom import Headroom, Pressure
from rtc_server.load_meter import LoadMeter, ThreadTime
from rtc_server.metrics import Metrics
from tests.peer.support import sample


def work(seconds: float) -> None:
    """Use the core for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture(params=["schedstat", "thread clock"])
def thread_time(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ThreadTime]:
    """Both ways to know it."""
    if request.param == "thread clock":
        monkeypatch.setattr("rtc_server.load_meter._SCHEDSTAT", "/nowhere")
    made = ThreadTime()
    yield made
    made.close()


def passed(thread_time: ThreadTime, do: Callable[[], object]) -> tuple[float, float]:
    """What the measure says of it, and what the wall clock says."""
    begun_at, begun = time.monotonic(), thread_time()
    do()
    return thread_time() - begun, time.monotonic() - begun_at


def test_work_of_the_thread_counts_and_sleep_does_not(thread_time: ThreadTime) -> None:
    """However busy the machine is: less than the wall clock says, at least what was used."""
    wanted, wall = passed(thread_time, lambda: work(0.1))
    assert 0.09 < wanted < wall + 0.05
    # To wait for a core when the sleep is over is no sleep.
    wanted, wall = passed(thread_time, lambda: time.sleep(0.3))
    assert wanted < wall - 0.25


def test_work_of_another_thread_does_not_count(thread_time: ThreadTime) -> None:
    """An agent's threads are no load of the loop, as long as they leave it the core."""
    other = threading.Thread(target=work, args=(0.6,))

    def wait() -> None:
        other.start()
        other.join()

    # At times both want the core, of which the other thread has most.
    wanted, wall = passed(thread_time, wait)
    assert wanted < wall - 0.3


def test_what_was_opened_is_closed_once() -> None:
    """And may be closed again."""
    made = ThreadTime()
    made.close()
    made.close()
    assert made() > 0  # by the thread's clock


def test_the_meter_measures_its_own_thread_and_exports_it() -> None:
    """Half a second of work in half a second of beats."""
    headroom, metrics = Headroom(), Metrics()
    with LoadMeter(headroom, metrics, calls=lambda: 2) as meter:
        meter.beat(100.0, 0.0)
        work(0.2)
        meter.beat(104.0, 0.0)
    assert headroom.load >= 0.2 / 4 * 0.9
    assert sample(metrics, "rtc_load_ratio") == pytest.approx(headroom.load)


def test_a_measure_that_is_given_is_the_only_one() -> None:
    """Whoever says what the loop wanted is not contradicted by a machine that stands still."""
    headroom = Headroom()
    with LoadMeter(headroom, Metrics(), calls=lambda: 2, thread_time=lambda: 0.0) as meter:
        for beat in range(50):
            meter.beat(100.0 + beat / 10, 0.3)
    assert headroom.load == 0.0


def test_each_change_of_pressure_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """From ease to full and back: none for the beats between."""
    headroom = Headroom()
    now = wanted_s = 100.0
    with (
        LoadMeter(headroom, Metrics(), calls=lambda: 10, thread_time=lambda: wanted_s) as meter,
        caplog.at_level(logging.INFO, "rtc_server.load_meter"),
    ):
        for load in [0.1] * 50 + [0.75] * 50 + [1.0] * 50 + [0.1] * 100:
            now, wanted_s = now + 0.1, wanted_s + 0.1 * load
            meter.beat(now, 0.0)
    assert headroom.pressure is Pressure.NONE
    said = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert said == [
        "they are encoded at less CPU",
        "new ones are refused",
        "new ones are taken again",
        "they are encoded as ever again",
    ]
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
