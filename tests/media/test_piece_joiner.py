"""Quiet pieces are joined, and speech waits for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rtc_server.media.piece_joiner import PieceJoiner
from rtc_server.media.speech_detector import FRAME_BYTES, SpeechDetector

from .conftest import RECORDINGS, Samples, read_recording, s16

QUIET = b"\0" * 640
LOUD = b"\1" * 640


def pushed(joiner: PieceJoiner, pieces: list[tuple[bytes, bool]]) -> list[bytes]:
    return [out for piece, quiet in pieces for out in joiner.push(piece, quiet=quiet)]


def test_what_is_not_quiet_is_never_held_back() -> None:
    """Each piece goes on by itself, at once."""
    joiner = PieceJoiner(hangover_pieces=0)
    for _ in range(20):
        assert joiner.push(LOUD, quiet=False) == [LOUD]


def test_silence_is_joined() -> None:
    """Five quiet pieces become one."""
    out = pushed(PieceJoiner(joined_pieces=5, hangover_pieces=0), [(QUIET, True)] * 20)
    assert out == [QUIET * 5] * 4


def test_the_first_syllable_waits_for_nothing() -> None:
    """It lets go of the silence before it, in order and in the same moment."""
    joiner = PieceJoiner(joined_pieces=5, hangover_pieces=3)
    pushed(joiner, [(QUIET, True)] * 3)
    assert pushed(joiner, [(QUIET, True)] * 2) == []
    assert joiner.is_waiting
    assert joiner.push(LOUD, quiet=False) == [QUIET * 2, LOUD]
    assert not joiner.is_waiting


def test_the_silence_that_ends_a_turn_is_not_joined() -> None:
    """A model's end of turn is heard as early as without joining."""
    joiner = PieceJoiner(joined_pieces=5, hangover_pieces=10)
    joiner.push(LOUD, quiet=False)
    assert pushed(joiner, [(QUIET, True)] * 10) == [QUIET] * 10
    assert pushed(joiner, [(QUIET, True)] * 10) == [QUIET * 5] * 2


def test_no_sample_is_lost_or_doubled() -> None:
    """What comes out, with what waits, is what went in."""
    joiner = PieceJoiner(hangover_pieces=7)
    pieces = [(bytes([n % 256]) * 640, n % 97 >= 20) for n in range(1000)]
    out = pushed(joiner, pieces)
    assert b"".join([*out, *joiner.flush()]) == b"".join(piece for piece, _ in pieces)
    assert joiner.flush() == []


# With the detector, over real voices


def frames(samples: Samples) -> Iterator[bytes]:
    pcm = s16(samples)
    for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        yield pcm[at : at + FRAME_BYTES]


def with_pauses(voice: Samples, noise_dbfs: float, level_db: float) -> Samples:
    """Four seconds of a room, the voice, and the room again."""
    generator = np.random.default_rng(1)
    room = np.zeros(4 * 16_000)
    sound = np.concatenate([room, voice * 10 ** (level_db / 20), room])
    noise = generator.standard_normal(len(sound)) * 10 ** (noise_dbfs / 20)
    return sound + noise


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem[-24:])
@pytest.mark.parametrize(
    ("noise_dbfs", "level_db"), [(-90, 0), (-90, -26), (-60, 0), (-60, -12), (-50, 0)]
)
def test_no_voice_waits_however_it_begins(path: Path, noise_dbfs: float, level_db: float) -> None:
    """From the frame before the first that is detected as speech on none waits, nor for 2 s after.

    The softest talker has -50 dBFS. In the room before and after pieces are joined where it is a
    quiet one: in loud noise no piece is as quiet as the floor for long.
    """
    detector, joiner = SpeechDetector(), PieceJoiner()
    is_speech: list[bool] = []
    waited: list[bool] = []
    for piece in frames(with_pauses(read_recording(path), noise_dbfs, level_db)):
        is_speech.append(detector.push(piece))
        joiner.push(piece, quiet=detector.is_quiet)
        waited.append(joiner.is_waiting)
    spoken = [n for n, speech in enumerate(is_speech) if speech]
    if not spoken:  # too soft for the detector in this noise
        return
    begin = max(0, spoken[0] - 1)
    assert not any(waited[begin : spoken[-1] + 1]), "a piece with a voice in it waited"
    assert not any(waited[n] for n in range(spoken[-1], min(len(waited), spoken[-1] + 100)))
    if noise_dbfs == -90:
        assert sum(waited[: 4 * 50]) > 70, "nothing was joined in a silent room"
