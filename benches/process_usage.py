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
    """The usage of one process now, without its children.

    Raises:
        ProcessLookupError: there is none.
    """
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
