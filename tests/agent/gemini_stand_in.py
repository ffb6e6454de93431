"""A scripted stand-in for the server of the Gemini Live API, on loopback, over TLS.

One that converses by itself is in ``tests/gemini``.  ADK's and Google's real client talk to
it: ``GOOGLE_GEMINI_BASE_URL`` and ``SSL_CERT_FILE`` lead there.  A script is a coroutine function
that gets the :class:`Connection`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.gemini.tls import client_environment, make_certificate, server_tls


class Connection:
    """One connection of the client; messages are JSON as the API defines them."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.setup: dict[str, Any] = {}

    async def accept(self) -> None:
        """Say that the setup is taken."""
        await self.send({"setupComplete": {}})

    async def refuse(self, code: int, reason: str = "no") -> None:
        """Close; nothing more can be done here."""
        await self._socket.close(code, reason)

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message of the server."""
        await self._socket.send(json.dumps(message).encode())

    async def receive(self, key: str) -> Any:
        """What the client sends next under ``key``; other messages are passed over."""
        while True:
            message = json.loads(await self._socket.recv())
            if key in message:
                return message[key]

    async def receive_any(self, *keys: str) -> dict[str, Any]:
        """The next message of the client that has one of ``keys``, and is not audio."""
        while True:
            message: dict[str, Any] = json.loads(await self._socket.recv())
            if any(key in message for key in keys) and "audio" not in str(message)[:200]:
                return message

    async def text(self, words: str) -> None:
        """An answer in text."""
        turn = {"modelTurn": {"role": "model", "parts": [{"text": words}]}}
        await self.send({"serverContent": turn})
        await self.send({"serverContent": {"turnComplete": True}})

    async def speech(self, words: str) -> None:
        """An answer in speech with its transcript; the sound does not matter."""
        blob = {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}
        turn = {"modelTurn": {"role": "model", "parts": [{"inlineData": blob}]}}
        await self.send({"serverContent": turn})
        await self.send({"serverContent": {"outputTranscription": {"text": words}}})
        await self.send({"serverContent": {"generationComplete": True}})
        await self.send({"serverContent": {"turnComplete": True}})

    async def handle(self, handle: str) -> None:
        """A session resumption handle; an empty one where the session cannot be resumed now."""
        update = {"newHandle": handle, "resumable": True} if handle else {"resumable": False}
        await self.send({"sessionResumptionUpdate": update})

    @property
    def modalities(self) -> list[str]:
        """Asked for in the setup."""
        modalities: list[str] = self.setup["generationConfig"]["responseModalities"]
        return modalities


Script = Callable[[Connection], Awaitable[None]]


@contextlib.asynccontextmanager
async def gemini_stand_in(
    scripts: list[Script], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Connection]]:
    """Serves one script a connection, the last one for all further; yields the connections."""
    connections: list[Connection] = []

    async def handle(socket: ServerConnection) -> None:
        connection = Connection(socket)
        with contextlib.suppress(ConnectionClosed):
            connection.setup = await connection.receive("setup")
            connections.append(connection)
            await scripts[min(len(connections), len(scripts)) - 1](connection)
            await socket.wait_closed()

    certificate = make_certificate(folder)
    tls = server_tls(certificate)
    async with serve(handle, "127.0.0.1", 0, ssl=tls, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        for name, value in client_environment(port, certificate).items():
            monkeypatch.setenv(name, value)
        yield connections
