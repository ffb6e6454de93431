"""The track of encoded packets, for where they cannot go past aiortc."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiortc.mediastreams import MediaStreamError

from rtc_server.peer.packet_track import PacketTrack


async def test_packets_come_as_they_were_sent_with_an_rtp_clock() -> None:
    """Reading begins them: aiortc does so when the connection is up."""
    begun: list[Callable[[bytes, int, bool], None]] = []
    track = PacketTrack(begun.append)
    receiving = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    assert begun == [track.send]
    track.send(b"one", 960, True)
    packet = await receiving
    assert bytes(packet) == b"one"
    assert packet.pts == 960
    assert packet.time_base is not None
    assert packet.time_base.denominator == 48_000
    track.send(b"two", 1920, False)
    await track.recv()
    assert len(begun) == 1


async def test_the_oldest_give_way_when_nobody_reads() -> None:
    track = PacketTrack(lambda send: None)
    for n in range(60):
        track.send(bytes([n]), 960 * n, False)
    assert bytes(await track.recv()) == bytes([10])


async def test_a_stopped_track_ends_whoever_waits_for_it() -> None:
    track = PacketTrack(lambda send: None)
    receiving = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await receiving
    with pytest.raises(MediaStreamError):
        await track.recv()
