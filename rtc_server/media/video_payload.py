"""What a video packet carries of a frame: VP8 (RFC 7741) and H.264 (RFC 6184); pure.

Only what putting frames together needs is read.  What contradicts itself is no fragment.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Fragment", "parse_h264", "parse_vp8"]

_START_CODE = b"\0\0\0\1"
_SPS, _STAP_A, _FU_A = 7, 24, 28
_MAX_UNITS = 64


class Fragment(NamedTuple):
    """A packet's part of an encoded frame."""

    data: bytes
    """As the decoder wants it, in the order of the packets."""

    begins: bool
    """A frame begins with it, as far as the packet alone shows."""

    is_key: bool
    """It begins a frame that needs no other."""


def parse_vp8(payload: bytes) -> Fragment | None:
    """A packet of VP8 without its payload descriptor; None: it is malformed."""
    size = len(payload)
    if size < 2:
        return None
    first = payload[0]
    at = 1
    if first & 0x80:  # X: the extension
        extension = payload[1]
        at = 2
        if extension & 0x80:  # I: the picture's number, of 7 or 15 bits
            if at >= size:
                return None
            at += 2 if payload[at] & 0x80 else 1
        if extension & 0x40:  # L
            at += 1
        if extension & 0x30:  # T or K
            at += 1
    data = payload[at:]
    if not data:
        return None
    # S, and a partition of number 0: the frame's own header (RFC 6386 section 9.1) follows.
    begins = bool(first & 0x10) and not first & 0x07
    if not begins:
        return Fragment(data, False, False)
    is_key = not data[0] & 0x01
    if is_key and (len(data) < 10 or data[3:6] != b"\x9d\x01\x2a"):
        return None
    return Fragment(data, True, is_key)


def parse_h264(payload: bytes) -> Fragment | None:
    """A packet of H.264 as a byte stream (its Annex B); None: it is malformed.

    A frame that needs no other brings its sequence parameter set along, as RTP senders have
    it that answer requests for key frames.  Where other frames begin, no packet says.
    """
    if len(payload) < 2:
        return None
    kind = payload[0] & 0x1F
    if 0 < kind < _STAP_A:
        return Fragment(_START_CODE + payload, kind == _SPS, kind == _SPS)
    if kind == _STAP_A:
        return _parse_aggregate(payload)
    if kind == _FU_A:
        header = payload[1]
        if len(payload) < 3:
            return None
        if not header & 0x80:
            return Fragment(payload[2:], False, False)
        indicator = payload[0] & 0xE0 | header & 0x1F
        return Fragment(_START_CODE + bytes([indicator]) + payload[2:], False, False)
    return None


def _parse_aggregate(payload: bytes) -> Fragment | None:
    units: list[bytes] = []
    at = 1
    while at + 2 <= len(payload):
        length = payload[at] << 8 | payload[at + 1]
        unit = payload[at + 2 : at + 2 + length]
        if not unit or len(unit) < length or len(units) == _MAX_UNITS:
            return None
        units.append(unit)
        at += 2 + length
    if not units:
        return None
    is_key = any(one[0] & 0x1F == _SPS for one in units)
    return Fragment(b"".join(_START_CODE + one for one in units), is_key, is_key)
