"""The fixed header of RTP, read and written by hand; pure (RFC 3550 section 5, RFC 7983)."""

from __future__ import annotations

import struct
from enum import Enum

__all__ = ["HEADER", "RtpFault", "RtpFormatError", "extract_payload", "find_extension", "is_rtp"]

HEADER = struct.Struct("!BBHII")
"""First byte (version, padding, extension, CSRC count), marker and payload type, sequence
number, timestamp, SSRC."""

_ONE_BYTE = b"\xbe\xde"

PADDING = 0x20
EXTENSION = 0x10
CSRC_COUNT = 0x0F
MARKER = 0x80
VERSION = 0x80


class RtpFault(Enum):
    """Why a packet of RTP's shape was dropped; the values are shown to the operator."""

    PAYLOAD_TYPE = "payload_type"
    """Not the one that was negotiated."""

    UNPROTECT = "unprotect"
    """Not authentic, or seen before: SRTP refused it."""

    SOURCE = "source"
    """Of another source than the one that is listened to."""

    CSRC = "csrc"
    """It ends within its list of contributing sources."""

    EXTENSION = "extension"
    """It ends within its header extension."""

    PADDING = "padding"
    """Its padding is none, or longer than all that follows the header."""


class RtpFormatError(ValueError):
    """A packet contradicts its own header."""

    def __init__(self, fault: RtpFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def is_rtp(datagram: bytes) -> bool:
    """Whether a datagram is RTP rather than STUN, DTLS or RTCP, by its first two bytes.

    RFC 7983 section 7: 128 to 191 is RTP or RTCP.  RFC 5761 section 4: the second byte is 192
    to 223 in RTCP, and payload types that would look like it are not used.  What is too short
    for a header is none.
    """
    return len(datagram) >= 12 and 128 <= datagram[0] < 192 and not 192 <= datagram[1] < 224


def find_extension(packet: bytes, identifier: int) -> bytes | None:
    """An element of a decrypted packet's header extension, if it has it in the one-byte form
    (RFC 8285 section 4.2); its lengths need not be right.
    """
    if not packet[0] & EXTENSION:
        return None
    at = 12 + 4 * (packet[0] & CSRC_COUNT)
    if packet[at : at + 2] != _ONE_BYTE or len(packet) < at + 4:
        return None
    end = at + 4 + 4 * (packet[at + 2] << 8 | packet[at + 3])
    elements = packet[at + 4 : end]
    at = 0
    while at < len(elements):
        head = elements[at]
        length = (head & 0x0F) + 1
        if head >> 4 == identifier:
            value = elements[at + 1 : at + 1 + length]
            return value if len(value) == length else None
        at += 1 if not head else 1 + length  # zeros are padding
    return None


def extract_payload(packet: bytes) -> bytes:
    """What a decrypted packet carries, without CSRCs, header extension and padding.

    The packet is at least a fixed header long, and of version 2: see :func:`is_rtp`.

    Raises:
        RtpFormatError: a length in it points beyond its end.
    """
    first = packet[0]
    if first == VERSION:
        return packet[12:]
    size = len(packet)
    begin = 12 + 4 * (first & CSRC_COUNT)
    if begin > size:
        raise RtpFormatError(RtpFault.CSRC)
    if first & EXTENSION:
        if begin + 4 > size:
            raise RtpFormatError(RtpFault.EXTENSION)
        begin += 4 + 4 * (packet[begin + 2] << 8 | packet[begin + 3])
        if begin > size:
            raise RtpFormatError(RtpFault.EXTENSION)
    if first & PADDING:
        padding = packet[-1]
        # The count includes itself (RFC 3550 section 5.1); the last byte is the header's own
        # when nothing follows it.
        if not 0 < padding <= size - begin:
            raise RtpFormatError(RtpFault.PADDING)
        return packet[begin : size - padding]
    return packet[begin:]
