"""The caller's voice on its way to the agent: RTP to Opus to 20 ms of 16 kHz PCM."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

from ..media.opus import Codec, OpusDecoder, OpusError
from ..media.opus_packet import CLOCK_RATE, duration_ticks
from ..media.pcm import Framer
from ..media.receive_buffer import (
    Ended,
    Frame,
    Lost,
    ReceiveBuffer,
    Received,
    ReceiveStatistics,
    RtpPacket,
    Silence,
)
from ..media.speech_detector import SpeechDetector
from ..metrics import Metrics
from .token_bucket import TokenBucket

__all__ = [
    "BURST_S",
    "OVERRATE",
    "PIECE_BYTES",
    "ArrivedPacket",
    "Uplink",
    "UplinkAudio",
    "UplinkSink",
]

logger = logging.getLogger(__name__)

PIECE_MS = 20
_BYTES_PER_MS = 16_000 // 1000 * 2
_TICKS_PER_MS = CLOCK_RATE // 1000
PIECE_BYTES = PIECE_MS * _BYTES_PER_MS

OVERRATE = 1.25
BURST_S = 10.0
"""A caller may send 1.25 seconds of audio a second, and 10 s at once after a stall of the
network.  More than that is no microphone, and decoding it would cost the other calls."""


class UplinkAudio(NamedTuple):
    """20 ms of the caller's audio."""

    pcm: bytes
    """16 kHz mono s16 little-endian, 640 bytes."""

    arrived_at: float | None
    """Monotonic seconds at which the packet with its last samples arrived; None: concealment
    of a lost packet, or silence while the stream pauses."""

    speech: bool
    """Whether our own detector judged it to be speech."""

    quiet: bool = False
    """Whether it is as quiet as the noise floor: not even the beginning of a word."""


class UplinkSink(Protocol):
    """Takes the caller's audio; called on the loop, must be quick."""

    def on_audio(self, audio: UplinkAudio) -> None:
        """The next 20 ms."""

    def on_stream_end(self) -> None:
        """The stream has paused for so long that nothing is filled in any more."""


class ArrivedPacket(Protocol):
    """A packet of Opus, decrypted; it is looked at during the call, and not kept."""

    @property
    def sequence_number(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def ssrc(self) -> int: ...
    @property
    def payload(self) -> bytes: ...


class Uplink:
    """Orders, decodes and conceals the caller's packets and cuts them into pieces.

    All work is done in :meth:`on_packet`, as the packet arrives, or in one timer of the
    loop for what becomes due by time alone.  Times are of ``clock``; the timer is set by
    differences, so that the loop's clock need not be the same.  :meth:`close` ends the
    timer; nothing else is held.
    """

    def __init__(
        self,
        sink: UplinkSink,
        *,
        metrics: Metrics,
        decoder: Literal["pyav", "libopus"] = "pyav",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._buffer = ReceiveBuffer(ptime_ms=PIECE_MS)
        # None: libopus where it can be called, and else PyAV after all.
        self._codec = Codec.PYAV if decoder == "pyav" else None
        self._framer = Framer(PIECE_BYTES)
        self._detector = SpeechDetector()
        self._budget = TokenBucket(OVERRATE, BURST_S)
        self._packets = metrics.packets["uplink"]
        self._lost = metrics.packets_lost.labels("uplink")
        self._flooded = metrics.audio_dropped.labels("uplink", "flood")
        self._lost_counted = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False
        self._complained = False

    @cached_property
    def _decoder(self) -> OpusDecoder:
        """Made with the first packet: the caller waits for the answer until then."""
        return OpusDecoder(self._codec)

    def on_packet(self, packet: ArrivedPacket) -> None:
        """Take a packet as it arrives; never raises."""
        if self._closed:
            return
        now = self._clock()
        self._packets.inc()
        received = RtpPacket(
            packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload, now
        )
        try:
            self._take(self._buffer.push(received, now), now)
        except Exception as problem:
            self._complain(problem)
        if self._timer is None or self._buffer.has_gap:
            # Without a gap the deadline only moves on, and the timer looks again by itself.
            self._set_timer()

    def statistics(self) -> ReceiveStatistics:
        """What became of the packets so far."""
        return self._buffer.statistics()

    def close(self) -> None:
        """Stop the timer and take nothing more; may be called twice."""
        self._closed = True
        self._count_lost()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Timer

    def _on_timer(self) -> None:
        self._timer = None
        try:
            now = self._clock()
            self._take(self._buffer.poll(now), now)
        except Exception as problem:
            self._complain(problem)
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self._buffer.deadline
        if deadline is None or self._closed:
            return
        if self._timer is not None:
            # It moves on with each packet: what fires too early looks again.
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - self._clock()), self._on_timer)

    def _complain(self, problem: Exception) -> None:
        # aiortc's receive loop would end, and with it the call; a packet is worth less.
        if not self._complained:
            self._complained = True
            logger.error("uplink audio is lost: further failures are not logged", exc_info=problem)

    # Audio

    def _take(self, items: Iterable[Received], now: float) -> None:
        is_whole = True
        for item in items:
            if isinstance(item, Frame):  # nearly every time
                self._decode(item.payload, item.arrived_at, now)
                continue
            is_whole = False
            match item:
                case Lost(duration_ms, next_payload):
                    self._make_up(duration_ms, next_payload, now)
                case Silence(duration_ms):
                    self._make_up(duration_ms, None, now)
                case Ended():
                    self._end_stream()
        if not is_whole:
            self._count_lost()

    def _count_lost(self) -> None:
        lost = self._buffer.statistics().lost
        self._lost.inc(lost - self._lost_counted)
        self._lost_counted = lost

    def _decode(self, payload: bytes, arrived_at: float, now: float) -> None:
        ticks = duration_ticks(payload) or PIECE_MS * _TICKS_PER_MS
        if self._is_flood(ticks / CLOCK_RATE, now):
            return
        try:
            pcm = self._decoder.decode(payload)
        except OpusError:
            # For as long as it says that it is: that is what it has taken of the budget.
            self._pass_on(self._decoder.conceal(ticks // _TICKS_PER_MS), None)
        else:
            self._pass_on(pcm, arrived_at)

    def _make_up(self, duration_ms: int, next_payload: bytes | None, now: float) -> None:
        """In place of what did not come: its in-band FEC in the next packet, or concealment."""
        # It costs more than a packet does, and one packet can claim the loss of many.
        if not self._is_flood(duration_ms / 1000, now):
            # Concealment fades to silence within 60 ms: a pause begins without a click.
            self._pass_on(self._decoder.recover(duration_ms, next_payload), None)

    def _is_flood(self, seconds: float, now: float) -> bool:
        """Whether so much more audio is too much; it is counted then, and to be left out."""
        if self._budget.take(now, seconds):
            return False
        self._flooded.inc(seconds)
        return True

    def _pass_on(self, pcm: bytes, arrived_at: float | None) -> None:
        detector = self._detector
        for piece in self._framer.push(pcm):
            if arrived_at is not None:
                speech = detector.push(piece)
                audio = UplinkAudio(piece, arrived_at, speech, detector.is_quiet)
            else:
                audio = UplinkAudio(piece, None, False, detector.would_be_quiet(piece))
            self._sink.on_audio(audio)

    def _end_stream(self) -> None:
        tail = self._framer.flush()
        if tail is not None:
            self._sink.on_audio(UplinkAudio(tail, None, speech=False))
        self._sink.on_stream_end()
