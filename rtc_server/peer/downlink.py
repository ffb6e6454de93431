"""The agent's voice on its way to the caller: playout buffer to Opus to RTP, paced."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet

from ..media.opus import OpusEncoder
from ..media.playout_buffer import PlayoutBuffer, PlayoutFrame
from ..metrics import Metrics
from .pacer import CLOCK_RATE, Pacer

__all__ = ["Downlink"]

FRAME_S = 0.02
_TIME_BASE = Fraction(1, CLOCK_RATE)


class Downlink(MediaStreamTrack):
    """Reads a frame from the playout buffer every 20 ms while there is one.

    Frames are encoded here, on the loop (about 0.3 ms each), and handed to aiortc as
    packets, which it sends as they are.  Between talk spurts nothing is read, encoded or
    sent: the track waits for :meth:`wake`.  The peer connection stops it.

    Args:
        playout: what is read.
        fec: encode with in-band FEC; only if the caller's Opus fmtp asks for it.
        on_frame: called for each frame as it leaves, with the time; must be quick.
        clock: monotonic seconds.
    """

    kind = "audio"

    def __init__(
        self,
        playout: PlayoutBuffer,
        *,
        fec: bool,
        on_frame: Callable[[PlayoutFrame, float], None],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._playout = playout
        self._fec = fec
        self._on_frame = on_frame
        self._clock = clock
        self._pacer = Pacer(FRAME_S)
        self._encoders: dict[int, OpusEncoder] = {}
        self._written = asyncio.Event()
        self._sent = metrics.packets.labels("downlink")
        self._late = metrics.frames_late

    def wake(self) -> None:
        """Say that the playout buffer was written to, finished or flushed."""
        self._written.set()

    def stop(self) -> None:
        """End the track; a waiting :meth:`recv` ends too.  May be called twice."""
        super().stop()
        self._written.set()

    async def recv(self) -> Packet[Any]:
        """The next packet, when it is due.

        Raises:
            MediaStreamError: the track was stopped.
        """
        while True:
            frame = await self._next_frame()
            now = self._clock()
            timestamp, late_s = self._pacer.sent(now)
            if late_s > FRAME_S:
                self._late.inc()
            packet = Packet(self._encoder(frame.rate).encode(frame.pcm))
            packet.pts = timestamp
            packet.time_base = _TIME_BASE
            self._sent.inc()
            self._on_frame(frame, now)
            return packet

    async def _next_frame(self) -> PlayoutFrame:
        """The next frame there is, read when it is due and not before."""
        while self.readyState == "live":
            self._written.clear()
            wait_s = self._pacer.begin(self._clock()) - self._clock()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            frame = self._playout.read(self._clock())
            if frame is not None:
                return frame
            self._pacer.end()
            await self._wait_written()
        raise MediaStreamError

    async def _wait_written(self) -> None:
        # Less than a frame is in the buffer: it becomes due by time alone.
        wait_s = None if self._playout.is_empty else FRAME_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._written.wait()

    def _encoder(self, rate: int) -> OpusEncoder:
        encoder = self._encoders.get(rate)
        if encoder is None:
            encoder = self._encoders[rate] = OpusEncoder(rate, fec=self._fec)
        return encoder
