"""aiortc alone, in the style of its server example: what the track gives is sent back.

It does less than the others: no agent's rates (16 kHz in, 24 kHz out) are made, the 48 kHz
frames go back as they are.

Run: ``python -m benches.under_test.plain_aiortc PORT``.
"""

from __future__ import annotations

import sys
from typing import Any

from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription


class EchoTrack(MediaStreamTrack):
    """Frames as they come."""

    kind = "audio"

    def __init__(self, source: MediaStreamTrack) -> None:
        super().__init__()
        self._source = source

    async def recv(self) -> Any:
        return await self._source.recv()


_connections: set[RTCPeerConnection] = set()


async def _offer(request: web.Request) -> web.Response:
    body = await request.json()
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    _connections.add(pc)

    @pc.on("connectionstatechange")
    async def on_state() -> None:
        if pc.connectionState in ("failed", "closed"):
            await pc.close()
            _connections.discard(pc)

    @pc.on("track")
    def on_track(track: MediaStreamTrack) -> None:
        pc.addTrack(EchoTrack(track))

    await pc.setRemoteDescription(RTCSessionDescription(body["sdp"], body["type"]))
    await pc.setLocalDescription(await pc.createAnswer())
    return web.json_response({"sdp": pc.localDescription.sdp, "type": pc.localDescription.type})


async def _ready(request: web.Request) -> web.Response:
    return web.Response(text="ready")


def main(port: int) -> None:
    """Serve until killed."""
    server = web.Application()
    server.router.add_post("/offer", _offer)
    server.router.add_get("/", _ready)
    web.run_app(server, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
