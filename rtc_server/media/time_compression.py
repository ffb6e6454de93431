"""Takes a few milliseconds out of speech without changing its pitch; pure.

Overlap-add of the sound with itself, one pitch period further on, at the place where the two
are most alike (WSOLA: Verhelst and Roelands, ICASSP 1993).  NetEq does the same in browsers
when its buffer holds more than it should.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .pcm import AUDIBLE_PEAK, BYTES_PER_SAMPLE

__all__ = ["LONGEST_CUT_S", "SHORTEST_CUT_S", "Shortened", "shorten"]

SHORTEST_CUT_S = 0.0025
LONGEST_CUT_S = 0.01
"""One period of a voice of 400 to 100 Hz."""

_LEAST_LIKENESS = 0.5
"""Normalised correlation below which the seam would be heard: a plosive, a change of sound."""


class Shortened(NamedTuple):
    """A frame, and how much of the sound went into it."""

    pcm: bytes
    used_bytes: int


def shorten(pcm: bytes, frame_bytes: int, rate: int, most_s: float) -> Shortened | None:
    """Make one frame of more sound than a frame lasts.

    Args:
        pcm: s16 mono, of which at least ``frame_bytes`` and the longest cut are there; with
            less a shorter cut is looked for.
        frame_bytes: of the frame that is returned.
        rate: in Hz.
        most_s: at most so much is taken out, and never more than :data:`LONGEST_CUT_S`.

    Returns:
        The frame, which begins with the first sample given and ends with the last one used;
        None where no cut would go unheard.
    """
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    length = frame_bytes // BYTES_PER_SAMPLE
    shortest = round(SHORTEST_CUT_S * rate)
    longest = min(int(min(most_s, LONGEST_CUT_S) * rate), len(samples) - length)
    if longest < shortest:
        return None
    first = samples[:length]
    if float(np.max(np.abs(samples[: length + longest]))) < AUDIBLE_PEAK:
        cut = longest
    else:
        likeness = _likeness(samples, length, shortest, longest)
        best = int(np.argmax(likeness))
        if likeness[best] < _LEAST_LIKENESS:
            return None
        cut = shortest + best
    rise = _rise(length)
    mixed = first + rise * (samples[cut : cut + length] - first)
    return Shortened(np.rint(mixed).astype("<i2").tobytes(), (length + cut) * BYTES_PER_SAMPLE)


def _likeness(
    samples: npt.NDArray[np.float32], length: int, shortest: int, longest: int
) -> npt.NDArray[np.float32]:
    """Normalised correlation of the first frame with the sound ``shortest`` to ``longest`` on."""
    first = samples[:length]
    further = samples[shortest : longest + length]
    product = np.correlate(further, first, "valid")
    energy = np.concatenate(([0.0], np.cumsum(further.astype(np.float64) ** 2)))
    powers = energy[length:] - energy[:-length]
    scale = np.sqrt(np.maximum(powers * float(first.dot(first)), 1.0))
    found: npt.NDArray[np.float32] = (product / scale).astype(np.float32)
    return found


def _rise(length: int) -> npt.NDArray[np.float32]:
    """From 0 to 1 in a frame, as half a period of a cosine."""
    angles = np.pi * (np.arange(length, dtype=np.float32) + 0.5) / length
    rise: npt.NDArray[np.float32] = (0.5 - 0.5 * np.cos(angles)).astype(np.float32)
    return rise
