"""What a process uses, as Linux accounts it in ``/proc``."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "parse_cpu_s", "run_time_s", "usage_of"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since its start (user and system, all threads), resident bytes, threads."""

    cpu_s: float
    resident_bytes: int
    threads: int


def parse_cpu_s(stat: str) -> float:
    """CPU seconds out of the text of ``/proc/PID/stat``; the name in it may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def usage_of(pid: int) -> Usage:
    """The usage of a process and of the processes that it has started, which run now.

    Raises:
        ProcessLookupError: there is none.
    """
    first, others = _usage_of_one(pid), []
    for child in _descendants(pid):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            others.append(_usage_of_one(child))
    return Usage(
        first.cpu_s + sum(one.cpu_s for one in others),
        first.resident_bytes + sum(one.resident_bytes for one in others),
        first.threads + sum(one.threads for one in others),
    )


def _descendants(pid: int) -> list[int]:
    """Of the tree of processes below one."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # a process that has just ended
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    found = list(parents.get(pid, []))
    for one in found:  # grows as it goes
        found.extend(parents.get(one, []))
    return found


def _usage_of_one(pid: int) -> Usage:
    folder = Path(f"/proc/{pid}")
    try:
        cpu_s = parse_cpu_s((folder / "stat").read_text())
        status = (folder / "status").read_text()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    values = dict(line.split(":", 1) for line in status.splitlines())
    resident_kb = int(values["VmRSS"].split()[0])
    return Usage(cpu_s, resident_kb * 1024, int(values["Threads"]))


def run_time_s(pid: int) -> float:
    """CPU seconds of the threads that a process has now, to the nanosecond.

    ``usage_of`` counts in hundredths of a second, and threads that have ended, which this leaves
    out.

    Raises:
        ProcessLookupError: there is none.
    """
    total_ns = threads = 0
    for one in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            total_ns += int(one.read_text().split()[0])
            threads += 1
    if not threads:
        raise ProcessLookupError(pid)
    return total_ns / 1e9
