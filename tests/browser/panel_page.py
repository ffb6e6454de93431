"""The panel of call details alone, on a call that says what each test tells it to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.blank_page import open_blank_page
from tests.browser.stand_in_server import StandInServer

__all__ = [
    "CANDIDATES",
    "DASH",
    "DOWNLINK",
    "FIGURES",
    "SILENT",
    "UPLINK",
    "PanelPage",
    "open_panel",
]


BODY = """
<button id="toggle" aria-controls="panel">Details</button>
<aside id="panel" hidden></aside>
"""

FAKE_CALL = """
() => {
  const call = new EventTarget();
  Object.assign(call, {
    line: "up", sessionId: "session-1", callId: "call-1",
    hasAudio: true, isMuted: false, microphone: null,
    figures: null, asked: 0,
    stats: async () => {
      call.asked += 1;
      if (call.figures === "broken") throw new Error("closed");
      return call.figures && { ...call.figures, atMs: performance.now() };
    },
  });
  call.say = (type, detail) => call.dispatchEvent(new CustomEvent(type, { detail }));
  globalThis.call = call;
  globalThis.timers = 0;
  for (const name of ["setInterval", "setTimeout", "requestAnimationFrame"]) {
    const original = globalThis[name];
    globalThis[name] = (...given) => { globalThis.timers += 1; return original(...given); };
  }
}
"""

MAKE_PANEL = """
async (options) => {
  const { Panel } = await import("/page/panel.js");
  globalThis.panel = new Panel(document.getElementById("panel"), globalThis.call, {
    toggle: document.getElementById("toggle"),
    fingerprint: () => "f1n9e7",
    outputLatencyMs: () => 21.5,
    ...options,
  });
}
"""

DOWNLINK = {
    "packets": 500,
    "lost": 3,
    "lossShare": 0.024,
    "jitterMs": 3.456,
    "bitrate": 47_890,
    "jitterBufferMs": 62.4,
    "jitterBufferTargetMs": 40,
    "concealedShare": 0.01,
    "codec": "opus/48000/2 useinbandfec=1",
    "level": 0.2,
}
UPLINK = {
    "packets": 900,
    "lossShare": 0,
    "jitterMs": 12.3,
    "bitrate": 8_460,
    "codec": "opus/48000/2 minptime=10",
    "level": 0.1,
}
CANDIDATES = {
    "local": "relay",
    "remote": "host",
    "protocol": "udp",
    "relayProtocol": "tls",
    "networkType": "wifi",
}
FIGURES: dict[str, Any] = {
    "roundTripMs": 37.6,
    "downlink": DOWNLINK,
    "uplink": UPLINK,
    "candidates": CANDIDATES,
}
SILENT = {
    **FIGURES,
    "downlink": {
        **DOWNLINK,
        "lossShare": None,
        "bitrate": None,
        "jitterBufferMs": None,
        "jitterBufferTargetMs": None,
        "concealedShare": None,
    },
}


DASH = "\N{EN DASH}"
"""A figure that is not known."""


class PanelPage:
    """The panel in a page whose time the test moves."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator("#panel")
        self.events = page.locator(".event")
        self.bars = page.locator(".bars > li")

    async def open(self) -> None:
        await self.page.evaluate("globalThis.panel.open()")

    async def close(self) -> None:
        await self.page.evaluate("globalThis.panel.close()")

    async def say(self, type: str, **fields: Any) -> None:
        """Let a message of the server come."""
        await self.emit("message", {"type": type, **fields})

    async def emit(self, event: str, detail: Any) -> None:
        await self.page.evaluate("([type, detail]) => call.say(type, detail)", [event, detail])

    async def measure(self, figures: Any, *, seconds: int = 1) -> None:
        """Let the connection measure this for so long."""
        await self.page.evaluate("(figures) => { call.figures = figures; }", figures)
        for _ in range(seconds):  # a second at a time, so that every answer is there by the next
            await self.page.clock.run_for(1000)

    async def asked(self) -> int:
        """How often the connection was asked."""
        asked: int = await self.page.evaluate("call.asked")
        return asked

    def figure(self, label: str) -> Locator:
        return self.page.locator(".figure, .name").filter(
            has=self.page.locator("dt").get_by_text(label, exact=True)
        )

    def value(self, label: str) -> Locator:
        return self.figure(label).locator("bdi")

    async def path(self, label: str) -> str:
        """The line of a plot, as SVG has it."""
        path = await self.figure(label).locator(".plot-line").get_attribute("d")
        assert path is not None
        return path

    async def parts(self, row: int = 0) -> list[tuple[str, float]]:
        """The parts of a bar, the newest being row 0: names, and shares of the scale."""
        parts = await self.bars.nth(row).locator(".bar-part").all()
        return [
            (
                await part.get_attribute("data-part") or "",
                await part.evaluate("(it) => Number(it.style.getPropertyValue('--share'))"),
            )
            for part in parts
        ]

    async def copied(self) -> str:
        """The report, as it lies on the clipboard after a click."""
        await self.page.get_by_role("button", name="Copy report").click()
        await expect(self.page.get_by_role("button", name="Copied")).to_be_visible()
        text: str = await self.page.evaluate("navigator.clipboard.readText()")
        return text


@asynccontextmanager
async def open_panel(
    browser: Browser, server: StandInServer, **options: Any
) -> AsyncIterator[PanelPage]:
    """A page with the panel, folded."""
    permissions = ("clipboard-read", "clipboard-write")
    async with open_blank_page(browser, server, BODY, permissions=permissions, clock=True) as page:
        await page.evaluate(FAKE_CALL)
        await page.evaluate(MAKE_PANEL, options)
        yield PanelPage(page)
