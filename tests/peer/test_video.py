"""Video of the caller, over a real peer connection: what the agent is given of it."""

from __future__ import annotations

import asyncio
import contextlib
import random

import numpy as np
import pylibsrtp
import pytest
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

from rtc_server.media.picture import decode_picture
from rtc_server.settings import Limits, Settings

from .camera import BLUE, GREEN, RED, WHITE, Camera, colour_at, is_near, pattern
from .support import call, sample


def _fast(frames_per_s: float = 2.0, picture_px: int = 1024) -> Settings:
    return Settings(limits=Limits(frames_per_s=frames_per_s, picture_px=picture_px))


def _detailed() -> NDArray[np.uint8]:
    """A picture that takes several packets."""
    picture = pattern(640, 480)
    picture[::3, ::2] //= 2
    return picture


@pytest.mark.parametrize("audio", ["sendrecv", None])
async def test_the_picture_that_arrives_is_the_one_that_was_shown(audio: str | None) -> None:
    """Each quarter has its colour, in a call with audio and in a text call."""
    async with call(_fast(), audio=audio, video=Camera()) as (peer, client):
        await client.wait_for(lambda: len(peer.sink.pictures) >= 2)
        jpeg, _ = peer.sink.pictures[-1]
        for x, y, colour in (
            (0.25, 0.25, RED),
            (0.75, 0.25, GREEN),
            (0.25, 0.75, BLUE),
            (0.75, 0.75, WHITE),
        ):
            assert is_near(colour_at(jpeg, x, y), colour)
        video = (await peer.connection.stats())["video"]
        assert video["codec"] == "VP8"
        assert video["pictures"] >= 2
        assert (video["width"], video["height"]) == (320, 240)
        assert video["frames_broken"] == video["packets_refused"] == 0


async def test_a_picture_is_made_as_small_as_it_is_to_be() -> None:
    async with call(_fast(picture_px=100), video=Camera()) as (peer, client):
        await client.wait_for(lambda: bool(peer.sink.pictures))
        picture = decode_picture("image/jpeg", peer.sink.pictures[0][0])
        assert (picture.width, picture.height) == (100, 74)


async def test_there_are_no_more_pictures_than_are_wanted() -> None:
    """At most so many a second, of a camera of thirty; each when it was asked for."""
    async with call(_fast(2.0), video=Camera()) as (peer, client):
        await client.wait_for(lambda: len(peer.sink.pictures) >= 5)
        times = [at for _, at in peer.sink.pictures]
        # What a picture takes to be made varies; when it is taken does not.
        assert (times[-1] - times[0]) / (len(times) - 1) > 0.45
        video = (await peer.connection.stats())["video"]
        assert video["key_frames_requested"] >= 3
        # Only key frames were looked at, and most packets not even decrypted.
        assert video["frames"] < client.camera.frames  # type: ignore[union-attr]
        assert video["packets_skipped"] > 0


async def test_how_often_there_is_one_is_what_the_operator_says() -> None:
    """One in ten seconds is one in the first two."""
    async with call(_fast(0.1), video=Camera()) as (peer, client):
        await client.wait_for(lambda: bool(peer.sink.pictures))
        seen = client.camera.frames  # type: ignore[union-attr]
        await client.wait_for(lambda: client.camera.frames > seen + 45)  # type: ignore[union-attr]
        assert len(peer.sink.pictures) == 1


async def test_the_newest_picture_is_the_one_that_is_given() -> None:
    """What the camera shows now, not what it showed when the last picture was taken."""
    camera = Camera()
    async with call(_fast(), video=camera) as (peer, client):
        await client.wait_for(lambda: bool(peer.sink.pictures))
        camera.picture = pattern(colours=(WHITE, WHITE, WHITE, WHITE))
        seen = len(peer.sink.pictures)
        await client.wait_for(lambda: len(peer.sink.pictures) >= seen + 2)
        assert is_near(colour_at(peer.sink.pictures[-1][0], 0.25, 0.25), WHITE)


async def test_a_lost_key_frame_is_asked_for_again() -> None:
    """Nothing but its first packet arrives, until a PLI brings another one."""
    camera = Camera(_detailed())
    camera.paused = True
    async with call(_fast(), audio=None, video=camera) as (peer, client):
        video = peer.connection.video
        assert video is not None
        packets = 0

        def drop(_: int) -> bool:
            nonlocal packets
            packets += 1
            return packets > 1 and video.statistics()["key_frames_requested"] == 0

        client.drop = drop
        camera.paused = False
        await client.wait_for(lambda: bool(peer.sink.pictures))
        assert video.statistics()["key_frames_requested"] >= 1
        assert is_near(colour_at(peer.sink.pictures[0][0], 0.75, 0.25), GREEN, 60)


async def test_a_lost_packet_is_asked_for_again() -> None:
    """A key frame lacks a packet: it comes again, and no second key frame is needed."""
    camera = Camera(_detailed())
    camera.paused = True
    async with call(_fast(), audio=None, video=camera) as (peer, client):
        packets = 0

        def drop(_: int) -> bool:
            nonlocal packets
            packets += 1
            return packets == 2

        client.drop = drop
        camera.paused = False
        await client.wait_for(lambda: bool(peer.sink.pictures))
        video = (await peer.connection.stats())["video"]
        assert video["packets_asked_again"] == 1
        assert video["packets_lost"] == 0


async def test_pictures_come_although_packets_are_lost() -> None:
    """One packet in ten is lost, those that are sent again as well."""
    network = random.Random(1)
    async with call(_fast(), audio=None, video=Camera(_detailed())) as (peer, client):
        client.drop = lambda _: network.random() < 0.1
        await client.wait_for(lambda: len(peer.sink.pictures) >= 3, timeout_s=30)
        assert (await peer.connection.stats())["video"]["frames_broken"] == 0


async def test_without_pictures_nothing_is_given_again() -> None:
    """The camera pauses: the last picture is not repeated; when it goes on, there is a new one."""
    camera = Camera()
    async with call(_fast(), video=camera) as (peer, client):
        await client.wait_for(lambda: bool(peer.sink.pictures))
        camera.paused = True
        shown = camera.frames
        await client.wait_for(lambda: camera.frames > shown + 30)  # one second
        seen = len(peer.sink.pictures)
        await client.wait_for(lambda: camera.frames > shown + 60)
        assert len(peer.sink.pictures) == seen
        camera.paused = False
        await client.wait_for(lambda: len(peer.sink.pictures) > seen)


async def test_while_nobody_looks_nothing_is_decoded() -> None:
    """No picture is made, and no packet decrypted; they come as soon as somebody looks."""
    async with call(_fast(), video=Camera()) as (peer, client):
        peer.sink.looks = False
        seen = len(peer.sink.pictures)
        before = (await peer.connection.stats())["video"]
        await client.wait_for(lambda: client.camera.frames > 40)  # type: ignore[union-attr]
        after = (await peer.connection.stats())["video"]
        assert after["pictures"] == before["pictures"]
        assert after["packets_skipped"] > before["packets_skipped"]
        assert len(peer.sink.pictures) == seen
        peer.sink.looks = True
        await client.wait_for(lambda: len(peer.sink.pictures) > seen)


async def test_video_leaves_the_audio_as_it_is() -> None:
    """Both arrive whole, and both are counted."""
    async with call(_fast(), video=Camera()) as (peer, client):
        client.microphone.tone(440, seconds=1.0)
        await client.wait_for(lambda: client.microphone.is_silent)
        await client.wait_for(lambda: bool(peer.sink.pictures))
        assert len(peer.sink.audio) >= 45
        stats = await peer.connection.stats()
        assert stats["uplink_refused"] == {}
        assert stats["uplink"]["packets_lost"] == 0
        assert sample(peer.metrics, "rtc_packets_lost_total", direction="uplink") == 0
        counted = sample(peer.metrics, "rtc_packets_total", direction="uplink")
        assert counted >= stats["video"]["packets"] + stats["uplink"]["packets"]


async def test_a_call_without_video_has_nothing_of_it() -> None:
    async with call() as (peer, _):
        assert peer.connection.video is None
        assert "video" not in await peer.connection.stats()


async def test_hostile_video_neither_ends_the_call_nor_grows() -> None:
    """Authentic packets of all kinds of nonsense, of many sources; then a camera is seen again."""
    chance = random.Random(2)
    starts = (b"", b"\x10", b"\x90\x80", b"\x10\x10\x02\x00\x9d\x01\x2a\xff\x3f\xff\x3f")
    camera = Camera()
    async with call(_fast(), video=camera) as (peer, client):
        await client.wait_for(lambda: bool(peer.sink.pictures))
        camera.paused = True
        transport = client.pc.getSenders()[1].transport
        video = peer.connection._offer.video
        assert video is not None
        for number in range(3000):
            packet = RtpPacket(
                payload_type=video.payload_type,
                marker=chance.randrange(2),
                sequence_number=(number + chance.randrange(8)) & 0xFFFF,
                timestamp=chance.randrange(8),
                ssrc=chance.randrange(20),
                payload=chance.choice(starts) + chance.randbytes(chance.randrange(60)),
            )
            with contextlib.suppress(pylibsrtp.Error):  # SRTP sends no number twice
                await transport._send_rtp(packet.serialize())
            if number % 50 == 0:
                await asyncio.sleep(0)
        await client.wait_for(lambda: client.microphone.sent > 100)
        assert len(peer.sink.audio) > 50
        seen = len(peer.sink.pictures)
        camera.paused = False
        await client.wait_for(lambda: len(peer.sink.pictures) > seen + 1, timeout_s=20)
        assert is_near(colour_at(peer.sink.pictures[-1][0], 0.25, 0.25), RED)
        assert (await peer.connection.stats())["video"]["packets_refused"] > 0
