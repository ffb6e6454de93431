"""What a caller's video costs a server: CPU of 720p at 30 frames a second.

Four servers in processes of their own, in turn, each with one call; the caller is another
process.  Its video is encoded beforehand, and goes on with a key frame where one is asked for.

* ``audio``: our peer connection, a voice call without video.
* ``audio+video``: the same call with video, of which a picture a second is made.
* ``video``: our peer connection with video alone.
* ``aiortc``: aiortc's own receiver with video alone, which decodes every frame; a picture
  a second is made of one of them in the same way.

``python -m benches.video --output benches/results/video.json``
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from fractions import Fraction
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet
from av.video.frame import VideoFrame

from rtc_server.media.picture import fit_jpeg
from tests.peer.rtc_client import RtcClient
from tests.peer.support import Peer

from .machine import describe_machine

WAYS = ("audio", "audio+video", "video", "aiortc")
WIDTH, HEIGHT, FRAMES_PER_S, BITRATE = 1280, 720, 30, 1_500_000
GOP = 30
_SETTLE_S = 2.0


def encode_film(seconds: int = 4) -> list[bytes]:
    """VP8 with a key frame a second: blocks of colour that move."""
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base = Fraction(1, FRAMES_PER_S)
    encoder.bit_rate = BITRATE
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    encoder.gop_size = GOP
    blocks = np.random.default_rng(1).integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3), np.uint8)
    scene = blocks.repeat(16, 0).repeat(16, 1)
    found: list[bytes] = []
    for number in range(seconds * FRAMES_PER_S):
        shifted = np.ascontiguousarray(np.roll(scene, number * 3, 1))
        frame = VideoFrame.from_ndarray(shifted, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        found += [bytes(one) for one in encoder.encode(frame)]
    return found


class FilmTrack(MediaStreamTrack):
    """Sends frames that are encoded already, in real time, over and over."""

    kind = "video"

    def __init__(self, frames: Sequence[bytes]) -> None:
        super().__init__()
        self._frames = frames
        self._at = 0
        self._sent = 0
        self._begun_at: float | None = None

    def go_to_key_frame(self) -> None:
        """The next frame is the next one that needs no other."""
        if self._at % GOP:
            self._at = (self._at // GOP + 1) * GOP

    async def recv(self) -> Packet[Any]:
        if self._begun_at is None:
            self._begun_at = time.monotonic()
        due = self._begun_at + self._sent / FRAMES_PER_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if self.readyState != "live":
            raise MediaStreamError
        packet = Packet(self._frames[self._at % len(self._frames)])
        packet.pts = self._sent * 90_000 // FRAMES_PER_S
        packet.time_base = Fraction(1, 90_000)
        self._at += 1
        self._sent += 1
        return packet


# -- the servers ---------------------------------------------------------------------------


async def _serve_ours(pipe: Connection, seconds: float) -> dict[str, float]:
    peer = Peer()
    pipe.send(await peer.place(pipe.recv()))
    await peer.connection.wait_connected()
    await asyncio.sleep(_SETTLE_S)
    seen, cpu_s = len(peer.sink.pictures), time.process_time()
    await asyncio.sleep(seconds)
    cpu_s = time.process_time() - cpu_s
    pictures = len(peer.sink.pictures) - seen
    await peer.close()
    return {"cpu_s": cpu_s, "pictures": pictures}


async def _serve_aiortc(pipe: Connection, seconds: float) -> dict[str, float]:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    begin: asyncio.Queue[Any] = asyncio.Queue()
    pc.on("track", begin.put_nowait)
    await pc.setRemoteDescription(RTCSessionDescription(pipe.recv(), "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    pipe.send(pc.localDescription.sdp)
    track = await begin.get()
    settled_at = time.monotonic() + _SETTLE_S
    while time.monotonic() < settled_at:
        await track.recv()
    cpu_s, pictures, frames = time.process_time(), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        frame = await track.recv()
        frames += 1
        if frames % FRAMES_PER_S == 0:
            await asyncio.to_thread(fit_jpeg, frame, longest_px=1024)
            pictures += 1
    cpu_s = time.process_time() - cpu_s
    await pc.close()
    return {"cpu_s": cpu_s, "pictures": pictures}


def serve(way: str, pipe: Connection, seconds: float) -> None:
    """One server with one call, in a process of its own."""
    run = _serve_aiortc if way == "aiortc" else _serve_ours
    pipe.send(asyncio.run(run(pipe, seconds)))


# -- the caller ----------------------------------------------------------------------------


async def _call(pipe: Connection, way: str, film: Sequence[bytes]) -> dict[str, float]:
    async def place(sdp: str) -> str:
        pipe.send(sdp)
        return str(await asyncio.to_thread(pipe.recv))

    track = FilmTrack(film) if way != "audio" else None
    audio = "sendrecv" if way.startswith("audio") else None
    async with RtcClient(place, audio=audio, video=track) as client:
        if track is not None:
            client.pc.getSenders()[-1]._send_keyframe = track.go_to_key_frame  # type: ignore[method-assign]
        result = await asyncio.to_thread(pipe.recv)
        return dict(result)


def measure(way: str, film: Sequence[bytes], seconds: float) -> dict[str, float]:
    """CPU of one way in ms a second of the call, and its pictures a second."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(way, theirs, seconds))
    process.start()
    try:
        result = asyncio.run(_call(ours, way, film))
        process.join(20)
    finally:
        process.kill()
        process.join()
    return {
        "cpu_ms_per_s": round(result["cpu_s"] * 1000 / seconds, 2),
        "pictures_per_s": round(result["pictures"] / seconds, 3),
    }


def summary(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """The median of each way, and what was aimed at: ratios taken within each run."""

    def cpu(run: dict[str, dict[str, float]], way: str) -> float:
        return run[way]["cpu_ms_per_s"]

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 2)

    return {
        "cpu_ms_per_s": {way: median([cpu(run, way) for run in runs]) for way in WAYS},
        "pictures_per_s": {
            way: median([run[way]["pictures_per_s"] for run in runs]) for way in WAYS
        },
        "video_to_audio_call": median(
            [(cpu(run, "audio+video") - cpu(run, "audio")) / cpu(run, "audio") for run in runs]
        ),
        "aiortc_to_ours": median([cpu(run, "aiortc") / cpu(run, "video") for run in runs]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    film = encode_film()
    runs = []
    for _ in range(options.runs):
        runs.append({way: measure(way, film, options.seconds) for way in WAYS})
        print(json.dumps(runs[-1]))
    result = {
        "taken_at": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "machine": describe_machine(),
        "versions": {one: version(one) for one in ("aiortc", "av")},
        "settings": {
            "runs": options.runs,
            "seconds": options.seconds,
            "video": f"VP8, {WIDTH}x{HEIGHT}, {FRAMES_PER_S} frames/s, {BITRATE} bit/s",
        },
        "figures": summary(runs),
        "runs": runs,
    }
    print(json.dumps(result["figures"], indent=1))
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
