"""A page with the styles of the call page and nothing else on it, to try single modules in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from playwright.async_api import Browser, Page, Route

from rtc_server.page import DOCUMENT_HEADERS, HEADERS
from tests.browser.chromium import CallPage, stop_clock
from tests.browser.stand_in_server import StandInServer

__all__ = ["open_blank_page"]

STYLES = ("base.css", "transcript.css", "doings.css", "panel.css")


@asynccontextmanager
async def open_blank_page(
    browser: Browser,
    server: StandInServer,
    body: str = "",
    *,
    permissions: tuple[str, ...] = (),
    color_scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = (1100, 760),
    scale: float = 1,
    clock: bool = False,
    refused_requests: bool = False,
) -> AsyncIterator[Page]:
    """Open ``body`` in a page of the server's origin; at the end its console must be clean.

    Args:
        clock: the page's time stands still until the test moves it (``page.clock``).
        refused_requests: see :meth:`CallPage.check_clean`.
    """
    links = "".join(f'<link rel="stylesheet" href="/page/{name}">' for name in STYLES)
    html = f'<!doctype html><html lang="en"><head>{links}</head><body>{body}</body></html>'

    async def serve(route: Route) -> None:
        headers = HEADERS | DOCUMENT_HEADERS
        await route.fulfill(body=html, content_type="text/html", headers=headers)

    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=color_scheme,
        device_scale_factor=scale,
        permissions=list(permissions),
        reduced_motion="reduce",
    )
    try:
        page = await context.new_page()
        seen = CallPage(page)
        await page.route("**/blank.html", serve)
        await page.goto(f"{server.url}blank.html")
        if clock:
            await stop_clock(page)
        yield page
        seen.check_clean(refused_requests=refused_requests)
    finally:
        await context.close()
