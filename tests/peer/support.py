"""A server side for tests of the peer connection, without a bridge and without an agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiortc import MediaStreamTrack

from rtc_server.media.playout_buffer import PlayoutBuffer, PlayoutFrame
from rtc_server.messages import ClientMessage, Ping, Pong, Ready, ServerMessage
from rtc_server.metrics import Metrics
from rtc_server.peer.connection import PeerConnection
from rtc_server.peer.offer import parse_offer
from rtc_server.peer.uplink import UplinkAudio
from rtc_server.settings import Settings

from .rtc_client import RtcClient

__all__ = ["Peer", "RecordingSink", "call", "sample"]


class RecordingSink:
    """Keeps what comes; answers pings."""

    def __init__(self) -> None:
        self.audio: list[UplinkAudio] = []
        self.stream_ends = 0
        self.frames: list[tuple[PlayoutFrame, float]] = []
        self.messages: list[ClientMessage] = []
        self.looks = True
        self.pictures: list[tuple[bytes, float]] = []
        self.reply: Callable[[ServerMessage], None] = lambda message: None

    def on_audio(self, audio: UplinkAudio) -> None:
        self.audio.append(audio)

    def on_stream_end(self) -> None:
        self.stream_ends += 1

    def on_frame_sent(self, frame: PlayoutFrame, at: float) -> None:
        self.frames.append((frame, at))

    def greeting(self) -> ServerMessage:
        return Ready(
            call_id="c",
            session_id="s",
            agent="test",
            modality="audio",
            resumed=False,
            pictures=True,
        )

    def on_message(self, message: ClientMessage) -> None:
        self.messages.append(message)
        if isinstance(message, Ping):
            self.reply(Pong(t=message.t))

    def takes_pictures(self) -> bool:
        return self.looks

    def on_picture(self, jpeg: bytes) -> None:
        self.pictures.append((jpeg, time.monotonic()))

    def pcm(self) -> bytes:
        """All of the uplink, 16 kHz mono s16."""
        return b"".join(one.pcm for one in self.audio)


class Peer:
    """The server's side of one call: places offers on a :class:`PeerConnection`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.metrics = Metrics()
        self.playout = PlayoutBuffer()
        self.sink = RecordingSink()
        self._connection: PeerConnection | None = None

    @property
    def connection(self) -> PeerConnection:
        assert self._connection is not None
        return self._connection

    async def place(self, sdp: str) -> str:
        """Answer an offer, as signalling does."""
        limit = self.settings.limits.candidates_per_call
        self._connection = PeerConnection(
            parse_offer(sdp, max_candidates=limit),
            settings=self.settings,
            metrics=self.metrics,
            playout=self.playout,
            sink=self.sink,
        )
        self.sink.reply = self._connection.data_channel.send
        return await self._connection.answer()

    def speak(self, pcm: bytes, rate: int = 24_000, turn: int = 1) -> None:
        """Play audio to the caller, as a complete turn."""
        self.playout.write(turn, pcm, rate, time.monotonic())
        self.playout.finish(turn)
        assert self.connection.downlink is not None
        self.connection.downlink.wake()

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


@asynccontextmanager
async def call(
    settings: Settings | None = None,
    *,
    audio: str | None = "sendrecv",
    video: MediaStreamTrack | None = None,
    data: bool = True,
    change_offer: Callable[[str], str] = lambda sdp: sdp,
) -> AsyncIterator[tuple[Peer, RtcClient]]:
    """A connected call over real UDP; both sides are closed at the end."""
    peer = Peer(settings)
    client = RtcClient(peer.place, audio=audio, video=video, data=data, change_offer=change_offer)
    try:
        async with client:
            await peer.connection.wait_connected()
            if data:
                await client.wait_open()
                await peer.connection.data_channel.opened.wait()
            yield peer, client
    finally:
        await peer.close()


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of a metric."""
    value = metrics._registry.get_sample_value(name, labels)
    assert value is not None, name
    return value


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - other code's state, without an event
            await asyncio.sleep(0.005)
