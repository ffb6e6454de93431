"""What the harness shows: pictures and video files as a track, and pictures as messages."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.video.frame import VideoFrame

from .errors import PictureFileError

__all__ = ["Camera", "Film", "PictureMessage", "Still", "open_film", "read_image"]

STILL_FRAMES_PER_S = 10
"""A camera in front of a picture that does not move."""

MOST_FRAMES_PER_S = 30.0
LONGEST_PX = 1280
"""Larger films are sent smaller, so that encoding them leaves time for the audio."""

LONGEST_IMAGE_PX = 1024
MOST_IMAGE_BYTES = 180_000
"""As base64 it still fits into a message of 256 KiB."""

_TIME_BASE = Fraction(1, 90_000)
_FORMATS = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG", "image/webp": b"RIFF"}


@dataclass(frozen=True, slots=True)
class Still:
    """A picture."""

    name: str
    frame: VideoFrame = field(repr=False)

    def frames(self) -> Iterator[tuple[float, VideoFrame]]:
        """It, at the frame rate of a camera, without end: seconds from the start, frame."""
        number = 0
        while True:
            yield number / STILL_FRAMES_PER_S, self.frame
            number += 1


@dataclass(frozen=True, slots=True)
class Film:
    """A video file, over and over."""

    name: str
    path: Path

    def frames(self) -> Iterator[tuple[float, VideoFrame]]:
        """Its frames with the seconds from the start, without end; at most 30 a second."""
        begin_s = 0.0
        while True:
            last_s = -1.0
            # What is broken further on ends it, as far as it is shown.
            with contextlib.suppress(av.FFmpegError), av.open(self.path) as container:
                container.streams.video[0].thread_count = 1
                for frame in container.decode(video=0):
                    at_s = frame.time if frame.pts is not None else last_s + 1 / 30
                    if last_s < 0 or at_s - last_s > 0.9 / MOST_FRAMES_PER_S:
                        last_s = max(0.0, at_s)
                        yield begin_s + last_s, _fitted(frame, LONGEST_PX)
            begin_s += max(0.0, last_s) + 1 / MOST_FRAMES_PER_S


@dataclass(frozen=True, slots=True)
class PictureMessage:
    """A picture to be sent as an ``image`` message."""

    name: str
    mime_type: str
    data: bytes = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The message."""
        data = base64.b64encode(self.data).decode()
        return {"type": "image", "mime_type": self.mime_type, "data": data}


def open_film(path: Path) -> Still | Film:
    """A picture or a video file, by what is in it.

    Raises:
        PictureFileError: it is neither.
    """
    first, has_more = _first_frame(path)
    return Film(path.name, path) if has_more else Still(path.name, _fitted(first, LONGEST_PX))


def read_image(path: Path) -> PictureMessage:
    """A picture file, as it is if it fits into a message, or else smaller and as JPEG.

    Raises:
        PictureFileError: it is none.
    """
    frame, _ = _first_frame(path)
    data = path.read_bytes()
    for mime_type, magic in _FORMATS.items():
        if data.startswith(magic) and len(data) <= MOST_IMAGE_BYTES:
            return PictureMessage(path.name, mime_type, data)
    small = _fitted(frame, LONGEST_IMAGE_PX)
    for quality in (4, 12, 31):
        data = _jpeg(small, quality)
        if len(data) <= MOST_IMAGE_BYTES:
            break
    return PictureMessage(path.name, "image/jpeg", data)


class Camera(MediaStreamTrack):
    """A video track that shows a picture or a film in real time, and nothing until then.

    Decoding happens in asyncio's default executor; aiortc encodes there, too.
    """

    kind = "video"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._frames: Iterator[tuple[float, VideoFrame]] | None = None
        self._switched = asyncio.Event()
        self._origin: float | None = None
        self._begun_at = 0.0
        self.frames_sent = 0

    def show(self, source: Still | Film) -> None:
        """Show this from now on."""
        self._frames = source.frames()
        self._begun_at = self._clock()
        self._switched.set()

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._switched.set()

    async def recv(self) -> VideoFrame:
        """The next frame, when it is due; what is late after a stall is left out.

        Raises:
            MediaStreamError: the track was stopped.
        """
        while True:
            await self._switched.wait()
            frames, begun_at = self._frames, self._begun_at
            if self.readyState != "live" or frames is None:
                raise MediaStreamError
            at_s, frame = await asyncio.to_thread(next, frames)
            late_s = self._clock() - begun_at - at_s
            if late_s > 1.0:
                self._begun_at += late_s
            await asyncio.sleep(max(0.0, -late_s))
            if frames is self._frames:
                return self._stamped(frame)

    def _stamped(self, frame: VideoFrame) -> VideoFrame:
        now = self._clock()
        if self._origin is None:
            self._origin = now
        # A still is the same frame each time: the encoder is given a new one to number.
        copy = frame.reformat(format="yuv420p", threads=1)
        if copy is frame:
            copy = VideoFrame.from_ndarray(frame.to_ndarray(), format="yuv420p")
        copy.pts = int((now - self._origin) * 90_000)
        copy.time_base = _TIME_BASE
        self.frames_sent += 1
        return copy


def _first_frame(path: Path) -> tuple[VideoFrame, bool]:
    """The first frame of a file, and whether there is another."""
    try:
        with av.open(path) as container:
            frames = container.decode(video=0)
            first = next(frames)
            return first, next(frames, None) is not None
    except (av.FFmpegError, OSError, IndexError, StopIteration, ValueError):
        raise PictureFileError(f"{path} is no picture or video that can be read.") from None


def _fitted(frame: VideoFrame, longest: int) -> VideoFrame:
    scale = min(1.0, longest / max(frame.width, frame.height))
    width, height = (max(2, int(one * scale) // 2 * 2) for one in (frame.width, frame.height))
    return frame.reformat(width, height, "yuv420p", interpolation="AREA", threads=1)


def _jpeg(frame: VideoFrame, quality: int) -> bytes:
    frame = frame.reformat(format="yuvj420p", dst_color_range="JPEG", threads=1)
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = Fraction(1)
    encoder.thread_count = 1
    encoder.qmin = encoder.qmax = quality
    frame.pts = 0
    return b"".join(bytes(one) for one in (*encoder.encode(frame), *encoder.encode(None)))
