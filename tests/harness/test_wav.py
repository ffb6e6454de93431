"""Reading WAV files of every common kind, and refusing the others in a sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from rtc_harness.errors import WavError
from rtc_harness.levels import SAMPLE_RATE
from rtc_harness.wav import read_wav, write_wav

from .stand_in_server import tone


def wav_bytes(
    data: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = 16_000,
    bits: int = 16,
    size: int | None = None,
    extensible: bool = False,
    before: bytes = b"",
) -> bytes:
    block = channels * bits // 8
    header = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    if extensible:
        guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
        header = struct.pack("<H", 0xFFFE) + header[2:] + struct.pack("<HHI", 22, bits, 3) + guid
    chunks = b"fmt " + struct.pack("<I", len(header)) + header + before
    chunks += b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def sine(rate: int, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)


def encoded(signal: np.ndarray, bits: int, *, is_float: bool = False) -> bytes:
    if is_float:
        return bytes(signal.astype(f"<f{bits // 8}").tobytes())
    if bits == 8:
        return bytes(np.round(signal * 127 + 128).astype(np.uint8).tobytes())
    whole = np.round(signal * (2 ** (bits - 1) - 1)).astype("<i4")
    return bytes(whole.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes())


def assert_is_the_sine(path: Path, tolerance: float) -> None:
    samples = read_wav(path).astype(np.float64) / 32768
    expected = sine(SAMPLE_RATE)
    assert abs(len(samples) - len(expected)) <= SAMPLE_RATE // 100
    inside = slice(2400, min(len(samples), len(expected)) - 2400)  # away from the resampler's ends
    assert np.max(np.abs(samples[inside] - expected[inside])) < tolerance


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_wav_is_the_same_sound_at_any_width(tmp_path: Path, bits: int) -> None:
    """A tone of 8, 16, 24 or 32 bits is the same tone."""
    path = tmp_path / "tone.wav"
    path.write_bytes(wav_bytes(encoded(sine(48_000), bits), rate=48_000, bits=bits))
    assert_is_the_sine(path, 0.01)


@pytest.mark.parametrize("bits", [32, 64])
def test_wav_of_floats_is_read(tmp_path: Path, bits: int) -> None:
    """IEEE float samples are read."""
    path = tmp_path / "tone.wav"
    raw = encoded(sine(48_000), bits, is_float=True)
    path.write_bytes(wav_bytes(raw, tag=3, rate=48_000, bits=bits))
    assert_is_the_sine(path, 0.001)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_wav_is_the_same_sound_at_any_rate(tmp_path: Path, rate: int) -> None:
    """A tone of any rate becomes the same tone at 48 kHz."""
    path = tmp_path / "tone.wav"
    path.write_bytes(wav_bytes(encoded(sine(rate), 16), rate=rate))
    assert_is_the_sine(path, 0.02)


def test_wav_in_stereo_is_mixed(tmp_path: Path) -> None:
    """Two channels become their mean."""
    left = sine(48_000)
    both = np.stack([left, np.zeros_like(left)], axis=1).reshape(-1)
    path = tmp_path / "stereo.wav"
    path.write_bytes(wav_bytes(encoded(both, 16), channels=2, rate=48_000))
    assert np.max(read_wav(path)) == pytest.approx(0.25 * 32768, rel=0.01)


def test_wav_in_the_extensible_form_is_read(tmp_path: Path) -> None:
    """WAVE_FORMAT_EXTENSIBLE, as ffmpeg writes 24 bits, is read."""
    path = tmp_path / "tone.wav"
    raw = encoded(sine(48_000), 24)
    path.write_bytes(wav_bytes(raw, rate=48_000, bits=24, extensible=True))
    assert_is_the_sine(path, 0.001)


def test_wav_with_other_chunks_is_read(tmp_path: Path) -> None:
    """Chunks that are not audio are passed over, those of odd size with their padding."""
    path = tmp_path / "tone.wav"
    path.write_bytes(
        wav_bytes(encoded(sine(48_000), 16), rate=48_000, before=b"LIST\x03\0\0\0abc\0")
    )
    assert_is_the_sine(path, 0.001)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 36])
def test_wav_from_a_pipe_runs_to_its_end(tmp_path: Path, size: int) -> None:
    """A recorder that could not know the size leaves a placeholder; the data are all there."""
    path = tmp_path / "tone.wav"
    path.write_bytes(wav_bytes(encoded(sine(48_000), 16), rate=48_000, size=size))
    assert_is_the_sine(path, 0.001)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a WAV file"),
        (b"ID3\x03 an mp3 file, perhaps", "is not a WAV file"),
        (b"RIFF\0\0\0\0AVI LIST", "is not a WAV file"),
        (b"RIFF\x04\0\0\0WAVE", "without audio"),
        (wav_bytes(b"\0\0" * 10, size=4000), "cut short"),
        (wav_bytes(b""), "holds no audio"),
        (wav_bytes(b"\0", tag=7, bits=8), "compressed"),
        (wav_bytes(b"\0" * 8, bits=12), "12 bits"),
        (wav_bytes(b"\0" * 8, channels=0), "broken format"),
        (wav_bytes(b"\0" * 8, rate=0), "broken format"),
        (b"RIFF\x10\0\0\0WAVEfmt \x04\0\0\0\x01\0\x01\0", "broken format"),
        (b"RIFF\x10\0\0\0WAVEdata\x04\0\0\0\x01\0\x01\0", "before its format"),
    ],
)
def test_wav_that_cannot_be_spoken_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    """What is broken says how, and names the file."""
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(WavError, match=sentence) as raised:
        read_wav(path)
    assert "broken.wav" in str(raised.value)
    assert str(raised.value).endswith(".")


def test_wav_that_does_not_exist_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(WavError, match=r"none\.wav cannot be read: No such file"):
        read_wav(tmp_path / "none.wav")


def test_wav_written_is_read_back(tmp_path: Path) -> None:
    """What is saved is what was heard."""
    path = tmp_path / "reply.wav"
    write_wav(path, tone(0.1))
    assert np.array_equal(read_wav(path), tone(0.1))


def test_wav_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A folder that does not exist is named."""
    with pytest.raises(WavError, match="cannot be written"):
        write_wav(tmp_path / "nowhere" / "reply.wav", tone(0.1))
