"""What is said into the page's microphone, and how late it is in what the page heard.

The voice and the chirps of ``probe_signal.py``, first without a pause, then in spurts: 0.45 s
of every second, with a chirp in the middle.  A conversation is made of spurts, and a receiver's
jitter buffer begins each of them anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .probe_signal import RATE, find_chirp, speech_and_chirps, to_s16

__all__ = [
    "PAGE_RATE",
    "PHASES",
    "Phase",
    "browser_figures",
    "chirp_delays_ms",
    "make_sound",
    "phases_of",
]

PAGE_RATE = 48_000
"""Of the page's ``AudioContext``: what it says and what it hears."""

PHASES = ("speaking", "spurts")

SETTLE_S = 3
"""Discarded: the browser's jitter buffer and bandwidth estimate find their place."""

_SPURT_S = (0.35, 0.8)
_RAMP_S = 0.01
_CHIRP_AT_S = 0.5
_LONGEST_DELAY_S = 1.3
_CHIRP_S = 0.12
_LEAST_SCORE = 0.5
_DECIMATION = PAGE_RATE // RATE


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the sound, in whole seconds of it."""

    name: str
    begin_s: int
    end_s: int


def phases_of(speaking_s: int, spurts_s: int) -> list[Phase]:
    """What follows the first three seconds."""
    middle = SETTLE_S + speaking_s
    return [Phase("speaking", SETTLE_S, middle), Phase("spurts", middle, middle + spurts_s)]


def make_sound(phases: Sequence[Phase]) -> bytes:
    """s16 mono at ``PAGE_RATE``, from 0 to the end of the last phase."""
    voice = speech_and_chirps(PAGE_RATE)
    sound = np.resize(voice, phases[-1].end_s * PAGE_RATE)
    for phase in phases:
        if phase.name == "spurts":
            part = slice(phase.begin_s * PAGE_RATE, phase.end_s * PAGE_RATE)
            sound[part] *= np.tile(_spurt(), phase.end_s - phase.begin_s)
    return to_s16(sound)


@cache
def _spurt() -> npt.NDArray[np.float64]:
    at = np.arange(PAGE_RATE) / PAGE_RATE
    begin, end = _SPURT_S
    ramps = np.minimum(at - begin, end - at) / _RAMP_S
    loudness: npt.NDArray[np.float64] = np.clip(ramps, 0.0, 1.0)
    return loudness


def chirp_delays_ms(recording: bytes, offset: int, phase: Phase) -> list[float]:
    """How late each of the phase's chirps is in the recording; lost ones are left out.

    Args:
        recording: s16 mono at ``PAGE_RATE``.
        offset: of its first sample from the first of the sound, in samples.
    """
    heard = np.frombuffer(recording, "<i2").astype(np.float64)
    window = round((_LONGEST_DELAY_S + _CHIRP_S) * RATE) * _DECIMATION
    delays = []
    for second in range(phase.begin_s, phase.end_s):
        begin = round((second + _CHIRP_AT_S) * PAGE_RATE) - offset
        part = heard[max(0, begin) : begin + window]
        # No chirp reaches to where the mean of three samples would bend it.
        low = part[: len(part) // _DECIMATION * _DECIMATION].reshape(-1, _DECIMATION).mean(axis=1)
        place, score = find_chirp(low, second % 2 == 0)
        if score >= _LEAST_SCORE:
            delays.append((place * _DECIMATION + 1) / PAGE_RATE * 1000)
    return delays


def browser_figures(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """What the browser says of its own jitter buffer between two ``inbound-rtp`` statistics."""

    def grown(key: str) -> float:
        return float(after.get(key, 0.0)) - float(before.get(key, 0.0))

    emitted = max(1.0, grown("jitterBufferEmittedCount"))
    received = max(1.0, grown("totalSamplesReceived"))
    return {
        "jitter_buffer_ms": grown("jitterBufferDelay") / emitted * 1000,
        "jitter_buffer_target_ms": grown("jitterBufferTargetDelay") / emitted * 1000,
        "concealed_share": grown("concealedSamples") / received,
        "stretched_share": (
            grown("insertedSamplesForDeceleration") + grown("removedSamplesForAcceleration")
        )
        / received,
        "packets_lost": grown("packetsLost"),
    }
