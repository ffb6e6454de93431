"""Opus packets to 16 kHz samples and samples to Opus packets.

libopus is called directly (:mod:`.libopus`), which costs less than half of the way through
PyAV (:mod:`.pyav_opus`), recovers lost frames from in-band FEC and lets an encoder be
changed while it runs.  Where that cannot be done PyAV codes, and the log says so once.
"""

from __future__ import annotations

import functools
import logging
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from . import libopus, opus_packet, pyav_opus
from .libopus import Control
from .opus_packet import OpusError
from .pcm import BYTES_PER_SAMPLE

__all__ = [
    "BITRATE",
    "DECODED_RATE",
    "ENCODER_RATES",
    "Codec",
    "OpusDecoder",
    "OpusEncoder",
    "OpusError",
    "codec_in_use",
    "describe_codec",
]

logger = logging.getLogger(__name__)

DECODED_RATE = 16_000
"""Rate of the samples an :class:`OpusDecoder` gives, in Hz."""

ENCODER_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Rates Opus can encode, in Hz."""

BITRATE = 72_000
"""What is encoded where nothing else is asked for, in bit/s; why: docs/decisions/0011."""

_TICKS_PER_SAMPLE = opus_packet.CLOCK_RATE // DECODED_RATE
_SAMPLES_PER_MS = DECODED_RATE // 1000
_LONGEST_MS = 120
_SMALLEST_FRAME = 5 * _SAMPLES_PER_MS // 2  # libopus counts in frames of 2.5 ms

_FADE_BEGINS = 30 * _SAMPLES_PER_MS
_FADE_ENDS = 60 * _SAMPLES_PER_MS
_RISE = 5 * _SAMPLES_PER_MS

_LOWEST_BITRATE, _HIGHEST_BITRATE = 500, 512_000
_MDCT_BITRATE = 64_000  # from here on that mode sounds as good as a voice mode at 32 kbit/s
_MDCT_LOSS_PERCENT = 20  # told so, it codes energies that do not lean on the frame before
_VOICE_BITRATE = 48_000  # from here on complexity 1 sounds as good as 5 at 32 kbit/s


class Codec(StrEnum):
    """Through what Opus is coded."""

    LIBOPUS = "libopus"
    PYAV = "PyAV"


@functools.cache
def codec_in_use() -> Codec:
    """Which codec is taken where none is named; found out once, a reason for PyAV is logged."""
    try:
        libopus.load()
    except libopus.LibopusUnavailable as error:
        logger.warning(
            "libopus cannot be called directly (%s): PyAV codes instead, for more CPU and "
            "without recovery of lost packets; reinstall av, or install libopus",
            error,
        )
        return Codec.PYAV
    return Codec.LIBOPUS


def describe_codec() -> str:
    """The codec in use, in words for the operator."""
    if codec_in_use() is Codec.PYAV:
        return "PyAV, libopus cannot be called directly"
    return f"{libopus.load().version}, called directly"


class _Decoding(Protocol):
    def decode(self, payload: bytes) -> bytes: ...

    def recover(self, next_payload: bytes, samples: int) -> bytes | None: ...


class OpusDecoder:
    """Decodes one stream of Opus packets to 16 kHz s16le mono, and conceals what was lost.

    Every packet gives exactly as many samples as it is long, from the first one on. Stereo
    packets are mixed down by libopus; mono and stereo may alternate.  Nothing is to be closed.

    :param codec: None: the one of :func:`codec_in_use`.
    """

    def __init__(self, codec: Codec | None = None) -> None:
        self._codec: _Decoding = (
            libopus.Decoder(libopus.load(), DECODED_RATE)
            if (codec or codec_in_use()) is Codec.LIBOPUS
            else pyav_opus.Decoder(DECODED_RATE)
        )
        self._last_toc: int | None = None  # None before the first packet
        self._owed = bytearray()  # concealed audio that is longer than was asked for
        self._concealed = 0  # samples concealed since the last packet

    def decode(self, payload: bytes) -> bytes:
        """Decodes one packet of 2.5 to 120 ms; returns its samples.

        :raises OpusError: the payload is none; :meth:`conceal` may fill its place, and the
            next packet is decoded as if this one had not come.
        """
        pcm = self._codec.decode(payload)
        self._last_toc = payload[0]
        return self._resumed(pcm) if self._concealed else pcm

    def recover(self, duration_ms: int, next_payload: bytes | None) -> bytes:
        """Makes up ``duration_ms`` in place of the packet before ``next_payload``.

        In-band FEC gives the lost sound itself, coarsely coded (RFC 6716, section 2.1.7).
        Where there is none, as between two packets of the MDCT mode, or none can be read, it
        is the same as :meth:`conceal`.  ``next_payload`` has to be decoded as ever afterwards.
        """
        samples = duration_ms * _SAMPLES_PER_MS
        if next_payload and self._last_toc is not None and self._may_recover(samples, next_payload):
            pcm = self._codec.recover(next_payload, samples)
            if pcm is not None:
                return self._resumed(pcm) if self._concealed else pcm
        return self.conceal(duration_ms)

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
        pcm = self._carry_on(self._last_toc, audible) if audible else b""
        if audible and self._concealed + audible > _FADE_BEGINS:
            gains = _fade(self._concealed, audible)
            pcm = _scaled(np.frombuffer(pcm, "<i2"), gains)
        self._concealed += wanted
        return pcm.ljust(wanted * BYTES_PER_SAMPLE, b"\0")

    def _may_recover(self, samples: int, next_payload: bytes) -> bool:
        """Whether FEC is in the packet, and of a length that libopus puts into the gap."""
        assert self._last_toc is not None
        frame = opus_packet.frame_ticks(next_payload) // _TICKS_PER_SAMPLE
        return (
            opus_packet.has_fec(next_payload)
            and not opus_packet.is_mdct(self._last_toc)
            and frame <= samples <= _LONGEST_MS * _SAMPLES_PER_MS
            and not samples % _SMALLEST_FRAME
        )

    def _resumed(self, pcm: bytes) -> bytes:
        """The first sound after a gap, brought back from what the concealment had faded to."""
        gain = _gain_at(self._concealed)
        self._owed.clear()
        self._concealed = 0
        return _rise(pcm, gain)

    def _carry_on(self, toc: int, wanted: int) -> bytes:
        """As many samples as wanted of libopus' own concealment, in the mode of the last packet."""
        size = wanted * BYTES_PER_SAMPLE
        while len(self._owed) < size:
            missing = (size - len(self._owed)) // BYTES_PER_SAMPLE * _TICKS_PER_SAMPLE
            self._owed += self._codec.decode(opus_packet.frame_without_data(toc, missing))
        pcm = bytes(self._owed[:size])
        del self._owed[:size]
        return pcm


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

    How is chosen by measurement (docs/decisions/0011): the cheapest way that sounds as good.

    * At 64 kbit/s or more the MDCT mode (CELT) at complexity 5, its energies coded so that a
      lost packet spoils nothing after it.
    * Against loss that the receiver reports, where ``fec`` is allowed, and at lower bit
      rates, the voice modes (SILK and hybrid) with in-band FEC: at 48 kbit/s and complexity
      1, or below 48 kbit/s at complexity 5.

    The bit rate is variable. The packets are late by the encoder's look-ahead of 6.5 ms: one
    frame of silence at the end brings the tail out.  Nothing is to be closed.

    :param bitrate: the most, in bit/s.
    :param complexity: at most so much, 0 to 10; None: what is best, as above.
    :param fec: whether the receiver's fmtp allows in-band FEC (RFC 7587, section 6.1).
    :param packet_loss_percent: what the receiver loses, as far as is known; as
        :meth:`set_packet_loss`.
    :param codec: None: the one of :func:`codec_in_use`.
    :raises ValueError: a rate, bit rate or complexity that Opus does not take.
    """

    def __init__(
        self,
        rate: int,
        *,
        bitrate: int = BITRATE,
        complexity: int | None = None,
        fec: bool = False,
        packet_loss_percent: int = 0,
        codec: Codec | None = None,
    ) -> None:
        if rate not in ENCODER_RATES:
            raise ValueError(f"Opus takes no audio of {rate} Hz")
        if not _LOWEST_BITRATE <= bitrate <= _HIGHEST_BITRATE:
            raise ValueError(f"Opus takes no {bitrate} bit/s")
        self.rate = rate
        self.frame_bytes = rate // 50 * BYTES_PER_SAMPLE
        self._bitrate = bitrate
        self._most_complexity = _checked_complexity(complexity)
        self._fec = fec
        self._packet_loss_percent = _percent(packet_loss_percent) if fec else 0
        is_direct = (codec or codec_in_use()) is Codec.LIBOPUS
        self._libopus = libopus.Encoder(libopus.load(), rate) if is_direct else None
        self._codec: libopus.Encoder | pyav_opus.Encoder
        self._codec = self._libopus or self._open_pyav()
        self._apply()

    def encode(self, pcm: bytes) -> bytes:
        """Encodes exactly 20 ms of s16le mono; returns one packet.

        :raises ValueError: any other number of bytes.
        """
        if len(pcm) != self.frame_bytes:
            raise ValueError(f"{len(pcm)} bytes are not 20 ms at {self.rate} Hz")
        return self._codec.encode(pcm)

    # Changes while it runs. They hold from the next packet on, without a click; an encoder of
    # PyAV keeps what it was opened with.

    def set_packet_loss(self, percent: int) -> None:
        """Takes the share of packets that the receiver reports as lost; from 1 % on there is FEC.

        Without ``fec`` nothing changes: the MDCT mode is over a loss sooner than the voice modes.

        :raises ValueError: not 0 to 100.
        """
        percent = _percent(percent) if self._fec else 0
        if percent != self._packet_loss_percent:
            self._packet_loss_percent = percent
            self._apply()

    def set_complexity(self, most: int | None) -> None:
        """Limits the complexity, so that it costs less under load; None: what is best.

        :raises ValueError: not 0 to 10.
        """
        if _checked_complexity(most) != self._most_complexity:
            self._most_complexity = most
            self._apply()

    def _apply(self) -> None:
        if self._libopus is None:
            return
        mode = _mode(self._bitrate, self._packet_loss_percent)
        for request, value in (
            (Control.SIGNAL, mode.signal),
            (Control.BITRATE, mode.bitrate),
            (Control.COMPLEXITY, self._complexity(mode)),
            (Control.INBAND_FEC, bool(self._packet_loss_percent)),
            (Control.PACKET_LOSS_PERCENT, self._packet_loss_percent or _MDCT_LOSS_PERCENT),
        ):
            self._libopus.control(request, value)

    def _complexity(self, mode: _Mode) -> int:
        most = self._most_complexity
        return mode.complexity if most is None else min(most, mode.complexity)

    def _open_pyav(self) -> pyav_opus.Encoder:
        """Always in a voice mode: FFmpeg has no setting for another, nor changes it later."""
        mode = _voice_mode(self._bitrate)
        return pyav_opus.Encoder(
            self.rate,
            bitrate=mode.bitrate,
            complexity=self._complexity(mode),
            packet_loss_percent=self._packet_loss_percent,
        )


class _Mode(NamedTuple):
    signal: int
    bitrate: int
    complexity: int


def _mode(bitrate: int, packet_loss_percent: int) -> _Mode:
    if bitrate >= _MDCT_BITRATE and not packet_loss_percent:
        return _Mode(Control.SIGNAL_MUSIC, bitrate, 5)
    return _voice_mode(bitrate)


def _voice_mode(bitrate: int) -> _Mode:
    if bitrate >= _VOICE_BITRATE:
        return _Mode(Control.SIGNAL_VOICE, _VOICE_BITRATE, 1)
    return _Mode(Control.SIGNAL_VOICE, bitrate, 5)


def _percent(percent: int) -> int:
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} % of the packets cannot be lost")
    return percent


def _checked_complexity(complexity: int | None) -> int | None:
    if complexity is not None and not 0 <= complexity <= 10:
        raise ValueError(f"Opus knows no complexity {complexity}")
    return complexity
