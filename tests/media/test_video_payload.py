"""Video packets are read by RFC 7741 and RFC 6184, and put together in any order."""

from __future__ import annotations

import itertools
import random

import pytest
from aiortc.codecs.vpx import Vp8Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc_server.media.frame_assembler import MAX_FRAME_BYTES, EncodedFrame, FrameAssembler
from rtc_server.media.sequence_gaps import MAX_MISSING, SequenceGaps
from rtc_server.media.video_payload import parse_h264, parse_vp8

thorough = settings(deadline=None, derandomize=True, database=None)

KEY = b"\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00"  # VP8: a key frame of 320 by 240 begins
DELTA = b"\x11\x02\x00 a frame that needs others"
SPS, PPS, IDR, SLICE = b"\x67sps", b"\x68pps", b"\x65picture", b"\x41picture"


@pytest.mark.parametrize(
    ("payload", "data", "begins", "is_key"),
    [
        (b"\x10" + KEY, KEY, True, True),
        (b"\x10" + DELTA, DELTA, True, False),
        (b"\x90\x80\x05" + KEY, KEY, True, True),  # a picture number of 7 bits
        (b"\x90\x80\x85\x01" + KEY, KEY, True, True),  # of 15 bits
        (b"\x90\xe0\x85\x01\x07\x20" + KEY, KEY, True, True),  # all of the extension
        (b"\x00rest", b"rest", False, False),
        (b"\x11" + KEY, KEY, False, False),  # another partition begins
    ],
)
def test_a_vp8_packet_is_read(payload: bytes, data: bytes, begins: bool, is_key: bool) -> None:
    assert parse_vp8(payload) == (data, begins, is_key)


@pytest.mark.parametrize(
    "payload", [b"", b"\x10", b"\x90\x80", b"\x90\x80\x85\x01", b"\x10" + KEY[:5]]
)
def test_a_malformed_vp8_packet_is_none(payload: bytes) -> None:
    """Too short for its own descriptor, or a key frame without its start code."""
    assert parse_vp8(payload) is None


START = b"\0\0\0\1"


@pytest.mark.parametrize(
    ("payload", "data", "is_key"),
    [
        (SPS, START + SPS, True),
        (SLICE, START + SLICE, False),
        (b"\x78\0\x04" + SPS + b"\0\x04" + PPS, START + SPS + START + PPS, True),
        (b"\x7c\x85picture", START + IDR, False),  # the first fragment of an IDR
        (b"\x7c\x05more", b"more", False),
    ],
)
def test_an_h264_packet_is_read(payload: bytes, data: bytes, is_key: bool) -> None:
    """One unit, several in one packet, one in several packets."""
    assert parse_h264(payload) == (data, is_key, is_key)


@pytest.mark.parametrize(
    "payload", [b"", b"\x67", b"\x78\0\x09" + SPS, b"\x78", b"\x7c\x85", b"\x7d\x85abc", b"\x60x"]
)
def test_a_malformed_h264_packet_is_none(payload: bytes) -> None:
    """A length beyond the end, nothing in it, or a kind that is not used."""
    assert parse_h264(payload) is None


@thorough
@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    for parse in (parse_vp8, parse_h264):
        fragment = parse(payload)
        assert fragment is None or fragment.data


# -- putting together ----------------------------------------------------------------------

Packet = tuple[int, int, bool, bytes]


def stream(sizes: list[int], *, first: int = 65_500) -> list[Packet]:
    """Packets of VP8 frames of so many packets; the first is a key frame."""
    packets = []
    number = first
    for index, size in enumerate(sizes):
        for at in range(size):
            head = b"\x10" + (DELTA if index else KEY) if at == 0 else b"\x00"
            packets.append((number & 0xFFFF, index * 3000, at == size - 1, head + bytes([at + 1])))
            number += 1
    return packets


def assemble(packets: list[Packet]) -> list[EncodedFrame]:
    assembler = FrameAssembler(parse_vp8)
    found = (assembler.push(*one, now=0.0) for one in packets)
    return [one for one in found if one is not None]


@thorough
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
    st.integers(0, 0xFFFF),
)
def test_frames_are_whole_in_whatever_order_their_packets_come(
    sizes: list[int], order: random.Random, first: int
) -> None:
    """Over the wrap of sequence numbers too, each exactly once."""
    packets = stream(sizes, first=first)
    expected = {one.data: one for one in assemble(packets)}
    assert len(assemble(packets)) == len(sizes)
    # The first stays where it is: from there numbers are counted.
    rest = packets[1:]
    order.shuffle(rest)
    found = assemble([packets[0], *rest, *rest[:3]])
    assert sorted(one.data for one in found) == sorted(one.data for one in assemble(packets))
    assert all(one.is_key == expected[one.data].is_key for one in found)


def test_a_frame_with_a_gap_never_comes() -> None:
    """Nor does it hold up those behind it."""
    packets = stream([3, 2, 2])
    for missing in range(3):
        found = assemble(packets[:missing] + packets[missing + 1 :])
        assert [one.is_key for one in found] == [False, False]


def test_padding_is_no_part_of_a_frame() -> None:
    packets = stream([2])
    number, timestamp, *_ = packets[-1]
    assert len(assemble([*packets, (number + 1 & 0xFFFF, timestamp, False, b"")])) == 1


def test_an_h264_frame_begins_behind_the_end_of_the_one_before() -> None:
    """Its own packets do not say where it begins."""
    assembler = FrameAssembler(parse_h264)
    key = assembler.push(1, 0, True, b"\x78\0\x04" + SPS + b"\0\x04" + PPS, 0.0)
    assert key is not None
    assert key.is_key
    assert assembler.push(2, 3000, False, b"\x7c\x81part", 0.0) is None
    frame = assembler.push(3, 3000, True, b"\x7c\x41part", 0.0)
    assert frame is not None
    assert (frame.first, frame.last, frame.is_key) == (key.last + 1, key.last + 2, False)
    assert assembler.push(5, 6000, True, SLICE, 0.0) is None  # the one before it is missing


@thorough
@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF),
            st.integers(0, 3),
            st.booleans(),
            st.one_of(st.binary(max_size=20), st.just(b"\x10" + KEY), st.just(b"\x00x")),
        ),
        max_size=200,
    )
)
def test_whatever_arrives_little_is_kept(packets: list[Packet]) -> None:
    """No sequence of packets raises, and the memory is bounded."""
    for parse in (parse_vp8, parse_h264):
        assembler = FrameAssembler(parse)
        for index, one in enumerate(packets):
            assembler.push(*one, now=index / 100)
            assert len(assembler.gaps.due(index / 100)) <= MAX_MISSING
        assert len(assembler._partials) <= 8
        assert len(assembler._markers) <= 64


def test_a_frame_that_is_too_long_is_given_up() -> None:
    assembler = FrameAssembler(parse_vp8)
    for number in range(1, 2 + MAX_FRAME_BYTES // 1000):
        assert assembler.push(number, 0, False, b"\x00" + bytes(1000), 0.0) is None
    assert assembler.given_up == 1


def test_what_another_encoder_packs_is_read() -> None:
    """aiortc's own packets of one frame, which is as long as several."""
    descriptors = Vp8Encoder._packetize(KEY + bytes(5000), picture_id=0x1234)
    packets = [
        (number, 0, number == len(descriptors) - 1, payload)
        for number, payload in enumerate(descriptors)
    ]
    [frame] = assemble(packets)
    assert frame.data == KEY + bytes(5000)


# -- gaps ----------------------------------------------------------------------------------


def test_a_missing_packet_is_asked_for_a_few_times() -> None:
    """Not before it may have been overtaken, and not for ever."""
    gaps = SequenceGaps()
    gaps.push(10, 0.0)
    gaps.push(13, 0.0)
    assert gaps.due(0.005) == []
    assert gaps.due(0.02) == [11, 12]
    assert gaps.due(0.03) == []
    gaps.push(12, 0.04)
    asked = [gaps.due(0.1 * n) for n in range(1, 20)]
    assert list(itertools.chain(*asked)) == [11] * 4


def test_of_a_large_gap_nothing_is_asked_for() -> None:
    gaps = SequenceGaps()
    gaps.push(0, 0.0)
    gaps.push(MAX_MISSING + 2, 0.0)
    assert gaps.due(1.0) == []
