"""Opus packets to 16 kHz samples and samples to Opus packets, by PyAV's libopus.

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
import numpy as np
import numpy.typing as npt
from av.codec.context import CodecContext
from av.error import FFmpegError

from ..errors import RtcServerError
from . import opus_packet
from .pcm import BYTES_PER_SAMPLE, Resampler, mono_frame

__all__ = ["DECODED_RATE", "ENCODER_RATES", "OpusDecoder", "OpusEncoder", "OpusError"]

DECODED_RATE = 16_000
"""Rate of the samples an :class:`OpusDecoder` gives, in Hz."""

ENCODER_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Rates Opus can encode, in Hz."""

_TICKS_PER_SAMPLE = opus_packet.CLOCK_RATE // DECODED_RATE
_SAMPLES_PER_MS = DECODED_RATE // 1000
_RESAMPLER_DELAY = 16  # samples at 16 kHz that libswresample's default filter holds back

_FADE_BEGINS = 30 * _SAMPLES_PER_MS
_FADE_ENDS = 60 * _SAMPLES_PER_MS
_RISE = 5 * _SAMPLES_PER_MS


class OpusError(RtcServerError):
    """A payload is not an Opus packet; the codec can go on with the next one."""


class OpusDecoder:
    """Decodes one stream of Opus packets to 16 kHz s16le mono, and conceals what was lost.

    Every packet gives exactly as many samples as it is long, from the first one on: the
    1 ms that the resampler holds back is made up for by 1 ms of zeros at the very start.
    Stereo packets are mixed down by libopus; mono and stereo may alternate.
    """

    def __init__(self) -> None:
        context = CodecContext.create("libopus", "r")
        context.thread_count = 1
        context.layout = "mono"  # the default is stereo
        context.sample_rate = opus_packet.CLOCK_RATE  # libopus in FFmpeg knows no other
        context.open()
        self._context = context
        self._resampler = Resampler(opus_packet.CLOCK_RATE, DECODED_RATE)
        self._resampled = bytes(_RESAMPLER_DELAY * BYTES_PER_SAMPLE)
        self._last_toc: int | None = None  # None before the first packet
        self._owed = bytearray()  # concealed audio that is longer than was asked for
        self._concealed = 0  # samples concealed since the last packet

    def decode(self, payload: bytes) -> bytes:
        """Decodes one packet of 2.5 to 120 ms; returns its samples.

        :raises OpusError: the payload is none; the state is as before, :meth:`conceal` may
            fill its place.
        """
        ticks = opus_packet.duration_ticks(payload)
        if ticks is None:  # an empty one would end FFmpeg's decoder for good
            raise OpusError("the payload is not an Opus packet")
        pcm = self._run(payload, ticks)
        self._last_toc = payload[0]
        self._owed.clear()
        if self._concealed:
            pcm = _rise(pcm, _gain_at(self._concealed))
            self._concealed = 0
        return pcm

    def conceal(self, duration_ms: int) -> bytes:
        """Makes up ``duration_ms`` of audio in place of a packet that did not come.

        libopus carries the sound on from its own state (it is given a frame without data,
        RFC 6716 section 3.2.1), so that the next packet joins without a seam. The sound
        fades from 30 ms on and is silence from 60 ms on, until the next packet.  Before the
        first packet it is silence.
        """
        wanted = duration_ms * _SAMPLES_PER_MS
        if self._last_toc is None:
            return bytes(wanted * BYTES_PER_SAMPLE)
        audible = min(wanted, max(0, _FADE_ENDS - self._concealed))
        samples = np.frombuffer(self._carry_on(self._last_toc, audible), "<i2")
        gains = _fade(self._concealed, len(samples))
        self._concealed += wanted
        return _scaled(samples, gains).ljust(wanted * BYTES_PER_SAMPLE, b"\0")

    def _carry_on(self, toc: int, wanted: int) -> bytes:
        """As many samples as wanted of libopus' own concealment, in the mode of the last packet."""
        size = wanted * BYTES_PER_SAMPLE
        while len(self._owed) < size:
            missing = (size - len(self._owed)) // BYTES_PER_SAMPLE * _TICKS_PER_SAMPLE
            request = opus_packet.frame_without_data(toc, missing)
            ticks = opus_packet.duration_ticks(request)
            assert ticks is not None
            self._owed += self._run(request, ticks)
        pcm = bytes(self._owed[:size])
        del self._owed[:size]
        return pcm

    def _run(self, payload: bytes, ticks: int) -> bytes:
        try:
            frames = self._context.decode(av.Packet(payload))
        except FFmpegError:
            raise OpusError("the payload is not an Opus packet") from None
        resampled = [self._resampler.resample_frame(frame) for frame in frames]
        data = b"".join((self._resampled, *resampled))
        size = ticks // _TICKS_PER_SAMPLE * BYTES_PER_SAMPLE
        self._resampled = data[size:]
        return data[:size]


def _fade(start: int, count: int) -> npt.NDArray[np.float64]:
    """Gain of ``count`` samples of concealment, the first being the ``start``-th."""
    positions = np.arange(start, start + count)
    return np.interp(positions, (_FADE_BEGINS, _FADE_ENDS), (1.0, 0.0))


def _gain_at(position: int) -> float:
    return float(_fade(position, 1)[0])


def _rise(pcm: bytes, gain: float) -> bytes:
    """Brings the sound back from ``gain`` to 1 within 5 ms."""
    if gain >= 1.0:
        return pcm
    head = np.frombuffer(pcm[: _RISE * BYTES_PER_SAMPLE], "<i2")
    risen = _scaled(head, np.linspace(gain, 1.0, len(head), endpoint=False))
    return risen + pcm[len(risen) :]


def _scaled(samples: npt.NDArray[np.int16], gains: npt.NDArray[np.float64]) -> bytes:
    return np.rint(samples * gains).astype("<i2").tobytes()


class OpusEncoder:
    """Encodes mono speech in frames of 20 ms, one packet for each.

    Variable bit rate, no DTX. With ``fec`` each packet repeats the one before coarsely
    (in-band FEC), as much as ``packet_loss_percent`` makes worth while; only where the
    receiver's fmtp allows it (RFC 7587, section 6.1).  The packets are late by the
    encoder's look-ahead of 6.5 ms: one frame of silence at the end brings the tail out.

    :raises ValueError: a rate that Opus does not take.
    """

    def __init__(
        self,
        rate: int,
        *,
        bitrate: int = 32_000,
        complexity: int = 5,
        fec: bool = False,
        packet_loss_percent: int = 10,
    ) -> None:
        if rate not in ENCODER_RATES:
            raise ValueError(f"Opus takes no audio of {rate} Hz")
        self.rate = rate
        self.frame_bytes = rate // 50 * BYTES_PER_SAMPLE
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
            "fec": "1" if fec else "0",
            "packet_loss": str(packet_loss_percent if fec else 0),
            "dtx": "0",
        }
        try:
            context.open()
        except FFmpegError:
            message = f"Opus takes no {bitrate} bit/s at complexity {complexity}"
            raise ValueError(message) from None
        self._context = context
        self._pts: int = 0

    def encode(self, pcm: bytes) -> bytes:
        """Encodes exactly 20 ms of s16le mono; returns one packet.

        :raises ValueError: any other number of bytes.
        """
        if len(pcm) != self.frame_bytes:
            raise ValueError(f"{len(pcm)} bytes are not 20 ms at {self.rate} Hz")
        frame = mono_frame(pcm, self.rate, self._pts)
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
