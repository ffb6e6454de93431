"""Samples as bytes."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from rtc_server.media.pcm import Framer, Resampler, is_audible

from .conftest import Samples, from_s16, s16, sine


def native_threads() -> int:
    return (
        len(os.listdir("/proc/self/task"))
        if os.path.isdir("/proc/self/task")
        else threading.active_count()
    )


# Audible


@pytest.mark.parametrize("peak", [104, -104, 32767, -32768])
def test_a_sample_above_50_dbfs_is_audible(peak: int) -> None:
    pcm = np.array([0, 0, peak, 0], "<i2").tobytes()
    assert is_audible(pcm)


def test_silence_and_dither_are_not_audible() -> None:
    assert not is_audible(b"")
    assert not is_audible(bytes(960))
    assert not is_audible(np.array([103, -103], "<i2").tobytes())


# Framer


def test_framer_gives_whole_pieces_and_keeps_the_rest() -> None:
    framer = Framer(4)
    assert framer.push(b"abc") == []
    assert framer.push(b"defghij") == [b"abcd", b"efgh"]
    assert framer.push(b"") == []
    assert framer.push(b"kl") == [b"ijkl"]
    assert framer.flush() is None


def test_framer_flush_pads_the_rest_with_zeros() -> None:
    framer = Framer(4)
    framer.push(b"ab")
    assert framer.flush() == b"ab\0\0"
    assert framer.flush() is None


def test_framer_refuses_pieces_of_no_size() -> None:
    with pytest.raises(ValueError, match="positive"):
        Framer(0)


# Resampler


def resampled(samples: Samples, rate_in: int, rate_out: int, piece: int) -> Samples:
    resampler = Resampler(rate_in, rate_out)
    pcm = s16(samples)
    out = [resampler.resample(pcm[i : i + 2 * piece]) for i in range(0, len(pcm), 2 * piece)]
    return from_s16(b"".join(out) + resampler.flush())


def signal_to_noise(samples: Samples, frequency: float, rate: int) -> float:
    """Of a sine of unknown amplitude and phase, in dB."""
    angle = 2 * np.pi * frequency * np.arange(len(samples)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle)], 1)
    fitted = basis @ np.linalg.lstsq(basis, samples, rcond=None)[0]
    return float(10 * np.log10(np.sum(fitted**2) / np.sum((samples - fitted) ** 2)))


@pytest.mark.parametrize(
    ("rate_in", "rate_out"),
    [(48_000, 16_000), (8_000, 16_000), (22_050, 24_000), (44_100, 24_000), (16_000, 48_000)],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_resampler_keeps_the_pass_band_clean(rate_in: int, rate_out: int, share: float) -> None:
    """Up to 80 % of the lower Nyquist frequency a tone keeps 60 dB above the noise."""
    frequency = share * min(rate_in, rate_out) / 2
    out = resampled(sine(frequency, 0.5, rate_in), rate_in, rate_out, rate_in // 50)
    middle = out[len(out) // 8 : -len(out) // 8]
    assert signal_to_noise(middle, frequency, rate_out) > 60
    assert np.max(np.abs(middle)) == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("rate_in", [8_000, 22_050, 44_100, 48_000])
def test_resampler_makes_as_long_as_it_takes(rate_in: int) -> None:
    out = resampled(sine(440, 1.0, rate_in), rate_in, 24_000, 333)
    assert len(out) == pytest.approx(24_000, abs=24)


def test_resampler_holds_back_a_millisecond() -> None:
    resampler = Resampler(48_000, 16_000)
    first = resampler.resample(bytes(1920))
    assert (640 - len(first)) / 2 / 16 <= 1.0
    assert len(resampler.resample(bytes(1920))) == 640


def test_resampler_does_not_depend_on_the_size_of_the_pieces() -> None:
    samples = sine(440, 0.2, 44_100)
    whole = resampled(samples, 44_100, 24_000, len(samples))
    assert np.allclose(resampled(samples, 44_100, 24_000, 1), whole, atol=2 / 32768)


def test_resampler_passes_through_at_one_rate() -> None:
    resampler = Resampler(24_000, 24_000)
    assert resampler.resample(b"ab") == b"ab"
    assert resampler.flush() == b""


def test_resampler_takes_nothing_and_gives_nothing() -> None:
    resampler = Resampler(44_100, 24_000)
    assert resampler.resample(b"") == b""
    assert resampler.flush() == b""


def test_resampler_can_be_used_again_after_a_flush() -> None:
    resampler = Resampler(48_000, 16_000)
    pcm = s16(sine(440, 0.1, 48_000))
    first = resampler.resample(pcm) + resampler.flush()
    assert resampler.resample(pcm) + resampler.flush() == first


@pytest.mark.parametrize("rate", [0, -1, 3_999, 192_001])
def test_resampler_refuses_a_rate_of_nonsense(rate: int) -> None:
    with pytest.raises(ValueError, match="kHz"):
        Resampler(rate, 24_000)


def test_resampler_refuses_half_a_sample() -> None:
    with pytest.raises(ValueError, match="odd"):
        Resampler(8_000, 16_000).resample(b"abc")


def test_resampler_starts_no_thread() -> None:
    before = native_threads()
    resamplers = [Resampler(48_000, 16_000) for _ in range(3)]
    for resampler in resamplers:
        resampler.resample(bytes(1920))
    assert native_threads() == before
