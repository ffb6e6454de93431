"""A real server with a scripted model, and real clients that call it over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiortc import MediaStreamTrack
from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm

from rtc_server.agent.loader import LoadedAgent
from rtc_server.agent.retry_rules import RetryRules
from rtc_server.app import run_server
from rtc_server.calls import Calls
from rtc_server.settings import Settings
from tests.agent.scripted_llm import ScriptedLlm
from tests.peer.rtc_client import RtcClient


@dataclass
class Caller:
    """A client with the answer to its offer."""

    client: RtcClient
    http: aiohttp.ClientSession
    placed: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"/api/calls/{self.placed['call_id']}"

    async def hang_up(self) -> int:
        """DELETE; returns the status."""
        async with self.http.delete(self.url) as response:
            return response.status

    async def describe(self) -> dict[str, Any]:
        async with self.http.get(self.url) as response:
            return dict(await response.json())

    async def ask_aloud(self, seconds: float = 0.6) -> None:
        """Speak (a tone), then be silent as a microphone is."""
        self.client.microphone.tone(440, seconds)
        await self.client.wait_for(lambda: self.client.microphone.is_silent)


@dataclass
class Server:
    """What a test knows of the server."""

    url: str
    calls: Calls
    llm: ScriptedLlm
    http: aiohttp.ClientSession

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        llm: ScriptedLlm,
        settings: Settings | None = None,
        *,
        thread_time: Callable[[], float] | None = None,
        retry: RetryRules | None = None,
        model: BaseLlm | None = None,
        root: Any = None,
        **agent: Any,
    ) -> AsyncIterator[Self]:
        """A server on a free port; ``agent`` goes to ``LlmAgent``, with ``model`` or ``llm``.

        With ``root`` it is that tree or workflow of agents instead.
        What else the machine does refuses no call: the loop's time counts where it is given.
        """
        if root is None:
            root = LlmAgent(name="scripted", model=model or llm, **agent)
        loaded = LoadedAgent.from_object("scripted", root)
        async with (
            run_server(
                settings or Settings(port=0),
                loaded,
                thread_time=thread_time or (lambda: 0.0),
                retry=retry,
            ) as (url, calls),
            # No connection is kept alive: what is open is to be that of calls.
            aiohttp.ClientSession(
                base_url=url, connector=aiohttp.TCPConnector(force_close=True)
            ) as http,
        ):
            yield cls(url, calls, llm, http)

    async def post_offer(self, sdp: str, **offer: Any) -> tuple[int, dict[str, Any]]:
        """POST an offer; returns the status and the body."""
        body = {"sdp": sdp, "type": "offer", **offer}
        async with self.http.post("/api/calls", json=body) as response:
            return response.status, await response.json(content_type=None)

    @asynccontextmanager
    async def call(
        self,
        *,
        audio: str | None = "sendrecv",
        video: MediaStreamTrack | None = None,
        data: bool = True,
        change_offer: Callable[[str], str] = lambda sdp: sdp,
        **offer: Any,
    ) -> AsyncIterator[Caller]:
        """A connected call; leaving it hangs up as a client does."""
        placed: dict[str, Any] = {}

        async def place(sdp: str) -> str:
            status, body = await self.post_offer(change_offer(sdp), **offer)
            assert status == 201, body
            placed.update(body)
            return str(body["sdp"])

        async with RtcClient(place, audio=audio, video=video, data=data) as client:
            if data:
                await client.wait_open()
            yield Caller(client, self.http, placed)

    async def metrics(self) -> dict[str, float]:
        """Every sample of ``/metrics`` by its name with labels."""
        async with self.http.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")
        }
