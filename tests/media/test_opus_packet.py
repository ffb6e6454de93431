"""Reading the first bytes of Opus packets."""

from __future__ import annotations

import pytest

from rtc_server.media.opus_packet import (
    duration_ticks,
    frame_without_data,
    has_fec,
)


@pytest.mark.parametrize(
    ("config", "ms"),
    [
        (0, 10),
        (1, 20),
        (6, 40),
        (11, 60),
        (12, 10),
        (15, 20),
        (16, 2.5),
        (21, 5),
        (30, 10),
        (31, 20),
    ],
)
def test_duration_follows_the_configuration(config: int, ms: float) -> None:
    """RFC 6716, table 2."""
    assert duration_ticks(bytes((config << 3, 0))) == ms * 48


@pytest.mark.parametrize(
    ("payload", "ms"),
    [
        (bytes((9 << 3 | 1, 0, 0)), 40),
        (bytes((9 << 3 | 2, 1, 0, 0)), 40),
        (bytes((9 << 3 | 3, 0x83, 0, 0)), 60),
        (bytes((9 << 3 | 3, 6, 0)), 120),
    ],
)
def test_duration_counts_the_frames(payload: bytes, ms: int) -> None:
    assert duration_ticks(payload) == ms * 48


@pytest.mark.parametrize(
    "payload",
    [b"", bytes((9 << 3 | 3,)), bytes((9 << 3 | 3, 0)), bytes((9 << 3 | 3, 7)), b"\xff" * 30],
)
def test_duration_is_none_for_what_no_packet_can_be(payload: bytes) -> None:
    """Without a frame count, without frames, longer than 120 ms."""
    assert duration_ticks(payload) is None


@pytest.mark.parametrize("config", range(32))
@pytest.mark.parametrize("stereo", [0, 4])
def test_a_frame_without_data_keeps_mode_bandwidth_and_channels(config: int, stereo: int) -> None:
    toc = config << 3 | stereo | 1
    twenty = frame_without_data(toc, 5760)
    assert len(twenty) == 1
    assert duration_ticks(twenty) == 960
    assert twenty[0] & 0x04 == stereo
    group = 4 if config < 12 or config >= 16 else 2
    assert (twenty[0] >> 3) // group == config // group
    ten = frame_without_data(toc, 500)
    assert duration_ticks(ten) == 480


def test_a_frame_without_data_is_the_shortest_where_none_fits() -> None:
    assert duration_ticks(frame_without_data(9 << 3, 48)) == 480


def test_fec_is_seen_in_one_frame_of_silk_only() -> None:
    assert has_fec(bytes((9 << 3, 0x40)))
    assert not has_fec(bytes((9 << 3, 0xBF)))
    assert not has_fec(bytes((31 << 3, 0x40)))
    assert not has_fec(bytes((9 << 3,)))
