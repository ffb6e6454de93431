"""How many calls a server takes by itself, and whether those are on time.

Our server, pinned to one core and without ``--max-calls``, gets one call after another, each of
which speaks from then on, until it has refused five in a row (503). That load is held, and
judged as in ``calls.py``. Run::

    python -m benches.overload
    python -m benches.overload --servers ours --runs 1 --seconds 6

A server that refuses early wastes a core; one whose calls are late refused too late.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .calls import RESULTS, summary, table, versions
from .machine import describe_machine
from .processes import LoadFailed, place_load, serving
from .under_test.catalogue import BY_HEADROOM, ServerUnderTest

__all__ = ["ROWS", "figures_of"]

_MOST_CALLS = 120

ROWS: tuple[tuple[str, str, str], ...] = (
    ("floor_ms", "F, ms of CPU per call-second", ".1f"),
    ("taken", "calls taken", ".0f"),
    ("on_time", "runs in which they are on time, of 1", ".2f"),
    ("gap_p99", "gap p99, ms", ".1f"),
    ("delay_p99", "delay against the RTP clock p99, ms", ".1f"),
    ("received", "packets received, of those due", ".3f"),
    ("latency_p50", "latency p50, ms", ".1f"),
    ("latency_p99", "latency p99, ms", ".1f"),
    ("core_share", "CPU used, of the core", ".2f"),
    ("calls_lost", "calls lost", ".0f"),
    ("client_late", "the client's own lateness, max, ms", ".1f"),
)


def figures_of(report: dict[str, Any]) -> dict[str, float | None]:
    """One run's report as the rows of the table have it.

    Raises:
        LoadFailed: the server refused no call.
    """
    if not report["was_refused"]:
        raise LoadFailed(f"took {report['calls']} calls and refused none")
    [phase] = report["phases"]
    return {
        "floor_ms": report["floor_ms"],
        "taken": report["calls"],
        "on_time": float(phase["on_time"]),
        "gap_p99": phase["gap_p99_ms"],
        "delay_p99": phase["delay_p99_ms"],
        "received": phase["received"],
        "latency_p50": phase["latency_p50_ms"],
        "latency_p99": phase["latency_p99_ms"],
        "core_share": phase["cpu_ms"] * report["calls"] / 1000,
        "calls_lost": report["calls_lost"],
        "client_late": report["client_late_ms"],
    }


def _measure(server: ServerUnderTest, options: argparse.Namespace) -> dict[str, Any]:
    with serving(server) as running:
        return place_load(
            running,
            calls=_MOST_CALLS,
            phases=("speaking",),
            seconds=options.seconds,
            pace_s=options.pace,
        )


def run(servers: Sequence[ServerUnderTest], options: argparse.Namespace) -> dict[str, Any]:
    """All runs, the servers by turns; what is kept of them."""
    runs: dict[str, list[dict[str, float | None]]] = {one.name: [] for one in servers}
    reports, failures = [], []
    for number in range(options.runs):
        for server in servers:
            try:
                report = _measure(server, options)
                reports.append(report)
                runs[server.name].append(figures_of(report))
                said = f"{report['calls']} calls"
            except LoadFailed as failure:
                said = str(failure)
                failures.append(f"{server.title}: {failure}")
            print(f"run {number + 1}: {server.title}: {said}", file=sys.stderr, flush=True)
    return {
        "taken_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": describe_machine(),
        "settings": {
            "runs": options.runs,
            "seconds_held": options.seconds,
            "seconds_between_calls": options.pace,
            "cores_of_the_server": 1,
        },
        "servers": {
            one.name: {
                "title": one.title,
                "work": one.work,
                "versions": versions(one),
                "figures": summary(runs[one.name]),
            }
            for one in servers
            if runs[one.name]
        },
        "failures": failures,
        "reports": reports,
    }


def _parse(arguments: Iterable[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--servers", default=",".join(BY_HEADROOM))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="that the load is held")
    parser.add_argument("--pace", type=float, default=1.0, help="seconds from call to call")
    parser.add_argument("--output", type=Path, default=RESULTS / "overload.json")
    return parser.parse_args(None if arguments is None else list(arguments))


def main() -> None:
    """Measure, print the table, keep the result."""
    options = _parse()
    result = run([BY_HEADROOM[name] for name in options.servers.split(",")], options)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    columns = [(one["title"], one["figures"]) for one in result["servers"].values()]
    print(table(columns, ROWS))
    for failure in result["failures"]:
        print(f"\nDid not run: {failure}")


if __name__ == "__main__":
    main()
