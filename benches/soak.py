"""An hour of calls that come, speak, lose packets, interrupt, hang up or vanish: does it grow?

Our server, with the loop-back ADK agent, on one core; the callers, this process, on another.
One call in 10 s is replaced by a new one, every third of them without hanging up.  A sample is
taken every 15 s.  Run, by hand, on a machine that has nothing else to do::

    python -m benches.soak --calls 10 --minutes 60

It writes ``benches/results/soak.json``, prints a verdict, and ends with 1 if the server grew
(``growth.py`` says what that means), lost a call or complained.

The server keeps its sessions in memory, as it does by default, and so ADK's history grows by
nature: by an event for each turn that ends, each text, each interruption.  The callers count
them; what one weighs is measured beforehand (``session_weight.py``), and taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from rtc_harness.aiortc_internals import offer_loopback_where_alone

from .analysis import Stream, chirp_latencies_s, percentile
from .growth import MOST_MB_AN_HOUR, Sample, Verdict, judge, thinned
from .light_call import LightCall, Received
from .machine import describe_machine
from .probe_signal import make_probe_signal
from .process_usage import usage_of
from .processes import Running, cores, serving
from .session_weight import event_kb
from .under_test.catalogue import SERVERS

__all__ = ["Scrape", "Soak", "gap_p99_ms", "lag_p99_ms", "parse_metrics"]

RESULTS = Path(__file__).parent / "results"

_SAMPLE_EVERY_S = 15.0
_REPLACE_EVERY_S = 10.0
_FORGET_EVERY_S = 5.0
_VANISH_EVERY = 3
_FRAME_TICKS = 960
_LAG = "rtc_event_loop_lag_seconds"


@dataclass(frozen=True, slots=True)
class Scrape:
    """What of ``/metrics`` is looked at."""

    calls: int
    lag_buckets: dict[float, float]
    """Beats so far by the upper end of their delay, cumulative."""


def parse_metrics(text: str) -> Scrape:
    """Out of Prometheus' text format."""
    calls, buckets = 0, {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name == "rtc_calls_active":
                calls = int(one.value)
            elif one.name == f"{_LAG}_bucket":
                buckets[float(one.labels["le"])] = one.value
    return Scrape(calls, buckets)


def lag_p99_ms(before: Scrape, after: Scrape) -> float | None:
    """Of the beats between two scrapes, the end of the bucket that holds the 99th of a hundred."""
    beats = {le: n - before.lag_buckets.get(le, 0.0) for le, n in after.lag_buckets.items()}
    most = max(beats.values(), default=0.0)
    if not most:
        return None
    finite = [le for le, n in sorted(beats.items()) if n >= 0.99 * most and le != float("inf")]
    return finite[0] * 1000 if finite else None


def gap_p99_ms(calls: Sequence[Sequence[Received]]) -> float | None:
    """Between packets that follow each other in a talk spurt; what lies between two is no gap."""
    gaps = []
    for received in calls:
        stream = Stream(received)
        pairs = zip(stream.packets, stream.packets[1:], strict=False)
        ticks = zip(stream.timestamps, stream.timestamps[1:], strict=False)
        gaps += [
            (later.at - one.at) * 1000
            for (one, later), (begin, end) in zip(pairs, ticks, strict=True)
            if end - begin == _FRAME_TICKS
        ]
    return percentile(gaps, 0.99) if gaps else None


@dataclass(slots=True, eq=False)
class _Caller:
    """One call and what its caller does."""

    call: LightCall
    rng: random.Random
    events: int = 0
    """Of the session's history: the end of each turn, a text, an interruption."""
    task: asyncio.Task[None] | None = None

    async def talk(self) -> None:
        """Speak, pause, have a story told and interrupt it; for ever."""
        signal, call, rng = make_probe_signal(), self.call, self.rng
        while True:
            call.talk(signal.speech, rng.choice((0.0, 0.0, 0.01, 0.05)))
            await asyncio.sleep(rng.uniform(6.0, 15.0))
            call.talk(signal.silence)
            await asyncio.sleep(rng.uniform(1.0, 4.0))
            self.events += 1
            if rng.random() < 0.3 and call.is_up:
                call.say(type="text", mime_type="text/plain", data="story")
                self.events += 2
                await asyncio.sleep(rng.uniform(0.5, 3.0))

    async def end(self, *, vanish: bool = False) -> None:
        """Hang up, or be gone."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait((self.task,))
        await (self.call.vanish() if vanish else self.call.close())


@dataclass(slots=True, eq=False)
class Soak:
    """The callers of a running server, and the samples of it."""

    running: Running
    calls: int
    samples: list[Sample] = field(default_factory=list)
    complaints: Counter[str] = field(default_factory=Counter)
    placed: int = 0
    _past_events: int = 0
    _begun: float = 0.0
    _http: aiohttp.ClientSession = field(init=False)
    _callers: list[_Caller] = field(default_factory=list)
    _received: dict[_Caller, list[Received]] = field(default_factory=dict)

    async def run(self, minutes: float) -> None:
        """Place the calls and live through the time; all are hung up at the end."""
        offer_loopback_where_alone()
        self._begun = time.monotonic()
        async with aiohttp.ClientSession() as self._http:
            try:
                for _ in range(self.calls):
                    await self._place()
                await self._live(self._begun + minutes * 60)
            finally:
                await asyncio.gather(*(one.end() for one in self._callers))

    async def _live(self, until: float) -> None:
        usage, scrape, at = usage_of(self.running.pid), await self._scrape(), time.monotonic()
        replace_at = forget_at = at
        while at < until:
            await asyncio.sleep(max(0.0, at + _SAMPLE_EVERY_S - time.monotonic()) % 1.0 or 1.0)
            now = time.monotonic()
            if now >= forget_at + _FORGET_EVERY_S:
                forget_at = now
                self._look()
            if now >= replace_at + _REPLACE_EVERY_S:
                replace_at = now
                await self._replace()
            if now >= at + _SAMPLE_EVERY_S:
                self._look()
                latency_ms = self._latency_ms(at, now)
                new_usage, new_scrape = usage_of(self.running.pid), await self._scrape()
                self.samples.append(
                    Sample(
                        minutes=(now - self._begun) / 60,
                        calls=new_scrape.calls,
                        placed=self.placed,
                        events=self._past_events + sum(one.events for one in self._callers),
                        resident_mb=new_usage.resident_bytes / 2**20,
                        threads=new_usage.threads,
                        descriptors=len(os.listdir(f"/proc/{self.running.pid}/fd")),
                        cpu_ms=(new_usage.cpu_s - usage.cpu_s) / (now - at) / self.calls * 1000,
                        lag_p99_ms=lag_p99_ms(scrape, new_scrape),
                        gap_p99_ms=gap_p99_ms(list(self._received.values())),
                        latency_ms=latency_ms,
                    )
                )
                print(self.samples[-1], file=sys.stderr, flush=True)
                usage, scrape, at = new_usage, new_scrape, now
                self._forget()

    async def _place(self) -> None:
        call = LightCall(self.placed * 37)

        async def signalling(sdp: str) -> str:
            url = f"http://127.0.0.1:{self.running.port}{self.running.server.offer_path}"
            async with self._http.post(url, json=self.running.server.offer(sdp)) as response:
                if response.status not in (200, 201):
                    raise ConnectionError(f"{response.status}: {await response.text()}")
                answer: str = (await response.json())["sdp"]
                return answer

        await call.place(signalling)
        caller = _Caller(call, random.Random(self.placed))
        caller.task = asyncio.create_task(caller.talk(), name=f"caller {self.placed}")
        self.placed += 1
        self._callers.append(caller)

    async def _replace(self) -> None:
        """The eldest goes, and one comes."""
        caller = self._callers.pop(0)
        self._received.pop(caller, None)
        self._past_events += caller.events
        await caller.end(vanish=self.placed % _VANISH_EVERY == 0)
        await self._place()

    def _look(self) -> None:
        """Take what has arrived; nothing else is kept."""
        for caller in self._callers:
            call = caller.call
            if not call.is_up:
                self.complaints["a call was ended"] += 1
            self._received.setdefault(caller, []).extend(call.received())
            for _, message in call.messages:
                if message.get("type") in ("error", "goaway"):
                    self.complaints[str(message.get("code") or message.get("reason"))] += 1
            call.messages.clear()

    def _forget(self) -> None:
        self._received.clear()
        for caller in self._callers:
            caller.call.forget()

    def _latency_ms(self, begin: float, end: float) -> float | None:
        """Of one call, another each time: to look at all would make the client late."""
        caller = self._callers[len(self.samples) % len(self._callers)]
        received = self._received.get(caller)
        if not received:
            return None
        heard = Stream(received).heard()
        found = chirp_latencies_s(heard, caller.call.sent, make_probe_signal(), begin, end)
        return statistics.median(found) * 1000 if found else None

    async def _scrape(self) -> Scrape:
        async with self._http.get(f"http://127.0.0.1:{self.running.port}/metrics") as response:
            return parse_metrics(await response.text())


def result(soak: Soak, verdict: Verdict, kb: float) -> dict[str, Any]:
    """All that is kept of it."""
    packages = soak.running.server.packages
    return {
        "taken_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": describe_machine(),
        "versions": {one: version(one) for one in packages},
        "server": soak.running.server.title,
        "calls": soak.calls,
        "placed": soak.placed,
        "complaints": dict(soak.complaints),
        "event_kb": round(kb, 2),
        "verdict": _rounded(asdict(verdict)),
        "samples": [_rounded(asdict(one)) for one in thinned(soak.samples)],
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(value, 2) if isinstance(value, float) else value for key, value in values.items()
    }


def describe(verdict: Verdict, complaints: Counter[str]) -> str:
    """The verdict in words."""
    lines = [
        f"{verdict.minutes:.0f} minutes: {verdict.mb_an_hour:+.1f} MB an hour, of which "
        f"{verdict.history_mb_an_hour:.1f} are ADK's history "
        f"({MOST_MB_AN_HOUR:.0f} more are allowed); "
        f"{verdict.descriptors} descriptors and {verdict.threads} threads more at the end"
    ]
    if not verdict.is_long_enough:
        lines.append("too short a run to judge the memory by")
    lines += [f"{count} times: {what}" for what, count in complaints.items()]
    lines += verdict.failures or ["it has not grown"]
    return "\n".join(lines)


def main() -> int:
    """Soak our server and judge it."""
    parser = argparse.ArgumentParser(description="An hour of calls: does the server grow?")
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=RESULTS / "soak.json")
    options = parser.parse_args()
    kb = event_kb()
    with serving(SERVERS["ours-adk"]) as running:
        os.sched_setaffinity(0, {cores()[1]})
        soak = Soak(running, options.calls)
        asyncio.run(soak.run(options.minutes))
    verdict = judge(soak.samples, event_kb=kb)
    options.output.write_text(json.dumps(result(soak, verdict, kb), indent=1) + "\n")
    print(describe(verdict, soak.complaints))
    return 1 if verdict.failures or soak.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
