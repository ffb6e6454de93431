"""What several processes cost a call: one with N calls, and two workers with N calls each.

The server's processes, the front included, share one core; the callers, the other.  So each
process has as many calls both times, and what differs is that there are several.  Run::

    python -m benches.workers --calls 8 --runs 3
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from .processes import place_load, serving
from .under_test.catalogue import SERVERS, WORKERS

__all__ = ["table"]

_ONE = "ours-adk"


def table(calls: int, floors: dict[str, Sequence[float]]) -> str:
    """Markdown: CPU a call-second, in F of each run, median, least and most."""
    lines = ["| processes | calls | CPU a call, times F |", "|---|---|---|"]
    for title, name, number in (
        ("one", _ONE, calls),
        ("a front and two workers", WORKERS.name, 2 * calls),
    ):
        values = floors[name]
        lines.append(
            f"| {title} | {number} | {statistics.median(values):.2f} "
            f"({min(values):.2f} to {max(values):.2f}) |"
        )
    ratio = statistics.median(floors[WORKERS.name]) / statistics.median(floors[_ONE])
    return "\n".join([*lines, "", f"Workers take {ratio:.2f} times as much a call."])


def main() -> None:
    """Measure in turn, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=8, help="of each process")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    floors: dict[str, Sequence[float]] = {}
    taken: dict[str, list[float]] = {_ONE: [], WORKERS.name: []}
    for _ in range(options.runs):
        for name, calls in ((_ONE, options.calls), (WORKERS.name, 2 * options.calls)):
            with serving(SERVERS[name]) as running:
                report = place_load(
                    running, calls=calls, phases=("speaking",), seconds=options.seconds
                )
            taken[name].append(report["phases"][0]["cpu_floors"])
    floors.update(taken)
    print(table(options.calls, floors))


if __name__ == "__main__":
    main()
