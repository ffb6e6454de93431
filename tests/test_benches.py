"""The benches measure what they say: their arithmetic, their signal, their tables."""

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
from urllib.parse import urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest

from benches import floor, libopus, workers
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
from benches.calls import summary, table, with_table
from benches.light_call import Received, SentPacket
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
from benches.soak import gap_p99_ms
from benches.under_test.bypassed import LoopBackSession
from benches.under_test.catalogue import SERVERS, VARIANTS
from rtc_server.agent.live_session import LiveSession

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


def test_the_pause_between_two_talk_spurts_is_no_gap() -> None:
    """The RTP clock tells the one from the other."""
    packets = received(100)
    packets += [
        replace(one, at=one.at + 5.0, timestamp=one.timestamp + 200_000, sequence_number=n + 100)
        for n, one in enumerate(received(100))
    ]
    gap = gap_p99_ms([packets])
    assert gap == pytest.approx(20.0, abs=0.1)


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
