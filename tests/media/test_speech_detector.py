"""The detector that all response times start from, on noise and on human speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtc_server.media.speech_detector import FRAME_BYTES, SpeechDetector

from .conftest import RECORDINGS, Samples, read_recording, s16, vowel

FRAME = FRAME_BYTES // 2
RATE = 16_000


def detect(samples: Samples, detector: SpeechDetector | None = None) -> list[bool]:
    detector = detector or SpeechDetector()
    pcm = s16(samples)
    return [
        detector.push(pcm[start : start + FRAME_BYTES])
        for start in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)
    ]


def noise(seconds: float, dbfs: float, seed: int = 1) -> Samples:
    generator = np.random.default_rng(seed)
    white: Samples = generator.normal(0, 10 ** (dbfs / 20), round(seconds * RATE))
    return white


def last(frames: list[bool]) -> int:
    return max(number for number, is_speech in enumerate(frames) if is_speech)


def energy_end(samples: Samples, depth_db: float) -> int:
    """The last frame of clean speech with energy no more than so far below the loud frames."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    level = 10 * np.log10(np.mean((frames - frames.mean(1, keepdims=True)) ** 2, 1) + 1e-12)
    return last(list(level > np.percentile(level[level > -90], 95) - depth_db))


def turn(path: Path) -> Samples:
    """A recording between half a second and two seconds of digital silence."""
    return np.concatenate([np.zeros(RATE // 2), read_recording(path), np.zeros(2 * RATE)])


def test_digital_silence_is_no_speech() -> None:
    assert not any(detect(np.zeros(5 * RATE)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dbfs", [-50, -60, -70])
def test_steady_noise_is_never_speech(dbfs: float, seed: int) -> None:
    """Not even at the beginning, when the floor is not known."""
    assert not any(detect(noise(10, dbfs, seed)))


@pytest.mark.parametrize("dbfs", [-45, -35, -25])
def test_loud_steady_noise_is_no_speech_once_it_is_known(dbfs: float) -> None:
    assert not any(detect(noise(10, dbfs))[15:])


def test_noise_that_grows_louder_is_soon_known() -> None:
    frames = detect(np.concatenate([noise(3, -60), noise(5, -40)]))
    assert not any(frames[(3 * 50) + 80 :])


def test_a_click_is_no_speech() -> None:
    samples = noise(4, -60)
    for at in (1.0, 2.0, 3.0):
        samples[round(at * RATE) : round(at * RATE) + 80] += 0.5
    assert not any(detect(samples))


def test_hum_and_offset_are_no_speech() -> None:
    time = np.arange(4 * RATE) / RATE
    assert not any(detect(0.1 + 0.05 * np.sin(2 * np.pi * 50 * time)))


@pytest.mark.parametrize("floor", [-90, -60, -50])
def test_quiet_speech_is_speech(floor: float) -> None:
    """A voice of -35 dBFS."""
    voice = vowel(1.0, RATE)
    voice *= 10 ** (-35 / 20) / np.sqrt(np.mean(voice**2))
    samples = noise(3, floor)
    samples[RATE : 2 * RATE] += voice
    frames = detect(samples)
    assert not any(frames[:50])
    assert sum(frames[50:100]) >= 45
    assert not any(frames[101:])


def test_speech_is_found_within_two_frames_of_its_beginning() -> None:
    frames = detect(np.concatenate([noise(1, -60), vowel(0.5, RATE) + noise(0.5, -60)]))
    assert frames.index(True) <= 51


def test_speech_is_found_in_the_first_frames_of_a_stream() -> None:
    assert detect(vowel(0.2, RATE)).index(True) == 1


def test_a_long_sound_stays_speech_for_a_second() -> None:
    """The floor rises no faster than that."""
    frames = detect(np.concatenate([noise(1, -60), vowel(1.0, RATE) + noise(1, -60)]))
    assert all(frames[52:100])


@pytest.mark.skipif(not RECORDINGS, reason="pocketsphinx-testdata and alsa-utils not installed")
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("background", [-100, -65, -60, -55])
def test_the_end_of_human_speech_is_found_within_60_ms(path: Path, background: float) -> None:
    """Words die away: their end lies between 22 and 33 dB below the loud frames."""
    clean = turn(path)
    found = last(detect(clean + noise(len(clean) / RATE, background)))
    assert energy_end(clean, 22) - 3 <= found <= energy_end(clean, 33) + 3


@pytest.mark.skipif(not RECORDINGS, reason="pocketsphinx-testdata and alsa-utils not installed")
def test_the_end_of_human_speech_is_mostly_found_to_the_frame() -> None:
    """Where energy and ear agree on the end, 27 dB below the loud frames."""
    errors = [abs(last(detect(clean)) - energy_end(clean, 27)) for clean in map(turn, RECORDINGS)]
    assert sorted(errors)[len(errors) * 3 // 4] <= 1


@pytest.mark.skipif(not RECORDINGS, reason="pocketsphinx-testdata and alsa-utils not installed")
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_most_of_human_speech_is_speech(path: Path) -> None:
    samples = read_recording(path)
    assert np.mean(detect(samples)) > 0.3


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="20 ms"):
        SpeechDetector().push(bytes(638))
