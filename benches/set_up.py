"""What setting a call up takes: from the offer until it is connected, and the server's CPU.

All servers run at once, on one core, and the calls go to each in turn, one at a time, so that
what the machine does meanwhile meets them all; a call is hung up before the next is placed.
The CPU is the server's from the offer until 100 ms after the call is connected: the data
channel and the agent's run begin in this time.  Run::

    python -m benches.set_up
    python -m benches.set_up --servers ours,ours-timed-checks
    python -m benches.set_up --caller aioice

The caller is as quick as a browser; with ``--caller aioice`` it is aiortc as it comes, which
looks only every 20 ms whether ICE is through, as the callers of ``calls.py`` do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from rtc_harness.aiortc_internals import offer_loopback_where_alone

from .light_call import LightCall
from .process_usage import run_time_s
from .processes import Running, cores, serving
from .under_test.catalogue import OURS, PEERS, SERVERS, TIMED_CHECKS

__all__ = ["SetUp", "measure_set_ups", "table"]

_SETTLE_S = 0.1
_CLOSE_S = 0.15
_PERIOD_S = 0.6
"""Between two offers to one server: ours takes 120 a minute from one address."""

_WARM_UP_CALLS = 3


@dataclass(frozen=True, slots=True)
class SetUp:
    """One call's: milliseconds until it was connected, and of the server's CPU."""

    connected_ms: float
    cpu_ms: float


async def measure_set_ups(
    servers: Sequence[Running],
    set_ups: int,
    *,
    is_quick: bool = True,
    warm_up: int = _WARM_UP_CALLS,
) -> dict[str, list[SetUp]]:
    """Place calls to the servers in turn; the set-ups of each, by its name.

    Args:
        set_ups: how many of each server are measured.
        is_quick: whether the caller notices at once that ICE is through.
        warm_up: how many calls are placed to each before.

    Raises:
        ConnectionError: a call could not be placed.
    """
    made: dict[str, list[SetUp]] = {one.server.name: [] for one in servers}
    async with aiohttp.ClientSession() as http:
        for number in range(warm_up + set_ups):
            next_round = time.monotonic() + _PERIOD_S
            for running in servers:
                one = await _set_up(http, running, is_quick)
                if number >= warm_up:
                    made[running.server.name].append(one)
            await asyncio.sleep(max(0.0, next_round - time.monotonic()))
    return made


async def _set_up(http: aiohttp.ClientSession, running: Running, is_quick: bool) -> SetUp:
    call = LightCall(is_quick=is_quick)
    url = f"http://127.0.0.1:{running.port}{running.server.offer_path}"

    async def signalling(sdp: str) -> str:
        async with http.post(url, json=running.server.offer(sdp)) as response:
            if response.status not in (200, 201):
                raise ConnectionError(f"{response.status}: {await response.text()}")
            answer: str = (await response.json(content_type=None))["sdp"]
            return answer

    used_s = run_time_s(running.pid)
    try:
        await call.place(signalling)
        await asyncio.sleep(_SETTLE_S)
        used_s = run_time_s(running.pid) - used_s
    finally:
        await call.close()
    await asyncio.sleep(_CLOSE_S)
    assert call.setup_s is not None
    return SetUp(call.setup_s * 1000, used_s * 1000)


def table(made: Mapping[str, Sequence[SetUp]]) -> str:
    """Markdown: a row a server; medians, and the quartiles in brackets."""
    lines = [
        "| server | set-ups | offer to connected, ms | CPU of the server, ms |",
        "|---|---|---|---|",
    ]
    for name, set_ups in made.items():
        connected = _quartiles([one.connected_ms for one in set_ups])
        cpu = _quartiles([one.cpu_ms for one in set_ups])
        lines.append(f"| {SERVERS[name].title} | {len(set_ups)} | {connected} | {cpu} |")
    return "\n".join(lines)


def _quartiles(values: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def _parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    # Plain aiortc too, where make bench-peers has installed it.
    peers = [one for one in PEERS if one.name == "aiortc" and one.python.exists()]
    names = [one.name for one in (*OURS, TIMED_CHECKS, *peers)]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--servers", default=",".join(names))
    parser.add_argument("--set-ups", type=int, default=60, help="of each server")
    parser.add_argument("--caller", choices=("quick", "aioice"), default="quick")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print the table."""
    options = _parse()
    offer_loopback_where_alone()
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(serving(SERVERS[name])) for name in options.servers.split(",")
        ]
        os.sched_setaffinity(0, {cores()[1]})
        made = asyncio.run(
            measure_set_ups(servers, options.set_ups, is_quick=options.caller == "quick")
        )
    print(table(made))


if __name__ == "__main__":
    main()
