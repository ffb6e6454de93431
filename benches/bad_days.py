"""Many calls on a model that fails at random: is every turn accounted for, and nothing left?

Three processes: a stand-in for the Gemini Live API (``python -m tests.gemini``) whose connections
have bad days of every kind and which is away for everybody now and then; our server, with ADK's
``Gemini`` and Google's client; and the callers, who type or speak, are answered, interrupt, hang
up and call again.  Run::

    python -m benches.bad_days --calls 50 --seconds 300

It writes ``benches/results/bad_days.json`` and ends with 1 if a promise was broken: a turn that was
neither answered nor told to be lost, a silence longer than the watchdog's time, a call that ended
without a word, more connections to the model in a second than the cap, or to one that is known to
be away than probes of it, memory that grows, a descriptor or a thread that is left.  Attempts that
the stand-in refuses are counted, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rtc_server.agent.models.circuit_breaker import BreakerRules

from .bad_day_callers import Callers, Report
from .growth import MOST_DESCRIPTORS, MOST_THREADS
from .machine import describe_machine
from .process_usage import usage_of
from .weighed_server import Weight, weigh

__all__ = [
    "Footprint",
    "broken_by_outages",
    "broken_by_reconnects",
    "most_in",
    "most_in_outages",
]

RESULTS = Path(__file__).parent / "results"
CHECKOUT = Path(__file__).resolve().parents[1]

ANSWER_S = 8.0
"""The watchdog's time, as the server is told."""

MARGIN_S = 2.0
"""From the watchdog's time to the word of it: of what is said aloud the server's own detector is
to find the end, and the books are looked at now and then."""

MOST_MB_A_MINUTE = 2.0
"""From the end of the first round to that of the last, each without a call, beyond what sessions
in memory add by nature: a leak of 5 kB a turn is found."""

MOST_OBJECTS_A_MINUTE = 500.0
"""Likewise, of those that hang on no session.  Some are made once, when they are first needed, or
belong to connections that are closing; one that is left by each turn of fifty callers is found."""

LEAST_MINUTES = 3.0
"""Between those; a shorter run says nothing of what grows in a minute."""

ROUNDS = 3
"""The run is cut into so many parts; between them all hang up, and the server is weighed."""

_WARM_UP_S = 6.0
_SAMPLE_EVERY_S = 5.0
_START_TIMEOUT_S = 60.0
_WINDOW_S = 10.0


# Arithmetic --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Footprint:
    """The server at one moment."""

    at: float
    resident_mb: float
    threads: int
    descriptors: int
    turns: int


def most_in(times: Sequence[float], window_s: float) -> int:
    """The most of these times, in order, that lie in one window of that length."""
    most = begin = 0
    for end, at in enumerate(times):
        while times[begin] <= at - window_s:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def most_in_outages(times: Sequence[float], outages: Sequence[tuple[float, float]]) -> int:
    """The most attempts in the second half of an outage: by then the model is known to be away."""
    return max(
        (sum(at + s / 2 <= one <= at + s for one in times) for at, s in outages),
        default=0,
    )


def broken_by_reconnects(times: Sequence[float], rules: BreakerRules) -> list[str]:
    """Whether more connections were opened than the rules allow."""
    broken = []
    for window_s in (1.0, _WINDOW_S):
        most, cap = most_in(times, window_s), rules.burst + rules.connects_per_s * window_s
        if most > cap:
            broken.append(f"{most} connections to the model in {window_s:g} s; the cap is {cap:g}")
    return broken


def broken_by_outages(
    times: Sequence[float], outages: Sequence[tuple[float, float]], rules: BreakerRules
) -> list[str]:
    """Whether a model that was known to be away was tried more often than by probes."""
    most = most_in_outages(times, outages)
    cap = max((_most_probes(s / 2, rules) for _, s in outages), default=0)
    return [f"{most} attempts late in an outage; the cap is {cap}"] if most > cap else []


def _most_probes(seconds: float, rules: BreakerRules) -> int:
    """So many in that time, if each fails at once and each pause is as short as can be."""
    shortest = replace(rules, random=lambda: 0.0)
    at, probes = 0.0, 0
    while at <= seconds:
        probes += 1
        at += shortest.pause_s(probes)
    return probes


@dataclass(frozen=True, slots=True)
class Growth:
    """In a minute."""

    mb: float
    history_mb: float
    """Of these, in sessions."""
    objects: float
    """That hang on no session."""

    @property
    def broken(self) -> list[str]:
        """What is too much."""
        broken = []
        if self.mb - self.history_mb > MOST_MB_A_MINUTE:
            broken.append(
                f"memory grows by {self.mb:.1f} MB a minute, {self.history_mb:.1f} of it history"
            )
        if self.objects > MOST_OBJECTS_A_MINUTE:
            broken.append(f"{self.objects:.0f} objects a minute are left that are no history")
        return broken


def growth(weights: Sequence[Weight]) -> Growth:
    """From the first weight to the last."""
    first, last = weights[0], weights[-1]
    minutes = (last.at - first.at) / 60
    return Growth(
        mb=(last.resident_mb - first.resident_mb) / minutes,
        history_mb=(last.events_mb - first.events_mb) / minutes,
        objects=(last.objects - first.objects) / minutes,
    )


# Processes ---------------------------------------------------------------------


@contextlib.contextmanager
def stand_in(seed: int, share_bad: float, outage_every_s: float) -> Iterator[_StandIn]:
    """The stand-in, running; its report is there once the context is left."""
    command = [sys.executable, "-m", "tests.gemini", f"--seed={seed}", f"--share-bad={share_bad}"]
    command += [f"--outage-every={outage_every_s}", "--outage-seconds=6"]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        running = _StandIn(json.loads(process.stdout.readline())["environment"])
        yield running
        process.send_signal(signal.SIGTERM)
        running.report = json.loads(process.stdout.readline())
        process.wait(10.0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass(slots=True)
class _StandIn:
    environment: dict[str, str]
    report: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def serving(
    environment: dict[str, str], max_calls: int, log: Path, weight: Path
) -> Iterator[tuple[str, int]]:
    """Our server on the stand-in's model; yields its URL and the id of its process.

    It writes its weight to ``weight``.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benches.weighed_server", str(weight)]
    command += ["serve", "tests.gemini.agent:root_agent"]
    command += ["--port", str(port), "--answer-seconds", str(ANSWER_S)]
    command += ["--max-calls", str(max_calls), "--log-level", "warning"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            try:
                process.wait(15.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5.0):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server did not start")


def waited_s(pid: int) -> float:
    """How long the first thread of a process has waited for a processor that others had."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


# The run -----------------------------------------------------------------------


def footprint(pid: int, turns: int) -> Footprint:
    """The server's, now."""
    usage = usage_of(pid)
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return Footprint(
        time.monotonic(), usage.resident_bytes / 2**20, usage.threads, descriptors, turns
    )


@dataclass(slots=True)
class Run:
    """What was seen of one."""

    report: Report
    prints: list[Footprint]
    weights: list[Weight]
    """After each round."""
    waited: dict[str, float]
    """What share of the time the server and the callers waited for a processor."""
    before: Footprint
    after: Footprint
    stand_in: dict[str, Any] = field(default_factory=dict)


async def live_through(url: str, pid: int, weight: Path, options: argparse.Namespace) -> Run:
    """Warm up, let them all call in rounds, and wait each time until nothing should be left."""
    warm = Callers(url, 4, ANSWER_S + MARGIN_S, seed=options.seed + 1)
    await warm.run(_WARM_UP_S)
    before = await _settled(url, pid, 0)  # of the first round, in the end
    callers = Callers(
        url,
        options.calls,
        ANSWER_S + MARGIN_S,
        aloud=options.aloud,
        text=options.text,
        seed=options.seed,
    )
    prints: list[Footprint] = []
    weights: list[Weight] = []

    async def sample() -> None:
        while True:
            await asyncio.sleep(_SAMPLE_EVERY_S)
            turns = sum(len(one.turns) for one in callers.accounts)
            prints.append(footprint(pid, turns))

    sampling = asyncio.create_task(sample(), name="samples")
    begun_at, ids = time.monotonic(), {"server": pid, "callers": os.getpid()}
    begun = {name: waited_s(one) for name, one in ids.items()}
    try:
        for number in range(ROUNDS):
            callers.seed = options.seed + number
            report = await callers.run(options.seconds / ROUNDS)
            after = await _settled(url, pid, report.turns)
            weights.append(await asyncio.to_thread(weigh, pid, weight))
            if number == 0:
                before = after  # pools of threads have grown to what so many calls need
    finally:
        sampling.cancel()
    took_s = time.monotonic() - begun_at
    waited = {name: (waited_s(one) - begun[name]) / took_s for name, one in ids.items()}
    return Run(report, prints, weights, waited, before, after)


async def _settled(url: str, pid: int, turns: int) -> Footprint:
    """Once the last call has ended, and what it had is closed."""
    deadline = time.monotonic() + 40.0
    while time.monotonic() < deadline:
        await asyncio.sleep(1.0)
        if await asyncio.to_thread(_active_calls, url) == 0:
            break
    await asyncio.sleep(2.0)
    return footprint(pid, turns)


def _active_calls(url: str) -> int:
    with urllib.request.urlopen(f"{url}/metrics", timeout=5.0) as response:
        for line in response.read().decode().splitlines():
            if line.startswith("rtc_calls_active "):
                return int(float(line.split()[1]))
    return -1


def judge(run: Run) -> tuple[dict[str, Any], list[str]]:
    """The figures, and the promises that were broken."""
    broken = list(run.report.broken)
    # Those that were refused at the door are no connections, and would be a storm none the less.
    attempts = sorted(run.stand_in["attempted_at"] + run.stand_in["refused_at"])
    outages = [(at, s) for at, s in run.stand_in["outages"] if s >= 5.0]
    broken += broken_by_reconnects(attempts, BreakerRules())
    broken += broken_by_outages(attempts, outages, BreakerRules())
    figures: dict[str, Any] = {
        "connections_in_1_s": most_in(attempts, 1.0),
        "connections_in_10_s": most_in(attempts, _WINDOW_S),
        "connects": len(attempts),
        "outages": len(outages),
        "connections_late_in_an_outage": most_in_outages(attempts, outages),
        "descriptors_left": run.after.descriptors - run.before.descriptors,
        "threads_left": run.after.threads - run.before.threads,
    }
    if figures["descriptors_left"] > MOST_DESCRIPTORS:
        broken.append(f"{figures['descriptors_left']} descriptors are left")
    if figures["threads_left"] > MOST_THREADS:
        broken.append(f"{figures['threads_left']} threads are left")
    grown = growth(run.weights)
    figures |= {
        "mb_a_minute": round(grown.mb, 2),
        "history_mb_a_minute": round(grown.history_mb, 2),
        "objects_a_minute": round(grown.objects, 1),
        "most_resident_mb": round(max(one.resident_mb for one in run.prints), 1),
        "waited_for_a_processor": {name: round(one, 3) for name, one in run.waited.items()},
    }
    minutes = (run.weights[-1].at - run.weights[0].at) / 60
    if minutes >= LEAST_MINUTES:
        broken += grown.broken
    return figures, broken


def main() -> int:
    """Run, judge, and write the result."""
    parser = argparse.ArgumentParser(description="Many calls on a model that fails at random.")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--aloud", type=int, default=6, help="callers with an open microphone")
    parser.add_argument("--text", type=int, default=25, help="callers who read and do not hear")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share-bad", type=float, default=0.5, help="of the model's connections")
    parser.add_argument("--outage-every", type=float, default=60.0, help="seconds")
    parser.add_argument("--output", type=Path, default=RESULTS / "bad_days.json")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="of the server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weight = Path(folder) / "weight"
        with (
            stand_in(options.seed, options.share_bad, options.outage_every) as api,
            serving(api.environment, options.calls + 10, options.log, weight) as (url, pid),
        ):
            run = asyncio.run(live_through(url, pid, weight, options))
    run.stand_in = api.report
    figures, broken = judge(run)
    result = {
        "taken_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": describe_machine(),
        "versions": {one: version(one) for one in ("google-adk", "google-genai", "aiortc")},
        "calls": options.calls,
        "aloud": options.aloud,
        "text": options.text,
        "seconds": options.seconds,
        "seed": options.seed,
        "watchdog_s": ANSWER_S,
        "deeds": run.stand_in["deeds"],
        "report": asdict(run.report),
        "figures": figures,
        "broken": broken,
        "weights": [asdict(one) for one in run.weights],
        "samples": [
            {key: round(value, 1) for key, value in asdict(one).items()} for one in run.prints
        ],
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    shown = {key: result[key] for key in ("deeds", "report", "figures", "broken")}
    print(json.dumps(shown, indent=1))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
