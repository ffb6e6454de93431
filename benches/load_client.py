"""The load client: a process of its own that places calls and says how they fared.

It places one call after the other, lets them all talk through the phases that were asked for,
and prints one JSON object.  The CPU it uses itself, and how late it was, are in it: a client
that was busy measured itself.

Run (the server must be there)::

    taskset -c 1 python -m benches.load_client ours --port 8080 --pid 4242 --calls 20 \
        --phases speaking,loss-5,after-5,silent --seconds 8

Phases: ``speaking`` and ``after-N`` (all callers speak), ``loss-N`` (N percent of their packets
are lost), ``silent``, ``story`` (an answer of ten seconds is interrupted by the caller).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp

from rtc_harness.aiortc_internals import offer_loopback_where_alone

from . import floor
from .analysis import Heard, Stream, chirp_latencies_s, on_time, percentile, tone_share
from .light_call import LightCall
from .probe_signal import make_probe_signal, speech_and_chirps, to_s16
from .process_usage import Usage, usage_of
from .under_test.catalogue import SERVERS, ServerUnderTest

__all__ = ["PhaseReport", "Report", "run_load"]

_SETTLE_S = 1.5
_PAUSE_S = 0.8
_WARM_UP_CALLS = 2
_REFUSALS = 5
_STORY_CALLS = 5
_STORY_HZ = 440.0


@dataclass(slots=True, kw_only=True)
class PhaseReport:
    """One phase; ``cpu_ms`` is the server's per call-second, ``cpu_floors`` the same in F."""

    name: str
    cpu_ms: float
    cpu_floors: float
    gap_p99_ms: float | None = None
    delay_p99_ms: float | None = None
    received: float | None = None
    on_time: bool | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    chirps: int | None = None
    packets_per_s: float | None = None
    client_share: float = 0.0
    """Of its core, the client's."""


@dataclass(slots=True, kw_only=True)
class Report:
    """One run."""

    server: str
    calls: int
    floor_ms: float
    setup_p50_ms: float
    setup_cpu_ms: float
    threads_per_call: float
    memory_mb_per_call: float
    client_late_ms: float
    calls_lost: int
    """Calls that the server, or the load on it, ended."""
    complaints: dict[str, int]
    """What the server said of it: codes of ``error``, reasons of ``goaway``, how often each."""
    was_refused: bool = False
    phases: list[PhaseReport] = field(default_factory=list)
    last_old_audio_ms: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class _Span:
    """A phase as it was lived through."""

    name: str
    begin: float
    end: float
    server_cpu_s: float
    client_cpu_s: float


class _Refused(ConnectionError):
    """The server has no room for the call."""


class _Load:
    """One run's calls and what is measured meanwhile."""

    def __init__(self, server: ServerUnderTest, port: int, pid: int, calls: int) -> None:
        self._server = server
        self._url = f"http://127.0.0.1:{port}{server.offer_path}"
        self._pid = pid
        self._number = calls
        self._signal = make_probe_signal()
        self._spans: list[_Span] = []
        self._stories: list[tuple[LightCall, float]] = []
        self._was_refused = False
        self.calls: list[LightCall] = []

    async def run(
        self, phases: Sequence[str], seconds: float, until_refused: float | None
    ) -> Report:
        async with aiohttp.ClientSession() as self._http:
            before_floor = _floor_s(self._pid)
            await self._warm_up()
            idle = usage_of(self._pid)
            if until_refused is None:
                await self._set_up()
            else:
                await self._fill(until_refused)
            connected = usage_of(self._pid)
            busy = connected
            gc.collect()
            gc.disable()
            try:
                for name in phases:
                    await self._phase(name, seconds)
                    if name != "silent":
                        busy = usage_of(self._pid)
                return self._report(before_floor, idle, connected, busy)
            finally:
                gc.enable()
                await asyncio.gather(*(call.close() for call in self.calls))

    async def _place(self, offset: int) -> LightCall:
        call = LightCall(offset)

        async def signalling(sdp: str) -> str:
            async with self._http.post(self._url, json=self._server.offer(sdp)) as response:
                if response.status == 503:
                    raise _Refused(await response.text())
                if response.status not in (200, 201):
                    raise ConnectionError(f"{response.status}: {await response.text()}")
                answer: str = (await response.json(content_type=None))["sdp"]
                return answer

        try:
            await call.place(signalling)
        except _Refused:
            await call.close()
            raise
        return call

    async def _warm_up(self) -> None:
        if not _WARM_UP_CALLS:
            return
        calls = [await self._place(n) for n in range(_WARM_UP_CALLS)]
        for call in calls:
            call.talk(self._signal.speech)
        await asyncio.sleep(1.5)
        for call in calls:
            await call.close()
        await asyncio.sleep(1.0)

    async def _set_up(self) -> None:
        for number in range(self._number):
            # 37 frames further each: chirps of the calls fall at all times.
            self.calls.append(await self._place(number * 37))
        await asyncio.sleep(0.3)

    async def _fill(self, pace_s: float) -> None:
        """Call after call, each of which speaks from then on, until they are refused."""
        refusals = 0
        while len(self.calls) < self._number and refusals < _REFUSALS:
            try:
                call = await self._place(len(self.calls) * 37)
            except _Refused:
                refusals += 1
            else:
                refusals = 0
                call.talk(self._signal.speech)
                self.calls.append(call)
            await asyncio.sleep(pace_s)
        self._was_refused = refusals == _REFUSALS
        self._number = len(self.calls)

    async def _phase(self, name: str, seconds: float) -> None:
        kind, _, share = name.partition("-")
        if kind == "story":
            await self._interrupt_stories()
            return
        packets = self._signal.silence if kind == "silent" else self._signal.speech
        if self._spans:
            # As people do between two sentences: what is late for good is late after it, too.
            for call in self.calls:
                call.talk(self._signal.silence)
            await asyncio.sleep(_PAUSE_S)
        for call in self.calls:
            call.talk(packets, float(share) / 100 if kind == "loss" else 0.0)
        await asyncio.sleep(_SETTLE_S if self._spans else 2 * _SETTLE_S)
        begin, used, own = time.monotonic(), usage_of(self._pid), time.process_time()
        await asyncio.sleep(seconds)
        end = time.monotonic()
        server_cpu_s = usage_of(self._pid).cpu_s - used.cpu_s
        self._spans.append(_Span(name, begin, end, server_cpu_s, time.process_time() - own))

    async def _interrupt_stories(self) -> None:
        for call in self.calls:
            call.talk(self._signal.silence)
        await asyncio.sleep(_SETTLE_S)
        for number, call in enumerate(self.calls[:_STORY_CALLS]):
            if not call.is_up:
                continue
            call.say(type="text", mime_type="text/plain", data="story")
            await asyncio.sleep(1.0 + 0.0037 * number)
            self._stories.append((call, time.monotonic()))
            call.talk(self._signal.speech)
            await asyncio.sleep(0.7)

    # What it was ------------------------------------------------------------

    def _report(self, floor_before: float, idle: Usage, connected: Usage, busy: Usage) -> Report:
        floor_s = statistics.mean((floor_before, _floor_s(self._pid)))
        streams = [Stream(call.received()) for call in self.calls]
        heard = [one.heard() for one in streams]
        setups = [call.setup_s for call in self.calls if call.setup_s is not None]
        return Report(
            server=self._server.name,
            calls=self._number,
            floor_ms=floor_s * 1000,
            setup_p50_ms=statistics.median(setups) * 1000,
            setup_cpu_ms=(connected.cpu_s - idle.cpu_s) / self._number * 1000,
            threads_per_call=(busy.threads - idle.threads) / self._number,
            memory_mb_per_call=(busy.resident_bytes - idle.resident_bytes) / self._number / 2**20,
            client_late_ms=max(call.latest_send_s for call in self.calls) * 1000,
            calls_lost=sum(not call.is_up for call in self.calls),
            complaints=_complaints(self.calls),
            was_refused=self._was_refused,
            phases=[self._phase_report(one, floor_s, streams, heard) for one in self._spans],
            last_old_audio_ms=self._last_old_audio(heard),
        )

    def _phase_report(
        self, span: _Span, floor_s: float, streams: Sequence[Stream], heard: Sequence[Heard]
    ) -> PhaseReport:
        seconds = span.end - span.begin
        cpu_s = span.server_cpu_s / seconds / self._number
        packets = sum(len(one.within(span.begin, span.end)) for one in streams)
        report = PhaseReport(
            name=span.name,
            cpu_ms=cpu_s * 1000,
            cpu_floors=cpu_s / floor_s,
            packets_per_s=packets / seconds / self._number,
            client_share=span.client_cpu_s / seconds,
        )
        if span.name == "silent":
            return report
        judged = on_time(streams, span.begin, span.end)
        report.gap_p99_ms, report.delay_p99_ms = judged.gap_p99_ms, judged.delay_p99_ms
        report.received, report.on_time = judged.received, judged.passed
        latencies = [
            latency * 1000
            for call, one in zip(self.calls, heard, strict=True)
            for latency in chirp_latencies_s(one, call.sent, self._signal, span.begin, span.end)
        ]
        report.chirps = len(latencies)
        report.latency_p50_ms = percentile(latencies, 0.5)
        report.latency_p99_ms = percentile(latencies, 0.99)
        return report

    def _last_old_audio(self, heard: Sequence[Heard]) -> dict[str, float] | None:
        """From the first loud packet sent, and from the ``turn`` that says so, to the last tone."""
        after_sound, after_turn = [], []
        for call, at in self._stories:
            one = heard[self.calls.index(call)]
            spoke_at = next((packet.at for packet in call.sent if packet.at >= at), None)
            turn_at = [
                when
                for when, message in call.messages
                if message.get("type") == "turn" and message.get("interrupted") and when >= at
            ]
            old_until = _end_of_tone(one, at - 0.5)
            if old_until is not None and spoke_at is not None and turn_at:
                after_sound.append((old_until - spoke_at) * 1000)
                after_turn.append((old_until - turn_at[0]) * 1000)
        if not after_sound:
            return None
        return {
            "stories": len(after_sound),
            "after_sound_p50": statistics.median(after_sound),
            "after_sound_max": max(after_sound),
            "after_turn_p50": statistics.median(after_turn),
            "after_turn_max": max(after_turn),
        }


def _complaints(calls: Sequence[LightCall]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for call in calls:
        for _, message in call.messages:
            if message.get("type") in ("error", "goaway"):
                found[str(message.get("code") or message.get("reason"))] += 1
    return dict(found)


def _end_of_tone(heard: Heard, since: float) -> float | None:
    """When the last packet of the story came, which is going on at ``since``.

    The few milliseconds that the codec still held back count: they can be heard.
    """
    until = None
    for start, packet in zip(heard.starts, heard.stream.packets, strict=True):
        if packet.at < since:
            continue
        if tone_share(heard.sound[start : start + 320], _STORY_HZ) < 0.2:
            break
        until = packet.at
    return until


def _floor_s(pid: int) -> float:
    """F on the server's core, on which nothing is going on now."""
    signal = make_probe_signal()
    pcm = to_s16(speech_and_chirps(24_000))
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, os.sched_getaffinity(pid))
    try:
        return floor.measure_floor_s(signal.speech, pcm)
    finally:
        os.sched_setaffinity(0, own)


async def run_load(
    server: ServerUnderTest,
    *,
    port: int,
    pid: int,
    calls: int,
    phases: Sequence[str],
    seconds: float,
    until_refused: float | None = None,
) -> Report:
    """Places the calls, lives through the phases, hangs up.

    Args:
        pid: the server's process, whose use of CPU and memory is measured.
        calls: how many; with ``until_refused`` at most.
        seconds: how long each phase is measured; it settles before.
        until_refused: seconds from call to call, of which each speaks at once, until the server
            refuses five in a row; None: all are placed, and a refusal is an error.

    Raises:
        ConnectionError: a call could not be placed.
    """
    offer_loopback_where_alone()
    return await _Load(server, port, pid, calls).run(phases, seconds, until_refused)


def _finite(value: Any) -> Any:
    """JSON has no infinity and no nan."""
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value


def to_json(report: Report) -> dict[str, Any]:
    """The report as JSON takes it; what could not be measured is null."""
    made: dict[str, Any] = _finite(asdict(report))
    return made


def main() -> None:
    """Print the report of one run."""
    parser = argparse.ArgumentParser(description="Places calls and says how they fared.")
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--phases", default="speaking")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--until-refused", type=float, metavar="PACE")
    options = parser.parse_args()
    report = asyncio.run(
        run_load(
            SERVERS[options.server],
            port=options.port,
            pid=options.pid,
            calls=options.calls,
            phases=options.phases.split(","),
            seconds=options.seconds,
            until_refused=options.until_refused,
        )
    )
    json.dump(to_json(report), sys.stdout)


if __name__ == "__main__":
    main()
