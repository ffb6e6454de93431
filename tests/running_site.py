"""A running HTTP interface on loopback, for the tests of it; the calls behind it are recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, web

from rtc_server.auth import Tokens
from rtc_server.call_service import CallOffer, PlacedCall
from rtc_server.errors import CallNotFound
from rtc_server.metrics import Metrics
from rtc_server.problems import ProblemRunner
from rtc_server.settings import Settings
from rtc_server.signaling import make_web_app

__all__ = [
    "NOW",
    "OFFER",
    "RecordedCalls",
    "SDP",
    "SECRET",
    "Site",
    "assert_problem",
    "problem_of",
    "serving",
]

SDP = "v=0\r\no=SENTINEL 1 1 IN IP4 127.0.0.1\r\n"
SECRET = "SENTINEL correct horse battery staple"
NOW = 1_900_000_000.0
OFFER = {"sdp": SDP, "type": "offer"}


@dataclass
class RecordedCalls:
    """Stands behind signalling: takes every call, and remembers what it was asked."""

    agent_name: str = "local"
    modalities: Sequence[str] = ("audio", "text")
    is_ready: bool = True
    fails: Exception | None = None
    offers: list[CallOffer] = field(default_factory=list)
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    candidates: list[Mapping[str, Any] | None] = field(default_factory=list)

    async def place(self, offer: CallOffer) -> PlacedCall:
        if self.fails is not None:
            raise self.fails
        self.offers.append(offer)
        number = len(self.offers)
        session_id = offer.session_id or f"session-{number}"
        self.owners[f"call-{number}"] = (offer.user_id, session_id)
        return PlacedCall(
            call_id=f"call-{number}",
            session_id=session_id,
            user_id=offer.user_id,
            answer_sdp="v=0\r\n",
        )

    def _find(self, call_id: str, user_id: str | None) -> str:
        if self.fails is not None:
            raise self.fails
        owner, session_id = self.owners.get(call_id, (None, ""))
        if owner is None or user_id not in (None, owner):
            raise CallNotFound("There is no such call.")
        return session_id

    async def add_candidates(
        self, call_id: str, user_id: str | None, candidates: Sequence[Mapping[str, Any] | None]
    ) -> None:
        self._find(call_id, user_id)
        self.candidates += candidates

    async def describe(self, call_id: str, user_id: str | None) -> dict[str, Any]:
        return {"call_id": call_id, "session_id": self._find(call_id, user_id)}

    async def hang_up(self, call_id: str, user_id: str | None) -> None:
        self._find(call_id, user_id)
        del self.owners[call_id]


@dataclass(frozen=True)
class Reply:
    """A response to a request that was written by hand."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Site:
    """A running server, a client of it, and its clocks."""

    calls: RecordedCalls
    client: ClientSession
    port: int
    tokens: Tokens | None
    clock: list[float]

    async def post(self, body: object = OFFER, **kwargs: Any) -> ClientResponse:
        return await self.client.post("/api/calls", json=body, **kwargs)

    async def raw(self, request: str | bytes) -> Reply:
        """Send ``request`` as it is and read the one response to it."""
        data = request.encode() if isinstance(request, str) else request
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data.replace(b"PORT", str(self.port).encode()))
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().rstrip().split("\r\n")
            fields = (one.partition(": ") for one in lines)
            headers = {name.lower(): value for name, _, value in fields}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        finally:
            writer.close()
            await writer.wait_closed()
        return Reply(int(first.split(" ")[1]), headers, body)

    async def get(self, *headers: str, path: str = "/api/config", method: str = "GET") -> Reply:
        """GET with exactly these headers."""
        lines = [f"{method} {path} HTTP/1.1", *headers, "Connection: close", "", ""]
        return await self.raw("\r\n".join(lines))

    def bearer(self, user_id: str, session_id: str | None = None) -> dict[str, str]:
        assert self.tokens is not None
        token = self.tokens.mint(user_id, session_id, ttl_s=60, now=NOW)
        return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def serving(web_dir: Path, **options: Any) -> AsyncIterator[Site]:
    """A server with ``options`` as its settings, on a free port of loopback."""
    settings = Settings(**options)
    tokens = Tokens(settings.auth_secret) if settings.auth_secret else None
    calls = RecordedCalls()
    clock = [1000.0]
    app = make_web_app(
        calls,
        settings,
        Metrics(),
        tokens,
        web_dir,
        clock=lambda: clock[0],
        wall_clock=lambda: NOW,
    )
    runner = ProblemRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with ClientSession(f"http://127.0.0.1:{port}") as client:
            yield Site(calls, client, port, tokens, clock)
    finally:
        await runner.cleanup()


async def problem_of(response: ClientResponse, status: int) -> dict[str, Any]:
    """The problem in ``response``, which is of RFC 9457 and says nothing that it should not."""
    text = await response.text()
    assert response.status == status, text
    assert_problem(status, response.headers, text)
    problem: dict[str, Any] = json.loads(text)
    return problem


def assert_problem(status: int, headers: Mapping[str, str], text: str) -> None:
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["content-type"].split(";")[0] == "application/problem+json"
    assert lower["x-content-type-options"] == "nosniff"
    assert lower["cache-control"] == "no-store"
    body = json.loads(text)
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    for secret in ("SENTINEL", "Traceback", "v=0", "eyJ"):
        assert secret not in text
