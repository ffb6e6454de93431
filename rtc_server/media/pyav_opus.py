"""Opus by PyAV: where libopus cannot be called directly.

No thread is started here, neither by the codecs (``thread_count = 1``) nor by filter
graphs: one filter graph of PyAV's defaults starts a thread per core (read in PyAV 18.1:
``AudioResampler`` makes one, and so does the first ``encode`` of an audio encoder).
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import cast

import av
import av._core
from av.codec.context import CodecContext
from av.error import FFmpegError

from . import libopus
from .opus_packet import CLOCK_RATE, OpusError, duration_ticks, frame_without_data
from .pcm import BYTES_PER_SAMPLE, Resampler, mono_frame

__all__ = ["Decoder", "Encoder"]

_DELAY_S = 0.001  # that libswresample's default filter holds back


class Decoder:
    """One stream of packets to s16 mono at ``rate``: FFmpeg's libopus at 48 kHz, resampled.

    Every packet gives exactly as many samples as it is long, from the first one on: the
    1 ms that the resampler holds back is made up for by 1 ms of zeros at the very start.
    """

    def __init__(self, rate: int) -> None:
        context = CodecContext.create("libopus", "r")
        context.thread_count = 1
        context.layout = "mono"  # the default is stereo
        context.sample_rate = CLOCK_RATE  # libopus in FFmpeg knows no other
        context.open()
        self._context = context
        self._rate = rate
        self._resampler = Resampler(CLOCK_RATE, rate)
        self._resampled = bytes(round(_DELAY_S * rate) * BYTES_PER_SAMPLE)
        self._last = b""

    def decode(self, payload: bytes) -> bytes:
        """The samples of one packet; a frame without data in it is concealed.

        :raises OpusError: the payload is no Opus packet.
        """
        ticks = duration_ticks(payload)
        if ticks is None:  # an empty one would end FFmpeg's decoder for good
            raise OpusError("the payload is not an Opus packet")
        try:
            frames = self._context.decode(av.Packet(payload))
        except FFmpegError:
            raise OpusError("the payload is not an Opus packet") from None
        if len(payload) > 1:  # a TOC byte alone is a frame without data
            self._last = payload
        resampled = b"".join(self._resampler.resample_frame(frame) for frame in frames)
        return self._taken(resampled, ticks)

    def _taken(self, resampled: bytes, ticks: int) -> bytes:
        """As many samples as ``ticks`` are long; what is over waits for the next packet."""
        data = self._resampled + resampled
        size = ticks * self._rate // CLOCK_RATE * BYTES_PER_SAMPLE
        self._resampled = data[size:]
        return data[:size]

    def recover(self, next_payload: bytes, samples: int) -> bytes | None:
        """The ``samples`` before a packet, from its in-band FEC.

        FFmpeg does not reach it.  A decoder of libopus itself does, warmed up with the last
        packet that came; it lives for this one frame, which goes through the same resampler.

        :returns: None where libopus cannot be called, or refuses.
        """
        if not self._last:
            return None
        try:
            decoder = libopus.Decoder(libopus.load(), CLOCK_RATE)
            decoder.decode(self._last)
        except (libopus.LibopusUnavailable, OpusError):
            return None
        ticks = samples * CLOCK_RATE // self._rate
        recovered = decoder.recover(next_payload, ticks)
        if recovered is None:
            return None
        # FFmpeg's own decoder conceals the frame unheard: what follows leans on it.
        self._context.decode(av.Packet(frame_without_data(self._last[0], ticks)))
        return self._taken(self._resampler.resample(recovered), ticks)


class Encoder:
    """s16 mono at ``rate`` to packets of 20 ms; nothing can be changed once it is open.

    :raises ValueError: libopus refuses the settings.
    """

    def __init__(
        self, rate: int, *, bitrate: int, complexity: int, packet_loss_percent: int
    ) -> None:
        context = CodecContext.create("libopus", "w")
        context.thread_count = 1
        context.sample_rate = rate
        context.layout = "mono"
        context.format = "s16"
        context.bit_rate = bitrate
        context.options = {
            "application": "voip",
            "frame_duration": "20",
            "vbr": "on",
            "compression_level": str(complexity),
            "fec": "1" if packet_loss_percent else "0",
            "packet_loss": str(packet_loss_percent),
            "dtx": "0",
        }
        try:
            context.open()
        except FFmpegError:
            message = f"Opus takes no {bitrate} bit/s at complexity {complexity}"
            raise ValueError(message) from None
        self._context = context
        self._rate = rate
        self._pts: int = 0

    def encode(self, pcm: bytes) -> bytes:
        """One packet of 20 ms."""
        frame = mono_frame(pcm, self._rate, self._pts)
        first = self._pts == 0
        self._pts += frame.samples
        with _no_thread_pool() if first else contextlib.nullcontext():
            (packet,) = self._context.encode(frame)
        return bytes(packet)


@contextlib.contextmanager
def _no_thread_pool() -> Iterator[None]:
    """Makes FFmpeg believe in one core meanwhile, so that a filter graph starts no threads.

    PyAV's first ``encode`` makes a filter graph whose number of threads cannot be chosen.
    ``av_cpu_force_count`` is public in libavutil; it is reached through the symbols that
    PyAV's own module is linked with. Where it cannot be, the threads are there and idle.
    """
    force = _CPU_FORCE_COUNT
    if force is None:
        yield
        return
    force(1)
    try:
        yield
    finally:
        force(-1)


def _cpu_force_count() -> Callable[[int], None] | None:
    try:
        force = ctypes.CDLL(av._core.__file__).av_cpu_force_count
    except (OSError, AttributeError):
        return None
    force.argtypes = [ctypes.c_int]
    force.restype = None
    return cast("Callable[[int], None]", force)


_CPU_FORCE_COUNT = _cpu_force_count()
