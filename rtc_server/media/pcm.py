"""Samples as bytes: cut to size, change of rate, is there anything to hear.

PCM here is signed 16 bit, little endian, mono; the machine is little endian too.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from av import AudioFrame, BlockingIOError, EOFError
from av.filter import Graph

__all__ = ["AUDIBLE_PEAK", "BYTES_PER_SAMPLE", "Framer", "Resampler", "is_audible"]

BYTES_PER_SAMPLE = 2

AUDIBLE_PEAK = 104
"""Sample value that counts as audible: -50 dBFS.

Below it are the dither and the noise floor of synthetic voices; the first phoneme of
the quietest voice is far above it.
"""

_LOWEST_RATE, _HIGHEST_RATE = 4_000, 192_000

_ROUNDING_S = 1e-6

_GLANCES = 40
"""Every so many samples the first look goes; in a voice it is mostly enough."""


def is_audible(pcm: bytes) -> bool:
    """Whether any sample is louder than -50 dBFS (:data:`AUDIBLE_PEAK`)."""
    if not pcm:
        return False
    glance = memoryview(pcm).cast("h")[::_GLANCES].tolist()
    if max(glance) >= AUDIBLE_PEAK or min(glance) <= -AUDIBLE_PEAK:
        return True
    samples = np.frombuffer(pcm, np.int16)
    return bool(
        np.maximum.reduce(samples) >= AUDIBLE_PEAK or np.minimum.reduce(samples) <= -AUDIBLE_PEAK
    )


class Framer:
    """Cuts a stream of bytes into pieces of one size, keeping the rest for the next push."""

    def __init__(self, size_bytes: int) -> None:
        if size_bytes <= 0:
            raise ValueError("size_bytes must be positive")
        self._size = size_bytes
        self._rest = b""

    def push(self, pcm: bytes) -> list[bytes]:
        """Takes any number of bytes and returns the pieces that are now whole, in order."""
        data = self._rest + pcm if self._rest else pcm
        whole = len(data) - len(data) % self._size
        self._rest = data[whole:]
        return [data[start : start + self._size] for start in range(0, whole, self._size)]

    def flush(self) -> bytes | None:
        """Returns the rest, filled up with zeros; None when there is none.

        The framer is empty afterwards and can be used again.
        """
        rest, self._rest = self._rest, b""
        if not rest:
            return None
        return rest.ljust(self._size, b"\0")


class Resampler:
    """Changes the sample rate of a mono stream with libswresample, in the caller's thread.

    The filter looks 1 ms ahead at 16 to 48 kHz: that much comes out only with the next
    push or with :meth:`flush`; from 48 to 16 kHz its pass band is flat to 6 kHz, and 3 dB
    down at 7.5 kHz. PyAV's own ``AudioResampler`` is not used since its filter
    graph starts a thread per core.

    :raises ValueError: a rate outside 4 to 192 kHz.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        for rate in (rate_in, rate_out):
            if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
                raise ValueError(f"a sample rate of {rate} Hz is not between 4 and 192 kHz")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._passes_through = rate_in == rate_out
        self._open()

    def _open(self) -> None:
        self._graph = graph = Graph()
        graph.threads = 1  # before the first filter: it decides whether a thread pool is made
        self._source = graph.add(
            "abuffer",
            sample_rate=str(self.rate_in),
            sample_fmt="s16",
            channel_layout="mono",
            time_base=f"1/{self.rate_in}",
        )
        resample = graph.add("aresample", str(self.rate_out))
        form = graph.add("aformat", sample_fmts="s16", channel_layouts="mono")
        self._sink = graph.add("abuffersink")
        self._owed_s = 0.0  # what went in and has not come out
        self._held_back_s = 0.0  # of it the most that the filter has kept
        graph.link_nodes(self._source, resample, form, self._sink).configure()

    def resample(self, pcm: bytes) -> bytes:
        """Takes whole samples at ``rate_in``, returns those that are ready at ``rate_out``.

        :raises ValueError: an odd number of bytes.
        """
        if len(pcm) % BYTES_PER_SAMPLE:
            raise ValueError("half a sample: an odd number of bytes")
        if self._passes_through or not pcm:
            return pcm
        return self.resample_frame(mono_frame(pcm, self.rate_in))

    def resample_frame(self, frame: AudioFrame) -> bytes:
        """As :meth:`resample`, for a frame that is already s16 mono at ``rate_in``."""
        self._source.push(frame)
        self._owed_s += frame.samples / self.rate_in
        return self._pull()

    def flush(self) -> bytes:
        """Returns what the filter still holds and starts anew, as if just made."""
        if self._passes_through:
            return b""
        self._source.push(None)
        self._owed_s = math.inf
        tail = self._pull()
        self._open()
        return tail

    def _pull(self) -> bytes:
        pieces: list[bytes] = []
        # When no more is owed than the filter keeps anyway there is nothing to be had: to be told
        # so by an exception, for each frame, would cost a quarter of resampling it.
        while self._owed_s > self._held_back_s + _ROUNDING_S:
            try:
                frame = self._sink.pull()
            except BlockingIOError:
                self._held_back_s = self._owed_s
                break
            except EOFError:
                break
            assert isinstance(frame, AudioFrame)
            self._owed_s -= frame.samples / self.rate_out
            pieces.append(frame_bytes(frame))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def mono_frame(pcm: bytes, rate: int, pts: int | None = None) -> AudioFrame:
    """Wraps whole samples in an s16 mono frame; the samples are copied."""
    frame = AudioFrame("s16", "mono", len(pcm) // BYTES_PER_SAMPLE)
    frame.sample_rate = rate
    frame.pts = pts
    frame.time_base = Fraction(1, rate)
    frame.planes[0].update(pcm)
    return frame


def frame_bytes(frame: AudioFrame) -> bytes:
    """The samples of an s16 mono frame, without the padding FFmpeg puts behind them."""
    return bytes(frame.planes[0])[: frame.samples * BYTES_PER_SAMPLE]
