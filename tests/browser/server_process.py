"""The real server, as a process of its own, as a person starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import STDOUT, Process
from pathlib import Path
from types import TracebackType

from tests.held_port import hold_port

__all__ = ["RESULTS", "ServerProcess"]

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "test-results"
"""What a test run leaves for people: screenshots, recordings, the server's log."""

_NOT_BY_MEASURE = ("--max-calls", "100")
"""Else calls are refused where the machine has other things to do."""

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 15


class ServerProcess:
    """``rtc-server serve`` on one port of loopback, from ``async with`` until its end."""

    def __init__(self, agent: str = "local", *options: str) -> None:
        self._held = hold_port()
        self.port: int = self._held.getsockname()[1]
        self._arguments = ["serve", agent, "--port", str(self.port), *_NOT_BY_MEASURE, *options]
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """The process that was started; only while it runs."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> ServerProcess:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._held:
            await self.stop()

    async def start(self) -> None:
        """Start it and wait until it takes calls."""
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / "browser-server.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rtc_server",
                *self._arguments,
                cwd=ROOT,
                stdout=log,
                stderr=STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._process = process
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await asyncio.to_thread(self._is_ready):
                assert process.returncode is None, "the server has ended: see browser-server.log"
                await asyncio.sleep(0.1)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; by SIGKILL no caller is told."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"the server did not end in {STOP_TIMEOUT_S} s") from None

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}readyz", timeout=2):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
