"""The agent's voice on its way to the caller: playout buffer to Opus, paced."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ..headroom import Headroom
from ..media.opus import BITRATE, OpusEncoder
from ..media.playout_buffer import PlayoutBuffer, PlayoutFrame
from ..metrics import Metrics
from .pacer import Pacer

__all__ = ["Downlink", "SendPacket"]

logger = logging.getLogger(__name__)

FRAME_S = 0.02
_TOLERANCE_S = 0.0005
"""A frame may leave this much early: the loop's clock and ours are read one after the other."""

_DRY_WAIT_S = 0.01
"""A turn that goes on and has nothing to play is waited for so long before its spurt is closed:
the listener's jitter buffer holds a frame at least, and a pause in between would stay as delay."""

_LOSS_DECAY = 0.9
_ASSUMED_LOSS = 0.1
"""Of a network that nothing is known of yet: FEC from the first word on, where it is taken,
until the peer's first report."""

_MAX_LOSS_PERCENT = 30

SendPacket = Callable[[bytes, int, bool], None]
"""Sends one packet: payload, timestamp counted from 0 in 1/48000 s, marker bit."""


class Downlink:
    """Reads a frame from the playout buffer every 20 ms while there is one, and sends it.

    One timer of the loop does all of it, encoding included (about 0.3 ms a frame).  Between
    talk spurts nothing is read, encoded or sent, and no timer runs: :meth:`wake` says that
    there is something again, and the first frame leaves in the loop's next round.  Each call
    keeps the time of its own beginning, so that the frames of many calls do not bunch.

    Nothing is read before :meth:`start`.  :meth:`stop` ends the timer; nothing else is held.

    Args:
        playout: what is read.
        fec: encode with in-band FEC; only if the caller's Opus fmtp asks for it.
        max_bitrate: the most that the caller's fmtp allows, in bit/s; None: what is best.
        on_frame: called for each frame as it leaves, with the time; must be quick.
        headroom: asked before each frame how complex its encoding may be; None: any.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        playout: PlayoutBuffer,
        *,
        fec: bool,
        max_bitrate: int | None = None,
        on_frame: Callable[[PlayoutFrame, float], None],
        metrics: Metrics,
        headroom: Headroom | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._playout = playout
        self._fec = fec
        self._bitrate = BITRATE if max_bitrate is None else min(BITRATE, max_bitrate)
        self._on_frame = on_frame
        self._headroom = headroom or Headroom()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer(FRAME_S)
        self._encoders: dict[int, OpusEncoder] = {}
        self._send: SendPacket | None = None
        self._timer: asyncio.Handle | None = None
        self._begins_spurt = True
        self._waits_for_more = False
        self._loss = _ASSUMED_LOSS
        self._is_loss_known = False
        self._complained = False
        self._sent = metrics.packets["downlink"]
        self._late = metrics.frames_late

    def start(self, send: SendPacket) -> None:
        """Send from now on, by ``send``: the connection is up."""
        self._send = send
        self.wake()

    def wake(self) -> None:
        """Say that the playout buffer was written to, finished or flushed.

        May be called from whatever writes to it: nothing is sent before that has returned.
        """
        if self._waits_for_more and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and self._send is not None:
            self._timer = self._loop.call_soon(self._on_timer)

    def stop(self) -> None:
        """Send nothing any more; may be called twice."""
        self._send = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_loss(self, share: float) -> None:
        """Take the caller's report of how much it lost of late, 0 to 1.

        In-band FEC is made as strong as that: at once when it rises, slowly when it falls.
        """
        known = self._loss if self._is_loss_known else 0.0
        self._is_loss_known = True
        self._loss = max(share, known * _LOSS_DECAY)
        for encoder in self._encoders.values():
            self._tell_loss(encoder)

    # Timer

    def _on_timer(self) -> None:
        self._timer = None
        self._waits_for_more = False
        now = self._clock()
        wait_s = self._pacer.begin(now) - now
        if wait_s > _TOLERANCE_S:
            self._timer = self._loop.call_later(wait_s, self._on_timer)
            return
        patience_s = wait_s + _DRY_WAIT_S
        if patience_s > _TOLERANCE_S and self._playout.is_dry:
            self._waits_for_more = True
            self._timer = self._loop.call_later(patience_s, self._on_timer)
            return
        frame = self._playout.read(now)
        if frame is None:
            self._pacer.end()
            self._begins_spurt = True
            if not self._playout.is_empty:
                # Less than a frame is in the buffer: it becomes due by time alone.
                self._timer = self._loop.call_later(FRAME_S, self._on_timer)
            return
        due = self._pacer.due
        assert due is not None
        try:
            self._play(frame, now)
        except Exception:
            # The timer must go on: one frame is worth less than the call.
            if not self._complained:
                self._complained = True
                logger.exception("downlink audio is lost: further failures are not logged")
        self._set_timer()

    def _set_timer(self) -> None:
        due = self._pacer.due
        if self._send is not None and self._timer is None and due is not None:
            wait_s = max(0.0, due - self._clock())
            self._timer = self._loop.call_later(wait_s, self._on_timer)

    def _play(self, frame: PlayoutFrame, now: float) -> None:
        ticks, late_s = self._pacer.sent(now)
        if late_s > FRAME_S:
            self._late.inc()
        payload = self._encoder(frame.rate).encode(frame.pcm)
        if self._send is not None:
            self._send(payload, ticks, self._begins_spurt)
        # RFC 3551 section 4.1: the marker is for the first packet of a talk spurt.
        self._begins_spurt = False
        self._sent.inc()
        self._on_frame(frame, now)

    # Encoders

    def _encoder(self, rate: int) -> OpusEncoder:
        encoder = self._encoders.get(rate)
        if encoder is None:
            encoder = self._encoders[rate] = OpusEncoder(rate, bitrate=self._bitrate, fec=self._fec)
            self._tell_loss(encoder)
        encoder.set_complexity(self._headroom.complexity_limit)
        return encoder

    def _tell_loss(self, encoder: OpusEncoder) -> None:
        set_packet_loss = getattr(encoder, "set_packet_loss", None)
        if self._fec and set_packet_loss is not None:
            set_packet_loss(min(_MAX_LOSS_PERCENT, round(self._loss * 100)))
