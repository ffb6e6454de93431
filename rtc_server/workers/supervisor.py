"""Starts the worker processes, replaces those that crash, and ends them all."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from ..errors import ConfigurationError, ServerBusy
from ..metrics import Metrics
from ..settings import Settings
from .link import WorkerLink, WorkerLost
from .remote_calls import METRICS_TIMEOUT_S, RemoteCalls
from .wire import Configuration

__all__ = ["Supervisor", "backoff_s", "share_of", "share_of_ports"]

logger = logging.getLogger(__name__)

PULSE_PERIOD_S = 1.0
PULSE_TIMEOUT_S = 2.0
"""A worker that answers later gets calls only where no other can."""

HUNG_S = 30.0
"""A worker that has not answered for this long is killed and replaced."""

COUNTS_PERIOD_S = 10.0
"""How often a worker's metrics are asked for, beside every scrape: what it counted after that
is not known any more when it crashes."""

STOP_S = 20.0
"""A worker that was told to stop is killed after this and ``Limits.drain_s``.

It may store what its calls said for 10 s (``WriteRules.end_s``) or the rest of ``drain_s``."""

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
_STEADY_S = 60.0
"""A worker that lived this long is not taken for one that cannot live."""


class Supervisor:
    """Owns the worker processes; an async context manager that leaves none behind.

    Entering it waits until all workers take calls.

    Args:
        settings: of the whole server; each worker gets its share of them.
        configuration: what workers are told beside the settings.
        calls: where workers join and leave.
        metrics: the front's own; crashes are counted there.

    Raises:
        ConfigurationError: on entering, what a worker said that it cannot work with.
    """

    def __init__(
        self,
        settings: Settings,
        configuration: Configuration,
        calls: RemoteCalls,
        metrics: Metrics,
    ) -> None:
        self._configurations = [
            replace(configuration, settings=share_of(settings, number))
            for number in range(settings.workers)
        ]
        self._calls = calls
        self._metrics = metrics
        self._links: dict[int, WorkerLink] = {}
        self._stop = asyncio.Event()
        self._stop_s = STOP_S + settings.limits.drain_s
        self._opened = [asyncio.Event() for _ in self._configurations]
        self._has_started = False
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        for number in range(len(self._configurations)):
            self._group.create_task(self._keep(number), name=f"worker {number}")
        try:
            for opened in self._opened:
                await opened.wait()
        except BaseException:
            # A worker could not start (its task's error cancels this wait), or nobody waits
            # any more: the tasks kill their processes.
            await self._group.__aexit__(*sys.exc_info())
            raise
        self._has_started = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        await asyncio.gather(
            *(link.request("stop", timeout_s=PULSE_TIMEOUT_S) for link in self._links.values()),
            return_exceptions=True,  # one that does not answer is killed in its own time
        )
        await self._group.__aexit__(None, None, None)

    async def _keep(self, number: int) -> None:
        """Keep one worker alive until told to stop."""
        failures = 0
        while not self._stop.is_set():
            begun_at = time.monotonic()
            try:
                await self._live(number)
            except ConfigurationError:
                raise
            except OSError as error:
                logger.error("worker %d cannot be started: %s", number, error.strerror)
            except Exception:
                # A worker's boundary: what goes wrong around one costs no other its calls.
                logger.exception("worker %d was given up", number)
            if self._stop.is_set():
                return
            failures = 1 if time.monotonic() - begun_at > _STEADY_S else failures + 1
            with suppress(TimeoutError):
                wait_s = backoff_s(failures, random.random())
                await asyncio.wait_for(self._stop.wait(), wait_s)

    async def _live(self, number: int) -> None:
        """One process, from its start to its end."""
        life = _Life(number, self._calls)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await _start(theirs)
            except BaseException:
                ours.close()
                raise
        link = await WorkerLink.open(ours, self._configurations[number], life.take_notice)
        life.begin(process, link, self._opened[number].set)
        self._links[number] = link
        try:
            await self._watch(life, process, link)
        finally:
            del self._links[number]
            await link.close()
            await _end(process)
            self._account(life, process)

    async def _watch(self, life: _Life, process: Process, link: WorkerLink) -> None:
        """Until the process has ended; what it said last has been taken then."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(link.read(), name="read")
            exited = group.create_task(process.wait(), name="exit")
            stopping = group.create_task(self._stop.wait(), name="stop")
            pulse = group.create_task(self._feel_pulse(life, process, link), name="pulse")
            await asyncio.wait((reading, exited, stopping), return_when="FIRST_COMPLETED")
            if stopping.done() and not life.opened.is_set():
                process.kill()
            elif not (reading.done() or exited.done()):
                await asyncio.wait(
                    (reading, exited), timeout=self._stop_s, return_when="FIRST_COMPLETED"
                )
            # One that hung up has nothing more to do. A grandchild may hold the line open.
            await asyncio.wait((exited,), timeout=PULSE_TIMEOUT_S)
            await asyncio.wait((reading,), timeout=0.2)
            for task in (reading, exited, stopping, pulse):
                task.cancel()

    async def _feel_pulse(self, life: _Life, process: Process, link: WorkerLink) -> None:
        """Ask a worker that is open whether it lives; kill one that has not said so for long."""
        await life.opened.wait()
        answered_at = counted_at = time.monotonic()
        while True:
            await asyncio.sleep(PULSE_PERIOD_S)
            now = time.monotonic()
            try:
                pulse = await link.request("pulse", timeout_s=PULSE_TIMEOUT_S)
                answered_at = now
                self._calls.take_pulse(life.number, is_ready=pulse["is_ready"], load=pulse["load"])
                if now - counted_at >= COUNTS_PERIOD_S:
                    counted_at = now
                    counts = await link.request("metrics", timeout_s=METRICS_TIMEOUT_S)
                    self._calls.metrics.put(process.pid, counts)
            except (WorkerLost, ServerBusy):
                self._calls.take_pulse(life.number, is_ready=False)
                if now - answered_at > HUNG_S:
                    logger.error("worker %d hangs and is killed", life.number)
                    process.kill()
                    return

    def _account(self, life: _Life, process: Process) -> None:
        """The process has ended: its calls are lost, and somebody is told if it was not asked."""
        lost = self._calls.leave(life.number)
        if self._stop.is_set():
            return
        if life.failed is not None and not self._has_started:
            raise ConfigurationError(life.failed)
        if not self._has_started:
            raise ConfigurationError(
                f"A worker process {_ending(process)} while it started; see the lines above."
            )
        if life.is_closing:
            logger.info("worker %d (process %d) was ended", life.number, process.pid)
            return
        self._metrics.worker_crashes.inc()
        reason = f": {life.failed}" if life.failed else ""
        logger.error(
            "worker %d (process %d) %s with %d calls%s",
            life.number,
            process.pid,
            _ending(process),
            lost,
            reason,
        )


class _Life:
    """What one process has said of itself."""

    def __init__(self, number: int, calls: RemoteCalls) -> None:
        self.number = number
        self.opened = asyncio.Event()
        self.failed: str | None = None
        self.is_closing = False
        self._calls = calls

    def begin(self, process: Process, link: WorkerLink, on_open: Callable[[], None]) -> None:
        """The process runs; nothing was read from it yet."""
        self._process = process
        self._link = link
        self._on_open = on_open

    def take_notice(self, notice: str, facts: Mapping[str, Any]) -> None:
        """One notice of the worker."""
        if notice == "failed":
            self.failed = facts["message"]
        elif notice == "open":
            self._calls.join(self.number, self._process.pid, self._link, facts)
            logger.info("worker %d is open (process %d)", self.number, self._process.pid)
            self.opened.set()
            self._on_open()
        else:
            self.is_closing |= notice == "closing"
            self._calls.take_notice(self.number, notice, facts)


async def _start(theirs: socket.socket) -> Process:
    """A new process with its end of the line; a session of its own keeps Ctrl-C from it.

    A fresh interpreter, not a fork: threads of the front and what they hold stay here.
    """
    here = os.getcwd() in sys.path or "" in sys.path
    environ = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *([] if here else ["-P"]),
        "-m",
        "rtc_server.workers",
        str(theirs.fileno()),
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=(theirs.fileno(),),
        start_new_session=True,
        env=environ,
    )


_SECRETS = frozenset({"RTC_SERVER_AUTH_SECRET"})
"""Tokens are verified by the front alone."""


async def _end(process: Process) -> None:
    """The process is gone and reaped when this returns."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _ending(process: Process) -> str:
    """How a process ended, in words."""
    status = process.returncode or 0
    if status < 0:
        return f"was ended by signal {-status} ({signal.strsignal(-status)})"
    return f"ended with status {status}"


def share_of(settings: Settings, number: int) -> Settings:
    """The settings of one worker: its ports, its part of the connections that a model is asked
    for in a second; no secret that the front looks after.

    The limit of calls stays: the front keeps it for all together, so a worker never meets it,
    and knows by it that it is not to refuse calls because of its load.
    """
    limits = settings.limits
    return replace(
        settings,
        workers=1,
        auth_secret=None,
        udp_ports=share_of_ports(settings.udp_ports, settings.workers, number),
        limits=replace(
            limits,
            model_connects_per_s=limits.model_connects_per_s / settings.workers,
            model_connects_at_once=-(-limits.model_connects_at_once // settings.workers),
        ),
    )


def share_of_ports(
    ports: tuple[int, int] | None, workers: int, number: int
) -> tuple[int, int] | None:
    """The ports of one worker (lowest and highest): all get as many, the first up to one more.

    Raises:
        ConfigurationError: there are fewer ports than workers.
    """
    if ports is None:
        return None
    low, high = ports
    size = high - low + 1
    if size < workers:
        raise ConfigurationError(
            f"{workers} workers cannot share {size} UDP ports; give them more with --udp-ports."
        )
    each, over = divmod(size, workers)
    begin = low + number * each + min(number, over)
    return begin, begin + each - 1 + (number < over)


def backoff_s(failures: int, chance: float) -> float:
    """How long to wait before a worker is started again.

    Args:
        failures: how often it has ended unasked in a row.
        chance: from 0 to 1, spreads the workers that end of one cause.
    """
    longest = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + 0.5 * chance)
