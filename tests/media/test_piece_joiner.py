"""Joining of silent pieces."""

from __future__ import annotations

from rtc_server.media.piece_joiner import PieceJoiner

SILENT = b"\0" * 640
LOUD = b"\1" * 640


def pushed(joiner: PieceJoiner, pieces: list[tuple[bytes, bool]]) -> list[bytes]:
    out = (joiner.push(piece, speech=speech) for piece, speech in pieces)
    return [one for one in out if one is not None]


def test_speech_is_never_held_back() -> None:
    """Each piece of speech goes on by itself, at once."""
    joiner = PieceJoiner(hangover_pieces=0)
    for _ in range(20):
        assert joiner.push(LOUD, speech=True) == LOUD


def test_silence_is_joined() -> None:
    """Five silent pieces become one."""
    out = pushed(PieceJoiner(joined_pieces=5, hangover_pieces=0), [(SILENT, False)] * 20)
    assert out == [SILENT * 5] * 4


def test_the_first_syllable_waits_for_nothing() -> None:
    """Speech lets go of the silence before it, in order and in the same moment."""
    joiner = PieceJoiner(joined_pieces=5, hangover_pieces=3)
    pushed(joiner, [(SILENT, False)] * 3)
    assert pushed(joiner, [(SILENT, False)] * 2) == []
    assert joiner.push(LOUD, speech=True) == SILENT * 2 + LOUD


def test_the_silence_that_ends_a_turn_is_not_joined() -> None:
    """A model's end of turn is heard as early as without joining."""
    joiner = PieceJoiner(joined_pieces=5, hangover_pieces=10)
    joiner.push(LOUD, speech=True)
    assert pushed(joiner, [(SILENT, False)] * 10) == [SILENT] * 10
    assert pushed(joiner, [(SILENT, False)] * 10) == [SILENT * 5] * 2


def test_no_sample_is_lost_or_doubled() -> None:
    """What comes out, with what waits, is what went in."""
    joiner = PieceJoiner()
    pieces = [(bytes([n % 256]) * 640, n % 97 < 20) for n in range(1000)]
    out = pushed(joiner, pieces)
    assert b"".join([*out, joiner.flush() or b""]) == b"".join(piece for piece, _ in pieces)
    assert joiner.flush() is None
