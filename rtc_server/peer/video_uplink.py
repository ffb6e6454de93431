"""What the caller shows on its way to the agent: a picture a second out of its video."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..media.frame_assembler import FrameAssembler
from ..media.picture import ColourSpace, Picture, PictureError, VideoCodec, VideoDecoder, fit_jpeg
from ..media.video_payload import parse_h264, parse_vp8
from ..media.video_sampler import VideoSampler
from ..picture_pool import PicturePool

__all__ = ["VideoFeedback", "VideoSink", "VideoUplink"]

logger = logging.getLogger(__name__)

_LOOK_S = 0.1
"""How often, while packets arrive, it is looked whether a key frame is to be asked for."""

_QUIET_S = 10.0
"""Nothing is looked at any more when no packet came for so long."""

_PARSERS = {"VP8": parse_vp8, "H264": parse_h264}


class VideoSink(Protocol):
    """Takes the caller's pictures; called on the loop, must be quick."""

    def takes_pictures(self) -> bool:
        """Whether there is anybody to look at one now."""

    def on_picture(self, jpeg: bytes) -> None:
        """A picture of what the caller shows now."""


class VideoFeedback(Protocol):
    """Speaks to the sender of the video."""

    def ask_key_frame(self) -> None:
        """Ask for a frame that needs no other (PLI)."""

    def ask_packets(self, sequence_numbers: list[int]) -> None:
        """Ask for packets that were lost (NACK)."""

    def report(self) -> None:
        """Say how it arrives; called about once a second while it does."""


class VideoUplink:
    """Samples the caller's video; decodes off the event loop, and only what is needed.

    Until the first packet it is nothing but this object: no thread, no timer, no decoder.

    Args:
        codec: what the packets hold.
        sink: is given the pictures.
        frames_per_s: how many pictures a second, at most.
        picture_px: the longest side of a picture.
        clock: monotonic seconds.

    Attributes:
        feedback: to be set before the first packet.
    """

    REPORT_S = 1.0

    def __init__(
        self,
        codec: VideoCodec,
        sink: VideoSink,
        *,
        frames_per_s: float,
        picture_px: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.feedback: VideoFeedback | None = None
        self._codec = codec
        self._sink = sink
        self._picture_px = picture_px
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._assembler = FrameAssembler(_PARSERS[codec])
        self._sampler = VideoSampler(self._assembler, 1 / frames_per_s)
        self._decoder: VideoDecoder | None = None
        self._pool: PicturePool | None = None
        self._work: asyncio.Future[Picture | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._arrived_at = self._reported_at = 0.0
        self._packets = self._skipped = self._asked = 0
        self._sampled = self._broken = self._unseen = 0
        self._last: Picture | None = None
        self._is_closed = self._complained = False
        self._colours: ColourSpace | None = None

    def now(self) -> float:
        """What its clock says."""
        return self._clock()

    def start_over(self) -> None:
        """What comes now is another stream than before."""
        self._sampler.start_over()

    def wants(self) -> bool:
        """Whether the packet that arrived now is of use; to be asked once for each."""
        if self._is_closed:
            return False
        self._packets += 1
        now = self._arrived_at = self._clock()
        if self._timer is None:
            self._timer = self._loop.call_later(_LOOK_S, self._look)
        if not self._sink.takes_pictures():
            self._sampler.rest()
        elif self._sampler.wants(now):
            return True
        self._skipped += 1
        return False

    def on_packet(self, sequence_number: int, timestamp: int, marker: bool, payload: bytes) -> None:
        """Take a packet that was wanted; never raises."""
        if self._is_closed:
            return
        now = self._clock()
        try:
            frames = self._sampler.push(sequence_number, timestamp, marker, payload, now)
            if frames is not None:
                self._develop(frames)
            elif self._sampler.asks(now):
                self._ask()
            self._ask_missing(now)
        except Exception as problem:
            # The socket's callback is no place to fail: the audio comes by it, too.
            self._complain(problem)

    def on_colour_space(self, colours: ColourSpace) -> None:
        """How colours are to be read from now on; without it, as the frames say themselves."""
        self._colours = colours

    def statistics(self) -> dict[str, Any]:
        """What became of the video so far, ready for JSON."""
        return {
            "codec": self._codec,
            "packets": self._packets,
            "packets_skipped": self._skipped,
            "packets_asked_again": self._asked,
            "packets_malformed": self._assembler.malformed,
            "frames": self._assembler.completed,
            "frames_incomplete": self._assembler.given_up,
            "frames_broken": self._broken,
            "key_frames_requested": self._sampler.requests,
            "pictures": self._sampled,
            "pictures_dropped": self._unseen,
            **(
                {}
                if self._last is None
                else {
                    "width": self._last.width,
                    "height": self._last.height,
                    "bytes": len(self._last.jpeg),
                }
            ),
        }

    def close(self) -> None:
        """Let go of timer, decoder and threads; may be called twice."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._work is not None:
            self._work.cancel()
            self._work = None
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        self._decoder = None

    # Asking

    def _look(self) -> None:
        self._timer = None
        now = self._clock()
        if now - self._arrived_at > _QUIET_S:
            return
        self._timer = self._loop.call_later(_LOOK_S, self._look)
        if self._sink.takes_pictures() and self._sampler.asks(now):
            self._ask()
        self._ask_missing(now)
        if now - self._reported_at >= self.REPORT_S and now - self._arrived_at < self.REPORT_S:
            self._reported_at = now
            if self.feedback is not None:
                self.feedback.report()

    def _ask(self) -> None:
        if self.feedback is not None:
            self.feedback.ask_key_frame()

    def _ask_missing(self, now: float) -> None:
        missing = self._assembler.gaps.due(now)
        if missing and self.feedback is not None:
            self._asked += len(missing)
            self.feedback.ask_packets([one & 0xFFFF for one in missing])

    # Pictures

    def _develop(self, frames: list[bytes]) -> None:
        if self._pool is None:
            self._pool = PicturePool()
            self._decoder = VideoDecoder(self._codec)
        assert self._decoder is not None
        self._work = self._pool.run(
            _develop, self._decoder, frames, self._picture_px, self._colours
        )
        self._work.add_done_callback(self._on_developed)

    def _on_developed(self, work: asyncio.Future[Picture | None]) -> None:
        if work.cancelled() or self._is_closed:
            return
        self._work = None
        problem = work.exception()
        if problem is not None:
            self._broken += 1
            if not isinstance(problem, PictureError):
                self._complain(problem)
            self._sampler.done(broken=True)
            return
        self._sampler.done()
        picture = work.result()
        if picture is None:
            return
        if not self._sink.takes_pictures():
            self._unseen += 1
            return
        self._sampled += 1
        self._last = picture
        self._sink.on_picture(picture.jpeg)

    def _complain(self, problem: BaseException) -> None:
        if not self._complained:
            self._complained = True
            logger.error("video is lost: further failures are not logged", exc_info=problem)


def _develop(
    decoder: VideoDecoder, frames: list[bytes], picture_px: int, colours: ColourSpace | None
) -> Picture | None:
    frame = decoder.decode(frames)
    return None if frame is None else fit_jpeg(frame, longest_px=picture_px, colours=colours)
