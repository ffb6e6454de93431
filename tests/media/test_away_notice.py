"""The sound of a model that is away: a soft tone, or the operator's WAV file."""

from __future__ import annotations

import wave
from array import array
from pathlib import Path

import pytest

from rtc_server.errors import ConfigurationError
from rtc_server.media.away_notice import load_notice
from rtc_server.media.pcm import is_audible


def write_wav(
    path: Path, samples: array[int], *, rate: int = 16_000, channels: int = 1, width: int = 2
) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return str(path)


def test_tone_is_short_quiet_and_begins_and_ends_in_silence() -> None:
    """Heard, and no more than that: 26 dB below full scale, without a click."""
    notice = load_notice("tone")
    assert notice is not None
    samples = array("h", notice.pcm)
    assert is_audible(notice.pcm)
    assert 1_000 < max(samples) <= 1_640
    assert abs(samples[0]) < 20
    assert abs(samples[-1]) < 20
    assert notice.seconds < 1.0


def test_tone_is_made_once_a_process() -> None:
    """All calls play the same bytes."""
    assert load_notice("tone") is load_notice("tone")


def test_none_is_silence() -> None:
    """Some operators want nothing to be heard."""
    assert load_notice("none") is None


def test_wav_file_is_taken_and_mixed_to_mono(tmp_path: Path) -> None:
    """16 bit PCM of usual rates."""
    notice = load_notice(write_wav(tmp_path / "a.wav", array("h", [100, 300] * 800), channels=2))
    assert notice is not None
    assert notice.rate == 16_000
    assert array("h", notice.pcm) == array("h", [200] * 800)


def test_file_that_cannot_be_played_is_refused_with_its_reason(tmp_path: Path) -> None:
    """Not there, no WAV, too long, not 16 bit, an odd rate, empty."""
    (tmp_path / "text.wav").write_text("no sound")
    some = array("h", [0] * 160)
    bad = {
        str(tmp_path / "none.wav"): "read",
        str(tmp_path / "text.wav"): "read",
        str(tmp_path): "read",
        write_wav(tmp_path / "long.wav", array("h", [0] * 8_000 * 11), rate=8_000): "10 s",
        write_wav(tmp_path / "empty.wav", array("h")): "10 s",
        write_wav(tmp_path / "byte.wav", some, width=1): "16 bit",
        write_wav(tmp_path / "slow.wav", some, rate=4_000): "8 to 48",
    }
    for name, reason in bad.items():
        with pytest.raises(ConfigurationError, match=reason):
            load_notice(name)
