"""What calls cost, how many are on time, and how late the answers are: whole servers.

Each server runs alone, pinned to one core, the load client on another; what the figures mean
is said in ``analysis.py``, ``floor.py`` and ``docs/performance.md``.  Run::

    make bench          # ours: with ADK in the path, and with ADK bypassed
    make bench-peers    # the same, and aiortc, Pipecat and FastRTC, side by side
    python -m benches.calls --servers ours,aiortc --runs 1 --seconds 4 --no-search

The servers take turns, run by run, so that what the machine does meanwhile meets them all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .analysis import calls_on_time
from .machine import describe_machine
from .plot import bars_svg
from .processes import LoadFailed, place_load, serving
from .under_test.catalogue import OURS, PEERS, SERVERS, ServerUnderTest

__all__ = ["RESULTS", "adk_share", "figures_of", "summary", "table", "versions", "with_table"]

RESULTS = Path(__file__).parent / "results"

PHASES = ("speaking", "loss-1", "after-1", "loss-5", "after-5", "silent")
_TABLE_BEGINS, _TABLE_ENDS = "<!-- table -->", "<!-- end of table -->"
_SEARCH_SECONDS = 6.0
_MOST_CALLS = 80

ROWS: tuple[tuple[str, str, str], ...] = (
    ("floor_ms", "F, ms of CPU per call-second", ".1f"),
    ("few_speaking", "CPU with few calls, agent speaking, times F", ".2f"),
    ("few_silent", "CPU with few calls, both silent, times F", ".2f"),
    ("few_latency_p50", "latency with few calls, p50, ms", ".1f"),
    ("speaking", "CPU, agent speaking, times F", ".2f"),
    ("speaking_ms", "  the same in ms per call-second", ".1f"),
    ("loss-5", "CPU, speaking, 5 % loss, times F", ".2f"),
    ("silent", "CPU, both silent, times F", ".2f"),
    ("silent_ms", "  the same in ms per call-second", ".1f"),
    ("silent_packets", "  packets a second it sends then", ".0f"),
    ("adk_speaking_ms", "ADK's share of it, agent speaking, ms per call-second", ".1f"),
    ("adk_silent_ms", "ADK's share of it, both silent, ms per call-second", ".1f"),
    ("latency_p50", "latency p50, ms", ".1f"),
    ("latency_p99", "latency p99, ms", ".1f"),
    ("latency_loss_5", "latency p50 under 5 % loss, ms", ".1f"),
    ("latency_after_1", "latency p50 after 1 % loss, ms", ".1f"),
    ("latency_after_5", "latency p50 after 5 % loss, ms", ".1f"),
    ("gap_p99", "gap p99, ms", ".1f"),
    ("delay_p99", "delay against the RTP clock p99, ms", ".1f"),
    ("received", "packets received, of those due", ".3f"),
    ("gap_p99_loss_5", "gap p99 under 5 % loss, ms", ".1f"),
    ("last_old_audio", "last old audio after `interrupted`, max, ms", ".1f"),
    ("barge_in", "  after the caller's first sound, max, ms", ".1f"),
    ("setup", "offer to connected, p50, ms", ".1f"),
    ("setup_cpu", "  CPU of a set-up, ms", ".1f"),
    ("memory", "memory a call, MB", ".2f"),
    ("threads", "threads a call", ".2f"),
    ("on_time", "calls on time on one core", ".0f"),
    ("calls_lost", "calls lost", ".0f"),
    ("client_late", "the client's own lateness, max, ms", ".1f"),
)


def figures_of(report: dict[str, Any]) -> dict[str, float | None]:
    """One run's report as the rows of the table have it."""
    phases = {one["name"]: one for one in report["phases"]}
    figures: dict[str, float | None] = {
        "floor_ms": report["floor_ms"],
        "setup": report["setup_p50_ms"],
        "setup_cpu": report["setup_cpu_ms"],
        "memory": report["memory_mb_per_call"],
        "threads": report["threads_per_call"],
        "client_late": report["client_late_ms"],
        "calls_lost": report["calls_lost"],
    }
    for name in ("speaking", "loss-5", "silent"):
        if name in phases:
            figures[name] = phases[name]["cpu_floors"]
            figures[f"{name}_ms"] = phases[name]["cpu_ms"]
    for figure, phase, key in (
        ("latency_p50", "speaking", "latency_p50_ms"),
        ("latency_p99", "speaking", "latency_p99_ms"),
        ("latency_loss_5", "loss-5", "latency_p50_ms"),
        ("latency_after_1", "after-1", "latency_p50_ms"),
        ("latency_after_5", "after-5", "latency_p50_ms"),
        ("gap_p99", "speaking", "gap_p99_ms"),
        ("delay_p99", "speaking", "delay_p99_ms"),
        ("received", "speaking", "received"),
        ("gap_p99_loss_5", "loss-5", "gap_p99_ms"),
        ("silent_packets", "silent", "packets_per_s"),
    ):
        if phase in phases:
            figures[figure] = phases[phase][key]
    if (old := report["last_old_audio_ms"]) is not None:
        figures["last_old_audio"] = old["after_turn_max"]
        figures["barge_in"] = old["after_sound_max"]
    return figures


def adk_share(
    with_adk: Mapping[str, float | None], bypassed: Mapping[str, float | None]
) -> dict[str, float | None]:
    """What ADK in the path takes of a call's second: the difference, each in its own floor.

    The floor F of the two runs differs by what the machine did meanwhile; the difference is told
    in ms of the run with ADK.
    """
    shares: dict[str, float | None] = {}
    floor_ms = with_adk.get("floor_ms")
    for phase in ("speaking", "silent"):
        cost, without = with_adk.get(phase), bypassed.get(phase)
        if cost is not None and without is not None and floor_ms is not None:
            shares[f"adk_{phase}_ms"] = (cost - without) * floor_ms
    return shares


def summary(runs: Sequence[dict[str, float | None]]) -> dict[str, dict[str, float]]:
    """For each figure its median over the runs, the least and the most."""
    made = {}
    for key in dict.fromkeys(key for run in runs for key in run):
        values = [value for run in runs if (value := run.get(key)) is not None]
        if values:
            made[key] = {
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
            }
    return made


def table(
    columns: Sequence[tuple[str, dict[str, dict[str, float]]]],
    rows: Sequence[tuple[str, str, str]] = ROWS,
) -> str:
    """Markdown: a row a figure, a column a server; medians, least and most in brackets."""
    lines = [
        "| figure | " + " | ".join(title for title, _ in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for key, title, spec in rows:
        cells = [_cell(one.get(key), spec) for _, one in columns]
        if any(cells):
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: dict[str, float] | None, spec: str) -> str:
    if figure is None:
        return ""
    median, low, high = (format(figure[key], spec) for key in ("median", "min", "max"))
    return median if low == high else f"{median} ({low} to {high})"


class _Bench:
    """All runs of all servers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._servers = [SERVERS[name] for name in options.servers.split(",")]
        self.runs: dict[str, list[dict[str, float | None]]] = {
            one.name: [] for one in self._servers
        }
        self.reports: list[dict[str, Any]] = []
        self.failures: list[str] = []

    def run(self) -> None:
        """Three rounds, say, in each of which every server has its turn."""
        for number in range(self._options.runs):
            for server in self._servers:
                self._say(f"run {number + 1}: {server.title}")
                figures = self._standard(server)
                if figures is None:
                    continue
                if self._options.search:
                    figures["on_time"] = self._search(server, figures)
                self.runs[server.name].append(figures)
            self._add_adk_share()

    def _add_adk_share(self) -> None:
        """Of the round just done, if both of ours were in it."""
        both = [self.runs.get(one.name, []) for one in OURS]
        if len(both[0]) == len(both[1]) and both[0]:
            both[0][-1].update(adk_share(both[0][-1], both[1][-1]))

    def calls_of(self, server: ServerUnderTest) -> int:
        """Peers keep fewer calls: what they cost is measured where they are on time."""
        calls: int = self._options.peer_calls if server.peer else self._options.calls
        return calls

    def _standard(self, server: ServerUnderTest) -> dict[str, float | None] | None:
        phases = [*PHASES, "story"] if server.tells_stories else list(PHASES)
        figures = self._measure(server, self.calls_of(server), phases)
        few = figures
        if not server.peer:
            few = self._measure(server, self._options.peer_calls, ("speaking", "silent"))
        if figures is not None and few is not None:
            # At the number of calls that every server keeps on time, side by side.
            for key in ("speaking", "silent", "latency_p50"):
                figures[f"few_{key}"] = few[key]
        return figures

    def _measure(
        self, server: ServerUnderTest, calls: int, phases: Sequence[str]
    ) -> dict[str, float | None] | None:
        try:
            with serving(server) as running:
                report = place_load(
                    running, calls=calls, phases=phases, seconds=self._options.seconds
                )
        except LoadFailed as failure:
            self._fail(f"{server.title}: {failure}")
            return None
        self.reports.append(report)
        return figures_of(report)

    def _search(self, server: ServerUnderTest, figures: dict[str, float | None]) -> float:
        cpu_s = (figures.get("speaking_ms") or 50.0) / 1000
        guess = round(0.8 / max(cpu_s, 0.01))
        return float(
            calls_on_time(lambda calls: self._is_on_time(server, calls), guess, most=_MOST_CALLS)
        )

    def _is_on_time(self, server: ServerUnderTest, calls: int) -> bool:
        try:
            with serving(server) as running:
                report = place_load(
                    running, calls=calls, phases=("speaking",), seconds=_SEARCH_SECONDS
                )
        except LoadFailed as failure:
            self._say(f"  {failure}")
            return False
        [phase] = report["phases"]
        self._say(
            f"  {calls} calls: gap {phase['gap_p99_ms']} ms, delay {phase['delay_p99_ms']} ms, "
            f"{phase['received']} received: {'on time' if phase['on_time'] else 'late'}"
        )
        return bool(phase["on_time"])

    def _fail(self, what: str) -> None:
        self._say(what)
        self.failures.append(what)

    @staticmethod
    def _say(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    def result(self) -> dict[str, Any]:
        """All that is kept of it."""
        return {
            "taken_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "machine": describe_machine(),
            "settings": {
                "runs": self._options.runs,
                "seconds_a_phase": self._options.seconds,
                "cores_of_the_server": 1,
            },
            "servers": {
                one.name: {
                    "title": one.title,
                    "work": one.work,
                    "calls": self.calls_of(one),
                    "versions": versions(one),
                    "figures": summary(self.runs[one.name]),
                }
                for one in self._servers
                if self.runs[one.name]
            },
            "failures": self.failures,
            "reports": self.reports,
        }


def versions(server: ServerUnderTest) -> dict[str, str]:
    """Of the packages that a server's result depends on."""
    code = "import sys, importlib.metadata as m; print(*(m.version(one) for one in sys.argv[1:]))"
    done = subprocess.run(
        [str(server.python), "-c", code, *server.packages],
        capture_output=True,
        text=True,
        check=False,
    )
    return dict(zip(server.packages, done.stdout.split(), strict=False))


def markdown(result: dict[str, Any]) -> str:
    """The table of a result, with what it was taken on."""
    servers = result["servers"]
    machine = result["machine"]
    columns = [
        (f"{one['title']}, {one['calls']} calls", one["figures"]) for one in servers.values()
    ]
    versions = sorted({f"{k} {v}" for one in servers.values() for k, v in one["versions"].items()})
    lines = [
        f"Taken {result['taken_at']} on {machine['cores']} cores of {machine['cpu']}, "
        f"Linux {machine['kernel']}, Python {machine['python']}, {machine['libopus']}, "
        f"{', '.join(versions)}; medians of {result['settings']['runs']} runs.",
        "",
        table(columns),
    ]
    lines += [f"\nDid not run: {one}" for one in result["failures"]]
    return "\n".join(lines)


def with_table(document: str, text: str) -> str:
    """The document, with what is between its two marks replaced.

    Raises:
        ValueError: it has no marks.
    """
    head, begin, rest = document.partition(_TABLE_BEGINS)
    _, end, tail = rest.partition(_TABLE_ENDS)
    if not begin or not end:
        raise ValueError("the document has no place for the table")
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def plot(result: dict[str, Any]) -> str:
    """Cost and capacity as SVG."""
    servers = result["servers"].values()
    panels = []
    for key, title in (
        ("speaking", "CPU per call, agent speaking (times the floor F)"),
        ("on_time", "Calls on time on one core"),
        ("latency_p50", "Latency through the server, median (ms)"),
    ):
        bars = [
            (one["title"], one["figures"][key]["median"])
            for one in servers
            if key in one["figures"]
        ]
        if bars:
            panels.append((title, bars))
    return bars_svg(panels)


def _parse(arguments: Iterable[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--servers", default=",".join(one.name for one in OURS))
    parser.add_argument("--peers", action="store_true", help="ours and all peers")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each phase")
    parser.add_argument("--calls", type=int, default=20, help="to ours")
    parser.add_argument("--peer-calls", type=int, default=5, help="to each peer")
    parser.add_argument("--no-search", dest="search", action="store_false")
    parser.add_argument("--output", type=Path, default=RESULTS / "calls.json")
    parser.add_argument("--plot", type=Path, help="an SVG file")
    parser.add_argument("--document", type=Path, help="Markdown with marks for the table")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.peers:
        options.servers = ",".join(one.name for one in OURS + PEERS)
    return options


def main() -> None:
    """Measure, print the table, keep the result."""
    options = _parse()
    bench = _Bench(options)
    bench.run()
    result = bench.result()
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    if options.plot is not None:
        options.plot.write_text(plot(result))
    if options.document is not None:
        text = options.document.read_text()
        options.document.write_text(with_table(text, markdown(result)))
    print(markdown(result))


if __name__ == "__main__":
    main()
