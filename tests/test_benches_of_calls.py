"""The benches that place calls measure real ones, and say what they measured."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import aiohttp
import pytest

from benches import load_client, overload
from benches.calls import ROWS, adk_share, figures_of
from benches.light_call import LightCall
from benches.load_client import run_load, to_json
from benches.probe_signal import (
    make_probe_signal,
)
from benches.processes import LoadFailed, Running
from benches.set_up import SetUp, measure_set_ups
from benches.set_up import table as set_up_table
from benches.under_test.bypassed import adk_bypassed
from benches.under_test.catalogue import BY_HEADROOM, OURS, PEERS, SERVERS
from rtc_harness.aiortc_internals import offer_loopback_where_alone
from rtc_server import app
from rtc_server.settings import Limits, Settings
from tests.waiting import until


async def test_a_caller_that_vanishes_says_nothing_and_leaves_nothing() -> None:
    """The server still has the call; what was kept of it can be dropped in between."""
    offer_loopback_where_alone()
    with adk_bypassed() as agent:
        async with (
            app.run_server(Settings(port=0, agent="loopback"), agent) as (url, calls),
            aiohttp.ClientSession() as http,
        ):

            async def signalling(sdp: str) -> str:
                body = {"sdp": sdp, "type": "offer"}
                async with http.post(f"{url.rstrip('/')}/api/calls", json=body) as response:
                    return str((await response.json())["sdp"])

            call = LightCall()
            await call.place(signalling)
            call.talk(make_probe_signal().speech)
            await until(lambda: bool(call.arrived))
            call.forget()
            await until(lambda: bool(call.received()))
            await call.vanish()
            assert calls.active == 1


async def test_a_load_run_measures_a_real_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of one call to our own server, ADK bypassed."""
    monkeypatch.setattr(load_client, "_WARM_UP_CALLS", 0)
    monkeypatch.setattr(load_client, "_SETTLE_S", 0.2)
    with adk_bypassed() as agent:
        async with app.run_server(Settings(port=0, agent="loopback"), agent) as (url, _):
            report = await run_load(
                SERVERS[OURS[1].name],
                port=urlsplit(url).port or 0,
                pid=os.getpid(),
                calls=1,
                phases=["speaking"],
                seconds=2.0,
            )
    [phase] = report.phases
    assert phase.packets_per_s is not None
    assert phase.packets_per_s > 25
    assert phase.cpu_floors > 0
    assert report.calls_lost == 0
    figures = figures_of(to_json(report))
    assert figures["setup"]


@pytest.mark.parametrize("is_quick", [True, False])
async def test_set_ups_of_real_calls_are_measured(is_quick: bool) -> None:
    """Two calls to our own server, by either caller."""
    with adk_bypassed() as agent:
        async with app.run_server(Settings(port=0, agent="loopback"), agent) as (url, _):
            running = Running(SERVERS[OURS[1].name], urlsplit(url).port or 0, os.getpid())
            made = await measure_set_ups([running], 2, is_quick=is_quick, warm_up=0)
    set_ups = made[OURS[1].name]
    assert len(set_ups) == 2
    assert all(one.connected_ms > 0 and one.cpu_ms > 0 for one in set_ups)


def test_the_table_of_set_ups_has_medians_and_quartiles() -> None:
    """A row for each server."""
    text = set_up_table({"ours": [SetUp(n, 2 * n) for n in (1.0, 2.0, 3.0, 4.0, 5.0)]})
    assert "| ours, ADK bypassed | 5 | 3.0 (2.0 to 4.0) | 6.0 (4.0 to 8.0) |" in text


def test_every_row_of_the_table_is_a_figure_of_some_run() -> None:
    """A figure that no phase gives would be missing from the table without a word."""
    phase = {
        "cpu_ms": 20.0,
        "cpu_floors": 2.0,
        "gap_p99_ms": 21.0,
        "delay_p99_ms": 2.0,
        "received": 1.0,
        "latency_p50_ms": 48.0,
        "latency_p99_ms": 51.0,
        "packets_per_s": 50.0,
    }
    report = {
        "floor_ms": 10.0,
        "setup_p50_ms": 30.0,
        "setup_cpu_ms": 9.0,
        "memory_mb_per_call": 0.5,
        "threads_per_call": 0.0,
        "client_late_ms": 1.0,
        "calls_lost": 0,
        "last_old_audio_ms": {"after_turn_max": 17.0, "after_sound_max": 18.0},
        "phases": [
            {**phase, "name": name, "latency_p50_ms": 40.0 + n}
            for n, name in enumerate(
                ("speaking", "loss-1", "after-1", "loss-5", "after-5", "silent")
            )
        ],
    }
    figures = figures_of(report)
    assert figures["latency_loss_5"] == 43.0
    given_elsewhere = {"few_speaking", "few_silent", "few_latency_p50", "on_time"}
    shares = set(adk_share(figures, figures))
    assert {key for key, _, _ in ROWS} <= set(figures) | given_elsewhere | shares


def test_adks_share_is_the_difference_by_the_floor_of_its_own_run() -> None:
    """Half a floor more of 12 ms is 6 ms."""
    with_adk = {"speaking": 2.5, "silent": 1.25, "floor_ms": 12.0}
    bypassed = {"speaking": 2.0, "silent": 1.0, "floor_ms": 9.0}
    assert adk_share(with_adk, bypassed) == {"adk_speaking_ms": 6.0, "adk_silent_ms": 3.0}
    assert adk_share(with_adk, {"floor_ms": 9.0}) == {}


async def test_calls_are_placed_until_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each speaks from the start; what is measured is those that were taken."""
    monkeypatch.setattr(load_client, "_WARM_UP_CALLS", 0)
    monkeypatch.setattr(load_client, "_SETTLE_S", 0.2)
    settings = Settings(port=0, agent="loopback", limits=Limits(max_calls=2))
    with adk_bypassed() as agent:
        async with app.run_server(settings, agent) as (url, _):
            report = await run_load(
                SERVERS[OURS[1].name],
                port=urlsplit(url).port or 0,
                pid=os.getpid(),
                calls=5,
                phases=["speaking"],
                seconds=1.0,
                until_refused=0.05,
            )
    assert report.was_refused
    assert report.calls == 2
    assert report.calls_lost == 0
    figures = overload.figures_of(to_json(report))
    assert figures["taken"] == 2
    assert set(figures) == {key for key, _, _ in overload.ROWS}


def test_a_server_that_refuses_no_call_has_no_result() -> None:
    """It was not brought to its limit, or has none."""
    with pytest.raises(LoadFailed, match="120 calls"):
        overload.figures_of({"was_refused": False, "calls": 120, "phases": []})


def test_only_the_bench_of_overload_lets_a_server_refuse_calls() -> None:
    """Where the most calls on time are searched, those that are late are taken, too."""
    for one in OURS:
        limited, unlimited = one.command(8080), BY_HEADROOM[one.name].command(8080)
        assert limited == [*unlimited, "--max-calls", "1000"]
        assert "--max-calls" not in unlimited
    assert not any("--max-calls" in one.command(8080) for one in PEERS)
