"""What an echo does with sound: 16 kHz to 24 kHz by precomputed filters, in pieces of 40 ms.

The same for every server under test that has an agent's place in it, and needs numpy alone,
so that it runs in the peers' environment too.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["PIECE_BYTES", "LoopBack", "is_silent", "story"]

PIECE_BYTES = 16_000 * 40 // 1000 * 2
"""40 ms of 16 kHz s16 mono."""

_STORY_S = 10
_PIECES_OF_PAUSE = 8
_SILENT_PEAK = 100
_HALF_TAPS = 8  # input samples each side: 0.5 ms of delay
_AROUND = 2 * _HALF_TAPS
_BLOCK = 16


def is_silent(pcm: bytes) -> bool:
    """Whether s16 samples stay below -50 dBFS."""
    samples = np.frombuffer(pcm, "<i2")
    return (
        int(samples.max(initial=0)) < _SILENT_PEAK and int(samples.min(initial=0)) > -_SILENT_PEAK
    )


@cache
def _filters() -> npt.NDArray[np.float32]:
    """Windowed sincs that make ``_BLOCK * 3 / 2`` samples of ``_BLOCK`` and those around them.

    At 0.9 of the loudness, so that nothing has to be clipped.
    """
    made = np.zeros((_BLOCK + _AROUND, _BLOCK * 3 // 2))
    taps = np.arange(_BLOCK + _AROUND)
    for output in range(_BLOCK * 3 // 2):
        distance = taps - (_HALF_TAPS + output * 2 / 3)
        window = np.cos(np.pi * np.clip(distance / (2 * _HALF_TAPS + 1), -0.5, 0.5)) ** 2
        column = np.sinc(0.95 * distance) * window
        made[:, output] = 0.9 * column / column.sum()
    return made.astype(np.float32)


class LoopBack:
    """One stream's echo.

    Args:
        piece_bytes: of each piece at 16 kHz; a whole number of 20 ms frames.
    """

    def __init__(self, piece_bytes: int = PIECE_BYTES) -> None:
        self._piece_bytes = piece_bytes
        self._heard = bytearray()
        blocks = piece_bytes // 2 // _BLOCK
        # One buffer, looked at as overlapping blocks: a piece costs a handful of numpy's calls.
        self._samples = np.zeros(_AROUND + piece_bytes // 2, np.float32)
        self._piece = self._samples[_AROUND:]
        self._blocks = np.lib.stride_tricks.sliding_window_view(self._samples, _BLOCK + _AROUND)[
            ::_BLOCK
        ]
        self._apart = np.empty((blocks, _BLOCK + _AROUND), np.float32)
        self._said = np.empty((blocks, _BLOCK * 3 // 2), np.float32)
        self._silence = piece_bytes // 2 * _SILENT_PEAK**2 / 2
        self._silent_pieces = _PIECES_OF_PAUSE  # nothing to end yet

    def push(self, pcm_16k: bytes) -> tuple[bytes, bool]:
        """Takes any number of samples; gives whole pieces at 24 kHz, none for silent ones.

        Returns:
            What is said, and whether the turn ends: the caller has been silent for 8 pieces.
        """
        self._heard += pcm_16k
        said = []
        ended = False
        while len(self._heard) >= self._piece_bytes:
            piece = bytes(self._heard[: self._piece_bytes])
            del self._heard[: self._piece_bytes]
            self._samples[:_AROUND] = self._samples[-_AROUND:]
            self._piece[:] = np.frombuffer(piece, "<i2")
            if self._piece.dot(self._piece) > self._silence:
                said.append(self._resampled())
                self._silent_pieces = 0
                continue
            self._silent_pieces += 1
            ended |= self._silent_pieces == _PIECES_OF_PAUSE
        return b"".join(said), ended

    def _resampled(self) -> bytes:
        np.copyto(self._apart, self._blocks)
        np.matmul(self._apart, _filters(), out=self._said)
        said: bytes = self._said.astype("<i2").tobytes()
        return said


@cache
def story() -> bytes:
    """Ten seconds of a loud tone at 24 kHz."""
    at = np.arange(_STORY_S * 24_000) / 24_000
    tone: bytes = np.rint(12_000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()
    return tone
