"""What an Opus packet says about itself, read from its first bytes (RFC 6716, section 3).

Nothing is decoded: the table-of-contents byte tells mode, bandwidth, frame size and
channels, and the first bits of a SILK frame tell whether in-band FEC is inside.
"""

from __future__ import annotations

from ..errors import RtcServerError

__all__ = [
    "CLOCK_RATE",
    "OpusError",
    "duration_ticks",
    "frame_ticks",
    "frame_without_data",
    "has_fec",
    "is_mdct",
]

CLOCK_RATE = 48_000
"""RTP clock of Opus in ticks a second, whatever rate was encoded (RFC 7587, section 4.1)."""


class OpusError(RtcServerError):
    """A payload is not an Opus packet; the codec can go on with the next one."""


_LONGEST_TICKS = 5760  # a packet holds at most 120 ms (RFC 6716, section 3.2.5)

_SILK_TICKS: tuple[int, ...] = (480, 960, 1920, 2880)
_HYBRID_TICKS: tuple[int, ...] = (480, 960)
_CELT_TICKS: tuple[int, ...] = (120, 240, 480, 960)


def _sizes(config: int) -> tuple[int, ...]:
    """Frame sizes of the mode; the configurations of one bandwidth follow each other in it."""
    if config < 12:
        return _SILK_TICKS
    return _HYBRID_TICKS if config < 16 else _CELT_TICKS


def _frame_ticks(toc: int) -> int:
    sizes = _sizes(toc >> 3)
    return sizes[(toc >> 3) % len(sizes)]


# By the table-of-contents byte; 0 where the next byte says how many frames there are.  It is
# asked for every packet, several times.
_TICKS_BY_TOC = tuple(_frame_ticks(toc) * (1, 2, 2, 0)[toc & 3] for toc in range(256))


def duration_ticks(payload: bytes) -> int | None:
    """Length of the audio in a packet, in ticks of the 48 kHz RTP clock.

    :returns: 120 (2.5 ms) to 5760 (120 ms); None for what no Opus packet can be.
    """
    if not payload:
        return None
    ticks = _TICKS_BY_TOC[payload[0]]
    if ticks:
        return ticks
    count = payload[1] & 0x3F if len(payload) > 1 else 0
    ticks = _frame_ticks(payload[0]) * count
    return ticks if 0 < ticks <= _LONGEST_TICKS else None


def frame_ticks(payload: bytes) -> int:
    """Length of each of the packet's frames, in ticks of the RTP clock."""
    return _frame_ticks(payload[0])


def is_mdct(toc: int) -> bool:
    """Whether a packet that begins with ``toc`` is of the MDCT mode (CELT) alone, without FEC."""
    return toc >> 3 >= 16


def has_fec(payload: bytes) -> bool:
    """Whether a packet of one mono SILK or hybrid frame of at most 20 ms carries in-band FEC.

    Such a frame begins with two bits of even odds, voice activity and LBRR (RFC 6716,
    section 4.2.3), which the range coder leaves as the two highest bits of its first byte.
    """
    one_frame = payload[0] >> 3 < 16 and not payload[0] & 0x07 and _frame_ticks(payload[0]) <= 960
    return one_frame and len(payload) > 1 and bool(payload[1] & 0x40)


def frame_without_data(toc: int, most_ticks: int) -> bytes:
    """A packet of one empty frame, in mode, bandwidth and channels as the packet of ``toc``.

    A decoder conceals it for exactly that frame: length 0 means lost or not transmitted
    (RFC 6716, section 3.2.1).  The frame is the longest of the mode that is neither longer
    than ``most_ticks`` nor than 20 ms, the span in which libopus conceals at once; the
    mode's shortest where none is.
    """
    config = toc >> 3
    sizes = _sizes(config)
    first = config - config % len(sizes)
    fitting = [index for index, ticks in enumerate(sizes) if ticks <= min(most_ticks, 960)]
    return bytes((((first + max(fitting, default=0)) << 3) | (toc & 0x04),))
