"""Speech to test with: a synthetic voice, and human ones from Debian packages."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rtc_server.media.pcm import Resampler

Samples = npt.NDArray[np.float64]

RECORDINGS = (
    *sorted(Path("/usr/share/pocketsphinx/test/data").glob("*/*.wav")),
    *sorted(Path("/usr/share/sounds/alsa").glob("*_*.wav")),
)


def s16(samples: Samples) -> bytes:
    """Samples between -1 and 1 as PCM."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()


def from_s16(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2") / 32768


def sine(frequency: float, seconds: float, rate: int, amplitude: float = 0.3) -> Samples:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def vowel(seconds: float, rate: int, pitch: float = 120.0, amplitude: float = 0.3) -> Samples:
    """Harmonics of a gliding pitch with the formants of an "a"."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (pitch * time + np.sin(2 * np.pi * 1.5 * time))
    voice = np.zeros(len(time))
    for harmonic in range(1, 28):
        frequency = harmonic * pitch
        formants = sum(np.exp(-(((frequency - f) / 150) ** 2)) for f in (700, 1200, 2600))
        voice += (0.05 + formants) / harmonic**0.5 * np.sin(harmonic * phase)
    scaled: Samples = voice * (amplitude / np.max(np.abs(voice)))
    return scaled


def read_recording(path: Path) -> Samples:
    """A mono recording at 16 kHz, brought to -24 dBFS RMS."""
    with wave.open(str(path)) as file:
        pcm, rate = file.readframes(file.getnframes()), file.getframerate()
    resampler = Resampler(rate, 16_000)
    samples = from_s16(resampler.resample(pcm) + resampler.flush())
    level: Samples = samples * (10 ** (-24 / 20) / np.sqrt(np.mean(samples**2)))
    return level


@pytest.fixture(scope="session")
def speech() -> Samples:
    """Three seconds of a human voice reading, at 16 kHz."""
    name = "sense_and_sensibility_01_austen_64kb-0880.wav"
    found = [path for path in RECORDINGS if path.name == name]
    if not found:
        pytest.skip("Debian's pocketsphinx-testdata is not installed")
    return read_recording(found[0])
