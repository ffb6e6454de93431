"""Where speech begins and ends, which every measurement rests on."""

from __future__ import annotations

import numpy as np

from rtc_harness.levels import SAMPLE_RATE, audible_span, speech_span

from .stand_in_server import silence, tone


def hiss(seconds: float, level: float) -> np.ndarray:
    rng = np.random.default_rng(7)
    return (rng.standard_normal(int(seconds * SAMPLE_RATE)) * level * 32767).astype(np.int16)


def test_audible_span_is_exact() -> None:
    """The first and the last audible sample of clean audio are found to the sample."""
    burst = np.full(480, 3000, dtype=np.int16)
    assert audible_span(np.concatenate([silence(0.01), burst, silence(0.01)])) == (480, 960)


def test_audible_span_of_codec_noise_is_none() -> None:
    """The few units that Opus leaves in silence are not audible."""
    assert audible_span(np.full(960, 80, dtype=np.int16)) is None


def test_audible_span_takes_the_most_negative_sample() -> None:
    """-32768, whose absolute value does not fit 16 bits, is as loud as can be."""
    assert audible_span(np.array([0, -32768, 0], dtype=np.int16)) == (1, 2)


def test_speech_span_of_clean_speech() -> None:
    """Speech between silences is found to 10 ms."""
    span = speech_span(np.concatenate([silence(0.3), tone(0.5), silence(0.4)]))
    assert span == (int(0.3 * SAMPLE_RATE), int(0.8 * SAMPLE_RATE))


def test_speech_span_leaves_the_noise_of_a_recording_out() -> None:
    """A hiss of -40 dBFS, louder than -50 dBFS, before and after speech is not speech."""
    speech = np.concatenate([silence(0.5), tone(0.5), silence(0.5)]) + hiss(1.5, 0.01)
    span = speech_span(speech.astype(np.int16))
    assert span is not None
    assert abs(span[0] - SAMPLE_RATE // 2) <= 480
    assert abs(span[1] - SAMPLE_RATE) <= 480


def test_speech_span_of_a_recording_without_a_pause_is_all_of_it() -> None:
    """What is loud from end to end is speech from end to end."""
    assert speech_span(tone(0.5)) == (0, SAMPLE_RATE // 2)


def test_speech_span_of_silence_is_none() -> None:
    """Silence holds no speech; nor does nothing."""
    assert speech_span(silence(0.5)) is None
    assert speech_span(silence(0)) is None
