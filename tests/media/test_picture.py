"""Pictures: taken upright and within bounds, or refused."""

from __future__ import annotations

import os
import struct
import threading
import tracemalloc
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from rtc_server.media.picture import (
    MAX_JPEG_BYTES,
    PictureError,
    VideoDecoder,
    decode_picture,
    fit_jpeg,
)

RGB = NDArray[np.uint8]


def halves(width: int = 400, height: int = 300) -> RGB:
    """Red above, blue below."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2], rgb[height // 2 :] = (250, 10, 20), (10, 20, 240)
    return rgb


def encoded(codec: str, pixels: RGB, pixel_format: str, pix_fmt: str) -> bytes:
    frame = VideoFrame.from_ndarray(pixels, format=pixel_format)
    frame = frame.reformat(format=pix_fmt, threads=1)
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, pix_fmt
    encoder.time_base = Fraction(1)
    encoder.thread_count = 1
    frame.pts = 0
    return b"".join(bytes(one) for one in (*encoder.encode(frame), *encoder.encode(None)))


def pixel(frame: VideoFrame, x: int, y: int) -> list[int]:
    return [int(one) for one in frame.to_ndarray(format="rgb24")[y, x]]


def shown(mime_type: str, data: bytes) -> VideoFrame:
    """What the agent would see of a picture that came as a message."""
    picture = fit_jpeg(decode_picture(mime_type, data), longest_px=1024)
    return decode_picture("image/jpeg", picture.jpeg)


def png(size: tuple[int, int], kind: tuple[int, int], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file; ``kind``: bits of a sample, and how colours are written."""
    header = struct.pack(">IIBBBBB", *size, *kind, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(name + body))
        data += struct.pack(">I", len(body)) + name + body + check
    return data


FILES = {
    "image/png": encoded("png", halves(), "rgb24", "rgb24"),
    "image/jpeg": encoded("mjpeg", halves(), "rgb24", "yuvj420p"),
    "image/webp": encoded("libwebp", halves(), "rgb24", "yuv420p"),
}


@pytest.mark.parametrize("mime_type", FILES)
def test_a_picture_is_made_small_and_keeps_its_colours(mime_type: str) -> None:
    """Of each kind that is taken; its proportions stay."""
    picture = fit_jpeg(decode_picture(mime_type, FILES[mime_type]), longest_px=200)
    assert (picture.width, picture.height) == (200, 150)
    seen = decode_picture("image/jpeg", picture.jpeg)
    assert pixel(seen, 100, 30) == pytest.approx([250, 10, 20], abs=8)
    assert pixel(seen, 100, 120) == pytest.approx([10, 20, 240], abs=8)


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((1, 1), (2, 2)), ((101, 51), (100, 50)), ((3000, 2), (1024, 2)), ((600, 2000), (306, 1024))],
)
def test_a_picture_is_never_enlarged_nor_longer_than_it_may_be(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    """Sides are even, as the halved colour planes want them."""
    frame = VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), format="rgb24")
    picture = fit_jpeg(frame, longest_px=1024)
    assert (picture.width, picture.height) == fitted


@pytest.mark.parametrize(("most", "width"), [(MAX_JPEG_BYTES, 1024), (20_000, 512)])
def test_quality_and_then_size_are_lowered_until_the_file_fits(most: int, width: int) -> None:
    """Noise, which no encoder can make small."""
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1200, 3), np.uint8)
    frame = VideoFrame.from_ndarray(noise, format="rgb24")
    picture = fit_jpeg(frame, longest_px=1024, max_bytes=most)
    assert len(picture.jpeg) <= most
    assert picture.width == width


def test_what_is_transparent_is_white() -> None:
    """Black writing on nothing would be black on black."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:32, :, 3] = 255
    seen = shown("image/png", encoded("png", pixels, "rgba", "rgba"))
    assert pixel(seen, 5, 5) == pytest.approx([0, 0, 0], abs=4)
    assert pixel(seen, 5, 60) == pytest.approx([255, 255, 255], abs=4)


def test_what_is_transparent_in_a_palette_is_white() -> None:
    """Where PNG has a list of what each colour lets through."""
    rows = zlib.compress((b"\0" + bytes(64)) * 32 + (b"\0" + b"\1" * 64) * 32)
    data = png((64, 64), (8, 3), (b"PLTE", bytes(6)), (b"tRNS", b"\xff\0"), (b"IDAT", rows))
    seen = shown("image/png", data)
    assert pixel(seen, 5, 5) == pytest.approx([0, 0, 0], abs=4)
    assert pixel(seen, 5, 60) == pytest.approx([255, 255, 255], abs=4)


def test_a_large_picture_is_made_small_before_it_is_put_on_white_and_turned() -> None:
    """A file of a few kilobytes would else take hundreds of megabytes."""
    rows = zlib.compress(bytes((4096 * 4 + 1) * 4096), 1)
    data = png((4096, 4096), (8, 6), (b"IDAT", rows))
    tracemalloc.start()  # of Python's and NumPy's memory; FFmpeg's is that of the pixels
    try:
        fit_jpeg(decode_picture("image/png", data), longest_px=512)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 512 * 512 * 4 * 8


def test_a_picture_of_more_pixels_than_are_taken_is_refused() -> None:
    data = FILES["image/png"]  # of 400 x 300
    assert decode_picture("image/png", data, max_pixels=2 * 400 * 300).width == 400
    with pytest.raises(PictureError):
        decode_picture("image/png", data, max_pixels=400 * 300 - 1)


@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [(1, (400, 300), (200, 20)), (3, (400, 300), (200, 280)), (6, (300, 400), (280, 200))],
)
def test_a_photograph_is_upright(
    orientation: int, size: tuple[int, int], red_at: tuple[int, int]
) -> None:
    """As its Exif says (1: as it is, 3: upside down, 6: lying on its left side)."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + bytes(4)
    jpeg = FILES["image/jpeg"]
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    frame = shown("image/jpeg", jpeg)
    assert (frame.width, frame.height) == size
    assert pixel(frame, *red_at) == pytest.approx([250, 10, 20], abs=8)


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that says it is ``side`` squared."""
    return png((side, side), (8, 2), (b"IDAT", zlib.compress(bytes(side * 3 + 1) * 10)))


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("image/png", b""),
        ("image/png", b"no picture"),
        ("image/png", FILES["image/png"][:50]),
        ("image/jpeg", FILES["image/png"]),
        ("image/jpeg", b"\xff\xd8\xff"),
        ("image/jpeg", FILES["image/jpeg"][:-10]),
        ("image/jpeg", FILES["image/jpeg"][: len(FILES["image/jpeg"]) // 2]),
        ("image/webp", FILES["image/webp"][:30]),
        ("image/gif", FILES["image/png"]),
        ("image/png", bomb(20_000)),
        ("image/jpeg", os.urandom(3000)),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused(mime_type: str, data: bytes) -> None:
    with pytest.raises(PictureError):
        fit_jpeg(decode_picture(mime_type, data), longest_px=1024)


def test_no_thread_is_started() -> None:
    """Neither for decoding nor for scaling, which libraries like to do with one for each core."""
    tasks = set(os.listdir("/proc/self/task"))
    for mime_type, data in FILES.items():
        fit_jpeg(decode_picture(mime_type, data), longest_px=200)
    assert set(os.listdir("/proc/self/task")) <= tasks
    assert threading.active_count() <= len(tasks)


def vp8(count: int) -> list[bytes]:
    """Frames of a VP8 stream, the first a key frame."""
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.bit_rate = 500_000
    encoder.options = {"deadline": "realtime", "g": "1000", "lag-in-frames": "0"}
    frames = []
    for number in range(count):
        shifted = np.ascontiguousarray(np.roll(halves(320, 240), number * 4, 0))
        frame = VideoFrame.from_ndarray(shifted, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        frames += [bytes(one) for one in encoder.encode(frame)]
    return frames


def test_the_last_picture_of_several_frames_is_given() -> None:
    """Frames that build upon one another, in one go or one by one."""
    frames = vp8(5)
    together, single = VideoDecoder("VP8"), VideoDecoder("VP8")
    last = together.decode(frames)
    assert last is not None
    for frame in frames:
        one = single.decode([frame])
    assert one is not None
    assert np.array_equal(last.to_ndarray(format="rgb24"), one.to_ndarray(format="rgb24"))


def test_after_a_broken_frame_a_key_frame_is_enough() -> None:
    frames = vp8(2)
    decoder = VideoDecoder("VP8")
    with pytest.raises(PictureError):
        decoder.decode([b"\x01\x02\x03 nothing of a frame"])
    assert decoder.decode(frames[:1]) is not None
