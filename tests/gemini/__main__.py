"""The stand-in in a process of its own, with random bad days.

``python -m tests.gemini --seed 7 --share-bad 0.5`` prints the client's environment as one line of
JSON, serves until SIGTERM or SIGINT, and prints what went wrong and when it was connected to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .live_model import Pace
from .misbehaviour import Day, random_day
from .server import StandIn


def report(api: StandIn, began_at: float) -> dict[str, Any]:
    """What happened, with times in seconds since ``began_at``."""
    return {
        "attempted_at": [round(at - began_at, 3) for at in api.attempted_at],
        "connections": api.taken,
        "deeds": dict(Counter(type(one).__name__ for one in api.done)),
        "refused_at": [round(at - began_at, 3) for at in api.refused_at],
        "outages": [[round(at - began_at, 3), seconds] for at, seconds in api.outages],
    }


async def run(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    rng = random.Random(options.seed)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    def day(number: int) -> Day:
        return random_day(rng, options.share_bad)

    with tempfile.TemporaryDirectory() as folder:
        async with StandIn.running(
            Path(folder),
            days=day,
            pace=Pace(playback=options.playback),
            keeps=1000,
            counts_refused=True,
        ) as api:
            began_at = time.monotonic()
            print(json.dumps({"environment": api.environment}), flush=True)
            while not stopped.is_set():
                try:
                    async with asyncio.timeout(options.outage_every or None):
                        await stopped.wait()
                except TimeoutError:
                    await api.refuse_for(options.outage_seconds, drop=True)
            print(json.dumps(report(api, began_at)), flush=True)


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description="A Gemini Live API with bad days.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share-bad", type=float, default=0.5, help="of all connections")
    parser.add_argument("--playback", type=float, default=1.0, help="see Pace")
    parser.add_argument("--outage-every", type=float, default=0.0, help="seconds; 0: never")
    parser.add_argument("--outage-seconds", type=float, default=5.0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
