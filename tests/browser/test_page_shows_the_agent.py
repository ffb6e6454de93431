"""The call page's camera, against the real server: from Chromium's camera to the agent's input."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedLlm
from tests.browser.chromium import open_call_page
from tests.e2e.server import Server
from tests.e2e.test_pictures import Received, pictures, watching
from tests.peer.camera import colour_at
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(120)]


async def test_camera_of_the_page_is_seen_by_the_agent_for_as_long_as_it_is_on(
    browser: Browser,
) -> None:
    """Switched on in a text call, it goes on in the audio call; Chromium's fake camera is green."""
    received: Received = []
    settings = Settings(port=0, limits=Limits(frames_per_s=2.0))
    scripts = [watching(received), watching(received)]
    async with (
        Server.running(ScriptedLlm(scripts=scripts), settings) as server,
        open_call_page(browser, server.url) as page,
    ):
        await page.wait_connected()
        assert pictures(received) == []
        camera = page.page.locator("#camera")
        await camera.click()
        await until(lambda: len(pictures(received)) >= 2, timeout_s=40)
        r, g, b = colour_at(pictures(received)[-1], 0.2, 0.5)
        assert g > 100 > max(r, b)

        await page.start_audio.click()
        await expect(page.hang_up).to_be_visible(timeout=20_000)
        before = len(pictures(received))
        await until(lambda: len(pictures(received)) >= before + 2, timeout_s=40)

        await camera.click()
        await expect(camera).to_have_attribute("aria-pressed", "false")
        await page.type("What did you see?")
        await expect(page.rows("agent").last.locator(".words")).to_have_text("seen", timeout=20_000)
        assert received[-1] == "What did you see?"
        await page.hang_up.click()
