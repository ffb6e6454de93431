"""WAV files in, as 48 kHz mono samples, and out.

The reader takes what microphones, recorders and ``ffmpeg`` write: PCM of 8, 16, 24 and
32 bits, IEEE float of 32 and 64 bits, any number of channels, any rate, plain or
``WAVE_FORMAT_EXTENSIBLE`` (which the standard library's ``wave`` learned only in
Python 3.12).  Source: Microsoft's *Multiple channel audio data and WAVE files*.
"""

from __future__ import annotations

import io
import struct
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from .errors import WavError
from .levels import SAMPLE_RATE, Samples

__all__ = ["read_wav", "resample", "write_wav"]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_RATES = range(1_000, 768_001)
_MAX_SECONDS = 3600
_STREAMED_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""A recorder that writes to a pipe cannot know the size of its data: one of these stands
there (or a number close to the largest), and the data run to the end of the file."""


@dataclass(frozen=True, slots=True)
class _Format:
    is_float: bool
    channels: int
    rate: int
    bytes_per_sample: int


def read_wav(path: str | Path) -> Samples:
    """The samples of a WAV file, mixed to mono and brought to 48 kHz.

    Raises:
        WavError: the file is missing, is no WAV file, is cut short, is empty or holds a
            format that is not linear; the message names it.
    """
    name = str(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WavError(f"{name} cannot be read: {reason}.") from None
    if len(raw) < 12 or raw[:4] not in (b"RIFF", b"RF64") or raw[8:12] != b"WAVE":
        raise WavError(f"{name} is not a WAV file.")
    format_, data = _chunks(name, raw)
    mono = _mono(format_, data)
    if mono.size == 0:
        raise WavError(f"{name} holds no audio.")
    if mono.size > _MAX_SECONDS * format_.rate:
        raise WavError(f"{name} is longer than an hour.")
    return resample(_to_int16(mono), format_.rate)


def resample(samples: Samples, rate: int) -> Samples:
    """``samples`` of ``rate`` brought to 48 kHz; they are returned as they are if they are."""
    if rate == SAMPLE_RATE:
        return samples
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    frame.pts = 0
    frame.time_base = Fraction(1, rate)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    if not pieces:
        return np.zeros(0, dtype=np.int16)
    joined = np.concatenate([piece.to_ndarray().reshape(-1) for piece in pieces])
    return joined.astype(np.int16, copy=False)


def write_wav(path: str | Path, samples: Samples) -> None:
    """Write 48 kHz mono samples as a 16-bit WAV file.

    Raises:
        WavError: the file cannot be written.
    """
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2", copy=False).tobytes())
    try:
        Path(path).write_bytes(buffer.getvalue())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WavError(f"{path} cannot be written: {reason}.") from None


def _chunks(name: str, raw: bytes) -> tuple[_Format, bytes]:
    """The format and the data of a RIFF file; the other chunks are passed over."""
    format_: _Format | None = None
    position = 12
    while position + 8 <= len(raw):
        kind = raw[position : position + 4]
        (size,) = struct.unpack_from("<I", raw, position + 4)
        body = raw[position + 8 : position + 8 + size]
        if kind == b"fmt ":
            format_ = _parse_format(name, body)
        elif kind == b"data":
            if format_ is None:
                raise WavError(f"{name} has its audio before its format.")
            if size in _STREAMED_SIZES or size > 0xFFFF0000:
                body = raw[position + 8 :]
            elif len(body) < size:
                raise WavError(
                    f"{name} is cut short: it promises {size} bytes of audio and has {len(body)}."
                )
            return format_, body
        position += 8 + size + size % 2  # chunks are padded to an even size
    raise WavError(f"{name} is a WAV file without audio.")


def _parse_format(name: str, body: bytes) -> _Format:
    if len(body) < 16:
        raise WavError(f"{name} has a broken format header.")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack_from("<H", body, 24)  # the first two bytes of the sub-format
    if tag not in (_PCM, _FLOAT):
        raise WavError(f"{name} is compressed (format {tag}): only linear PCM or float is read.")
    widths = (8, 16, 24, 32) if tag == _PCM else (32, 64)
    if bits not in widths:
        raise WavError(f"{name} has {bits} bits a sample, which is not read.")
    if channels == 0 or block != channels * bits // 8 or rate not in _RATES:
        raise WavError(f"{name} has a broken format header.")
    return _Format(tag == _FLOAT, channels, rate, bits // 8)


def _mono(format_: _Format, data: bytes) -> npt.NDArray[np.float64]:
    """The mean of all channels, from -1 to 1."""
    block = format_.channels * format_.bytes_per_sample
    data = data[: len(data) // block * block]
    if format_.is_float:
        samples = np.frombuffer(data, f"<f{format_.bytes_per_sample}").astype(np.float64)
        samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    elif format_.bytes_per_sample == 1:
        samples = (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    elif format_.bytes_per_sample == 3:
        samples = _int24(data).astype(np.float64) / 2**23
    else:
        scale = 2.0 ** (8 * format_.bytes_per_sample - 1)
        samples = np.frombuffer(data, f"<i{format_.bytes_per_sample}").astype(np.float64) / scale
    mono: npt.NDArray[np.float64] = samples.reshape(-1, format_.channels).mean(axis=1)
    return mono


def _int24(data: bytes) -> npt.NDArray[np.int32]:
    """24-bit little-endian integers, each shifted into the top of 32 bits and back."""
    wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    shifted: npt.NDArray[np.int32] = wide.view("<i4").reshape(-1) >> 8
    return shifted


def _to_int16(mono: npt.NDArray[np.float64]) -> Samples:
    return np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)
