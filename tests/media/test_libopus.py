"""libopus called directly: how it is found, and that no payload is too bad for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtc_server.media import libopus, opus
from rtc_server.media.libopus import Control, LibopusUnavailable, Library
from rtc_server.media.opus import Codec, OpusDecoder, OpusEncoder, OpusError, codec_in_use
from rtc_server.media.opus_packet import duration_ticks

from .conftest import from_s16, s16, vowel
from .test_opus import foreign_packets


@pytest.fixture
def not_chosen_yet() -> Iterator[None]:
    libopus.load.cache_clear()
    codec_in_use.cache_clear()
    yield
    libopus.load.cache_clear()
    codec_in_use.cache_clear()


# How it is found


def test_the_library_of_pyavs_wheel_is_in_use() -> None:
    assert codec_in_use() is Codec.LIBOPUS
    assert libopus.load().path == next(iter(libopus._candidates()))
    assert opus.describe_codec().startswith("libopus 1.")


@pytest.mark.usefixtures("not_chosen_yet")
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "no library of that name is there"),
        (["/nowhere/libopus.so"], "libopus.so: .*No such file"),
        (["libm.so.6"], "libm.so.6: .*undefined symbol: opus"),
    ],
)
def test_without_libopus_pyav_codes_and_the_operator_is_told_once(
    found: list[str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(libopus, "_candidates", lambda: iter(found))
    pcm = s16(vowel(0.2, 24_000))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            encoder, decoder = OpusEncoder(24_000), OpusDecoder()
            pieces = [
                decoder.decode(encoder.encode(pcm[at : at + 960])) for at in range(0, len(pcm), 960)
            ]
            assert np.max(np.abs(from_s16(b"".join(pieces)))) > 0.1
    assert len(caplog.records) == 1
    assert "PyAV codes instead" in caplog.text
    assert opus.describe_codec().startswith("PyAV")
    with pytest.raises(LibopusUnavailable, match=reason):
        libopus.load()
    with pytest.raises(LibopusUnavailable):
        OpusDecoder(Codec.LIBOPUS)


@pytest.mark.usefixtures("not_chosen_yet")
def test_the_next_library_is_taken_where_one_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    good = list(libopus._candidates())
    monkeypatch.setattr(libopus, "_candidates", lambda: iter(["/nowhere/libopus.so", *good]))
    assert libopus.load().path == good[0]


@pytest.mark.usefixtures("not_chosen_yet")
def test_a_library_that_codes_nonsense_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libopus.Decoder, "decode", lambda self, payload: bytes(640))
    with pytest.raises(LibopusUnavailable, match="a tone of 1000 Hz came back as"):
        libopus.load()


def test_what_libopus_refuses_is_an_error() -> None:
    library = libopus.load()
    with pytest.raises(ValueError, match="44100"):
        libopus.Decoder(library, 44_100)
    with pytest.raises(ValueError, match="44100"):
        libopus.Encoder(library, 44_100)
    with pytest.raises(ValueError, match="refuses 11"):
        libopus.Encoder(library, 16_000).control(Control.COMPLEXITY, 11)


def test_every_library_that_is_there_passes() -> None:
    """The system's too, which may be years older."""
    for path in libopus._candidates():
        library = Library(path)
        libopus._try_out(library)
        assert library.version.startswith("libopus ")


# Payloads of all kinds


PACKETS = [
    packet
    for layout in ("mono", "stereo")
    for ms in ("2.5", "20", "60", "120")
    for packet in foreign_packets(vowel(0.24, 48_000), layout=layout, ms=ms)[:4]
]


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Anything, or a packet that was cut, lengthened or changed in some places."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=1500))
    packet = bytearray(draw(st.sampled_from(PACKETS)))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4)):
        packet[at % len(packet)] = byte
    cut = draw(st.integers(0, len(packet)))
    return bytes(packet[:cut] + draw(st.binary(max_size=20)))


@pytest.mark.parametrize("codec", Codec)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,  # the same everywhere; what is new is found by a fuzz run
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(stream=st.lists(st.tuples(payloads(), st.sampled_from(range(3))), max_size=8))
def test_any_payload_decodes_to_its_length_or_raises(
    codec: Codec, stream: list[tuple[bytes, int]]
) -> None:
    """And the decoder is whole afterwards."""
    decoder = OpusDecoder(codec)
    for payload, way in stream:
        if way == 1:
            assert len(decoder.recover(20, payload)) == 640
        elif way == 2:
            assert len(decoder.conceal(len(payload) % 130)) == len(payload) % 130 * 32
        try:
            pcm = decoder.decode(payload)
        except OpusError:
            continue
        ticks = duration_ticks(payload)
        assert ticks is not None
        assert len(pcm) == ticks // 3 * 2
    for packet in PACKETS[:4]:
        assert len(decoder.decode(packet)) == 80


@pytest.mark.parametrize("size", [1275, 1276, 1500, 5000])
def test_packets_of_the_greatest_size_decode_and_longer_ones_raise(size: int) -> None:
    """A frame holds at most 1275 bytes behind the table of contents (RFC 6716, section 3.2.1)."""
    payload = b"\xf8" + np.random.default_rng(1).bytes(size - 1)
    decoder = OpusDecoder(Codec.LIBOPUS)
    if size <= 1276:
        assert len(decoder.decode(payload)) == 640
    else:
        with pytest.raises(OpusError):
            decoder.decode(payload)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("payload", [b"\x08", b"\x08\x00", b"\x78", b"\xf8", b"\xf8\x00"])
def test_frames_of_a_byte_or_two_as_dtx_has_them_decode(codec: Codec, payload: bytes) -> None:
    decoder = OpusDecoder(codec)
    for packet in PACKETS:
        decoder.decode(packet)
    assert len(decoder.decode(payload)) == 640


def test_both_codecs_decode_alike() -> None:
    """Within what the ways to 16 kHz differ in: shape and level, not sample by sample."""
    encoder = OpusEncoder(24_000)
    pcm = s16(vowel(1.0, 24_000))
    packets = [encoder.encode(pcm[at : at + 960]) for at in range(0, len(pcm), 960)]
    heard = {}
    for codec in Codec:
        decoder = OpusDecoder(codec)
        heard[codec] = from_s16(b"".join(decoder.decode(packet) for packet in packets))
    direct, through = heard[Codec.LIBOPUS], heard[Codec.PYAV]
    assert len(direct) == len(through)
    assert max(np.corrcoef(direct, np.roll(through, -shift))[0, 1] for shift in range(20)) > 0.999


def test_sound_straight_at_16_khz_is_that_at_48_khz_without_its_top() -> None:
    """Above 60 dB up to 7 kHz, beside a reference that is cut to 16 kHz in its spectrum.

    For the MDCT mode: the voice modes code 16 kHz inside and need no resampling, while at 48 kHz
    libopus' own short filter shapes them.
    """
    encoder = OpusEncoder(24_000)
    pcm = s16(vowel(1.0, 24_000) * np.hanning(24_000))
    packets = [encoder.encode(pcm[at : at + 960]) for at in range(0, len(pcm), 960)]
    library = libopus.load()
    spectra = {}
    for rate in (16_000, 48_000):
        decoder = libopus.Decoder(library, rate)
        samples = from_s16(b"".join(map(decoder.decode, packets)))
        spectra[rate] = np.fft.rfft(samples)[:7_000] * 16_000 / rate
    delays = np.arange(-2, 2, 0.01)[:, np.newaxis]  # in samples at 16 kHz
    shifts = np.exp(-2j * np.pi * np.arange(7_000) * delays / 16_000)
    errors = np.sum(np.abs(spectra[16_000] - spectra[48_000] * shifts) ** 2, 1)
    assert 10 * np.log10(np.sum(np.abs(spectra[16_000]) ** 2) / np.min(errors)) > 60
