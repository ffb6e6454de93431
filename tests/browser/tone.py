"""A tone that is heard, where the silence of aiortc's own track would tell nothing."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from aiortc.mediastreams import AudioStreamTrack

__all__ = ["ToneTrack"]

RATE = 48_000
SAMPLES = RATE // 50
HERTZ = 440
AMPLITUDE = 12_000


class ToneTrack(AudioStreamTrack):
    """440 Hz, paced as the silence that it replaces."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0

    async def recv(self) -> av.AudioFrame:
        silence = await super().recv()  # sleeps until the frame is due
        assert isinstance(silence, av.AudioFrame)
        times = (self._position + np.arange(SAMPLES)) / RATE
        self._position += SAMPLES
        tone = (AMPLITUDE * np.sin(2 * np.pi * HERTZ * times)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        assert isinstance(silence, av.AudioFrame)
        assert silence.pts is not None
        frame.pts = silence.pts * RATE // silence.sample_rate
        frame.time_base = Fraction(1, RATE)
        return frame
