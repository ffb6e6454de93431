"""RTP's header by hand: what is RTP at all, and what a packet carries."""

from __future__ import annotations

import random

import pytest
from aiortc.rtp import RtpPacket

from rtc_server.peer.rtp import RtpFault, RtpFormatError, extract_payload, find_extension, is_rtp

FIXED = bytes.fromhex("806f 0001 00000002 00000003")
OPUS = b"\xf8\xff\xfe"


def header(first: int) -> bytes:
    return bytes([first]) + FIXED[1:]


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (b"", False),
        (b"\x80", False),
        (FIXED[:11], False),
        (FIXED, True),
        (header(0xBF), True),
        (header(0x00), False),  # STUN
        (header(0x14), False),  # DTLS
        (header(0x40), False),  # TURN channels
        (header(0xC0), False),
        (bytes([0x80, 200]) + FIXED[2:], False),  # RTCP
        (bytes([0x80, 223]) + FIXED[2:], False),
        (bytes([0x80, 0x80 | 111]) + FIXED[2:], True),  # the marker, and a payload type
    ],
)
def test_rtp_is_told_from_all_else_by_two_bytes(datagram: bytes, expected: bool) -> None:
    """RFC 7983 section 7 and RFC 5761 section 4."""
    assert is_rtp(datagram) is expected


@pytest.mark.parametrize(
    "packet",
    [
        FIXED + OPUS,
        header(0x82) + bytes(8) + OPUS,
        header(0x90) + b"\xbe\xde\0\x01" + bytes(4) + OPUS,
        header(0x90) + b"\x10\0\0\0" + OPUS,
        header(0xA0) + OPUS + b"\x01",
        header(0xA0) + OPUS + b"\0\0\x03",
        header(0xB1) + bytes(4) + b"\xbe\xde\0\x02" + bytes(8) + OPUS + b"\0\x02",
    ],
    ids=["plain", "csrc", "extension", "empty extension", "padding", "more padding", "all"],
)
def test_the_payload_is_what_is_left_of_csrc_extension_and_padding(packet: bytes) -> None:
    assert extract_payload(packet) == OPUS


def test_a_packet_of_nothing_but_padding_carries_nothing() -> None:
    """It is sent to probe the path."""
    assert extract_payload(header(0xA0) + bytes(254) + b"\xff") == b""


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (header(0x81) + bytes(3), RtpFault.CSRC),
        (header(0x8F), RtpFault.CSRC),
        (header(0x90), RtpFault.EXTENSION),
        (header(0x90) + b"\xbe\xde\0", RtpFault.EXTENSION),
        (header(0x90) + b"\xbe\xde\0\x01\0\0\0", RtpFault.EXTENSION),
        (header(0x90) + b"\xbe\xde\xff\xff" + bytes(100), RtpFault.EXTENSION),
        (header(0xA0), RtpFault.PADDING),
        (header(0xA0) + OPUS + b"\0", RtpFault.PADDING),
        (header(0xA0) + OPUS + b"\x05", RtpFault.PADDING),
        (header(0xB0) + b"\xbe\xde\0\0", RtpFault.PADDING),
    ],
)
def test_a_packet_that_contradicts_its_header_is_refused(packet: bytes, fault: RtpFault) -> None:
    with pytest.raises(RtpFormatError) as caught:
        extract_payload(packet)
    assert caught.value.fault is fault


def test_random_packets_are_read_as_aiortc_reads_them() -> None:
    """Tens of thousands of them, of every flag and length; none raises anything else."""
    rng = random.Random(1)
    carried = refused = 0
    for _ in range(20_000):
        size = rng.choice((0, 1, 4, 5, 8, 20, 60))
        packet = bytearray(header(0x80 | rng.getrandbits(6)) + rng.randbytes(size))
        if rng.random() < 0.7 and size >= 4:
            # Lengths that may well be right.
            begin = 12 + 4 * (packet[0] & 0x0F)
            packet[begin + 2 : begin + 4] = rng.randrange(8).to_bytes(2, "big")
            packet[-1] = rng.randrange(12)
        expected: bytes | None
        try:
            expected = RtpPacket.parse(bytes(packet)).payload
        except ValueError:
            expected = None
        try:
            assert extract_payload(bytes(packet)) == expected
            carried += 1
        except RtpFormatError:
            assert expected is None
            refused += 1
    assert min(carried, refused) > 1000


@pytest.mark.parametrize(
    ("extension", "found"),
    [
        (b"\xbe\xde\0\x01\x83abc", None),  # it ends within the element
        (b"\xbe\xde\0\x02\x10x\x83abcd\0", b"abcd"),
        (b"\xbe\xde\0\x02\0\0\0\x83abcd", b"abcd"),  # behind padding
        (b"\xbe\xde\0\x01\x10x\0\0", None),
        (b"\x10\0\0\x01\x83abc", None),  # the form of two bytes
        (b"\xbe\xde\xff\xff\x83abcd", b"abcd"),
        (b"\xbe", None),
    ],
)
def test_an_element_of_the_header_extension_is_found(extension: bytes, found: bytes | None) -> None:
    """RFC 8285 section 4.2; a length that is wrong finds nothing beyond the packet."""
    assert find_extension(header(0x90) + extension, 8) == found
    assert find_extension(FIXED + OPUS, 8) is None
