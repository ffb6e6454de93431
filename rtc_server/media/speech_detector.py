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

import math
from collections import deque

import numpy as np
import numpy.typing as npt

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

_QUIET_DBFS = -80.0
_NEAR_FLOOR_DB = 5.0

_FLOOR_FRAMES = 15  # a minimum is kept of each 300 ms
_FLOOR_SPANS = 5  # and of so many of them: 1.2 to 1.5 s

_FRAMES_NEAR = 10  # a lonely loud frame is speech when speech is not longer ago: 200 ms


def _power(db: float) -> float:
    """Relative to a full square wave, as all power here."""
    return float(10 ** (db / 10))


_LEAST = _power(_LEAST_DBFS)
_ABOVE_FLOOR = _power(_ABOVE_FLOOR_DB)
_SILENT = _power(_SILENT_DBFS)
_QUIET = _power(_QUIET_DBFS)
_NEAR_FLOOR = _power(_NEAR_FLOOR_DB)


def _outside_band() -> npt.NDArray[np.float64]:
    """What the windowed samples are projected on, to know their power outside of the band.

    One row for each real component of the bins that do not count: it takes a dozen rows, while
    a spectrum would compute all bins. Row by row of unit length, so that the squares of the
    projections add up to the power (Parseval's theorem).
    """
    positions = 2 * np.pi * np.arange(_SAMPLES) / _SAMPLES
    bins = [*range(_LOWEST_BIN), *range(_HIGHEST_BIN + 1, _SAMPLES // 2 + 1)]
    rows = [wave(bin_ * positions) for bin_ in bins for wave in (np.cos, np.sin)]
    lengths = [float(np.linalg.norm(row)) for row in rows]
    return np.array(
        [row / length for row, length in zip(rows, lengths, strict=True) if length > 1e-6]
    )


# Scaled so that the sum of the squares of the windowed samples is their mean square.
_WINDOW = np.hanning(_SAMPLES)
_WINDOW = _WINDOW / (np.sqrt(np.sum(_WINDOW**2)) * 32768.0)
_OUTSIDE_BAND = _outside_band()


class SpeechDetector:
    """Judges one stream of 20 ms frames; no hangover, no look-ahead.

    Attributes:
        is_quiet: whether the last frame was as quiet as the noise floor (5 dB above it at most,
            or below -80 dBFS).  Much that is no speech is not quiet either; the softest beginning
            of a word is not.
    """

    def __init__(self) -> None:
        self.is_quiet = False
        self._floor_now = _SILENT
        self._spans: deque[float] = deque(maxlen=_FLOOR_SPANS)
        self._spans_minimum = _SILENT  # of the whole spans; silent while there is none
        self._span_minimum = math.inf
        self._span_frames = 0
        self._loud_before = False
        self._loud_before_that = False
        self._since_speech = _FRAMES_NEAR

    def push(self, pcm20: bytes) -> bool:
        """Whether this frame of 16 kHz s16le mono is speech.

        :raises ValueError: not 640 bytes.
        """
        if len(pcm20) != FRAME_BYTES:
            raise ValueError(f"{len(pcm20)} bytes are not 20 ms at {DECODED_RATE} Hz")
        power = _power_in_band(pcm20)
        floor = self._floor_now = self._floor(power)
        self.is_quiet = power < _QUIET or power < floor * _NEAR_FLOOR
        loud = power > _LEAST and power > floor * _ABOVE_FLOOR
        near = self._since_speech < _FRAMES_NEAR
        is_speech = loud and (near or self._loud_before or self._loud_before_that)
        self._loud_before, self._loud_before_that = loud, self._loud_before
        self._since_speech = 0 if is_speech else self._since_speech + 1
        return is_speech

    def would_be_quiet(self, pcm20: bytes) -> bool:
        """Whether a frame that was not heard, but made up, is quiet; it leaves no trace."""
        power = _power_in_band(pcm20)
        return power < _QUIET or power < self._floor_now * _NEAR_FLOOR

    def _floor(self, power: float) -> float:
        """Least power of the last spans and of the present one, this frame included."""
        if power < self._span_minimum:
            self._span_minimum = power
        # Before a whole span was heard the floor is unknown: only the absolute level decides.
        floor = min(self._span_minimum, self._spans_minimum)
        self._span_frames += 1
        if self._span_frames == _FLOOR_FRAMES:
            self._spans.append(self._span_minimum)
            self._spans_minimum = min(self._spans)
            self._span_minimum = math.inf
            self._span_frames = 0
        return floor


def _power_in_band(pcm20: bytes) -> float:
    samples = np.frombuffer(pcm20, np.int16) * _WINDOW
    outside = _OUTSIDE_BAND.dot(samples)
    power = float(samples.dot(samples) - outside.dot(outside))
    return power if power > _SILENT else _SILENT
