"""Speech and noise for the microphone: 16 kHz s16 mono."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from rtc_server.local_agent.inference import SpeechModels

POCKETSPHINX = Path("/usr/share/pocketsphinx/test/data")
ALSA = Path("/usr/share/sounds/alsa")


def silence(seconds: float) -> bytes:
    return bytes(2 * int(16_000 * seconds))


def noise(seconds: float, level: float = 0.2, seed: int = 0) -> bytes:
    """White noise: a cough, a door, anything but speech."""
    samples = np.random.default_rng(seed).standard_normal(int(16_000 * seconds)) * level * 32767
    return np.clip(samples, -32768, 32767).astype("<i2").tobytes()


def resample(pcm: bytes, rate: int, to_rate: int = 16_000) -> bytes:
    """Resample by interpolation; good enough for a recogniser."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    if rate % to_rate == 0:
        step = rate // to_rate
        samples = samples[: len(samples) // step * step].reshape(-1, step).mean(axis=1)
    else:
        at = np.arange(int(len(samples) * to_rate / rate)) * rate / to_rate
        samples = np.interp(at, np.arange(len(samples)), samples)
    return samples.astype("<i2").tobytes()


async def spoken(models: SpeechModels, text: str) -> bytes:
    """``text`` in the offline voice."""
    return resample(await models.voice.speak(text), 24_000)


def recorded(path: Path) -> bytes:
    """A recording of a person; skips the test where the Debian package is not installed."""
    if not path.exists():
        pytest.skip(f"{path} is missing: install pocketsphinx-testdata and alsa-utils")
    if path.suffix == ".raw":
        return path.read_bytes()
    with wave.open(str(path)) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
        mono = np.ascontiguousarray(samples.reshape(-1, wav.getnchannels())[:, 0])
        return resample(mono.tobytes(), wav.getframerate())
