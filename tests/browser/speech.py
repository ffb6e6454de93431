"""Speech for the tests: the offline voice asks, the offline recogniser listens.

Both come from the wheels of the embedded agent; the code of the agent is not used, so that
the tests judge it from outside.
"""

from __future__ import annotations

import io
import re
import wave
from functools import cache
from pathlib import Path
from typing import Any

import av
import hibari
import numpy as np
from moonshine_voice import ModelArch, Transcriber, get_model_path
from numpy.typing import NDArray

__all__ = [
    "RATE",
    "numbers_in",
    "read_recording",
    "recognise",
    "speak",
    "word_error_rate",
    "words_of",
    "write_wav",
]

RATE = 16_000
"""Hz; of everything that is recognised."""

Samples = NDArray[np.int16]

# fmt: off
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
_SMALL = {word: value for value, word in enumerate(_UNITS)}
_SMALL |= {word: 10 * value for value, word in enumerate(_TENS, start=2)}


@cache
def _voice() -> Any:
    return hibari.Hibari()


def speak(text: str) -> tuple[Samples, int]:
    """``text`` as speech: 16-bit mono samples, and their rate in Hz."""
    sound = np.clip(_voice()(text, seed=1), -1, 1)
    return (sound * 32767).astype(np.int16), hibari.SAMPLE_RATE


def write_wav(path: Path, samples: Samples, rate: int, *, lead_s: float, tail_s: float) -> Path:
    """Write 16-bit mono PCM, with silence before and behind it."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * int(lead_s * rate)))
        file.writeframes(samples.tobytes())
        file.writeframes(bytes(2 * int(tail_s * rate)))
    return path


def read_recording(data: bytes) -> Samples:
    """Any file that PyAV opens, as 16-bit mono samples at :data:`RATE`."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    pieces: list[Samples] = []
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(audio=0):
            pieces += [one.to_ndarray()[0] for one in resampler.resample(frame)]
    pieces += [one.to_ndarray()[0] for one in resampler.resample(None)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def recognise(samples: Samples) -> str:
    """What is said in samples at :data:`RATE`; empty where nothing is audible."""
    spoken = _trim(samples)
    if not spoken.size:
        return ""
    options = {"vad_threshold": "0.0", "return_audio_data": "false"}
    transcriber = Transcriber(get_model_path("tiny-en"), ModelArch.TINY, options=options)
    try:
        transcript = transcriber.transcribe_without_streaming((spoken / 32768).tolist(), RATE)
        return " ".join(line.text for line in transcript.lines)
    finally:
        transcriber.close()


def _trim(samples: Samples) -> Samples:
    """From the first sound to the last: the recogniser hears words, and music, in silence."""
    (loud,) = np.nonzero(np.abs(samples.astype(np.int32)) > 500)
    if not loud.size:
        return samples[:0]
    margin = RATE // 4
    return samples[max(0, loud[0] - margin) : loud[-1] + margin]


def words_of(text: str) -> list[str]:
    """The words, in lower case and without punctuation; a hyphen parts words."""
    return re.findall(r"[a-z0-9']+", text.lower())


def numbers_in(text: str) -> list[int]:
    """The whole numbers said in ``text``, in digits or in words up to the thousands.

    A recogniser that hears noise after a number writes it as a share of something: "sixths".

    >>> numbers_in("Twelve times 1,100 is thirteen thousand two hundred and four.")
    [12, 1100, 13204]
    """
    numbers: list[int] = []
    total = current = 0
    is_open = False
    for heard in [*words_of(re.sub(r"(?<=\d),(?=\d)", "", text)), "."]:
        word = re.sub(r"ths?$", "", heard)
        if word in _SMALL:
            # "twenty" goes on with "two"; "two" does not go on with "three".
            value = _SMALL[word]
            unit_follows_tens = current % 100 >= 20 and current % 10 == 0 and 0 < value < 10
            if is_open and current % 100 != 0 and not unit_follows_tens:
                numbers.append(total + current)
                total = current = 0
            current += value
            is_open = True
        elif word == "hundred" and is_open:
            current *= 100
        elif word == "thousand" and is_open:
            total, current = total + current * 1000, 0
        elif word != "and" or not is_open:
            if is_open:
                numbers.append(total + current)
            total = current = 0
            is_open = False
            if word.isdigit():
                numbers.append(int(word))
    return numbers


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Substitutions, insertions and deletions per word of the reference."""
    wanted, got = words_of(reference), words_of(hypothesis)
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, start=1):
            cost = min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
            diagonal, row[j] = row[j], cost
    return row[-1] / len(wanted)
