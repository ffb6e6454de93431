"""What Opus costs and how it sounds: the ways to encode a voice, the two ways to decode one.

Run: ``.venv/bin/python -m benches.opus_quality``.  It is what
docs/decisions/0011-libopus-called-directly.md rests on.  The voices are the embedded agent's,
of 24 kHz, and the recorded human ones of Debian's ``pocketsphinx-testdata``.

* Distance: of the spectra of original and decoded sound, mean over the audible frames, in dB;
  less is better.
* PESQ: ITU-T P.862.2, up to 4.6, where ``pip install pesq`` was done; of the band up to 8 kHz.
* After a loss: how much too quiet the two frames behind a lost one are, in dB.
* Errors: word error rate of the embedded recogniser.
"""

from __future__ import annotations

import asyncio
import time
import wave
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtc_server.local_agent.inference import Recogniser, Voice
from rtc_server.media import libopus
from rtc_server.media.libopus import Control
from rtc_server.media.opus import DECODED_RATE, Codec, OpusDecoder, OpusEncoder
from rtc_server.media.pcm import Resampler

Samples = npt.NDArray[np.float64]

RATE = 24_000
FRAME = RATE // 50
RECORDINGS = Path("/usr/share/pocketsphinx/test/data/librivox")
SENTENCES = (
    "The committee decided yesterday that six new schools should be opened next spring.",
    "She sells fresh fish and chips by the shore, and thirty three thieves thought so.",
    "Your appointment is on Thursday the twenty first at half past four in the afternoon.",
    "Please speak slowly; the quick brown fox jumps over the lazy dog.",
)
RUNS = 3


class Way(NamedTuple):
    """Settings of an encoder."""

    name: str
    signal: int
    bitrate: int
    complexity: int
    loss_percent: int = 0
    fec: bool = False


VOICE, MUSIC = Control.SIGNAL_VOICE, Control.SIGNAL_MUSIC
WAYS = (
    *(Way("voice", VOICE, bitrate, c) for bitrate in (24_000, 32_000) for c in (0, 1, 3, 5, 7, 9)),
    *(Way("voice", VOICE, 48_000, complexity) for complexity in (0, 1, 3, 5)),
    Way("voice, FEC", VOICE, 32_000, 5, 10, True),
    Way("voice, FEC", VOICE, 48_000, 1, 10, True),
    *(Way("MDCT", MUSIC, bitrate, 5) for bitrate in (32_000, 48_000, 64_000)),
    *(Way("MDCT, robust", MUSIC, 64_000, complexity, 20) for complexity in (0, 3, 5)),
    Way("MDCT, robust", MUSIC, 72_000, 5, 20),
)


def recordings(rate: int) -> dict[str, bytes]:
    """The human voices, by the names of their files."""
    found = {}
    for path in sorted(RECORDINGS.glob("*.wav")):
        with wave.open(str(path)) as file:
            resampler = Resampler(file.getframerate(), rate)
            found[path.stem] = resampler.resample(file.readframes(file.getnframes()))
    return found


async def agent_voice() -> bytes:
    """The embedded agent's."""
    voice = Voice()
    try:
        return b"".join([await voice.speak(text) for text in SENTENCES])
    finally:
        await asyncio.to_thread(voice.close)


def frames_of(pcm: bytes) -> list[bytes]:
    """Of 20 ms at 24 kHz."""
    size = FRAME * 2
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def timed(work: Callable[[], Any], count: int) -> float:
    """Microseconds of CPU for each of ``count``, at best."""
    best = float("inf")
    for _ in range(RUNS):
        begun = time.process_time()
        work()
        best = min(best, (time.process_time() - begun) / count)
    return best * 1e6


# Encoding


def encode(way: Way, frames: list[bytes]) -> list[bytes]:
    """All frames by a new encoder."""
    encoder = libopus.Encoder(libopus.load(), RATE)
    for request, value in (
        (Control.SIGNAL, way.signal),
        (Control.BITRATE, way.bitrate),
        (Control.COMPLEXITY, way.complexity),
        (Control.PACKET_LOSS_PERCENT, way.loss_percent),
        (Control.INBAND_FEC, way.fec),
    ):
        encoder.control(request, value)
    return [encoder.encode(frame) for frame in frames]


def heard_of(packets: list[bytes], lost: int | None = None) -> Samples:
    """What a listener gets; of every tenth packet, from ``lost`` on, its concealment."""
    decoder = libopus.Decoder(libopus.load(), RATE)
    pieces = []
    for number, packet in enumerate(packets):
        is_lost = lost is not None and number % 10 == lost and number > 0
        pieces.append(decoder.decode(packet[:1] if is_lost else packet))
    return np.frombuffer(b"".join(pieces), "<i2").astype(float)


def aligned(original: Samples, heard: Samples) -> tuple[Samples, Samples]:
    """Both without the codec's delay."""
    size = 1 << 17
    spectra = [np.fft.rfft(samples[: size // 2], size) for samples in (original, heard)]
    delay = int(np.argmax(np.fft.irfft(np.conj(spectra[0]) * spectra[1])[: RATE // 20]))
    count = min(len(original), len(heard) - delay)
    return original[:count], heard[delay : delay + count]


def distance(original: Samples, heard: Samples) -> float:
    """Log-spectral, in dB."""
    powers = []
    for samples in (original, heard):
        windows = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[:: FRAME // 2]
        powers.append(np.abs(np.fft.rfft(windows * np.hanning(FRAME))) ** 2)
    energy = powers[0].sum(1)
    audible = energy > energy.max() * 1e-4
    difference = 10 * np.log10((powers[0][audible] + 1e3) / (powers[1][audible] + 1e3))
    return float(np.mean(np.sqrt(np.mean(difference**2, 1))))


def pesq(original: Samples, heard: Samples) -> float | None:
    """Mean over pieces of 4 s; None where the package is not there."""
    try:
        measure = import_module("pesq").pesq
    except ImportError:
        return None
    down = [resampled(samples) for samples in (original, heard)]
    step = 4 * DECODED_RATE
    starts = range(0, len(down[0]) - step + 1, step)
    pairs = [(down[0][at : at + step], down[1][at : at + step]) for at in starts]
    return float(np.mean([measure(DECODED_RATE, *pair, "wb") for pair in pairs]))


def resampled(samples: Samples) -> Samples:
    """From 24 to 16 kHz, between -1 and 1."""
    pcm = Resampler(RATE, DECODED_RATE).resample(np.rint(samples).astype("<i2").tobytes())
    return np.frombuffer(pcm, "<i2") / 32768


def dips(packets: list[bytes]) -> list[float]:
    """How many dB the frames behind a lost one are too quiet, the next and the one after it."""
    clean = heard_of(packets)
    levels: list[list[float]] = [[], []]
    for lost in range(10):
        heard = heard_of(packets, lost)
        for number in range(10 + lost, len(packets) - 2, 10):
            for behind in (1, 2):
                at = slice((number + behind) * FRAME, (number + behind + 1) * FRAME)
                if np.mean(clean[at] ** 2) > 1e5:
                    ratio = (np.mean(heard[at] ** 2) + 1) / np.mean(clean[at] ** 2)
                    levels[behind - 1].append(-10 * float(np.log10(ratio)))
    return [float(np.mean(each)) for each in levels]


def report_encoders(voices: dict[str, bytes]) -> None:
    """One line for each way and voice."""
    print(
        "way             kbit/s  complexity  voice   us/frame  kbit/s  distance  PESQ  after a loss"
    )
    for way in WAYS:
        for name, pcm in voices.items():
            frames = frames_of(pcm)
            packets = encode(way, frames)
            cost = timed(partial(encode, way, frames), len(frames))
            original, heard = aligned(np.frombuffer(pcm, "<i2").astype(float), heard_of(packets))
            score = pesq(original, heard)
            print(
                f"{way.name:<14}{way.bitrate / 1000:8.0f}{way.complexity:12}  {name:<6}"
                f"{cost:10.1f}{sum(map(len, packets)) * 0.4 / len(packets):8.1f}"
                f"{distance(original, heard):10.2f}{'     -' if score is None else f'{score:6.2f}'}"
                + "".join(f"{dip:7.1f}" for dip in dips(packets)),
                flush=True,
            )


# Decoding


def errors(said: str, expected: str) -> int:
    """Word errors: substitutions, insertions and deletions (Levenshtein)."""
    words, target = said.split(), expected.split()
    costs = list(range(len(target) + 1))
    for row, word in enumerate(words, 1):
        before, costs[0] = costs[0], row
        for column, other in enumerate(target, 1):
            least = min(costs[column] + 1, costs[column - 1] + 1, before + (word != other))
            before, costs[column] = costs[column], least
    return costs[-1]


def plain(text: str) -> str:
    """Words alone, in small letters."""
    letters = "".join(c if c.isalpha() or c == "'" else " " for c in text.lower())
    return " ".join(letters.replace("mr", "mister").split())


async def report_decoders() -> None:
    """Cost, likeness to the reference and what is understood of either decoder."""
    expected = {}
    for line in (RECORDINGS / "transcription").read_text().splitlines():
        text, _, name = line.rpartition(" ")
        expected[name.strip("()")] = plain(text.replace("<s>", "").replace("</s>", ""))
    recogniser = Recogniser()
    try:
        for bitrate in (16_000, 32_000, 64_000):
            coded = {}
            for name, pcm in recordings(RATE).items():
                encoder = OpusEncoder(RATE, bitrate=bitrate)
                coded[name] = [encoder.encode(frame) for frame in frames_of(pcm)]
            for codec in Codec:
                decoded = {}
                for name, packets in coded.items():
                    decoder = OpusDecoder(codec)
                    decoded[name] = b"".join(decoder.decode(packet) for packet in packets)
                some = next(iter(coded.values()))
                decoder = OpusDecoder(codec)
                cost = timed(partial(decode, decoder, some), len(some))
                likeness = np.mean([closeness(coded[name], pcm) for name, pcm in decoded.items()])
                wrong = [
                    errors(plain(await recogniser.transcribe(pcm)), expected[name])
                    for name, pcm in decoded.items()
                ]
                words = sum(len(text.split()) for text in expected.values())
                print(
                    f"{codec:<8} {bitrate / 1000:3.0f} kbit/s  {cost:6.1f} us/frame  "
                    f"{likeness:5.1f} dB to the reference  {sum(wrong)} of {words} words wrong"
                )
    finally:
        await asyncio.to_thread(recogniser.close)


def decode(decoder: OpusDecoder, packets: list[bytes]) -> None:
    """All packets."""
    for packet in packets:
        decoder.decode(packet)


def closeness(packets: list[bytes], pcm: bytes) -> float:
    """Signal to difference in dB up to 7 kHz, against 48 kHz decoded and cut in the spectrum."""
    decoder = libopus.Decoder(libopus.load(), 48_000)
    full = np.frombuffer(b"".join(map(decoder.decode, packets)), "<i2").astype(float)
    count = len(full) // 3
    reference = np.fft.rfft(full)[: count // 2 + 1] / 3
    heard = np.fft.rfft(np.frombuffer(pcm, "<i2")[:count].astype(float))
    bins = np.arange(len(heard))
    keep = bins * DECODED_RATE / count < 7_000
    reference, heard, bins = reference[keep], heard[keep], bins[keep]
    best = -np.inf
    for delay in np.arange(-40, 40, 0.05):  # samples at 16 kHz
        shifted = reference * np.exp(-2j * np.pi * bins * delay / count)
        error = np.sum(np.abs(heard - shifted) ** 2)
        best = max(best, 10 * np.log10(np.sum(np.abs(heard) ** 2) / error))
    return float(best)


def main() -> None:
    """Both tables."""
    print(libopus.load().version)
    human = b"".join(recordings(RATE).values())
    report_encoders({"agent": asyncio.run(agent_voice()), "human": human})
    asyncio.run(report_decoders())


if __name__ == "__main__":
    main()
