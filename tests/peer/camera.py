"""A camera for tests: a video track that shows what it is told to."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from rtc_server.media.picture import decode_picture

__all__ = ["Camera", "colour_at", "is_near", "pattern"]

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 180, 40), (30, 50, 220), (240, 240, 240)

Colour = tuple[int, int, int]


def pattern(
    width: int = 320,
    height: int = 240,
    colours: tuple[Colour, Colour, Colour, Colour] = (RED, GREEN, BLUE, WHITE),
) -> NDArray[np.uint8]:
    """A picture of four quarters: top left, top right, bottom left, bottom right."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = colours[:2]
    rgb[height // 2 :, : width // 2], rgb[height // 2 :, width // 2 :] = colours[2:]
    return rgb


def colour_at(jpeg: bytes, x: float, y: float) -> Colour:
    """The colour at a place of a picture, from 0 to 1 in both directions."""
    rgb = decode_picture("image/jpeg", jpeg).to_ndarray(format="rgb24")
    r, g, b = rgb[int(y * rgb.shape[0]), int(x * rgb.shape[1])]
    return int(r), int(g), int(b)


def is_near(found: Colour, expected: Colour, tolerance: int = 24) -> bool:
    """Whether it is the same colour, after VP8 and JPEG."""
    return all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True))


class Camera(MediaStreamTrack):
    """Shows ``picture`` at a frame rate; while ``paused`` it sends nothing."""

    kind = "video"

    def __init__(self, picture: NDArray[np.uint8] | None = None, frames_per_s: float = 30) -> None:
        super().__init__()
        self.picture = pattern() if picture is None else picture
        self.paused = False
        self.frames = 0
        self._period_s = 1 / frames_per_s
        self._begun_at: float | None = None

    async def recv(self) -> VideoFrame:
        if self._begun_at is None:
            self._begun_at = time.monotonic()
        while True:
            due = self._begun_at + self.frames * self._period_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self.readyState != "live":
                raise MediaStreamError
            self.frames += 1
            if not self.paused:
                break
        frame = VideoFrame.from_ndarray(self.picture, format="rgb24")
        frame.pts = int(self.frames * self._period_s * 90_000)
        frame.time_base = Fraction(1, 90_000)
        return frame
