"""A transcript and its view in a page, for the tests that give it messages.

The page is opened once for all tests of a module: what is in it begins anew for each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser

from tests.browser.blank_page import open_blank_page
from tests.browser.chromium import CallPage
from tests.browser.stand_in_server import StandInServer

__all__ = ["Conversation", "open_conversation"]

SET_UP = """async () => {
  const { Transcript } = await import("/page/transcript.js");
  const { TranscriptView } = await import("/page/transcript_view.js");
  const list = document.createElement("ol");
  list.id = "transcript";
  list.className = "transcript";
  document.querySelector("section").append(list);
  globalThis.Transcript = Transcript;
  globalThis.TranscriptView = TranscriptView;
  globalThis.open = (stored) => {
    globalThis.transcript = new Transcript({ now: () => now });
    if (stored) transcript.restore(stored);
    transcript.addEventListener("change", ({ detail: { entry, kind } }) =>
      events.push([kind, entry.role, entry.text]));
    transcript.addEventListener("final", ({ detail }) => events.push(["final", detail.words]));
    list.replaceChildren();
    globalThis.view?.close();
    globalThis.view = new TranscriptView(transcript, list);
  };
  globalThis.beginAnew = () => {
    globalThis.now = new Date(2026, 0, 2, 14, 3, 5).getTime();
    globalThis.events = [];
    sessionStorage.clear();
    getSelection().removeAllRanges();
    open();
    transcript.beginCall();
  };
}"""


class Conversation:
    """A transcript and its view, in a page; messages are given to it by name."""

    def __init__(self, call_page: CallPage) -> None:
        self.call_page = call_page
        self.page = call_page.page
        self.rows = call_page.rows
        self.list = call_page.transcript

    async def take(self, type: str, **fields: Any) -> None:
        await self.page.evaluate("(message) => transcript.take(message)", {"type": type, **fields})

    async def hear(self, text: str, *, turn: int = 1, final: bool = True) -> None:
        await self.take("transcript", role="user", text=text, final=final, turn=turn)

    async def say(self, text: str, *, turn: int = 1, final: bool = True) -> None:
        await self.take("transcript", role="agent", text=text, final=final, turn=turn)

    async def answer(self, text: str, *, turn: int = 1) -> None:
        await self.take("text", data=text, turn=turn)

    async def end(self, turn: int = 1, **fields: Any) -> None:
        ends = {"turn_complete": True, "interrupted": False, **fields}
        await self.take("turn", turn=turn, **ends)

    async def run(self, script: str, argument: Any = None) -> Any:
        return await self.page.evaluate(script, argument)

    async def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.page.evaluate("transcript.entries")
        return found

    async def drawn(self) -> None:
        """Wait until the frame after the next has begun."""
        await self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    async def begin_anew(self) -> None:
        """With nothing of the test before."""
        await self.page.set_viewport_size({"width": 1100, "height": 760})
        await self.page.evaluate("beginAnew()")


@asynccontextmanager
async def open_conversation(browser: Browser) -> AsyncIterator[Conversation]:
    """An empty conversation without a call; ``begin_anew`` before each test."""
    body = "<main><section></section></main>"
    async with StandInServer() as server, open_blank_page(browser, server, body) as page:
        conversation = Conversation(CallPage(page))
        await conversation.run(SET_UP)
        yield conversation
