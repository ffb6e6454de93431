"""What a caller hears while the agent's model is away: two soft notes, or a WAV file."""

from __future__ import annotations

import functools
import math
import wave
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["AwayNotice", "load_notice"]

LONGEST_S = 10.0
_RATES = (8_000, 48_000)

_RATE = 24_000
_NOTES = ((392.0, 0.28), (329.6, 0.42))
"""Hz and seconds: G and the E below it, a falling third."""
_PEAK = 1_600
"""-26 dBFS, well below a voice."""


@dataclass(frozen=True, slots=True)
class AwayNotice:
    """s16 little-endian mono PCM at ``rate`` Hz."""

    pcm: bytes = field(repr=False)
    rate: int

    @property
    def seconds(self) -> float:
        """How long it sounds."""
        return len(self.pcm) / 2 / self.rate


@functools.lru_cache(maxsize=8)
def load_notice(name: str) -> AwayNotice | None:
    """The notice that ``--away-notice`` names, made or read once a process.

    Args:
        name: ``tone``, ``none``, or the path of a WAV file: 16 bit PCM, mono or stereo,
            8 to 48 kHz, 10 s at most.

    Raises:
        ConfigurationError: the file cannot be read, or is none of these.
    """
    if name == "none":
        return None
    if name == "tone":
        return AwayNotice(b"".join(_note(hz, seconds) for hz, seconds in _NOTES), _RATE)
    try:
        with wave.open(str(Path(name).expanduser()), "rb") as file:
            return _read(name, file)
    except (OSError, EOFError, wave.Error) as error:
        raise ConfigurationError(
            f"--away-notice {name} is neither tone nor none nor a WAV file that can be read."
        ) from error


def _note(hz: float, seconds: float) -> bytes:
    """A sine that swells and fades without a click."""
    count = round(seconds * _RATE)
    step = 2 * math.pi / _RATE
    return array(
        "h",
        (
            round(_PEAK * math.sin(math.pi * n / count) ** 2 * math.sin(hz * step * n))
            for n in range(count)
        ),
    ).tobytes()


def _read(name: str, file: wave.Wave_read) -> AwayNotice:
    rate, channels = file.getframerate(), file.getnchannels()
    if file.getsampwidth() != 2 or channels not in (1, 2) or not _RATES[0] <= rate <= _RATES[1]:
        raise ConfigurationError(
            f"--away-notice {name} must be 16 bit PCM, mono or stereo, 8 to 48 kHz."
        )
    if not 0 < file.getnframes() <= LONGEST_S * rate:
        raise ConfigurationError(f"--away-notice {name} must not be longer than {LONGEST_S:.0f} s.")
    pcm = file.readframes(file.getnframes())
    if channels == 2:
        both = array("h", pcm)
        left, right = both[0::2], both[1::2]
        pcm = array("h", ((a + b) // 2 for a, b in zip(left, right, strict=True))).tobytes()
    return AwayNotice(pcm, rate)
