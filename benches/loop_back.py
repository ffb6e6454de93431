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


def is_silent(pcm: bytes) -> bool:
    """Whether s16 samples stay below -50 dBFS."""
    samples = np.frombuffer(pcm, "<i2")
    return (
        int(samples.max(initial=0)) < _SILENT_PEAK and int(samples.min(initial=0)) > -_SILENT_PEAK
    )


@cache
def _filters() -> npt.NDArray[np.float32]:
    """Three outputs from every two inputs: windowed sinc, one column for each output."""
    width = 2 * _HALF_TAPS + 1
    columns = []
    for phase in range(3):
        position = _HALF_TAPS - 1 + phase * 2 / 3
        distance = np.arange(width) - position
        window = np.clip(np.cos(np.pi * distance / (2 * _HALF_TAPS + 1)), 0, None) ** 2
        taps = np.sinc(0.95 * distance) * window
        columns.append(taps / taps.sum())
    return np.stack(columns, axis=1).astype(np.float32)


class LoopBack:
    """One stream's echo.

    Args:
        piece_bytes: of each piece at 16 kHz; a whole number of 20 ms frames.
    """

    def __init__(self, piece_bytes: int = PIECE_BYTES) -> None:
        self._piece_bytes = piece_bytes
        self._heard = bytearray()
        self._before = np.zeros(2 * _HALF_TAPS, np.float32)
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
            resampled = self._resample(piece)
            if not is_silent(piece):
                said.append(resampled)
                self._silent_pieces = 0
                continue
            self._silent_pieces += 1
            ended |= self._silent_pieces == _PIECES_OF_PAUSE
        return b"".join(said), ended

    def _resample(self, piece: bytes) -> bytes:
        samples = np.concatenate((self._before, np.frombuffer(piece, "<i2")), dtype=np.float32)
        self._before = samples[-2 * _HALF_TAPS :]
        width = 2 * _HALF_TAPS + 1
        windows = np.lib.stride_tricks.sliding_window_view(samples, width)[::2]
        said: bytes = np.rint(windows @ _filters()).clip(-32768, 32767).astype("<i2").tobytes()
        return said


@cache
def story() -> bytes:
    """Ten seconds of a loud tone at 24 kHz."""
    at = np.arange(_STORY_S * 24_000) / 24_000
    tone: bytes = np.rint(12_000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()
    return tone
