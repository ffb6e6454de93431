"""Starts a server under test on one core and the load client on another."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .under_test.catalogue import ServerUnderTest

__all__ = ["LoadFailed", "Running", "cores", "place_load", "serving"]

CHECKOUT = Path(__file__).resolve().parents[1]
_START_TIMEOUT_S = 60.0
_CLIENT_MARGIN_S = 120.0


class LoadFailed(Exception):
    """The server did not start, or the client could not place its calls."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    server: ServerUnderTest
    port: int
    pid: int


def cores() -> tuple[int, int]:
    """The server's core and the client's: the same one where there is no other."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


def _pinned(core: int) -> list[str]:
    taskset = shutil.which("taskset")
    if taskset is None:
        raise LoadFailed("taskset is not there: apt-get install util-linux")
    return [taskset, "--cpu-list", str(core)]


@contextlib.contextmanager
def serving(server: ServerUnderTest) -> Iterator[Running]:
    """The server, running on its core; it is ended with the context.

    Raises:
        LoadFailed: with the last words of a server that did not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*_pinned(cores()[0]), *server.command(port)], cwd=CHECKOUT, stdout=log, stderr=log
        )
        try:
            if not _answers(f"http://127.0.0.1:{port}{server.ready_path}", process):
                log.seek(0)
                last = log.read().strip().splitlines()[-1:] or ["without a word"]
                raise LoadFailed(f"{server.title} did not start: {last[0]}")
            yield Running(server, port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5.0):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False


def place_load(
    running: Running,
    *,
    calls: int,
    phases: Sequence[str],
    seconds: float,
    pace_s: float | None = None,
) -> dict[str, Any]:
    """The report of the load client, see ``load_client.py``.

    Args:
        pace_s: seconds from call to call, each of which speaks at once, until five in a
            row are refused or there are so many; None: all are placed as fast as that goes.

    Raises:
        LoadFailed: the client ended otherwise.
    """
    command = [
        *_pinned(cores()[1]),
        sys.executable,
        "-m",
        "benches.load_client",
        running.server.name,
        f"--port={running.port}",
        f"--pid={running.pid}",
        f"--calls={calls}",
        f"--phases={','.join(phases)}",
        f"--seconds={seconds}",
    ]
    if pace_s is not None:
        command.append(f"--until-refused={pace_s}")
    timeout_s = calls * (2.0 + (pace_s or 0.0)) + len(phases) * (seconds + 3.0) + _CLIENT_MARGIN_S
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"the client did not end in {timeout_s:.0f} s") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise LoadFailed(f"{calls} calls: {last[0]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report
