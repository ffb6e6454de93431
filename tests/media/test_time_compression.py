"""Speech that goes a little faster: shorter, at the same pitch, without a seam to be heard."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rtc_server.media.time_compression import LONGEST_CUT_S, shorten

from .conftest import Samples, from_s16, s16, sine, vowel

RATES = (8_000, 16_000, 24_000, 48_000)


def compressed(samples: Samples, rate: int, every: int = 4) -> tuple[Samples, int]:
    """All of it, one frame in ``every`` shortened where that can be done; and how many were."""
    pcm = s16(samples)
    frame_bytes = rate // 50 * 2
    more = int(LONGEST_CUT_S * rate) * 2
    out: list[bytes] = []
    at = cuts = 0
    while at + frame_bytes + more <= len(pcm):
        piece = pcm[at : at + frame_bytes + more]
        made = shorten(piece, frame_bytes, rate, LONGEST_CUT_S) if len(out) % every == 0 else None
        out.append(piece[:frame_bytes] if made is None else made.pcm)
        at += frame_bytes if made is None else made.used_bytes
        cuts += made is not None
    return from_s16(b"".join(out)), cuts


def loudest_hz(samples: Samples, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [110.0, 220.0, 390.0])
def test_a_tone_keeps_its_pitch_and_its_loudness(rate: int, hz: float) -> None:
    """One frame in four loses a period; there is neither another tone nor a dip."""
    tone = sine(hz, 2.0, rate)
    shorter, cuts = compressed(tone, rate)
    assert cuts >= 15
    assert len(shorter) < len(tone) * 0.97
    assert abs(loudest_hz(shorter, rate) - hz) < 2.0
    frames = shorter[: len(shorter) // (rate // 50) * (rate // 50)].reshape(-1, rate // 50)
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    assert np.min(loudness) > 0.8 * np.median(loudness)


@pytest.mark.parametrize("rate", RATES)
def test_a_voice_has_no_click_at_a_seam(rate: int) -> None:
    """No step between two samples is much larger than those that the voice has itself."""
    voice = vowel(2.0, rate)
    shorter, cuts = compressed(voice, rate)
    assert cuts >= 15
    assert np.max(np.abs(np.diff(shorter))) < 1.2 * np.max(np.abs(np.diff(voice)))


def test_a_frame_is_whole_and_what_it_used_is_said() -> None:
    rate, frame_bytes = 24_000, 960
    pcm = s16(vowel(0.05, rate))[: frame_bytes + 480]
    made = shorten(pcm, frame_bytes, rate, LONGEST_CUT_S)
    assert made is not None
    assert len(made.pcm) == frame_bytes
    assert frame_bytes + 120 <= made.used_bytes <= frame_bytes + 480
    assert made.used_bytes % 2 == 0
    # It begins and ends with what was given, so that what is next to it fits.
    given, got = from_s16(pcm), from_s16(made.pcm)
    assert got[0] == pytest.approx(given[0], abs=1e-3)
    assert got[-1] == pytest.approx(given[made.used_bytes // 2 - 1], abs=1e-3)


def test_silence_loses_as_much_as_may_be_taken() -> None:
    made = shorten(bytes(960 + 480), 960, 24_000, 0.005)
    assert made is not None
    assert made.used_bytes == 960 + 240
    assert made.pcm == bytes(960)


def test_noise_without_a_period_is_left_alone() -> None:
    """A hiss and a plosive have no two places that are alike."""
    noise = 0.2 * np.random.default_rng(3).standard_normal(720)
    assert shorten(s16(noise), 960, 24_000, LONGEST_CUT_S) is None


@pytest.mark.parametrize(
    ("extra_bytes", "most_s"), [(0, 0.01), (100, 0.01), (480, 0.002), (480, 0)]
)
def test_less_than_the_shortest_cut_is_not_taken(extra_bytes: int, most_s: float) -> None:
    pcm = s16(sine(200.0, 0.03, 24_000))[: 960 + extra_bytes]
    assert shorten(pcm, 960, 24_000, most_s) is None


def test_human_speech_goes_faster_and_keeps_its_spectrum(speech: Samples) -> None:
    """Where a voice reading has a period it is shortened, and it is the same voice."""
    shorter, _ = compressed(speech, 16_000)
    assert len(shorter) < 0.98 * len(speech)

    def bands(samples: Samples) -> Samples:
        spectrum = np.abs(np.fft.rfft(samples)) ** 2 / len(samples)
        edges = np.linspace(0, len(spectrum), 33, dtype=int)
        powers = [np.mean(spectrum[a:b]) for a, b in itertools.pairwise(edges)]
        return 10 * np.log10(np.array(powers))

    assert np.max(np.abs(bands(shorter) - bands(speech))) < 3.0
