"""The client library in a page that holds nothing else, and what it asks the browser for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page

from tests.browser.blank_page import open_blank_page
from tests.browser.stand_in_server import StandInCall, StandInServer

__all__ = ["OWN_STREAM", "WATCH", "Client", "open_client", "received"]

WATCH = """async () => {
  globalThis.library = await import("/client/call.js");
  globalThis.opened = [];
  globalThis.peers = [];
  const devices = navigator.mediaDevices;
  const getUserMedia = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    const stream = await getUserMedia(wanted);
    opened.push(stream.getTracks()[0]);
    return stream;
  };
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) {
      super(...given);
      peers.push(this);
    }
  };
  globalThis.sender = () => peers.at(-1).getSenders()[0];
  globalThis.construct = (options) => {
    globalThis.call = new library.Call(options);
    globalThis.events = [];
    const waiting = new Set();
    const plain = (detail) =>
      detail instanceof MediaStream ? "stream"
      : detail instanceof Error ? { code: detail.code, message: detail.message }
      : Array.isArray(detail) || detail === null || typeof detail !== "object" ? detail
      : Object.fromEntries(Object.entries(detail).map(([name, value]) => [name, plain(value)]));
    const dispatch = call.dispatchEvent.bind(call);
    call.dispatchEvent = (event) => {
      events.push([event.type, plain(event.detail)]);
      const isHeard = dispatch(event);
      for (const look of [...waiting]) look();
      return isHeard;
    };
    globalThis.seen = (type, number) => new Promise((resolve) => {
      const look = () => {
        const found = events.filter(([one]) => one === type);
        if (found.length < number) return;
        waiting.delete(look);
        resolve(found[number - 1][1]);
      };
      waiting.add(look);
      look();
    });
  };
}"""
"""Keeps what the library asks the browser for: ``opened`` tracks and ``peers``.

Of a call made by ``construct``, ``events`` are all that it has said; ``seen`` waits for one.
"""

OWN_STREAM = """async () => {
  const context = new AudioContext();
  const destination = context.createMediaStreamDestination();
  const tone = context.createOscillator();
  tone.connect(destination);
  tone.start();
  globalThis.own = destination.stream;
}"""


class Client:
    """A ``Call`` in a page that holds nothing else."""

    def __init__(self, page: Page, server: StandInServer) -> None:
        self.page = page
        self.server = server

    async def construct(self, **options: Any) -> None:
        await self.page.evaluate("(options) => construct(options)", options)

    async def run(self, script: str, given: Any = None) -> Any:
        return await self.page.evaluate(script, given)

    async def seen(self, type: str, number: int = 1) -> Any:
        """The detail of the call's ``number``-th event of that type, from 1, once it came."""
        async with asyncio.timeout(30):
            return await self.page.evaluate(
                "([type, number]) => seen(type, number)", [type, number]
            )

    async def said(self, type: str) -> list[Any]:
        """The details of all events of that type so far."""
        events: list[list[Any]] = await self.page.evaluate("events")
        return [detail for one, detail in events if one == type]

    async def lines(self) -> list[str]:
        """Where the line stood, one after the other."""
        return [status["line"] for status in await self.said("status")]

    async def start(self, script: str = "call.start()") -> StandInCall:
        """Start the call; it is up at the end."""
        ready = len(await self.said("ready"))
        await self.run(script)
        return await self.take_call(ready + 1)

    async def take_call(self, number: int = 1) -> StandInCall:
        async with asyncio.timeout(30):
            placed = await self.server.next_call()
        await self.seen("ready", number)
        return placed


@asynccontextmanager
async def open_client(
    browser: Browser,
    server: StandInServer,
    *,
    allow_microphone: bool = True,
    refused_requests: bool = False,
    **options: Any,
) -> AsyncIterator[Client]:
    """A blank page with a call of those options, which is not started yet.

    Args:
        allow_microphone: what the person answers when the browser asks, for a camera as well.
        refused_requests: see :meth:`CallPage.check_clean`.
    """
    permissions = ("microphone", "camera") if allow_microphone else ()
    async with open_blank_page(
        browser, server, permissions=permissions, refused_requests=refused_requests
    ) as page:
        await page.evaluate(WATCH)
        client = Client(page, server)
        await client.construct(**options)
        yield client


async def received(call: StandInCall) -> dict[str, Any]:
    async with asyncio.timeout(20):
        return await call.received.get()
