"""What the call page weighs, and how soon it is there: cold and warm, in a real Chromium.

Bytes are those over the network, compressed, headers included, as the browser counts them
(Resource Timing).  The way there is loop-back, or, with ``--slow``, a phone's: 150 ms of round
trip and 1.6 Mbit/s, as Lighthouse has it.  Run::

    python -m benches.page_load
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence

from playwright.async_api import BrowserContext, async_playwright

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
  const all = performance.getEntriesByType("resource");
  const files = all.filter((one) => !one.name.includes("/api/"));
  const sum = (name) => files.reduce((total, one) => total + one[name], page[name]);
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  return [files.length + 1, sum("transferSize") / 1000, paint.startTime, page.loadEventEnd];
}"""
_ROWS = ("files", "kB over the network", "first contentful paint, ms", "loaded, ms", "ready, ms")


async def _load(context: BrowserContext, url: str, slow: bool) -> list[float]:
    page = await context.new_page()
    if slow:
        session = await context.new_cdp_session(page)
        await session.send("Network.enable")
        await session.send("Network.emulateNetworkConditions", _SLOW)
    await page.goto(url)
    await page.wait_for_selector("#state[data-state=listening]", timeout=60_000)
    figures: list[float] = await page.evaluate(_FIGURES)
    ready: float = await page.evaluate("performance.now()")
    await page.close()
    return [*figures, ready]


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
