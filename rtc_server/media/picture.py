"""Pictures for the agent: decoded within bounds, made small enough, written as JPEG.

What comes in was written by a stranger: nothing of it reaches the agent as it is, and what
cannot be decoded is refused.  Everything here takes milliseconds of one CPU, starts no
thread, and is meant to be called off the event loop.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal, NamedTuple, cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

__all__ = [
    "MAX_JPEG_BYTES",
    "MAX_PIXELS",
    "ColourSpace",
    "Picture",
    "PictureError",
    "VideoCodec",
    "VideoDecoder",
    "decode_picture",
    "fit_jpeg",
]

VideoCodec = Literal["VP8", "H264"]

MAX_PIXELS = 4096 * 4096
"""A picture of more is refused before memory is taken for it."""

MAX_JPEG_BYTES = 200_000
"""What a picture may have, whatever is in it: the model's own limits are far above."""

_MAX_SIDE = 16_384
_QUALITIES = (3, 6, 10, 16, 24, 31)  # quantiser scales of FFmpeg's encoder, the best first
_STILL = {"image/jpeg": "mjpeg", "image/png": "png", "image/webp": "webp"}
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_DECODERS: dict[VideoCodec, str] = {"VP8": "vp8", "H264": "h264"}


class PictureError(ValueError):
    """It is no picture, or one that is too large."""


class ColourSpace(NamedTuple):
    """How the three planes of a video frame become red, green and blue, in PyAV's names."""

    matrix: Literal["ITU601", "ITU709"]
    range: Literal["MPEG", "JPEG"]


class Picture(NamedTuple):
    """A JPEG and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


def decode_picture(mime_type: str, data: bytes, *, max_pixels: int = MAX_PIXELS) -> VideoFrame:
    """Decode a JPEG, PNG or WebP file, as it lies there: :func:`fit_jpeg` makes more of it.

    Args:
        max_pixels: no more than :data:`MAX_PIXELS`.

    Raises:
        PictureError: it is none, or has more than ``max_pixels``.
    """
    name = _STILL.get(mime_type)
    if name is None:
        raise PictureError(f"{mime_type} is no kind of picture that is taken")
    if mime_type == "image/jpeg" and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise PictureError("it ends early")  # FFmpeg would fill up what is missing with grey
    frames = _decode(_open_decoder(name, max_pixels), [data])
    if not frames:
        raise PictureError("there is no picture in it")
    return frames[0]


class VideoDecoder:
    """Decodes a video stream, as far as it is asked to; not to be used by two threads at once."""

    def __init__(self, codec: VideoCodec) -> None:
        self._name = _DECODERS[codec]
        self._decoder = _open_decoder(self._name)

    def decode(self, frames: list[bytes]) -> VideoFrame | None:
        """Decode encoded frames in order and give the last picture; None: none came out.

        Raises:
            PictureError: one of them is broken; the next must be a key frame.
        """
        try:
            pictures = _decode(self._decoder, frames)
        except PictureError:
            self._decoder = _open_decoder(self._name)
            raise
        return pictures[-1] if pictures else None


def fit_jpeg(
    frame: VideoFrame,
    *,
    longest_px: int,
    max_bytes: int = MAX_JPEG_BYTES,
    colours: ColourSpace | None = None,
) -> Picture:
    """Write a picture as JPEG within bounds; it is never enlarged.

    It is set upright, as its Exif orientation says, and on white where it is transparent.

    Args:
        longest_px: no side is longer; the proportions stay.
        max_bytes: quality is lowered until the file has no more; if the lowest is not
            enough, the picture becomes smaller.
        colours: how they are to be read; None: as the frame says itself.

    Raises:
        PictureError: it cannot be converted.
    """
    longest = max(2, longest_px)
    frame = _plain(frame, longest)
    while True:
        width, height = _fitted(frame.width, frame.height, longest)
        try:
            # One thread: a conversion of its own would start one for each core.
            scaled = frame.reformat(
                width,
                height,
                "yuvj420p",
                src_colorspace=None if colours is None else colours.matrix,
                src_color_range=None if colours is None else colours.range,
                dst_colorspace="ITU601",
                dst_color_range="JPEG",
                interpolation="AREA",
                threads=1,
            )
            for quality in _QUALITIES:
                jpeg = _encode(scaled, quality)
                if len(jpeg) <= max_bytes:
                    return Picture(jpeg, width, height)
        except (av.FFmpegError, ValueError, MemoryError):
            raise PictureError("the picture cannot be converted") from None
        if longest <= 16:
            raise PictureError("the picture cannot be made small enough")
        longest = max(width, height) // 2


def _fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """Even sides, as the halved colour planes want them."""
    scale = min(1.0, longest / max(width, height))
    return _even(width * scale), _even(height * scale)


def _even(size: float) -> int:
    return max(2, int(size) // 2 * 2)


def _encode(frame: VideoFrame, quality: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1)
    encoder.thread_count = 1
    encoder.qmin = encoder.qmax = quality
    frame.pts = 0
    return b"".join(bytes(one) for one in (*encoder.encode(frame), *encoder.encode(None)))


def _open_decoder(name: str, max_pixels: int = MAX_PIXELS) -> VideoCodecContext:
    decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(max_pixels)}
    return decoder


def _decode(decoder: VideoCodecContext, pieces: list[bytes]) -> list[VideoFrame]:
    """The last picture of each piece."""
    frames = []
    for piece in pieces:
        try:
            # Some decoders hold a picture back until they are told that no more comes.
            found = decoder.decode(av.Packet(piece))
        except (av.FFmpegError, ValueError, MemoryError):
            raise PictureError("it cannot be decoded") from None
        frames += found[-1:]
    for frame in frames:
        if not (0 < frame.width <= _MAX_SIDE and 0 < frame.height <= _MAX_SIDE):
            raise PictureError("the picture is too large")
    return frames


def _plain(frame: VideoFrame, longest: int) -> VideoFrame:
    """Upright and opaque.

    It is made small before: in NumPy a pixel takes many times what FFmpeg takes for it, and a
    picture that says that it is huge is a few kilobytes.
    """
    turns = round(frame.rotation / 90) % 4
    if not turns and not _has_alpha(frame):
        return frame
    width, height = _fitted(frame.width, frame.height, longest)
    try:
        small = frame.reformat(width, height, "rgba", interpolation="AREA", threads=1)
        rgb = _on_white(small.to_ndarray())
    except (av.FFmpegError, ValueError, MemoryError):
        raise PictureError("the picture cannot be converted") from None
    return VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(rgb, turns)), format="rgb24")


def _has_alpha(frame: VideoFrame) -> bool:
    """A palette has it in its colours."""
    return frame.format.name == "pal8" or any(one.is_alpha for one in frame.format.components)


def _on_white(rgba: NDArray[Any]) -> NDArray[np.uint8]:
    """What lies beneath is mostly black, and so is writing."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)
