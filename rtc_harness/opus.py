"""Opus as the harness speaks and hears it: 20 ms packets of 48 kHz mono (RFC 6716, RFC 7587)."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from .levels import SAMPLE_RATE, Samples

__all__ = ["FRAME_SAMPLES", "LOOK_AHEAD_SAMPLES", "TIME_BASE", "OpusDecoder", "OpusEncoder"]

FRAME_SAMPLES = SAMPLE_RATE // 50
"""Samples in a packet: 20 ms."""

LOOK_AHEAD_SAMPLES = 312
"""How much later the encoder gives a sample out than it took it in: 6.5 ms."""

TIME_BASE = Fraction(1, SAMPLE_RATE)


class OpusEncoder:
    """Encodes 20 ms of samples at a time, as a browser's microphone would be encoded."""

    def __init__(self, *, bitrate: int = 32_000) -> None:
        codec = av.CodecContext.create("libopus", "w")
        codec.bit_rate = bitrate
        codec.format = av.AudioFormat("s16")
        codec.layout = av.AudioLayout("mono")
        codec.sample_rate = SAMPLE_RATE
        codec.time_base = TIME_BASE
        codec.thread_count = 1
        codec.options = {"application": "voip", "frame_duration": "20"}
        self._codec = codec
        self._pts = 0

    def encode(self, samples: Samples) -> bytes:
        """One Opus packet of exactly 960 samples."""
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = TIME_BASE
        frame.pts = self._pts
        self._pts += FRAME_SAMPLES
        (packet,) = self._codec.encode(frame)
        return bytes(packet)


class OpusDecoder:
    """Decodes one stream of packets; mono or stereo, of any length, to mono samples."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "r")
        codec.format = av.AudioFormat("s16")
        codec.layout = av.AudioLayout("mono")
        codec.sample_rate = SAMPLE_RATE
        codec.thread_count = 1
        self._codec = codec

    def decode(self, payload: bytes) -> Samples:
        """The samples of a packet; none if it cannot be decoded."""
        try:
            frames = self._codec.decode(av.Packet(payload))
        except av.FFmpegError:
            return np.zeros(0, dtype=np.int16)
        if not frames:
            return np.zeros(0, dtype=np.int16)
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
