"""Where speech begins and ends in samples: what every measurement of the harness rests on.

All samples are 16-bit integers, mono, 48 kHz, in a numpy array.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["AUDIBLE_PEAK", "SAMPLE_RATE", "Samples", "audible_span", "speech_span"]

SAMPLE_RATE = 48_000
"""Samples a second of everything the harness sends, receives and measures."""

Samples = npt.NDArray[np.int16]

AUDIBLE_PEAK = 104
"""A received sample beyond this is audible: -50 dBFS.

Opus leaves a few units of noise in digital silence, and about 80 where speech fades out.
"""

_WINDOW = SAMPLE_RATE // 100  # 10 ms
_ABOVE_FLOOR = 4.0  # 12 dB above the noise of the recording
_BELOW_PEAK = 0.02  # 34 dB below its loudest 10 ms


def audible_span(samples: Samples) -> tuple[int, int] | None:
    """The first audible sample of received audio and the one after the last; None in silence."""
    audible = np.flatnonzero(np.abs(samples.astype(np.int32)) > AUDIBLE_PEAK)
    if audible.size == 0:
        return None
    return int(audible[0]), int(audible[-1]) + 1


def speech_span(samples: Samples) -> tuple[int, int] | None:
    """Where speech begins and ends in a recording that may hum and hiss, to 10 ms.

    A window of 10 ms is speech if its RMS is 12 dB above the recording's noise floor (its
    quietest tenth), within 34 dB of its loudest window, and above -50 dBFS.  A recording
    without a quiet part is speech from end to end.

    Returns:
        The first sample of speech and the one after the last; None if there is none.
    """
    count = len(samples) // _WINDOW
    if count == 0:
        return audible_span(samples)
    windows = samples[: count * _WINDOW].reshape(count, _WINDOW).astype(np.float64)
    rms = np.sqrt(np.mean(windows**2, axis=1))
    loudest = float(rms.max())
    floor = float(np.quantile(rms, 0.1))
    threshold = max(float(AUDIBLE_PEAK), min(floor * _ABOVE_FLOOR, loudest / 2))
    threshold = max(threshold, loudest * _BELOW_PEAK)
    speech = np.flatnonzero(rms > threshold)
    if speech.size == 0:
        return None
    return int(speech[0]) * _WINDOW, min((int(speech[-1]) + 1) * _WINDOW, len(samples))
