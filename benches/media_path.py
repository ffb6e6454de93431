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

import av
import numpy as np

from rtc_server.media.opus import OpusDecoder, OpusEncoder
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
    print(f"{name:<28}{best * 1e6:9.1f} us a frame{best / FRAME_S * 100:8.2f} % of a core a call")


def main(seconds: float) -> None:
    """Measure all stages."""
    frames_24k = split(speech_like(24_000, seconds), 24_000)
    frames_16k = split(speech_like(16_000, seconds), 16_000)
    encoder = OpusEncoder(24_000)
    payloads = [encoder.encode(frame) for frame in frames_24k]
    packets = [
        RtpPacket(n & 0xFFFF, n * 960, 1, payload, n * FRAME_S)
        for n, payload in enumerate(payloads)
    ]

    def receive() -> int:
        buffer = ReceiveBuffer()
        return sum(len(buffer.push(packet, packet.arrived_at)) for packet in packets)

    def decode() -> int:
        decoder = OpusDecoder()
        return sum(1 for payload in payloads if decoder.decode(payload) is not None)

    def detect() -> int:
        detector = SpeechDetector()
        return sum(1 for frame in frames_16k if detector.push(frame) is not None)

    def play_out() -> int:
        buffer = PlayoutBuffer()
        for n, frame in enumerate(frames_24k):
            buffer.write(1, frame, 24_000, n * FRAME_S)
            buffer.read(n * FRAME_S)
        return len(frames_24k)

    def encode() -> int:
        encoder = OpusEncoder(24_000)
        return sum(1 for frame in frames_24k if encoder.encode(frame))

    print(f"{platform.machine()}, Python {platform.python_version()}, PyAV {av.__version__}")
    report("uplink: receive buffer", receive)
    report("uplink: Opus to 16 kHz", decode)
    report("uplink: speech detector", detect)
    report("downlink: playout buffer", play_out)
    report("downlink: 24 kHz to Opus", encode)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
