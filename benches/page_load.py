"""What the call page weighs, and how soon it is there: cold and warm, in a real Chromium.

Bytes are those over the network, compressed, the headers of the answers included, as the
browser's own log of the network has them; Resource Timing knows no headers and adds 300 for each.
The way there is loop-back, or, with ``--slow``, a phone's: 150 ms of round trip and 1.6 Mbit/s,
as Lighthouse has it.  Run::

    python -m benches.page_load
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, async_playwright

from tests.browser.chromium import CHROMIUM, FLAGS

from .processes import serving
from .under_test.catalogue import SERVERS

__all__: list[str] = []

_SLOW = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1.6e6 / 8,
    "uploadThroughput": 750e3 / 8,
}
_FIGURES = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  return [paint.startTime, page.loadEventEnd, performance.now()];
}"""
_ROWS = ("files", "kB over the network", "first contentful paint, ms", "loaded, ms", "ready, ms")


class _Traffic:
    """What came over the network for the page's own files: not the calls of ``/api/``."""

    def __init__(self, session: CDPSession) -> None:
        self._urls: dict[str, str] = {}
        self._bytes: dict[str, float] = {}
        session.on("Network.requestWillBeSent", self._on_request)
        session.on("Network.loadingFinished", self._on_finished)

    def _on_request(self, event: dict[str, Any]) -> None:
        self._urls[event["requestId"]] = event["request"]["url"]

    def _on_finished(self, event: dict[str, Any]) -> None:
        if "/api/" not in self._urls[event["requestId"]]:
            self._bytes[event["requestId"]] = event["encodedDataLength"]

    @property
    def figures(self) -> list[float]:
        """How many files, and their kB."""
        return [len(self._bytes), sum(self._bytes.values()) / 1000]


async def _load(context: BrowserContext, url: str, slow: bool) -> list[float]:
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    traffic = _Traffic(session)
    await session.send("Network.enable")
    if slow:
        await session.send("Network.emulateNetworkConditions", _SLOW)
    await page.goto(url)
    await page.wait_for_selector("#state[data-state=listening]", timeout=60_000)
    times: list[float] = await page.evaluate(_FIGURES)
    await page.close()
    return [*traffic.figures, *times]


async def _measure(rounds: int, slow: bool) -> tuple[list[list[float]], list[list[float]]]:
    cold, warm = [], []
    with serving(SERVERS["ours-adk"]) as running:
        url = f"http://127.0.0.1:{running.port}/"
        async with async_playwright() as playwright:
            for _ in range(rounds):
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                context = await browser.new_context()
                cold.append(await _load(context, url, slow))
                warm.append(await _load(context, url, slow))
                await browser.close()
    return cold, warm


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow", action="store_true", help="over a phone's network")
    options = parser.parse_args()
    cold, warm = asyncio.run(_measure(options.rounds, options.slow))
    print("| figure | first visit | later ones |\n|---|---|---|")
    for row, first, later in zip(
        _ROWS, zip(*cold, strict=True), zip(*warm, strict=True), strict=True
    ):
        print(f"| {row} | {_spread(first)} | {_spread(later)} |")


if __name__ == "__main__":
    main()
