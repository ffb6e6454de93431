"""The packet path, given a million datagrams of every kind, and held to its promises.

From the datagram on all is the server's own: the guard before aioice, the fast path, aiortc for
what goes past it, the receive buffer, the decoder, the budget.  SRTP is real, its keys are made
up: no handshake, so that the clock can be ours and an hour of packets takes a minute.  Run::

    python -m benches.fuzz_packets --packets 1000000 --seed 1

Half of the packets go to each decoder.  Checked all along:

* nothing is raised, neither in our code nor in aiortc's receive loop, and nothing is logged as
  an error;
* every piece has 20 ms; no more audio is given than 1.25 s a second and 10 s at once;
* every packet has one fate, and the counts add up;
* the receiver report can be written, and aiortc keeps a bounded number of sources;
* after each bout five packets as they should be are all heard;
* the memory of the process does not grow once it is warm.

It writes ``benches/results/fuzz.json`` and ends with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import pylibsrtp
from aioice import Candidate
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtcdtlstransport import State
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket

from rtc_server.media.pcm import is_audible
from rtc_server.metrics import Metrics
from rtc_server.peer import aiortc_audio, aiortc_ice
from rtc_server.peer.aiortc_audio import MAX_SOURCES
from rtc_server.peer.aiortc_fast_path import RtpIntake
from rtc_server.peer.rtp import is_rtp
from rtc_server.peer.uplink import BURST_S, OVERRATE, PIECE_BYTES, PIECE_MS, Uplink, UplinkAudio

from .machine import describe_machine
from .mutations import PAYLOAD_TYPE, Mutations, Step, srtp_session
from .process_usage import usage_of

__all__ = ["BrokenPromise", "FrozenLoop", "Tally", "fuzz"]

RESULTS = Path(__file__).parent / "results"

Decoder = Literal["pyav", "libopus"]

_BOUT = 2000
_REST_S = 15.0
_VALID_AFTER_BOUT = 5
_ADDRESS = ("192.0.2.1", 5000)
_BUDGET_SLACK_S = 0.05  # less than a piece waits to be whole
_WARM_UP_SHARE = 0.2
_MOST_GROWTH_BYTES = 8 * 2**20
"""What the allocator may still take after the warm-up.  One leaked packet in twenty would be
more in half a million."""


class BrokenPromise(AssertionError):
    """What was found; the seed repeats it."""


class FrozenLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still until it is moved."""

    now = 1000.0

    def time(self) -> float:
        """Seconds, as :attr:`now` says."""
        return self.now


@dataclass(slots=True)
class Tally:
    """What was sent, and what became of it."""

    datagrams: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    stream_s: float = 0.0
    """Of the frozen clock."""
    given_s: float = 0.0
    dropped_s: float = 0.0
    bouts: int = 0
    growth_bytes: int | None = None
    """Resident memory at the end against that after the warm-up; None: too short a run."""


class _Sink:
    """Counts the pieces, looks at each, and keeps the budget's books once more."""

    def __init__(self, loop: FrozenLoop) -> None:
        self._loop = loop
        self._at = loop.now
        self.budget_s = BURST_S
        self.pieces = 0
        self.arrivals: set[float] = set()
        self.last = b""

    def on_audio(self, audio: UplinkAudio) -> None:
        if len(audio.pcm) != PIECE_BYTES:
            raise BrokenPromise(f"a piece of {len(audio.pcm)} bytes")
        now = self._loop.now
        self.budget_s = min(BURST_S, self.budget_s + OVERRATE * (now - self._at)) - PIECE_MS / 1000
        self._at = now
        self.pieces += 1
        self.last = audio.pcm
        if audio.arrived_at is not None:
            self.arrivals.add(audio.arrived_at)

    def on_stream_end(self) -> None:
        self.budget_s += PIECE_MS / 1000  # its last piece was filled up with zeros


class _Errors(logging.Handler):
    """Keeps what is logged as an error, by whomever."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


class _Nowhere:
    """A socket's transport that sends nothing."""

    def sendto(self, data: bytes, address: Any) -> None:
        """As if it were sent."""

    def is_closing(self) -> bool:
        """Never."""
        return False


class _Path:
    """One call's receiving side."""

    def __init__(self, decoder: Decoder, key: bytes, loop: FrozenLoop) -> None:
        self.sink = _Sink(loop)
        self.metrics = Metrics()
        self.taken = 0
        self.through_aiortc = 0
        self.not_rtp = 0
        self.uplink = Uplink(
            self.sink, metrics=self.metrics, decoder=decoder, clock=lambda: loop.now
        )
        self._pc = cast(Any, RTCPeerConnection(RTCConfiguration(iceServers=[])))
        self.receiver = self._pc.addTransceiver("audio").receiver
        self._dtls = self.receiver.transport
        self._dtls._rx_srtp = srtp_session(key, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        self._dtls._tx_srtp = srtp_session(key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self._dtls._state = State.CONNECTED
        self._dtls._RTCDtlsTransport__handshake_done = True
        codec = RTCRtpCodecParameters("audio/opus", 48_000, 2, PAYLOAD_TYPE)
        self.receiver._RTCRtpReceiver__codecs[PAYLOAD_TYPE] = codec
        self._dtls._register_rtp_receiver(self.receiver, RTCRtpReceiveParameters(codecs=[codec]))
        aiortc_audio.take_over_receiver(self.receiver, self.uplink.on_packet)
        self.intake = RtpIntake(self.receiver, self.uplink.on_packet)
        connection = self._dtls.transport.iceGatherer._connection
        self._queue: asyncio.Queue[Any] = connection._queue
        self._dtls.transport._recv = self._receive
        self._dtls.transport._send = self._send
        self._socket = cast(Any, aiortc_ice._GuardedProtocol(connection, self._take))
        self._socket.transport = _Nowhere()
        self._socket.local_candidate = Candidate("1", 1, "udp", 1, _ADDRESS[0], _ADDRESS[1], "host")

    def _take(self, datagram: bytes) -> bool:
        taken = self.intake.take(datagram)
        self.taken += taken
        return taken

    async def _receive(self) -> bytes:
        datagram: bytes = self._queue.get_nowait()[0]
        return datagram

    async def _send(self, datagram: bytes) -> None:
        """Nowhere."""

    async def arrive(self, datagram: bytes) -> None:
        """As the socket would hand it over; then aiortc reads what was left to it."""
        before = self.taken
        self._socket.datagram_received(datagram, _ADDRESS)
        while not self._queue.empty():
            if 19 < datagram[0] < 64:  # TLS is OpenSSL's
                self._queue.get_nowait()
                continue
            await self._dtls._recv_next()
        if self.taken == before:
            if is_rtp(datagram):
                self.through_aiortc += 1
            else:
                self.not_rtp += 1

    async def report(self) -> None:
        """The receiver report, as aiortc makes it."""
        streams = self.receiver._RTCRtpReceiver__remote_streams
        reports = [
            RtcpReceiverInfo(
                ssrc, one.fraction_lost, one.packets_lost, one.max_seq, one.jitter, 0, 0
            )
            for ssrc, one in streams.items()
        ]
        await self.receiver._send_rtcp(RtcpRrPacket(ssrc=1, reports=reports))

    def sources(self) -> int:
        """How many aiortc keeps, in whichever table has most."""
        receiver = self.receiver
        return max(
            len(receiver._RTCRtpReceiver__remote_streams),
            len(receiver._RTCRtpReceiver__active_ssrc),
            len(self._dtls._rtp_router.ssrc_table),
        )

    def count(self, name: str, **labels: str) -> float:
        """Of a metric."""
        return self.metrics._registry.get_sample_value(name, labels) or 0.0

    async def close(self) -> None:
        self.uplink.close()
        await self._pc.close()


class _Run:
    """Sends to one path and checks what comes."""

    def __init__(self, decoder: Decoder, seed: int, longest_flood: int) -> None:
        running = asyncio.get_running_loop()
        assert isinstance(running, FrozenLoop)
        self._loop = running
        key = random.Random(seed).randbytes(30)
        self._mutations = Mutations(seed, key, longest_flood=longest_flood)
        self.path = _Path(decoder, key, self._loop)
        self.tally = Tally()
        self._begun_at = self._loop.now
        self._raised: list[str] = []
        self._errors = _Errors()
        self._loop.set_exception_handler(
            lambda loop, context: self._raised.append(str(context.get("exception") or context))
        )

    async def run(self, packets: int) -> Tally:
        """Bout after bout, until so many datagrams have been sent."""
        logging.getLogger().addHandler(self._errors)
        resident: int | None = None
        try:
            while self.tally.datagrams < packets:
                until = min(packets, self.tally.datagrams + _BOUT)
                while self.tally.datagrams < until:
                    await self._send(self._mutations.step())
                    self._check()
                await self._check_that_voices_are_heard()
                self.tally.bouts += 1
                if resident is None and self.tally.datagrams >= packets * _WARM_UP_SHARE:
                    resident = usage_of(os.getpid()).resident_bytes
        finally:
            logging.getLogger().removeHandler(self._errors)
            await self.path.close()
        self._check_counts()
        if resident is not None and packets >= 50 * _BOUT:
            self._check_memory(resident)
        return self.tally

    async def _send(self, step: Step) -> None:
        self.tally.sent[step.kind] += len(step.datagrams)
        for datagram in step.datagrams:
            self.tally.datagrams += 1
            try:
                await self.path.arrive(datagram)
            except Exception as problem:  # whatever it is, it is what is looked for
                raise BrokenPromise(
                    f"datagram {self.tally.datagrams}, {step.kind}, {datagram.hex()}: {problem!r}"
                ) from problem
        await self._wait(step.pause_s)

    async def _wait(self, seconds: float) -> None:
        """Time passes, and each timer has its turn."""
        until = self._loop.now + seconds
        while self._loop.now < until:
            self._loop.now = min(until, self._loop.now + 0.02)
            await asyncio.sleep(0)

    def _check(self) -> None:
        if self._raised or self._errors.messages:
            raise BrokenPromise(f"raised or logged: {(self._raised + self._errors.messages)[0]}")
        if self.path.sink.budget_s < -_BUDGET_SLACK_S:
            raise BrokenPromise(f"{-self.path.sink.budget_s:.2f} s of audio more than the budget")
        if self.path.sources() > MAX_SOURCES + 1:
            raise BrokenPromise(f"aiortc keeps {self.path.sources()} sources")

    async def _check_that_voices_are_heard(self) -> None:
        try:
            await self.path.report()
        except Exception as problem:  # the same
            raise BrokenPromise(f"no receiver report can be written: {problem!r}") from problem
        await self._wait(_REST_S)  # the budget is full again
        self.path.sink.arrivals.clear()
        for _ in range(_VALID_AFTER_BOUT):
            await self._send(self._mutations.valid())
        await self._wait(0.06)
        self._check()
        heard = len(self.path.sink.arrivals)
        if heard < _VALID_AFTER_BOUT:
            raise BrokenPromise(f"of {_VALID_AFTER_BOUT} packets after a bout {heard} were heard")

    def _check_counts(self) -> None:
        path, tally = self.path, self.tally
        statistics = path.uplink.statistics()
        refused = path.intake.refusals()
        received = int(path.count("rtc_packets_total", direction="uplink"))
        accepted = path.taken - sum(refused.values())
        tally.fates.update({f"refused: {reason}": count for reason, count in refused.items()})
        tally.fates["accepted by the fast path"] = accepted
        tally.fates["accepted through aiortc"] = received - accepted
        tally.fates["refused by aiortc"] = path.through_aiortc - (received - accepted)
        tally.fates["not RTP"] = path.not_rtp
        tally.stream_s = self._loop.now - self._begun_at
        tally.given_s = path.sink.pieces * PIECE_MS / 1000
        tally.dropped_s = path.count(
            "rtc_audio_dropped_seconds_total", direction="uplink", reason="flood"
        )
        lost = int(path.count("rtc_packets_lost_total", direction="uplink"))
        if sum(tally.fates.values()) != tally.datagrams or min(tally.fates.values()) < 0:
            raise BrokenPromise(f"{tally.datagrams} datagrams, and the fates are {tally.fates}")
        if received != statistics.received or lost != statistics.lost:
            raise BrokenPromise(f"{received} received, {lost} lost, and {statistics}")
        if statistics.late + statistics.duplicated > received:
            raise BrokenPromise(f"more dropped than received: {statistics}")

    def _check_memory(self, resident: int) -> None:
        growth = usage_of(os.getpid()).resident_bytes - resident
        self.tally.growth_bytes = growth
        if growth > _MOST_GROWTH_BYTES:
            raise BrokenPromise(f"{growth / 2**20:.1f} MB more after the warm-up")
        if not is_audible(self.path.sink.last):
            raise BrokenPromise("the last packet as it should be was silent")


def fuzz(decoder: Decoder, packets: int, seed: int, *, longest_flood: int = 700) -> Tally:
    """Send so many datagrams through one call's path.

    Args:
        decoder: as in ``Settings.decoder``.
        longest_flood: packets of a flood, at most.

    Raises:
        BrokenPromise: at the first one.
    """

    async def run() -> Tally:
        return await _Run(decoder, seed, longest_flood).run(packets)

    with asyncio.Runner(loop_factory=FrozenLoop) as runner:
        return runner.run(run())


def result(tallies: dict[str, Tally], seed: int, seconds: float) -> dict[str, Any]:
    """All that is kept of it."""
    return {
        "taken_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": describe_machine(),
        "versions": {
            one: version(one) for one in ("aiortc", "aioice", "pylibsrtp", "av", "google-adk")
        },
        "seed": seed,
        "seconds": round(seconds, 1),
        "packets": sum(one.datagrams for one in tallies.values()),
        "decoders": {
            name: {
                "packets": one.datagrams,
                "sent": dict(sorted(one.sent.items())),
                "fates": dict(sorted(one.fates.items())),
                "bouts": one.bouts,
                "stream_s": round(one.stream_s),
                "audio_given_s": round(one.given_s),
                "audio_dropped_as_flood_s": round(one.dropped_s),
                "growth_mb": None
                if one.growth_bytes is None
                else round(one.growth_bytes / 2**20, 2),
            }
            for name, one in tallies.items()
        },
    }


def main() -> int:
    """Fuzz both decoders and keep the result."""
    parser = argparse.ArgumentParser(description="Fuzzes the packet path.")
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "fuzz.json")
    options = parser.parse_args()
    begun = time.monotonic()
    decoders: tuple[Decoder, ...] = ("pyav", "libopus")
    tallies: dict[str, Tally] = {}
    for decoder in decoders:
        try:
            tallies[decoder] = fuzz(decoder, -(-options.packets // len(decoders)), options.seed)
        except BrokenPromise as problem:
            print(f"{decoder}, seed {options.seed}: {problem}", file=sys.stderr)
            return 1
        print(f"{decoder}: {tallies[decoder]}", file=sys.stderr)
    kept = result(tallies, options.seed, time.monotonic() - begun)
    options.output.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
