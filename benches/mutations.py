"""What a caller may send: packets as they should be, and datagrams of every other kind.

All is drawn from one seeded generator, so that a run can be repeated. The streams keep to one
rule, which no fuzz may break: the main source's sequence number never jumps further than SRTP's
rollover counter can follow, so that its own packets stay authentic. Wild jumps are made by other
sources.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
import pylibsrtp
from av import CodecContext

from rtc_server.media.opus_packet import CLOCK_RATE, duration_ticks
from rtc_server.peer.rtp import EXTENSION, HEADER, PADDING, VERSION

__all__ = ["PAYLOAD_TYPE", "Caller", "Mutations", "Step", "foreign_packets", "srtp_session"]

PAYLOAD_TYPE = 111
_OTHER_SOURCES = 60
_HISTORY = 200
_BROKEN = (b"\xe3\x41\xff\xff", b"\xff", b"\x1b\x42\xff\xff")
"""No Opus, though the first and the last say that they are 2.5 and 120 ms long."""

_DURATIONS_MS = ("2.5", "5", "10", "20", "40", "60", "80", "100", "120")


@cache
def foreign_packets(layout: str, ms: str) -> tuple[bytes, ...]:
    """Speech-like packets of another encoder: ``mono`` or ``stereo``, 2.5 to 120 ms each."""
    context = CodecContext.create("libopus", "w")
    context.thread_count = 1
    context.sample_rate, context.layout, context.format = CLOCK_RATE, layout, "s16"
    context.bit_rate = 40_000
    context.options = {"application": "voip", "frame_duration": ms}
    context.open()
    size, channels = context.frame_size, 2 if layout == "stereo" else 1
    at = np.arange(CLOCK_RATE * 6 // 10)
    loud = 8000 * np.sin(at * 0.03) * np.sin(at * 0.001) ** 2
    samples = np.rint(loud).astype("<i2")
    packets = []
    for start in range(0, len(samples) - size + 1, size):
        frame = av.AudioFrame("s16", layout, size)
        frame.sample_rate, frame.pts = CLOCK_RATE, start
        frame.planes[0].update(np.repeat(samples[start : start + size], channels).tobytes())
        packets += [bytes(packet) for packet in context.encode(frame)]
    return tuple(packets)


def srtp_session(key: bytes, direction: int) -> pylibsrtp.Session:
    """As aiortc makes them."""
    policy = pylibsrtp.Policy(key=key, ssrc_type=direction)
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return pylibsrtp.Session(policy)


@dataclass(frozen=True, slots=True)
class Step:
    """Datagrams that are sent at one moment, and the time until the next ones."""

    kind: str
    datagrams: Sequence[bytes]
    pause_s: float


class Caller:
    """Numbers and encrypts; one of it for a key."""

    def __init__(self, key: bytes, number: int, timestamp: int) -> None:
        self.ssrc = 1
        self.number = number
        self.timestamp = timestamp
        self._numbers: dict[int, int] = {}
        self._srtp = srtp_session(key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)

    def switch(self, ssrc: int) -> None:
        """Go on as another main source, each with numbers of its own."""
        self._numbers[self.ssrc] = self.number
        self.ssrc = ssrc
        self.number = self._numbers.get(ssrc, self.number)

    def next(self, payload: bytes, *, first: int = VERSION, extra: bytes = b"") -> bytes:
        """The main source's next packet; ``extra`` is what lies between header and payload."""
        datagram = self.packet(extra + payload, self.number, self.timestamp, first=first)
        self.number += 1
        self.timestamp += duration_ticks(payload) or 960
        return datagram

    def packet(
        self,
        rest: bytes,
        number: int,
        timestamp: int,
        *,
        first: int = VERSION,
        payload_type: int = PAYLOAD_TYPE,
        ssrc: int | None = None,
    ) -> bytes:
        """Any packet; what SRTP refuses to encrypt goes as it is."""
        source = self.ssrc if ssrc is None else ssrc
        packet = HEADER.pack(first, payload_type, number & 0xFFFF, timestamp & 0xFFFFFFFF, source)
        try:
            return self._srtp.protect(packet + rest)
        except (pylibsrtp.Error, ValueError):
            return packet + rest

    def rtcp(self, packet: bytes) -> bytes:
        """The same of RTCP."""
        try:
            return self._srtp.protect_rtcp(packet)
        except pylibsrtp.Error:
            return packet


class Mutations:
    """Draws one step after the other.

    Args:
        longest_flood: packets of a flood, at most.
    """

    def __init__(self, seed: int, key: bytes, *, longest_flood: int = 700) -> None:
        self._rng = random.Random(seed)
        self._longest_flood = longest_flood
        self.caller = Caller(key, self._rng.getrandbits(16), self._rng.getrandbits(32))
        self._usual = foreign_packets("mono", "20")
        self._others = [self._rng.getrandbits(32) for _ in range(_OTHER_SOURCES)]
        self._sent: list[bytes] = []
        self._delayed: list[bytes] = []
        kinds: dict[Callable[[], Step], int] = {
            self._valid: 300,
            self._of_any_length: 120,
            self._mutated_opus: 120,
            self._any_toc: 60,
            self._empty: 20,
            self._padded: 30,
            self._with_header: 60,
            self._other_payload_type: 15,
            self._other_version: 10,
            self._truncated: 25,
            self._flipped: 40,
            self._unencrypted: 15,
            self._noise: 25,
            self._stun: 15,
            self._dtls: 10,
            self._rtcp: 30,
            self._again: 30,
            self._too_late: 30,
            self._lost: 30,
            self._jump: 40,
            self._other_source: 30,
            self._timestamp: 15,
            self._too_long: 4,
            self._silence: 4,
            self._flood: 1,
        }
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def step(self) -> Step:
        """The next one."""
        [draw] = self._rng.choices(self._kinds, self._weights)
        step = draw()
        for datagram in step.datagrams[-3:]:
            self._sent.append(datagram)
        del self._sent[:-_HISTORY]
        return step

    def valid(self) -> Step:
        """20 ms as they should be."""
        return Step("valid", [self.caller.next(self._rng.choice(self._usual))], 0.02)

    # As it should be, more or less

    def _valid(self) -> Step:
        step = self.valid()
        return Step("valid", step.datagrams, self._about(0.02))

    def _of_any_length(self) -> Step:
        layout, ms = self._rng.choice(("mono", "stereo")), self._rng.choice(_DURATIONS_MS)
        return self._packet("any length", self._rng.choice(foreign_packets(layout, ms)))

    def _empty(self) -> Step:
        return self._packet("empty", b"")

    def _too_late(self) -> Step:
        """Some packets change places, or come much later, or behind another source's."""
        numbers = range(self._rng.randrange(2, 6))
        datagrams = [self.caller.next(self._rng.choice(self._usual)) for _ in numbers]
        self._rng.shuffle(datagrams)
        if self._rng.random() < 0.5:
            self._delayed.append(datagrams.pop())
        if len(self._delayed) > 5:
            datagrams.append(self._delayed.pop(0))
        return Step("reordered", datagrams, self._about(0.02 * len(numbers)))

    def _lost(self) -> Step:
        count = self._rng.choice((1, 1, 1, 2, 3, 7, 50, 99, 101, 150))
        self.caller.number += count
        if self._rng.random() < 0.8:
            self.caller.timestamp += 960 * count
        return self._packet("behind a loss", self._rng.choice(self._usual))

    def _again(self) -> Step:
        if not self._sent:
            return self._valid()
        copies = [self._rng.choice(self._sent) for _ in range(self._rng.randrange(1, 4))]
        return Step("sent again", copies, self._about(0.005))

    def _silence(self) -> Step:
        return Step("pause", [], self._rng.choice((0.05, 0.07, 0.1, 0.4, 1.0, 2.5, 5.0)))

    def _flood(self) -> Step:
        payloads = self._rng.choice((self._usual, foreign_packets("stereo", "120"), _BROKEN[:1]))
        gap, to_and_fro = self._rng.choice((1, 1, 2, 7)), self._rng.random() < 0.3
        datagrams = []
        for n in range(self._rng.randrange(self._longest_flood // 3, self._longest_flood)):
            if to_and_fro:
                self.caller.timestamp = -(n % 2)
            datagrams.append(self.caller.next(self._rng.choice(payloads)))
            self.caller.number += gap - 1
        return Step("flood", datagrams, 0.02)

    # Other payloads

    def _mutated_opus(self) -> Step:
        layout, ms = self._rng.choice(("mono", "stereo")), self._rng.choice(_DURATIONS_MS)
        payload = bytearray(self._rng.choice(foreign_packets(layout, ms)))
        for _ in range(self._rng.randrange(4)):
            payload[self._rng.randrange(len(payload))] = self._rng.getrandbits(8)
        cut = self._rng.randrange(len(payload) + 1) if self._rng.random() < 0.5 else len(payload)
        tail = self._rng.randbytes(self._rng.choice((0, 0, 1, 20)))
        return self._packet("mutated Opus", bytes(payload[:cut]) + tail)

    def _any_toc(self) -> Step:
        size = self._rng.choice((0, 1, 2, 3, 10, 60, 200, 1275, 1300))
        toc = bytes((self._rng.getrandbits(8),))
        return self._packet("any Opus", toc + self._rng.randbytes(size))

    # Other headers

    def _padded(self) -> Step:
        size = self._rng.randrange(1, 30)
        told = size if self._rng.random() < 0.6 else self._rng.getrandbits(8)
        padding = bytes(size - 1) + bytes((told,))
        payload = self._rng.choice((b"", *self._usual[:3]))
        return self._packet("padding", payload + padding, VERSION | PADDING)

    def _with_header(self) -> Step:
        rng = self._rng
        count = rng.choice((0, 0, 1, 15))
        extra, first = rng.randbytes(4 * count), VERSION | count
        if rng.random() < 0.9:
            first |= EXTENSION
            profile = rng.choice((b"\xbe\xde", b"\x10\x00", b"\x10\x0f", rng.randbytes(2)))
            words = rng.randrange(6)
            told = words if rng.random() < 0.8 else rng.getrandbits(16)
            elements = rng.choice((rng.randbytes(4 * words), b"\x10\x30\0\0" * words))
            extra += profile + told.to_bytes(2, "big") + elements
        datagram = self.caller.next(rng.choice(self._usual), first=first, extra=extra)
        return Step("CSRCs, extensions", [datagram], self._about(0.02))

    def _other_payload_type(self) -> Step:
        second = self._rng.getrandbits(8)
        return self._odd("payload type", payload_type=second)

    def _other_version(self) -> Step:
        return self._odd("version", first=self._rng.getrandbits(8))

    def _timestamp(self) -> Step:
        self.caller.timestamp = self._rng.getrandbits(32)
        return self._packet("timestamp jump", self._rng.choice(self._usual))

    def _jump(self) -> Step:
        """Another source begins anywhere, and goes on from there or does not."""
        ssrc, number = self._rng.choice(self._others), self._rng.getrandbits(16)
        stamp, stride = self._rng.getrandbits(32), self._rng.choice((0, 1, 1, 1, 2, 200, 40_000))
        datagrams = [
            self.caller.packet(
                self._rng.choice(self._usual), number + stride * n, stamp + 960 * n, ssrc=ssrc
            )
            for n in range(self._rng.randrange(1, 5))
        ]
        return Step("sequence jump", datagrams, self._about(0.02 * len(datagrams)))

    def _other_source(self) -> Step:
        self.caller.switch(self._rng.choice((1, 2, 3)))
        return self._packet("source switch", self._rng.choice(self._usual))

    # What is no packet of ours at all

    def _truncated(self) -> Step:
        datagram = self.caller.next(self._rng.choice(self._usual))
        return Step("truncated", [datagram[: self._rng.randrange(len(datagram))]], 0.01)

    def _flipped(self) -> Step:
        datagram = bytearray(self.caller.next(self._rng.choice(self._usual)))
        for _ in range(self._rng.choice((1, 1, 3, 10))):
            datagram[self._rng.randrange(len(datagram))] ^= 1 << self._rng.randrange(8)
        return Step("bits flipped", [bytes(datagram)], 0.01)

    def _unencrypted(self) -> Step:
        packet = HEADER.pack(VERSION, PAYLOAD_TYPE, self.caller.number & 0xFFFF, 0, 1)
        return Step("not encrypted", [packet + self._rng.choice(self._usual)], 0.01)

    def _too_long(self) -> Step:
        size = self._rng.choice((1300, 1480, 1490, 1500, 1501, 2000, 9000))
        packet = HEADER.pack(VERSION, PAYLOAD_TYPE, self.caller.number & 0xFFFF, 0, 1)
        return Step("too long", [packet + bytes(size)], 0.01)

    def _noise(self) -> Step:
        return Step("noise", [self._rng.randbytes(self._rng.choice((0, 1, 2, 11, 12, 60)))], 0.001)

    def _stun(self) -> Step:
        rng = self._rng
        body = rng.randbytes(4 * rng.randrange(12))
        if rng.random() < 0.5:  # attributes that may well be some
            value = rng.randbytes(4 * rng.randrange(4))
            kind = rng.choice((1, 6, 8, 0x20, 0x24, 0x8028, rng.getrandbits(16)))
            body = kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
        told = len(body) if rng.random() < 0.8 else rng.getrandbits(16)
        method = rng.choice((b"\0\x01", b"\x01\x01", b"\x01\x11", rng.randbytes(2)))
        head = bytes((method[0] & 0x3F, method[1])) + told.to_bytes(2, "big")
        return Step("STUN", [head + b"\x21\x12\xa4\x42" + rng.randbytes(12) + body], 0.001)

    def _dtls(self) -> Step:
        record = bytes((self._rng.randrange(20, 64),)) + b"\xfe\xfd"
        return Step("DTLS", [record + self._rng.randbytes(self._rng.randrange(80))], 0.001)

    def _rtcp(self) -> Step:
        rng = self._rng
        body = rng.randbytes(4 * rng.randrange(1, 14))
        words = len(body) // 4 if rng.random() < 0.7 else rng.getrandbits(16)
        kind = rng.choice((200, 201, 202, 203, 204, 205, 206, rng.randrange(192, 224)))
        first = VERSION | (rng.randrange(3) if rng.random() < 0.6 else rng.getrandbits(6))
        packet = bytes((first, kind)) + words.to_bytes(2, "big") + body
        return Step("RTCP", [self.caller.rtcp(packet)], 0.001)

    # The rest

    def _packet(self, kind: str, payload: bytes, first: int = VERSION) -> Step:
        ticks = duration_ticks(payload) or 960
        datagram = self.caller.next(payload, first=first)
        return Step(kind, [datagram], self._about(ticks / CLOCK_RATE))

    def _odd(self, kind: str, **header: int) -> Step:
        caller = self.caller
        payload = self._rng.choice(self._usual)
        datagram = caller.packet(payload, caller.number, caller.timestamp, **header)
        caller.number += 1
        caller.timestamp += 960
        return Step(kind, [datagram], self._about(0.02))

    def _about(self, seconds: float) -> float:
        """With the jitter of a network."""
        return seconds * self._rng.choice((0.0, 0.9, 1.0, 1.0, 1.1, 2.0))
