"""Tells frames with speech from frames without, for timing alone.

It decides nothing in the conversation: it is the one measure by which all agents' response
times are taken, so it is plain, cheap and without memory of words.

Each 20 ms frame is taken for speech when its power between 150 and 7800 Hz

* is above -48 dBFS (RMS; 0 is a full square wave),
* is 8 dB above the noise floor, and
* is not alone: one of the two frames before it was as loud, or speech is at most 200 ms
  ago. So a click is not speech, and the plosive that ends a word is.

The noise floor is the least power of the last 1.2 to 1.5 s (minimum statistics: Martin,
"Noise Power Spectral Density Estimation Based on Optimal Smoothing and Minimum Statistics",
2001, without the smoothing): a talker pauses within such a time, if only between two
words, and steady noise is its own minimum.  In the first 300 ms it is not known yet, and
noise louder than -48 dBFS is taken for speech.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from .opus import DECODED_RATE
from .pcm import BYTES_PER_SAMPLE

__all__ = ["FRAME_BYTES", "SpeechDetector"]

FRAME_BYTES = DECODED_RATE // 50 * BYTES_PER_SAMPLE
"""20 ms of 16 kHz s16le mono."""

_SAMPLES = FRAME_BYTES // BYTES_PER_SAMPLE
_LOWEST_BIN, _HIGHEST_BIN = 150 // 50, 7800 // 50  # 50 Hz each

_LEAST_DBFS = -48.0
_ABOVE_FLOOR_DB = 8.0
_SILENT_DBFS = -100.0

_FLOOR_FRAMES = 15  # a minimum is kept of each 300 ms
_FLOOR_SPANS = 5  # and of so many of them: 1.2 to 1.5 s

_FRAMES_NEAR = 10  # a lonely loud frame is speech when speech is not longer ago: 200 ms

_WINDOW = np.hanning(_SAMPLES)
# Brings the power in half of the windowed spectrum to the mean square of the samples.
_SCALE = 2.0 / (np.sum(_WINDOW**2) * _SAMPLES)


class SpeechDetector:
    """Judges one stream of 20 ms frames; no hangover, no look-ahead."""

    def __init__(self) -> None:
        self._spans: deque[float] = deque(maxlen=_FLOOR_SPANS)
        self._span_minimum = 0.0
        self._span_frames = 0
        self._loud_before = (False, False)
        self._since_speech = _FRAMES_NEAR

    def push(self, pcm20: bytes) -> bool:
        """Whether this frame of 16 kHz s16le mono is speech.

        :raises ValueError: not 640 bytes.
        """
        if len(pcm20) != FRAME_BYTES:
            raise ValueError(f"{len(pcm20)} bytes are not 20 ms at {DECODED_RATE} Hz")
        level = _level_dbfs(pcm20)
        floor = self._floor(level)
        loud = level > max(_LEAST_DBFS, floor + _ABOVE_FLOOR_DB)
        near = self._since_speech < _FRAMES_NEAR
        is_speech = loud and (near or any(self._loud_before))
        self._loud_before = (self._loud_before[1], loud)
        self._since_speech = 0 if is_speech else self._since_speech + 1
        return is_speech

    def _floor(self, level: float) -> float:
        """Least level of the last spans and of the present one, this frame included."""
        self._span_minimum = level if not self._span_frames else min(level, self._span_minimum)
        self._span_frames += 1
        # Before a whole span was heard the floor is unknown: only the absolute level decides.
        floor = min(self._span_minimum, *self._spans) if self._spans else _SILENT_DBFS
        if self._span_frames == _FLOOR_FRAMES:
            self._spans.append(self._span_minimum)
            self._span_frames = 0
        return floor


def _level_dbfs(pcm20: bytes) -> float:
    samples = np.frombuffer(pcm20, "<i2") * (1.0 / 32768.0)
    spectrum = np.fft.rfft(samples * _WINDOW)[_LOWEST_BIN : _HIGHEST_BIN + 1]
    power = float(np.vdot(spectrum, spectrum).real) * _SCALE
    return max(_SILENT_DBFS, 10.0 * float(np.log10(power + 1e-12)))
