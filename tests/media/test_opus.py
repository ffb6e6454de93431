"""Real Opus packets, there and back."""

from __future__ import annotations

import os
from typing import Any

import av
import numpy as np
import pytest
from av.codec.context import CodecContext

from rtc_server.media import opus
from rtc_server.media.opus import (
    DECODED_RATE,
    ENCODER_RATES,
    Codec,
    OpusDecoder,
    OpusEncoder,
    OpusError,
)
from rtc_server.media.opus_packet import duration_ticks, has_fec, is_mdct

from .conftest import Samples, from_s16, s16, vowel
from .test_pcm import native_threads

FRAME = DECODED_RATE // 50


@pytest.fixture(params=Codec, autouse=True)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """All holds for libopus called directly, and for PyAV in its place."""
    chosen = Codec(request.param)
    monkeypatch.setattr(opus, "codec_in_use", lambda: chosen)
    return chosen


DIRECT_ONLY = pytest.mark.parametrize("codec", [Codec.LIBOPUS], indirect=True)
"""Of an encoder that can be changed while it runs, which PyAV's cannot."""


def is_stereo(payload: bytes) -> bool:
    """Whether the packet was coded with two channels (RFC 6716, section 3.1)."""
    return bool(payload[0] & 0x04)


def encode(samples: Samples, rate: int = 16_000, **options: Any) -> list[bytes]:
    encoder = OpusEncoder(rate, **options)
    pcm, size = s16(samples), encoder.frame_bytes
    return [encoder.encode(pcm[i : i + size]) for i in range(0, len(pcm) - size + 1, size)]


def decode(packets: list[bytes]) -> Samples:
    decoder = OpusDecoder()
    return from_s16(b"".join(decoder.decode(packet) for packet in packets))


def foreign_packets(samples: Samples, *, layout: str, ms: str, rate: int = 48_000) -> list[bytes]:
    """Packets of another sender: stereo, or of other lengths."""
    context = CodecContext.create("libopus", "w")
    context.thread_count = 1
    context.sample_rate, context.layout, context.format = rate, layout, "s16"
    context.options = {"application": "voip", "frame_duration": ms}
    context.open()
    size, channels = context.frame_size, 2 if layout == "stereo" else 1
    packets = []
    for start in range(0, len(samples) - size + 1, size):
        frame = av.AudioFrame("s16", layout, size)
        frame.sample_rate, frame.pts = rate, start
        frame.planes[0].update(s16(np.repeat(samples[start : start + size], channels)))
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets


def level(samples: Samples) -> float:
    """RMS in dBFS."""
    return float(10 * np.log10(np.mean(samples**2) + 1e-12))


def delay(reference: Samples, samples: Samples, most: int) -> int:
    """By how many samples ``samples`` is late, found by cross-correlation."""
    count = len(reference) - most
    scores = [float(np.dot(reference[:count], samples[d : d + count])) for d in range(most)]
    return int(np.argmax(scores))


def largest_step(samples: Samples) -> float:
    """The largest second difference, which a click shows up in."""
    return float(np.max(np.abs(np.diff(samples, 2))))


# Decoding


def test_every_packet_gives_exactly_its_length_from_the_first_on() -> None:
    decoder = OpusDecoder()
    for packet in encode(vowel(0.2, 16_000)):
        assert len(decoder.decode(packet)) == 640


@pytest.mark.parametrize("ms", ["2.5", "5", "10", "20", "40", "60", "80", "100", "120"])
def test_packets_of_any_length_decode(ms: str) -> None:
    samples = vowel(0.48, 48_000)
    decoder = OpusDecoder()
    packets = foreign_packets(samples, layout="mono", ms=ms)
    pieces = [decoder.decode(packet) for packet in packets]
    assert {len(piece) for piece in pieces} == {round(float(ms) * 32)}
    assert level(from_s16(b"".join(pieces))) == pytest.approx(level(samples), abs=1.5)


def test_mono_and_stereo_packets_may_alternate() -> None:
    samples = vowel(0.8, 48_000)
    mono = foreign_packets(samples, layout="mono", ms="20")
    stereo = foreign_packets(samples, layout="stereo", ms="20")
    assert not is_stereo(mono[5])
    assert is_stereo(stereo[5])
    mixed = [(mono, stereo)[i // 10 % 2][i] for i in range(len(mono))]
    decoded, expected = decode(mixed), decode(mono)
    assert len(decoded) == len(expected)
    for number in range(10, len(mixed)):
        if number % 10 >= 7:  # the packets are of two encoders: each switch needs to settle
            frame = slice(number * FRAME, (number + 1) * FRAME)
            assert level(decoded[frame]) == pytest.approx(level(expected[frame]), abs=3)


def test_the_first_syllable_is_undamaged(speech: Samples) -> None:
    """Speech that begins with the first packet comes as well as in the middle of a stream."""
    onset = int(np.argmax(np.abs(speech) > 0.1))
    lead = 10 * FRAME
    said = speech[onset : onset + 16 * FRAME]
    at_first = decode(encode(said))
    in_stream = decode(encode(np.concatenate([np.zeros(lead), said])))[lead:]
    late = delay(said, at_first, 400)
    assert late <= 16 * 8, "6.5 ms of look-ahead and 1 ms of resampling"
    for start in range(0, 10 * FRAME, FRAME):
        frame = slice(late + start, late + start + FRAME)
        assert np.corrcoef(at_first[frame], in_stream[frame])[0, 1] > 0.9
        assert level(at_first[frame]) == pytest.approx(level(in_stream[frame]), abs=1.5)


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff" * 30, b"\x4b", b"\x4b\x00", b"\x4b\x3f", b"\x49" + bytes(3)]
)
def test_garbage_raises_and_poisons_nothing(garbage: bytes) -> None:
    packets = encode(vowel(0.4, 16_000))
    decoder = OpusDecoder()
    clean = [decoder.decode(packet) for packet in packets]
    decoder = OpusDecoder()
    for number, packet in enumerate(packets):
        with pytest.raises(OpusError):
            decoder.decode(garbage)
        assert decoder.decode(packet) == clean[number]


def test_random_payloads_decode_or_raise_and_never_more() -> None:
    generator = np.random.default_rng(1)
    decoder = OpusDecoder()
    for _ in range(300):
        payload = generator.bytes(int(generator.integers(1, 200)))
        try:
            pcm = decoder.decode(payload)
        except OpusError:
            continue
        ticks = duration_ticks(payload)
        assert ticks is not None
        assert len(pcm) == ticks // 3 * 2
    packets = encode(vowel(0.4, 16_000))
    heard = from_s16(b"".join(decoder.decode(packet) for packet in packets))
    assert level(heard[-4 * FRAME :]) == pytest.approx(level(decode(packets)[-4 * FRAME :]), abs=1)


def test_an_error_shows_nothing_of_the_payload() -> None:
    with pytest.raises(OpusError, match=r"^the payload is not an Opus packet$") as caught:
        OpusDecoder().decode(b"\x49" + bytes(3))
    assert caught.value.__context__ is None or caught.value.__suppress_context__


# Concealing


def concealed(packets: list[bytes], first: int, lost: int, ms: int = 20) -> Samples:
    """The stream with ``lost`` packets concealed from ``first`` on."""
    decoder = OpusDecoder()
    pieces = []
    for number, packet in enumerate(packets):
        if first <= number < first + lost:
            pieces += [decoder.conceal(ms) for _ in range(20 // ms)]
        else:
            pieces.append(decoder.decode(packet))
    return from_s16(b"".join(pieces))


@pytest.mark.parametrize("bitrate", [16_000, 32_000, 96_000])
@pytest.mark.parametrize("lost", [1, 2, 5, 10])
@pytest.mark.parametrize("ms", [10, 20])
def test_a_concealed_voice_has_no_click_at_its_seams(bitrate: int, lost: int, ms: int) -> None:
    """No step is there that the voice itself does not have."""
    packets = encode(vowel(1.2, 16_000), bitrate=bitrate)
    clean, heard = decode(packets), concealed(packets, 30, lost, ms)
    assert len(heard) == len(clean)
    assert largest_step(heard[10 * FRAME :]) < 1.25 * largest_step(clean[10 * FRAME :])


@pytest.mark.parametrize("bitrate", [16_000, 32_000, 96_000])
def test_a_single_loss_sounds_on(bitrate: int) -> None:
    packets = encode(vowel(1.2, 16_000), bitrate=bitrate)
    clean, heard = decode(packets), concealed(packets, 30, 1)
    gap = slice(30 * FRAME, 31 * FRAME)
    assert level(heard[gap]) == pytest.approx(level(clean[gap]), abs=5)
    shifts = range(-32, 33)
    begin = slice(gap.start, gap.start + FRAME // 2)
    alike = max(np.corrcoef(heard[begin], np.roll(clean, shift)[begin])[0, 1] for shift in shifts)
    assert alike > 0.9, "the same vowel, at most 2 ms out of step"


def test_concealment_fades_to_silence_within_60_ms_and_stays_there() -> None:
    packets = encode(vowel(1.2, 16_000))
    heard = concealed(packets, 20, 10)
    assert not np.any(heard[23 * FRAME : 30 * FRAME])
    assert level(heard[22 * FRAME : 23 * FRAME]) < level(heard[20 * FRAME : 21 * FRAME]) - 6


def test_sound_is_back_soon_after_a_long_gap() -> None:
    packets = encode(vowel(1.2, 16_000))
    clean, heard = decode(packets), concealed(packets, 20, 10)
    after = slice(32 * FRAME, 40 * FRAME)
    assert level(heard[after]) == pytest.approx(level(clean[after]), abs=1.5)


def test_concealment_before_the_first_packet_is_silence() -> None:
    decoder = OpusDecoder()
    assert decoder.conceal(20) == bytes(640)
    packets = encode(vowel(0.2, 16_000))
    assert decoder.decode(packets[0]) == OpusDecoder().decode(packets[0])


@pytest.mark.parametrize("ms", [0, 1, 5, 7, 10, 20, 25, 60, 120, 2000])
@pytest.mark.parametrize("length", ["2.5", "20", "60"])
def test_concealment_is_as_long_as_asked(ms: int, length: str) -> None:
    decoder = OpusDecoder()
    for packet in foreign_packets(vowel(0.24, 48_000), layout="stereo", ms=length):
        decoder.decode(packet)
    assert len(decoder.conceal(ms)) == ms * 32
    assert len(decoder.conceal(ms)) == ms * 32


def test_concealment_of_real_speech_adds_no_click(speech: Samples) -> None:
    """Every tenth packet is lost."""
    packets = encode(speech)
    decoder = OpusDecoder()
    heard = from_s16(
        b"".join(
            decoder.conceal(20) if number % 10 == 5 else decoder.decode(packet)
            for number, packet in enumerate(packets)
        )
    )
    assert largest_step(heard) < 1.25 * largest_step(decode(packets))


# Recovering

LOSSY: dict[str, Any] = {"fec": True, "packet_loss_percent": 10}


def recovered(packets: list[bytes], lost: int, spoil: bool = False) -> Samples:
    """The stream with the packets ``lost``, ``lost + 10``... recovered from their successors."""
    decoder = OpusDecoder()
    pieces = []
    for number, packet in enumerate(packets):
        if number % 10 == lost and number + 1 < len(packets):
            pieces.append(decoder.recover(20, None if spoil else packets[number + 1]))
        else:
            pieces.append(decoder.decode(packet))
    return from_s16(b"".join(pieces))


def errors_of(heard: Samples, clean: Samples, lost: int) -> float:
    """Level of what is wrong in the frames lost, below what should be there, in dB."""
    frames = range(lost, len(clean) // FRAME - 1, 10)
    pieces = [slice(number * FRAME, (number + 1) * FRAME) for number in frames]
    return level(np.concatenate([clean[piece] for piece in pieces])) - level(
        np.concatenate([heard[piece] - clean[piece] for piece in pieces])
    )


def test_a_lost_frame_is_recovered_from_the_next_packet(speech: Samples, codec: Codec) -> None:
    packets = encode(speech, **LOSSY)
    clean = decode(packets)
    with_fec, without = (recovered(packets, 5, spoil) for spoil in (False, True))
    assert len(with_fec) == len(clean)
    # FFmpeg's decoder does not go through the recovered frame, so that less is won by it.
    better_db, after_db = (6, 6) if codec is Codec.LIBOPUS else (3, 0)
    assert errors_of(with_fec, clean, 5) > errors_of(without, clean, 5) + better_db
    assert errors_of(with_fec, clean, 6) > errors_of(without, clean, 6) + after_db, "what follows"
    assert largest_step(with_fec) < 1.25 * largest_step(clean)


def test_recovery_without_fec_in_the_packet_is_concealment() -> None:
    packets = encode(vowel(0.6, 16_000), bitrate=32_000)
    assert np.array_equal(recovered(packets, 5), recovered(packets, 5, spoil=True))


def test_the_last_of_several_lost_frames_is_recovered_and_no_seam_heard() -> None:
    packets = encode(vowel(1.2, 16_000), **LOSSY)
    clean = decode(packets)
    decoder = OpusDecoder()
    pieces = [decoder.decode(packet) for packet in packets[:30]]
    pieces += [decoder.conceal(20) for _ in range(4)]
    pieces += [decoder.recover(20, packets[35])]
    pieces += [decoder.decode(packet) for packet in packets[35:]]
    heard = from_s16(b"".join(pieces))
    assert len(heard) == len(clean)
    assert largest_step(heard[10 * FRAME :]) < 1.25 * largest_step(clean[10 * FRAME :])
    after = slice(37 * FRAME, 45 * FRAME)
    assert level(heard[after]) == pytest.approx(level(clean[after]), abs=1.5)


@pytest.mark.parametrize("ms", [0, 1, 7, 10, 20, 25, 40, 60, 120, 200])
@pytest.mark.parametrize("garbage", [None, b"", b"\x08", b"\x08\xff", b"\x4b\x3f", b"\xff" * 9])
def test_recovery_is_as_long_as_asked_whatever_the_next_packet(
    ms: int, garbage: bytes | None
) -> None:
    packets = encode(vowel(0.2, 16_000), **LOSSY)
    decoder = OpusDecoder()
    assert decoder.recover(ms, packets[0]) == bytes(ms * 32), "silence before the first packet"
    for packet in packets[:6]:
        decoder.decode(packet)
    assert len(decoder.recover(ms, garbage)) == ms * 32
    assert len(decoder.recover(ms, packets[7])) == ms * 32
    assert len(decoder.decode(packets[7])) == 640


# Encoding


@pytest.mark.parametrize("rate", ENCODER_RATES)
@pytest.mark.parametrize("fec", [False, True])
def test_each_frame_gives_one_mono_packet_of_20_ms(rate: int, fec: bool) -> None:
    encoder = OpusEncoder(rate, fec=fec)
    samples = s16(vowel(0.2, rate))
    for start in range(0, len(samples), encoder.frame_bytes):
        packet = encoder.encode(samples[start : start + encoder.frame_bytes])
        assert duration_ticks(packet) == 960
        assert not packet[0] & 3, "one frame"
        assert not is_stereo(packet)


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_fec_is_in_the_packets_when_asked_for_and_else_not(rate: int) -> None:
    samples = vowel(1.0, rate)
    with_fec = encode(samples, rate, fec=True, packet_loss_percent=10)
    without = encode(samples, rate, fec=False, packet_loss_percent=10)
    assert sum(map(has_fec, with_fec)) > 0.7 * len(with_fec)
    assert not any(map(has_fec, without))


def test_bit_rate_is_kept_on_average(speech: Samples) -> None:
    for bitrate in (16_000, 32_000, 64_000):
        packets = encode(speech, bitrate=bitrate)
        measured = sum(map(len, packets)) * 8 / (len(packets) * 0.02)
        assert measured < 1.3 * bitrate


def test_silence_is_encoded_too() -> None:
    """No DTX: a frame given is a packet made, of the usual length."""
    packets = encode(np.zeros(16_000))
    assert len(packets) == 50
    assert {duration_ticks(packet) for packet in packets} == {960}


def test_the_coded_voice_is_the_voice(speech: Samples) -> None:
    heard = decode(encode(speech, bitrate=64_000))
    late = delay(speech[: len(heard)], heard, 400)
    count = len(heard) - late
    assert np.corrcoef(heard[late:], speech[:count])[0, 1] > 0.7


def test_one_frame_of_silence_brings_out_the_tail() -> None:
    """The look-ahead, 6.5 ms of the encoder and 1 ms of the resampler, is shorter than a frame."""
    samples = np.concatenate([vowel(0.2, 16_000), np.zeros(FRAME)])
    heard = decode(encode(samples))
    assert delay(samples, heard, FRAME) < FRAME


@pytest.mark.parametrize("rate", [44_100, 0, 32_000, -16_000])
def test_encoder_refuses_a_rate_opus_does_not_take(rate: int) -> None:
    with pytest.raises(ValueError, match="Hz"):
        OpusEncoder(rate)


def test_encoder_refuses_what_libopus_refuses() -> None:
    with pytest.raises(ValueError, match="100 bit/s"):
        OpusEncoder(16_000, bitrate=100)


@pytest.mark.parametrize("size", [0, 639, 641, 1280])
def test_encoder_takes_exactly_20_ms(size: int) -> None:
    with pytest.raises(ValueError, match="20 ms"):
        OpusEncoder(16_000).encode(bytes(size))


def is_voice(packet: bytes) -> bool:
    return not is_mdct(packet[0])


@DIRECT_ONLY
@pytest.mark.parametrize("rate", ENCODER_RATES)
def test_mode_follows_the_loss_where_the_receiver_takes_fec(rate: int) -> None:
    encoder = OpusEncoder(rate, fec=True)
    pcm = s16(vowel(0.02, rate))
    clean = [encoder.encode(pcm) for _ in range(10)]
    encoder.set_packet_loss(1)
    lossy = [encoder.encode(pcm) for _ in range(10)]
    encoder.set_packet_loss(0)
    clean_again = [encoder.encode(pcm) for _ in range(10)]
    assert not any(map(is_voice, clean + clean_again[3:]))
    assert all(map(is_voice, lossy[3:]))
    assert not any(map(has_fec, clean + clean_again[3:]))


@DIRECT_ONLY
def test_change_of_mode_makes_no_click(speech: Samples) -> None:
    encoder = OpusEncoder(16_000, fec=True)
    pcm = s16(speech)
    packets = []
    for number, start in enumerate(range(0, len(pcm) - 639, 640)):
        encoder.set_packet_loss(10 * (number // 5 % 2))
        packets.append(encoder.encode(pcm[start : start + 640]))
    steady = decode(encode(speech))
    heard = decode(packets)
    assert largest_step(heard) < 1.25 * largest_step(steady)
    assert level(heard) == pytest.approx(level(steady), abs=0.5)


def test_loss_changes_nothing_where_the_receiver_takes_no_fec(speech: Samples) -> None:
    encoder = OpusEncoder(16_000)
    pcm = s16(speech)
    packets = []
    for start in range(0, len(pcm) - 639, 640):
        encoder.set_packet_loss(20)
        packets.append(encoder.encode(pcm[start : start + 640]))
    assert packets == encode(speech)


@DIRECT_ONLY
def test_one_loss_spoils_nothing_after_it(speech: Samples) -> None:
    """Of the default mode, whose frames would else lean on the energy of those before."""
    packets = encode(speech)
    clean = decode(packets)
    heard = recovered(packets, 5)
    assert errors_of(heard, clean, 7) > 10


def test_complexity_can_be_limited_at_any_time(speech: Samples, codec: Codec) -> None:
    encoder = OpusEncoder(16_000)
    pcm = s16(speech)
    full = encode(speech)
    limited = encode(speech, complexity=0)
    pieces = [pcm[start : start + 640] for start in range(0, len(pcm) - 639, 640)]
    assert [encoder.encode(piece) for piece in pieces[:20]] == full[:20]
    encoder.set_complexity(0)
    rest = [encoder.encode(piece) for piece in pieces[20:]]
    assert limited != full
    assert (rest != full[20:]) is (codec is Codec.LIBOPUS)


@pytest.mark.parametrize("complexity", [-1, 11])
def test_encoder_refuses_a_complexity_of_nonsense(complexity: int) -> None:
    with pytest.raises(ValueError, match="complexity"):
        OpusEncoder(16_000, complexity=complexity)
    with pytest.raises(ValueError, match="complexity"):
        OpusEncoder(16_000).set_complexity(complexity)


@pytest.mark.parametrize("percent", [-1, 101])
def test_encoder_refuses_a_loss_of_nonsense(percent: int) -> None:
    with pytest.raises(ValueError, match="lost"):
        OpusEncoder(16_000, fec=True).set_packet_loss(percent)


# Threads


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_neither_decoder_nor_encoder_starts_a_thread() -> None:
    """Those of libraries are counted too, which Python does not know of."""
    before = native_threads()
    encoders = [OpusEncoder(rate, fec=True) for rate in ENCODER_RATES]
    decoder = OpusDecoder()
    for encoder in encoders:
        for _ in range(3):
            decoder.decode(encoder.encode(bytes(encoder.frame_bytes)))
    decoder.conceal(40)
    assert native_threads() == before
