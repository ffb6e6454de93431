"""Pictures of every state of the call page, for people to look at: ``test-results/pictures``.

The one in the README is made again by::

    python -m pytest tests/browser/test_pictures.py -k readme
    cp test-results/pictures/readme.png docs/images/call-page.png
"""

from __future__ import annotations

import base64
import io
from typing import Any, Literal

import pytest
from av import open as open_media
from playwright.async_api import Browser, CDPSession, expect

from tests.browser.scenes import SCENES, open_stage
from tests.browser.server_process import RESULTS
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(120)]

PICTURES = RESULTS / "pictures"

PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
DESKTOP = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
DEVICES = {"phone": PHONE, "desktop": DESKTOP}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

DRAWN = """() => new Promise((resolve) => {
  const finite = document.getAnimations().filter(
    (one) => one.effect.getComputedTiming().endTime !== Infinity,
  );
  for (const one of finite) one.finish();
  requestAnimationFrame(() => requestAnimationFrame(resolve));
})"""


@pytest.mark.parametrize("scene", SCENES)
async def test_state_looks_like_something_on_phone_and_desktop_in_both_schemes(
    browser: Browser, server: StandInServer, scene: str
) -> None:
    """A picture of each: of the size of the window, and not of one colour."""
    async with open_stage(browser, server, motion=True) as stage:
        page = stage.page.page
        await SCENES[scene](stage)
        await page.mouse.move(0, 0)
        session = await page.context.new_cdp_session(page)
        for device, metrics in DEVICES.items():
            await session.send("Emulation.setDeviceMetricsOverride", metrics)
            await session.send("Emulation.setTouchEmulationEnabled", {"enabled": metrics["mobile"]})
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                await page.evaluate(DRAWN)
                picture = await take_picture(session, f"{scene}-{device}-{scheme}.png")
                scale = metrics["deviceScaleFactor"]
                check_picture(picture, metrics["width"] * scale, metrics["height"] * scale)


async def take_picture(session: CDPSession, name: str) -> bytes:
    """What the window shows; also left in ``test-results/pictures``."""
    answer: dict[str, Any] = await session.send("Page.captureScreenshot", {"format": "png"})
    picture = base64.b64decode(answer["data"])
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / name).write_bytes(picture)
    return picture


def check_picture(picture: bytes, width: int, height: int) -> None:
    """It has this size, and more than a few colours in more than a few places."""
    with open_media(io.BytesIO(picture), "r") as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (width, height)
    pixels = frame.to_ndarray(format="gray")
    rows = (pixels.max(axis=1).astype(int) - pixels.min(axis=1)) > 24
    assert rows.mean() > 0.05, "hardly a row of the picture has anything on it"


async def test_picture_for_the_readme(browser: Browser, server: StandInServer) -> None:
    """An audio call in which the agent speaks, with the panel of call details beside it."""
    server.agent = "travel agent"
    async with open_stage(browser, server, size=(1280, 800), motion=True) as stage:
        await SCENES["panel"](stage)
        jitter_up = stage.page.page.locator(".figure", has_text="Jitter up").locator("bdi")
        await expect(jitter_up).to_contain_text("ms")  # what the far end says
        last = "And what about Sunday?"
        stage.call.send("transcript", role="user", text=last, final=True, turn=2)
        answer = "On Sunday clouds come in from the sea, and it stays"
        for text in (answer[:-16], answer):
            stage.call.send("transcript", role="agent", text=text, final=False, turn=2)
        await stage.be("speaking")
        await expect(stage.page.rows("agent").last).to_contain_text("it stays")
        await expect(stage.page.page).to_have_title("travel agent")
        await stage.hear(agents=0.7)
        await stage.page.page.mouse.move(0, 0)
        await stage.page.page.evaluate(DRAWN)
        session = await stage.page.page.context.new_cdp_session(stage.page.page)
        picture = await take_picture(session, "readme.png")
        check_picture(picture, 1280, 800)
        assert len(picture) < 300_000
