"""CPU time of each stage that 20 ms of a call's audio pass, without sockets.

Run: ``make bench``, or ``.venv/bin/python benches/media_path.py [SECONDS]``.  The signal is
speech-like noise, 10 s of it by default; each stage is run alone, three times, and the best
is printed: the machine's other work can only make it slower.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import av
import numpy as np

from rtc_server.media.opus import Codec, OpusDecoder, OpusEncoder, describe_codec
from rtc_server.media.playout_buffer import PlayoutBuffer
from rtc_server.media.receive_buffer import ReceiveBuffer, RtpPacket
from rtc_server.media.speech_detector import SpeechDetector

FRAME_S = 0.02
RUNS = 3


def speech_like(rate: int, seconds: float) -> bytes:
    """Noise with the slow rise and fall of syllables, s16le mono."""
    count = int(rate * seconds)
    noise = np.random.default_rng(1).standard_normal(count)
    syllables = np.clip(np.sin(np.arange(count) * 2 * np.pi * 3 / rate), 0, 1)
    pcm: bytes = (noise * syllables * 4000).astype("<i2").tobytes()
    return pcm


def split(pcm: bytes, rate: int) -> list[bytes]:
    """Frames of 20 ms."""
    size = int(rate * FRAME_S) * 2
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def report(name: str, stage: Callable[[], int]) -> None:
    """Print what one frame costs in ``stage``, which returns how many it did."""
    best = float("inf")
    for _ in range(RUNS):
        begun = time.process_time()
        frames = stage()
        best = min(best, (time.process_time() - begun) / frames)
    print(f"{name:<30}{best * 1e6:9.1f} us a frame{best / FRAME_S * 100:8.2f} % of a core a call")


def main(seconds: float) -> None:
    """Measure all stages."""
    frames_24k = split(speech_like(24_000, seconds), 24_000)
    frames_16k = split(speech_like(16_000, seconds), 16_000)
    encoder = OpusEncoder(24_000)
    payloads = [encoder.encode(frame) for frame in frames_24k]
    lossy = OpusEncoder(24_000, fec=True, packet_loss_percent=10)
    payloads_with_fec = [lossy.encode(frame) for frame in frames_24k]
    packets = [
        RtpPacket(n & 0xFFFF, n * 960, 1, payload, n * FRAME_S)
        for n, payload in enumerate(payloads)
    ]

    def receive() -> int:
        buffer = ReceiveBuffer()
        return sum(len(buffer.push(packet, packet.arrived_at)) for packet in packets)

    def decode(codec: Codec | None = None) -> int:
        decoder = OpusDecoder(codec)
        return sum(1 for payload in payloads if decoder.decode(payload) is not None)

    def recover() -> int:
        """Every second frame is lost."""
        decoder = OpusDecoder()
        for payload in payloads_with_fec[1::2]:
            decoder.recover(20, payload)
            decoder.decode(payload)
        return len(payloads_with_fec) // 2 * 2

    def detect() -> int:
        detector = SpeechDetector()
        return sum(1 for frame in frames_16k if detector.push(frame) is not None)

    def play_out() -> int:
        buffer = PlayoutBuffer()
        for n, frame in enumerate(frames_24k):
            buffer.write(1, frame, 24_000, n * FRAME_S)
            buffer.read(n * FRAME_S)
        return len(frames_24k)

    def encode(**options: Any) -> int:
        encoder = OpusEncoder(24_000, **options)
        return sum(1 for frame in frames_24k if encoder.encode(frame))

    print(f"{platform.machine()}, Python {platform.python_version()}, PyAV {av.__version__}")
    print(f"Opus: {describe_codec()}")
    report("uplink: receive buffer", receive)
    report("uplink: Opus to 16 kHz", decode)
    report("  the same through PyAV", partial(decode, Codec.PYAV))
    report("  every other frame lost, FEC", recover)
    report("uplink: speech detector", detect)
    report("downlink: playout buffer", play_out)
    report("downlink: 24 kHz to Opus", encode)
    report("  with FEC against loss", partial(encode, fec=True, packet_loss_percent=10))
    report("  complexity 0, under load", partial(encode, complexity=0))
    report("  at 32 kbit/s, complexity 5", partial(encode, bitrate=32_000))
    report("  the same through PyAV", partial(encode, bitrate=32_000, codec=Codec.PYAV))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
