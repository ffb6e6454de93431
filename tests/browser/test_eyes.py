"""What the agent is shown, on the call page: camera and screen buttons, preview, pictures."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chromium import open_call_page
from tests.browser.scenes import HOOKS, open_stage
from tests.browser.stand_in_server import StandInServer
from tests.browser.taken_calls import take_call

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

SCREEN = """
navigator.mediaDevices.getDisplayMedia = async () => {
  if (globalThis.refuses) throw new DOMException("", "NotAllowedError");
  const canvas = document.createElement("canvas");
  canvas.getContext("2d").fillRect(0, 0, 300, 150);
  return (globalThis.shared = canvas.captureStream(5));
};
const openDevice = navigator.mediaDevices.getUserMedia;
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await openDevice.call(navigator.mediaDevices, wanted);
  if (wanted.video) globalThis.opened = stream.getTracks()[0];
  return stream;
};
"""
"""A browser without a screen has nothing to share; ``opened`` is the track that was opened."""


async def test_camera_is_switched_on_seen_previewed_and_switched_off(
    browser: Browser, server: StandInServer
) -> None:
    """Nothing is opened unasked; the preview is mirrored, and can be put away while it stays on."""
    async with open_stage(browser, server, init_script=SCREEN) as stage:
        page = stage.page.page
        button = page.get_by_role("button", name="Show your camera to the agent")
        card, announcer = page.locator("#eyes"), page.locator("#announcer")
        assert await page.evaluate("globalThis.opened") is None
        await expect(button).to_have_attribute("aria-pressed", "false")

        await button.click()
        await expect(button).to_have_attribute("aria-pressed", "true")
        await expect(card).to_contain_text("The agent sees your camera")
        await expect(page.locator("#eyes-preview")).to_have_css(
            "transform", "matrix(-1, 0, 0, 1, 0, 0)"
        )
        await expect(announcer).to_have_text("Camera on")
        async with asyncio.timeout(20):
            await stage.call.video_frame()

        await page.get_by_role("button", name="Hide the preview").click()
        await expect(card).to_be_hidden()
        await expect(button).to_be_focused()
        assert await page.evaluate("opened.readyState") == "live"

        await button.click()
        await expect(button).to_have_attribute("aria-pressed", "false")
        await expect(announcer).to_have_text("Camera off")
        assert await page.evaluate("opened.readyState") == "ended"
        assert len(server.calls) == 1


async def test_hang_up_puts_the_camera_out(browser: Browser, server: StandInServer) -> None:
    async with open_stage(browser, server, init_script=SCREEN) as stage:
        page = stage.page.page
        await page.locator("#camera").click()
        await expect(page.locator("#eyes")).to_be_visible()
        await stage.start_audio()
        async with asyncio.timeout(20):
            await stage.call.video_frame()  # it went on in the audio call
        await stage.page.hang_up.click()
        await expect(page.locator("#eyes")).to_be_hidden()
        assert await page.evaluate("opened.readyState") == "ended"


async def test_shared_screen_is_not_mirrored_and_ends_by_the_browsers_own_button(
    browser: Browser, server: StandInServer
) -> None:
    async with open_stage(browser, server, init_script=SCREEN) as stage:
        page = stage.page.page
        button = page.get_by_role("button", name="Share your screen with the agent")
        await button.click()
        await expect(page.locator("#eyes")).to_contain_text("The agent sees what you share")
        await expect(page.locator("#eyes-preview")).to_have_css("transform", "none")
        await page.evaluate(
            """() => {
              const [track] = shared.getTracks();
              track.stop();
              track.dispatchEvent(new Event("ended"));
            }"""
        )
        await expect(button).to_have_attribute("aria-pressed", "false")
        await expect(page.locator("#announcer")).to_have_text("Screen no longer shared")
        await expect(stage.page.notice).to_be_hidden()

        await page.evaluate("globalThis.refuses = true")
        await button.click()
        await stage.notices("screen_denied")
        await expect(button).to_be_enabled()


async def test_camera_that_fails_or_goes_is_said_in_words(
    browser: Browser, server: StandInServer
) -> None:
    async with open_stage(browser, server, init_script=SCREEN) as stage:
        page = stage.page.page
        await page.locator("#camera").click()
        await expect(page.locator("#eyes")).to_be_visible()
        await page.evaluate("(opened.stop(), opened.dispatchEvent(new Event('ended')))")
        await stage.notices("camera_lost")
        await expect(page.locator("#camera")).to_have_attribute("aria-pressed", "false")
        await stage.fail_microphone("NotAllowedError")  # of all that getUserMedia gives
        await page.locator("#camera").click()
        await stage.notices("camera_denied")


async def test_server_that_does_not_look_at_video_is_said_to_be_such_a_one(
    browser: Browser, server: StandInServer
) -> None:
    """The buttons stay, so that it can be asked why."""
    server.takes_video = False
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        camera = page.page.locator("#camera")
        await expect(camera).to_have_attribute("aria-disabled", "true")
        await expect(camera).to_have_attribute("title", "This agent does not look at video.")
        await camera.click(force=True)  # whoever drives the browser takes it for disabled
        await expect(page.notice).to_have_attribute("data-code", "video_refused")


async def test_agent_that_looks_at_no_pictures_is_shown_none(
    browser: Browser, server: StandInServer
) -> None:
    """Neither the camera nor a picture that is dropped; nobody is told that it is seen."""
    server.takes_pictures = False
    async with open_stage(browser, server, init_script=SCREEN) as stage:
        page = stage.page.page
        camera = page.locator("#camera")
        await expect(camera).to_have_attribute("aria-disabled", "true")
        await expect(camera).to_have_attribute("title", "This agent does not look at pictures.")
        await expect(page.locator("#attach")).to_be_hidden()
        await camera.click(force=True)  # whoever drives the browser takes it for disabled
        await stage.notices("pictures_refused")
        assert await page.evaluate("globalThis.opened") is None
        await expect(page.locator("#eyes")).to_be_hidden()


async def test_phone_without_screens_to_share_shows_no_such_button(
    browser: Browser, server: StandInServer
) -> None:
    """It has two cameras, and a button for the other one."""
    script = """
      delete MediaDevices.prototype.getDisplayMedia;
      const list = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
      navigator.mediaDevices.enumerateDevices = async () => {
        const [camera] = (await list()).filter(({ kind }) => kind === "videoinput");
        return [camera, { kind: "videoinput", deviceId: "back", label: "Back" }];
      };
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        globalThis.wanted = wanted.video?.deviceId?.exact;
        return open({ ...wanted, video: wanted.video && true });
      };
    """
    async with open_call_page(
        browser, server.url, init_script=HOOKS + script, size=(390, 844)
    ) as page:
        await take_call(server, page)
        await expect(page.page.locator("#screen")).to_be_hidden()
        await page.page.locator("#camera").click()
        await page.page.get_by_role("button", name="Other camera").click()
        await page.page.wait_for_function("wanted === 'back'")


async def test_picture_that_is_dropped_anywhere_is_sent_and_the_page_stays(
    browser: Browser, server: StandInServer
) -> None:
    """A browser would leave the page, and the call with it, to show the file."""
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        prevented = await page.page.evaluate(
            """async () => {
              const canvas = new OffscreenCanvas(32, 32);
              canvas.getContext("2d").fillRect(0, 0, 16, 32);
              const drop = (type, file) => {
                const dataTransfer = new DataTransfer();
                dataTransfer.items.add(file);
                const how = { dataTransfer, bubbles: true, cancelable: true };
                return !document.querySelector("#stage").dispatchEvent(new DragEvent(type, how));
              };
              const drawn = await canvas.convertToBlob();
              const picture = new File([drawn], "p.png", { type: "image/png" });
              const other = new File(["{}"], "p.json", { type: "application/json" });
              return [drop("dragover", picture), drop("drop", other), drop("drop", picture)];
            }"""
        )
        assert prevented == [True, True, True]
        async with asyncio.timeout(20):
            assert (await call.received.get())["type"] == "image"
        await expect(page.rows("picture").locator("img")).to_have_js_property("naturalWidth", 32)
        assert call.received.empty()
