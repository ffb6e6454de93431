"""What the callers say: speech-like sound that never pauses, with a chirp in every second.

The sound is a buzz of a gliding pitch through three formants that change at the rate of
syllables: voiced, wide-band, with work for the codec as speech has it.  It pauses for
nothing but the chirps, so that an echo has something to send all the time.  The chirps,
120 ms from 500 to 3,500 Hz, rise in even seconds and fall in odd ones: an echo is told from
the one a second before, up to a delay of two seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from . import libopus

__all__ = [
    "CHIRP_EVERY_S",
    "FRAMES_PER_S",
    "LOOP_S",
    "RATE",
    "ProbeSignal",
    "chirp",
    "find_chirp",
    "frames_of",
    "make_probe_signal",
    "speech_and_chirps",
    "to_s16",
]

Samples = npt.NDArray[np.float64]

FRAMES_PER_S = 50
RATE = 16_000
"""Of the signal and of its analysis, in Hz; Opus makes what it likes of it."""

LOOP_S = 4
CHIRP_EVERY_S = 1.0
_CHIRP_S = 0.12
_CHIRP_AT_S = 0.5
_CHIRP_GUARD_S = 0.02


@dataclass(frozen=True, slots=True)
class ProbeSignal:
    """A loop of packets, 20 ms each, and where the chirps begin in it."""

    speech: tuple[bytes, ...]
    silence: tuple[bytes, ...]
    onsets: tuple[tuple[int, bool], ...]
    """Sample at ``RATE`` in the loop, as a decoder of our own hears it, and whether it rises."""

    @property
    def frames(self) -> int:
        """Packets in the loop."""
        return len(self.speech)


@cache
def chirp(rising: bool, rate: int = RATE) -> Samples:
    """One chirp, peak 1."""
    at = np.arange(round(_CHIRP_S * rate)) / rate
    low, high = (500.0, 3500.0) if rising else (3500.0, 500.0)
    phase = 2 * np.pi * (low * at + (high - low) / (2 * _CHIRP_S) * at**2)
    made: Samples = np.sin(phase) * np.hanning(len(at))
    return made


def speech_and_chirps(rate: int) -> Samples:
    """The loop, peak below 1."""
    count = LOOP_S * rate
    at = np.arange(count) / rate
    sound = _speech_like(at, rate)
    for second in range(LOOP_S):
        one = chirp(second % 2 == 0, rate)
        begin = round((second + _CHIRP_AT_S) * rate)
        guard = round(_CHIRP_GUARD_S * rate)
        sound[begin - guard : begin + len(one) + guard] *= 0.05
        sound[begin : begin + len(one)] += 0.5 * one
    return sound


def _speech_like(at: Samples, rate: int) -> Samples:
    # Whole periods of everything in the loop, so that its ends meet.
    pitch_phase = 2 * np.pi * (125.0 * at + 20.0 / (2 * np.pi) * np.sin(2 * np.pi * 0.5 * at))
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 3.75 * at)
    sound = np.zeros_like(at)
    for harmonic in range(1, int(0.45 * min(rate, RATE) / 160)):
        hz = 125.0 * harmonic
        gain = np.zeros_like(at)
        for centre, swing, every_s, width in ((500, 200, 2.0, 90), (1500, 500, 1.0, 120)):
            formant = centre + swing * np.sin(2 * np.pi * at / every_s)
            gain += 1.0 / (1.0 + ((hz - formant) / width) ** 2)
        gain += 0.5 / (1.0 + ((hz - 2600.0) / 200.0) ** 2)
        sound += gain * np.sin(harmonic * pitch_phase + harmonic**2)
    noise = np.random.default_rng(7).standard_normal(len(at))
    sound = syllables * (sound + 0.05 * noise)
    scaled: Samples = sound / np.max(np.abs(sound)) * 0.4
    return scaled


def frames_of(pcm: bytes, rate: int) -> list[bytes]:
    """Pieces of 20 ms of s16 mono."""
    size = rate // FRAMES_PER_S * 2
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def to_s16(sound: Samples) -> bytes:
    """s16 little-endian."""
    return np.rint(sound * 32767).astype("<i2").tobytes()


def find_chirp(sound: Samples, rising: bool) -> tuple[int, float]:
    """The matched filter's best place in ``sound``, at ``RATE``, and its score from 0 to 1."""
    model = chirp(rising)
    if len(sound) < len(model):
        return 0, 0.0
    size = 1 << (len(sound) + len(model)).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(model, size))
    product = np.fft.irfft(spectrum, size)[: len(sound) - len(model) + 1]
    energy = np.concatenate(([0.0], np.cumsum(sound**2)))
    local = np.sqrt(np.maximum(energy[len(model) :] - energy[: -len(model)], 1e-9))
    score = product / (local * np.sqrt(np.sum(model**2)))
    # A whisper that looks like a chirp is none.
    score[local < 0.1 * np.max(local)] = 0.0
    best = int(np.argmax(score))
    return best, float(score[best])


@cache
def make_probe_signal() -> ProbeSignal:
    """Encodes the loops; each is encoded twice and taken the second time, as it goes round."""
    sound = to_s16(speech_and_chirps(48_000))
    speech = _looped(sound)
    silence = _looped(bytes(len(sound)))
    return ProbeSignal(speech, silence, _onsets(speech))


def _looped(pcm_48k: bytes) -> tuple[bytes, ...]:
    encoder = libopus.Encoder(48_000)
    frames = frames_of(pcm_48k, 48_000)
    packets = [encoder.encode(one) for one in frames + frames]
    return tuple(packets[len(frames) :])


def _onsets(packets: tuple[bytes, ...]) -> tuple[tuple[int, bool], ...]:
    decoder = libopus.Decoder(RATE)
    rounds = b"".join(decoder.decode(one) for one in packets + packets)
    sound = np.frombuffer(rounds, "<i2")[LOOP_S * RATE :].astype(np.float64)
    onsets = []
    for second in range(LOOP_S):
        rising = second % 2 == 0
        place, score = find_chirp(sound[second * RATE : (second + 1) * RATE], rising)
        assert score > 0.8, "the chirp is lost in its own codec"
        onsets.append((second * RATE + place, rising))
    return tuple(onsets)
