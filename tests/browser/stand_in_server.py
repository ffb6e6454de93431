"""A server of the public contract that says what a test tells it to say.

It serves the page with the page's own headers and answers real WebRTC calls with aiortc, and
there is no agent in it: a test takes each call, reads what the page sends and sends messages
itself.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame

from rtc_server.page import Page, find_web_dir
from tests.held_port import hold_port

__all__ = ["Refusal", "StandInCall", "StandInServer"]


@dataclass(frozen=True)
class Refusal:
    """The answer to an offer that places no call."""

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)


class StandInCall:
    """One call: what the page offered, and both directions of its data channel.

    Pings are answered and counted; they are not among what was ``received``.
    """

    def __init__(
        self,
        offer: dict[str, Any],
        headers: Mapping[str, str],
        make_track: Callable[[], MediaStreamTrack],
        on_open: Callable[[StandInCall], None],
        *,
        agent: str = "stand_in",
        takes_video: bool = True,
        takes_pictures: bool = True,
    ) -> None:
        self.offer = offer
        self._agent = agent
        self._takes_video = takes_video
        self._takes_pictures = takes_pictures
        self._video: MediaStreamTrack | None = None
        self._make_track = make_track
        self.headers = dict(headers)
        self.id = uuid.uuid4().hex
        self.session_id: str = offer.get("session_id") or uuid.uuid4().hex
        self.resumed = "session_id" in offer
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.candidates: list[str] = []
        self._on_open = on_open
        self.hung_up = asyncio.Event()
        self.pings = 0
        self._channel: RTCDataChannel | None = None
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peer.on("datachannel", self._on_channel)
        self._peer.on("track", self._on_track)

    @property
    def has_audio(self) -> bool:
        return "m=audio" in self.offer["sdp"]

    @property
    def offers_video(self) -> bool:
        return "m=video" in self.offer["sdp"]

    async def video_frame(self) -> VideoFrame:
        """The next frame of what the page shows."""
        assert self._video is not None
        frame = await self._video.recv()
        assert isinstance(frame, VideoFrame)
        return frame

    async def answer(self) -> str:
        """Negotiate; the candidates of the page follow by PATCH."""
        await self._peer.setRemoteDescription(RTCSessionDescription(self.offer["sdp"], "offer"))
        for transceiver in self._peer.getTransceivers():
            if transceiver.kind == "video" and not self._takes_video:
                transceiver.direction = "inactive"
        if self.has_audio:
            self._peer.addTrack(self._make_track())
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return self._peer.localDescription.sdp

    async def add_candidate(self, line: str, sdp_mid: str | None) -> None:
        self.candidates.append(line)
        if not line or ".local" in line:
            return
        candidate = candidate_from_sdp(line.partition(":")[2])
        candidate.sdpMid = sdp_mid
        await self._peer.addIceCandidate(candidate)

    def send(self, type: str, **fields: Any) -> None:
        """Send one message of the contract to the page."""
        assert self._channel is not None
        self._channel.send(json.dumps({"type": type, **fields}))

    async def close(self) -> None:
        await self._peer.close()

    async def vanish(self) -> None:
        """Close, so that the page is not told: as if the packets that say so had been lost."""
        transport = self._peer.sctp.transport.transport if self._peer.sctp else None
        if transport is not None:
            await transport.stop()
        await self._peer.close()

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._on_message)
        modality = "audio" if self.has_audio else "text"
        self.send(
            "ready",
            call_id=self.id,
            session_id=self.session_id,
            agent=self._agent,
            modality=modality,
            resumed=self.resumed,
            pictures=self._takes_pictures,
        )
        self.send("state", state="listening")
        self._on_open(self)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._video = track

    def _on_message(self, data: str) -> None:
        message = json.loads(data)
        if message["type"] == "ping":
            self.pings += 1
            self.send("pong", t=message["t"])
        else:
            self.received.put_nowait(message)


class StandInServer:
    """Serves on a free port of ``host`` from ``async with`` until its end.

    ``refusals`` are given to the offers that come next, one each; then calls are placed.
    ``asked_at`` are the times of all offers, in seconds of the loop.
    Answers to offers wait for ``answers``, which is set at first.
    ``page_fingerprint`` stands in for that of the files, as if a new version had been installed.
    ``agent`` is the name of the one that answers.
    ``takes_video``: whether calls look at video, or answer that section inactive.
    ``takes_pictures``: whether the agent looks at any pictures, as `ready` says.
    ``make_track`` makes what the agent of each audio call says: silence.
    """

    def __init__(self, *, host: str = "127.0.0.1", web_dir: Path | None = None) -> None:
        self._held = hold_port(host)
        self.port: int = self._held.getsockname()[1]
        self.host = host
        self._web_dir = web_dir or find_web_dir()
        self.calls: list[StandInCall] = []
        self.refusals: list[Refusal] = []
        self.refused = 0
        self.asked_at: list[float] = []
        self.forget_sessions = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.page_fingerprint: str | None = None
        self.agent = "stand_in"
        self.takes_video = True
        self.takes_pictures = True
        self.make_track: Callable[[], MediaStreamTrack] = AudioStreamTrack
        self._opened: asyncio.Queue[StandInCall] = asyncio.Queue()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/"

    async def __aenter__(self) -> StandInServer:
        await self.start()
        return self

    async def start(self) -> None:
        """Serve what the folder of the page holds now, on the same port each time."""
        self._page = Page(self._web_dir)
        app = web.Application()
        app.router.add_get("/api/config", self._config)
        app.router.add_post("/api/calls", self._place)
        app.router.add_patch("/api/calls/{id}", self._trickle)
        app.router.add_delete("/api/calls/{id}", self._hang_up)
        app.router.add_get("/{path:.*}", self._page.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._held:
            await self.stop()

    async def stop(self) -> None:
        """Close all calls and stop listening."""
        await self._runner.cleanup()
        await asyncio.gather(*(call.close() for call in self.calls))

    async def next_call(self) -> StandInCall:
        """The next call whose data channel is open; one that the page gave up before is none."""
        return await self._opened.get()

    async def _config(self, request: web.Request) -> web.Response:
        modalities = ["audio", "text"]
        return web.json_response(
            {
                "ice_servers": [],
                "agent": self.agent,
                "modalities": modalities,
                "auth": False,
                "page": self.page_fingerprint or self._page.fingerprint(),
            }
        )

    async def _place(self, request: web.Request) -> web.Response:
        self.asked_at.append(asyncio.get_running_loop().time())
        if self.refusals:
            refusal = self.refusals.pop(0)
            self.refused += 1
            return web.json_response(
                {"status": refusal.status, "title": "Refused", "detail": refusal.detail},
                status=refusal.status,
                headers=refusal.headers,
                content_type="application/problem+json",
            )
        call = StandInCall(
            await request.json(),
            request.headers,
            self.make_track,
            self._opened.put_nowait,
            agent=self.agent,
            takes_video=self.takes_video,
            takes_pictures=self.takes_pictures,
        )
        if self.forget_sessions:
            call.resumed = False
        self.calls.append(call)
        sdp = await call.answer()
        await self.answers.wait()
        body = {
            "sdp": sdp,
            "type": "answer",
            "call_id": call.id,
            "session_id": call.session_id,
            "user_id": "user",
            "resume_token": f"resume-{call.session_id}",
        }
        return web.json_response(body, status=201, headers={"Location": f"/api/calls/{call.id}"})

    async def _trickle(self, request: web.Request) -> web.Response:
        call = self._find(request)
        for candidate in (await request.json())["candidates"]:
            await call.add_candidate(candidate["candidate"], candidate["sdpMid"])
        return web.Response(status=204)

    async def _hang_up(self, request: web.Request) -> web.Response:
        call = self._find(request)
        call.hung_up.set()
        await call.close()
        return web.Response()

    def _find(self, request: web.Request) -> StandInCall:
        for call in self.calls:
            if call.id == request.match_info["id"] and not call.hung_up.is_set():
                return call
        raise web.HTTPNotFound
