"""The browser of the tests does what Playwright means it to, and nothing beside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

SWITCH = "--disable-features="


async def test_nothing_that_playwright_switches_off_is_on_again(browser: Browser) -> None:
    """Of two lists the browser takes the last one, which is ours."""
    session = await browser.new_browser_cdp_session()
    processes = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
    (pid,) = (one["id"] for one in processes if one["type"] == "browser")
    command = (await asyncio.to_thread(Path(f"/proc/{pid}/cmdline").read_text)).split("\0")
    lists = [set(one[len(SWITCH) :].split(",")) for one in command if one.startswith(SWITCH)]
    assert len(lists) == 2
    assert lists[0] < lists[1], f"to be added to ours: {lists[0] - lists[1]}"


async def test_a_window_holds_no_page_but_its_own(browser: Browser) -> None:
    """A page behind the address bar costs as much as the one that is tested."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.set_content("<h1>Hello</h1>")
    session = await browser.new_browser_cdp_session()
    targets = (await session.send("Target.getTargets"))["targetInfos"]
    await context.close()
    assert [one["type"] for one in targets] == ["page"]
