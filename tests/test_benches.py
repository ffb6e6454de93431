"""The benches measure what they say: their arithmetic, their signal, their callers."""

from __future__ import annotations

import inspect
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from xml.etree import ElementTree

import aiohttp
import numpy as np
import pytest

from benches import floor, libopus, load_client, overload, workers
from benches.analysis import (
    OnTime,
    Stream,
    calls_on_time,
    chirp_latencies_s,
    on_time,
    percentile,
    tone_share,
    unwrap,
)
from benches.calls import ROWS, adk_share, figures_of, summary, table, with_table
from benches.fuzz_packets import BrokenPromise, fuzz
from benches.growth import Sample, judge, robust_slope, thinned
from benches.light_call import LightCall, Received, SentPacket
from benches.load_client import run_load, to_json
from benches.loop_back import PIECE_BYTES, LoopBack, is_silent, story
from benches.plot import bars_svg
from benches.probe_signal import (
    LOOP_S,
    ProbeSignal,
    find_chirp,
    make_probe_signal,
    speech_and_chirps,
    to_s16,
)
from benches.process_usage import parse_cpu_s, run_time_s, usage_of
from benches.processes import LoadFailed, Running
from benches.session_weight import event_kb
from benches.set_up import SetUp, measure_set_ups
from benches.set_up import table as set_up_table
from benches.soak import gap_p99_ms, lag_p99_ms, parse_metrics
from benches.under_test.bypassed import LoopBackSession, adk_bypassed
from benches.under_test.catalogue import BY_HEADROOM, OURS, PEERS, SERVERS, VARIANTS
from rtc_harness.aiortc_internals import offer_loopback_where_alone
from rtc_server import app
from rtc_server.agent.live_session import LiveSession
from rtc_server.settings import Limits, Settings
from tests.waiting import until

BENCHES = Path(__file__).resolve().parent.parent / "benches"


@pytest.fixture(scope="module")
def signal() -> ProbeSignal:
    return make_probe_signal()


def received(
    count: int, *, period_s: float = 0.02, late: dict[int, float] | None = None
) -> list[Received]:
    """Packets of 20 ms each, one every ``period_s``, some of them late."""
    late = late or {}
    return [
        Received(100.0 + n * period_s + late.get(n, 0.0), n & 0xFFFF, n * 960 & 0xFFFFFFFF, b"")
        for n in range(count)
    ]


# -- arithmetic ----------------------------------------------------------------------------


def test_percentile_is_the_value_below_which_the_share_lies() -> None:
    """The 99th of a hundred is the largest, the median of three the middle one."""
    assert percentile([float(n) for n in range(100)], 0.99) == 99.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_unwrap_follows_a_counter_round_and_back() -> None:
    """A packet that comes late over the wrap keeps its place."""
    assert unwrap([65534, 65535, 1, 0, 2], 16) == [65534, 65535, 65537, 65536, 65538]


def test_gap_and_delay_of_a_punctual_stream() -> None:
    """Each gap is 20 ms, no packet is later than another."""
    stream = Stream(received(50))
    assert stream.gaps_ms(0, 1e9) == pytest.approx([20.0] * 49)
    assert max(stream.delays_ms(0, 1e9)) == pytest.approx(0.0, abs=1e-6)


def test_a_late_packet_shows_in_gap_and_delay() -> None:
    """One that is 30 ms late comes 10 ms after the one behind it."""
    stream = Stream(received(50, late={10: 0.03}))
    assert max(stream.delays_ms(0, 1e9)) == pytest.approx(30.0)
    assert max(stream.gaps_ms(0, 1e9)) == pytest.approx(40.0)


def test_a_slow_stream_falls_behind_its_clock() -> None:
    """Gaps of 21 ms look well, and add up against the RTP clock."""
    stream = Stream(received(101, period_s=0.021))
    assert max(stream.gaps_ms(0, 1e9)) < 22
    assert max(stream.delays_ms(0, 1e9)) == pytest.approx(100.0)


def test_calls_with_too_few_packets_are_not_on_time() -> None:
    """Ninety-eight of a hundred, each at its time."""
    whole = [Stream(received(100))]
    assert on_time(whole, 100.0, 102.0).passed
    judged = on_time([Stream(received(98))], 100.0, 102.0)
    assert judged.received == pytest.approx(0.98)
    assert not judged.passed


def test_calls_that_got_nothing_are_not_on_time() -> None:
    """Silence has no late packets either."""
    assert not on_time([Stream([])], 0.0, 2.0).passed
    assert not OnTime(41.0, 10.0, 1.0).passed
    assert not OnTime(21.0, 61.0, 1.0).passed


@pytest.mark.parametrize("truth", [0, 1, 7, 10, 28, 45, 120])
@pytest.mark.parametrize("guess", [1, 10, 60])
def test_the_search_finds_how_many_calls_are_on_time(truth: int, guess: int) -> None:
    """Wherever it begins, with few trials."""
    trials: list[int] = []

    def is_on_time(calls: int) -> bool:
        trials.append(calls)
        return calls <= truth

    assert calls_on_time(is_on_time, guess, most=120) == truth
    assert len(trials) < 25
    assert min(trials) >= 1


def test_cpu_time_is_read_behind_a_name_with_brackets() -> None:
    """The name in ``/proc/PID/stat`` may hold blanks and brackets."""
    fields = ["S", *["0"] * 10, "150", "50", *["0"] * 30]
    seconds = parse_cpu_s(f"42 (a) b (c) {' '.join(fields)}")
    assert seconds == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))


def test_run_time_counts_what_a_thread_does() -> None:
    """A loop of a few milliseconds shows, in a process that lives."""
    before = run_time_s(os.getpid())
    assert sum(n * n for n in range(200_000))
    assert run_time_s(os.getpid()) > before
    with pytest.raises(ProcessLookupError):
        run_time_s(2**22 + 1)


def test_the_usage_of_a_process_is_what_linux_says() -> None:
    """Of this one: it lives, and has at least a thread."""
    usage = usage_of(os.getpid())
    assert usage.threads >= 1
    assert usage.resident_bytes > 2**20
    with pytest.raises(ProcessLookupError):
        usage_of(2**22 + 1)


def test_the_usage_of_a_process_includes_those_that_it_started() -> None:
    """A worker's memory and threads are the server's, however deep the tree."""
    alone = usage_of(os.getpid())
    inner = "print(1, flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with_children = usage_of(os.getpid())
        child.communicate(b"\n")
    assert with_children.threads >= alone.threads + 2
    assert with_children.resident_bytes > alone.resident_bytes + 8 * 2**20


def test_what_workers_cost_is_told_by_the_median_of_each() -> None:
    text = workers.table(8, {"ours-adk": [2.0, 3.0, 2.5], "ours-workers": [2.5, 2.75, 3.5]})
    assert "| one | 8 | 2.50 (2.00 to 3.00) |" in text
    assert "| a front and two workers | 16 | 2.75 (2.50 to 3.50) |" in text
    assert text.endswith("Workers take 1.10 times as much a call.")


def test_every_variant_names_what_is_done_otherwise() -> None:
    for name in VARIANTS:
        one = SERVERS[f"ours-{name}"]
        assert one.work.endswith(VARIANTS[name])
        assert one.command(8080)[-2:] == ["8080", name]


# -- signal and latency --------------------------------------------------------------------


def test_the_signal_never_pauses_and_its_silence_is_silent(signal: ProbeSignal) -> None:
    """An echo has something to say in every piece, and nothing in silence."""
    assert len(signal.speech) == len(signal.silence) == LOOP_S * 50
    decoder = libopus.Decoder(16_000)
    pieces = [decoder.decode(one) for one in signal.speech + signal.speech]
    assert not any(is_silent(one) for one in pieces[1:])
    decoder = libopus.Decoder(16_000)
    assert all(is_silent(decoder.decode(one)) for one in signal.silence)


def test_a_chirp_is_told_from_the_one_before(signal: ProbeSignal) -> None:
    """A falling one is no rising one."""
    sound = speech_and_chirps(16_000)[:16_000]
    assert find_chirp(sound, rising=True)[1] > 0.8
    assert find_chirp(sound, rising=False)[1] < 0.5


def echo(
    signal: ProbeSignal, delay_s: float, *, lost: frozenset[int] = frozenset()
) -> tuple[Stream, list[SentPacket]]:
    """Eight seconds of packets that come back as they were sent."""
    sent = [SentPacket(n % signal.frames, 10.0 + n * 0.02, n in lost) for n in range(400)]
    back = [
        Received(one.at + delay_s, n, n * 960, signal.speech[one.frame])
        for n, one in enumerate(sent)
        if not one.lost
    ]
    random.Random(3).shuffle(back)
    return Stream(sorted(back, key=lambda one: one.at)), sent


@pytest.mark.parametrize("delay_s", [0.0, 0.0473, 0.9, 1.6])
def test_latency_is_that_of_the_echo(signal: ProbeSignal, delay_s: float) -> None:
    """To a millisecond, also where the next chirp comes first."""
    stream, sent = echo(signal, delay_s)
    latencies = chirp_latencies_s(stream.heard(), sent, signal, 10.0, 18.0)
    assert len(latencies) >= 6
    assert latencies == pytest.approx([delay_s] * len(latencies), abs=0.001)


def test_a_chirp_that_was_lost_is_left_out(signal: ProbeSignal) -> None:
    """It is neither late nor early."""
    onset_frame = signal.onsets[1][0] // 320
    whole, sent = echo(signal, 0.05)
    holed, holed_sent = echo(signal, 0.05, lost=frozenset({onset_frame + 1}))
    count = len(chirp_latencies_s(whole.heard(), sent, signal, 10.0, 18.0))
    assert len(chirp_latencies_s(holed.heard(), holed_sent, signal, 10.0, 18.0)) == count - 1


def test_the_floor_is_some_milliseconds_of_a_second(signal: ProbeSignal) -> None:
    """More than the packets' share; no machine needs a second."""
    pcm = to_s16(speech_and_chirps(24_000))
    assert floor.PACKETS_S < floor.measure_floor_s(signal.speech[:50], pcm) < 1.0


# -- the loop-back agent -------------------------------------------------------------------


def test_the_loop_back_gives_one_and_a_half_samples_for_each() -> None:
    """A tone keeps its pitch, and nine tenths of its loudness."""
    at = np.arange(16_000) / 16_000
    tone = np.rint(10_000 * np.sin(2 * np.pi * 1000 * at)).astype("<i2").tobytes()
    said, ended = LoopBack().push(tone)
    sound = np.frombuffer(said, "<i2").astype(float)[1200:-1200]
    assert len(said) == len(tone) * 3 // 2
    assert not ended
    assert sound.std() * np.sqrt(2) == pytest.approx(9_000, rel=0.01)
    assert np.argmax(np.abs(np.fft.rfft(sound))) / len(sound) * 24_000 == pytest.approx(1000, abs=2)


def test_the_loop_back_waits_for_a_whole_piece() -> None:
    """40 ms, whatever the caller's pieces are."""
    loop_back = LoopBack()
    loud = np.full(PIECE_BYTES // 4, 5000, "<i2").tobytes()
    assert loop_back.push(loud) == (b"", False)
    assert len(loop_back.push(loud)[0]) == PIECE_BYTES * 3 // 2


def test_the_loop_back_says_nothing_to_silence_and_ends_its_turn_once() -> None:
    """After 320 ms."""
    loop_back = LoopBack()
    loop_back.push(np.full(PIECE_BYTES // 2, 5000, "<i2").tobytes())
    pauses = [loop_back.push(bytes(PIECE_BYTES)) for _ in range(20)]
    assert not any(said for said, _ in pauses)
    assert [ended for _, ended in pauses] == [n == 7 for n in range(20)]


def test_the_story_is_a_tone() -> None:
    """By which the last old audio is told from the echo."""
    sound = np.frombuffer(story(), "<i2").astype(float)[::3]  # 8 kHz, read as 16 kHz
    assert tone_share(sound[:320], 880.0) > 0.9
    assert tone_share(speech_and_chirps(16_000)[:320] * 32767, 440.0) < 0.2
    assert tone_share(np.zeros(320), 440.0) == 0.0


MODELS_CALLS = (
    "connecting",
    "connected",
    "refused",
    "disconnected",
    "tool_calls_cancelled",
    "interrupted_ahead",
    "urls_read",
)
"""What the model's connection calls, and not the bridge."""


def test_the_stand_in_has_the_face_of_a_live_session() -> None:
    """The same public methods, called in the same way: the bridge cannot tell."""
    for name, method in inspect.getmembers(LiveSession, inspect.isfunction):
        if name.startswith("_") or name in MODELS_CALLS:
            continue
        twin = getattr(LoopBackSession, name)
        assert list(inspect.signature(twin).parameters) == list(
            inspect.signature(method).parameters
        ), name


# -- the table -----------------------------------------------------------------------------


def test_the_table_shows_medians_and_how_far_the_runs_are_apart() -> None:
    """A figure that a server has not is an empty cell."""
    figures = summary([{"speaking": 2.0}, {"speaking": 3.0}, {"speaking": 2.5, "setup": None}])
    text = table([("ours", figures), ("other", {})])
    assert "| CPU, agent speaking, times F | 2.50 (2.00 to 3.00) |  |" in text
    assert "offer to connected" not in text


def test_the_table_takes_its_place_in_the_document() -> None:
    """Again and again, and in no other document."""
    document = "before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n"
    once = with_table(document, "new")
    assert once == "before\n<!-- table -->\n\nnew\n\n<!-- end of table -->\nafter\n"
    assert with_table(once, "new") == once
    with pytest.raises(ValueError, match="no place"):
        with_table("before", "new")


def test_the_picture_is_xml_with_a_bar_for_each_value() -> None:
    """Labels are escaped."""
    root = ElementTree.fromstring(bars_svg([("cost & more", [("ours", 1.0), ("<b>", 2.0)])]))
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert [float(one.attrib["width"]) for one in bars] == [215.0, 430.0]


def test_kept_results_have_machine_versions_and_figures() -> None:
    """Every file of ``benches/results``."""
    for path in (BENCHES / "results").glob("*.json"):
        result = json.loads(path.read_text())
        assert {"cpu", "cores", "kernel", "python", "libopus"} <= set(result["machine"])
        ways = result.get("ways", {})
        assert "servers" in result or ways or result["versions"]
        for way in ways.values():
            # The way without a server has none whose version would matter.
            assert bool(way["versions"]) == bool(way["work"])
            assert way["summary"]
        for server in result.get("servers", {}).values():
            assert server["versions"]
            assert server["work"]
            assert server["figures"]["floor_ms"]["median"] > 0


def test_the_kept_fuzz_run_is_of_a_million_packets_and_accounts_for_each() -> None:
    """Half of them for each decoder."""
    kept = json.loads((BENCHES / "results" / "fuzz.json").read_text())
    assert kept["packets"] >= 1_000_000
    assert set(kept["decoders"]) == {"pyav", "libopus"}
    for one in kept["decoders"].values():
        assert sum(one["sent"].values()) == sum(one["fates"].values()) == one["packets"]


def test_peers_are_pinned_with_hashes_and_without_host_names() -> None:
    """What is compared with is the same tomorrow, from whatever index."""
    text = (BENCHES / "requirements-peers.txt").read_text()
    pins = re.findall(r"^[a-z0-9][^\n]*\\\n    --hash=sha256:", text, re.M)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.M))
    assert not [one for one in text.split() if urlsplit(one).netloc]


# -- fuzz and soak -------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["pyav", "libopus"])
def test_the_packet_path_keeps_its_promises_whatever_is_sent(
    decoder: Literal["pyav", "libopus"],
) -> None:
    """Some thousand datagrams of every kind; a million are sent by hand."""
    tally = fuzz(decoder, 6000, seed=11, longest_flood=600)
    assert tally.datagrams >= 6000
    assert tally.bouts == 3
    assert min(tally.sent[kind] for kind in ("valid", "mutated Opus", "RTCP", "STUN")) > 10
    assert min(tally.fates.values()) > 0
    assert tally.given_s > 60


def test_a_broken_promise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget of ten times as much is too much."""
    monkeypatch.setattr("rtc_server.peer.uplink.BURST_S", 100.0)
    with pytest.raises(BrokenPromise, match="more than the budget"):
        fuzz("libopus", 30_000, seed=1)


def soaked(
    minutes: int, *, mb_a_minute: float = 0.0, events_a_minute: int = 0, more: int = 0
) -> list[Sample]:
    """A sample a minute of a server that grows so much; every fifth an 11th call lingers."""
    return [
        Sample(
            minutes=float(n),
            calls=10 + (n % 5 == 0),
            placed=10 + 3 * n,
            events=events_a_minute * n,
            # It warms up, and now and then the allocator takes a lot and gives it back.
            resident_mb=150 + min(n, 10) * 3 + mb_a_minute * n + 40 * (n % 9 == 8),
            threads=2,
            descriptors=28 + 2 * (n % 5 == 0) + more * n // minutes,
            cpu_ms=30.0,
        )
        for n in range(minutes + 1)
    ]


def test_the_slope_is_that_of_most_points() -> None:
    """A few that lie far off do not move it."""
    assert robust_slope([(float(n), 2.0 * n + 1000 * (n == 7)) for n in range(20)]) == 2.0
    assert robust_slope([(1.0, 5.0)]) == 0.0


def test_a_server_that_is_warm_and_stays_has_not_grown() -> None:
    """Nor has one in which ADK's history alone grows, or a call lingers."""
    assert judge(soaked(60), event_kb=3.0).failures == []
    history = judge(soaked(60, mb_a_minute=0.3, events_a_minute=100), event_kb=3.0)
    assert history.mb_an_hour == pytest.approx(18.0, abs=0.5)
    assert history.history_mb_an_hour == pytest.approx(17.6, abs=0.1)
    assert history.failures == []


def test_a_server_that_grows_is_found() -> None:
    """By its memory, by its descriptors."""
    assert "memory grows by 18.0 MB" in judge(soaked(60, mb_a_minute=0.3), event_kb=3.0).failures[0]
    assert "descriptors" in judge(soaked(60, more=20), event_kb=3.0).failures[0]


def test_a_short_run_says_nothing_of_memory() -> None:
    """The allocator is still warming up."""
    verdict = judge(soaked(5, mb_a_minute=3.0), event_kb=3.0)
    assert not verdict.is_long_enough
    assert verdict.failures == []


def test_a_series_is_thinned_to_one_sample_a_minute_and_the_last() -> None:
    """Four a minute were taken."""
    series = [replace(soaked(1)[0], minutes=n / 4) for n in range(10)]
    assert [one.minutes for one in thinned(series)] == [0.0, 1.0, 2.0, 2.25]


def test_lag_is_read_from_the_difference_of_two_scrapes() -> None:
    """What was before does not count."""
    text = """# TYPE rtc_calls_active gauge
rtc_calls_active 7.0
# TYPE rtc_event_loop_lag_seconds histogram
rtc_event_loop_lag_seconds_bucket{le="0.01"} %d
rtc_event_loop_lag_seconds_bucket{le="0.05"} %d
rtc_event_loop_lag_seconds_bucket{le="+Inf"} %d
"""
    before, after = parse_metrics(text % (100, 200, 300)), parse_metrics(text % (198, 300, 400))
    assert after.calls == 7
    assert lag_p99_ms(before, after) == 50.0
    assert lag_p99_ms(after, after) is None


def test_the_pause_between_two_talk_spurts_is_no_gap() -> None:
    """The RTP clock tells the one from the other."""
    packets = received(100)
    packets += [
        replace(one, at=one.at + 5.0, timestamp=one.timestamp + 200_000, sequence_number=n + 100)
        for n, one in enumerate(received(100))
    ]
    gap = gap_p99_ms([packets])
    assert gap == pytest.approx(20.0, abs=0.1)


def test_an_event_of_adks_history_weighs_some_kilobytes() -> None:
    """What a soak takes off."""
    assert 0.5 < event_kb() < 20


# -- the load client -----------------------------------------------------------------------


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
