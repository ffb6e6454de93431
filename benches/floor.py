"""The floor F: what the native work of one call-second cannot do without.

F is the CPU time in which libopus decodes a second of speech to 16 kHz and encodes a second
at 24 kHz (mono, 32 kbit/s, complexity 5, voip), plus 0.8 ms for SRTP and UDP of a hundred
packets.  It is taken in every run, beside what it is compared to: machines differ, and the
same machine differs from one minute to the next.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from . import libopus
from .probe_signal import FRAMES_PER_S, frames_of

__all__ = ["PACKETS_S", "measure_floor_s"]

PACKETS_S = 0.0008
"""SRTP and the system calls of 50 packets in and 50 out."""

_RUNS = 5


def measure_floor_s(payloads: Sequence[bytes], pcm_24k: bytes) -> float:
    """F in CPU seconds per call-second: the median of some runs on this thread.

    Args:
        payloads: Opus packets of 20 ms, of speech.
        pcm_24k: speech, s16 mono.
    """
    frames = frames_of(pcm_24k, 24_000)
    return statistics.median(_once(payloads, frames) for _ in range(_RUNS)) + PACKETS_S


def _once(payloads: Sequence[bytes], frames: Sequence[bytes]) -> float:
    decoder, encoder = libopus.Decoder(16_000), libopus.Encoder(24_000)
    begun = time.thread_time()
    for payload in payloads:
        decoder.decode(payload)
    decoded = time.thread_time()
    for frame in frames:
        encoder.encode(frame)
    encoded = time.thread_time()
    decode_s = (decoded - begun) / len(payloads)
    encode_s = (encoded - decoded) / len(frames)
    return (decode_s + encode_s) * FRAMES_PER_S
