"""The sound of the call page: microphone, mute, interruptions, hanging up."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chromium import launch_chromium, open_call_page
from tests.browser.stand_in_server import StandInServer
from tests.browser.taken_calls import TIMEOUT_S, take_audio_call, take_call

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


async def test_start_audio_takes_the_session_over(browser: Browser, server: StandInServer) -> None:
    """The audio call has the same session and the resume token; `replaced` is not redialled."""
    async with open_call_page(browser, server.url) as page:
        text_call = await take_call(server, page)
        await page.start_audio.click()
        async with asyncio.timeout(TIMEOUT_S):
            audio_call = await server.next_call()
        if not text_call.hung_up.is_set():
            text_call.send("goaway", reason="replaced", seconds=0)
        await page.wait_connected()

        assert audio_call.has_audio
        assert audio_call.offer["session_id"] == text_call.session_id
        assert audio_call.headers["Authorization"] == f"Bearer resume-{text_call.session_id}"
        await expect(page.hang_up).to_be_visible()
        await expect(page.notice).to_be_hidden()
        assert len(server.calls) == 2
        has_sound = "document.querySelector('audio').srcObject?.getAudioTracks().length"
        assert await page.page.evaluate(has_sound) == 1


async def test_mute_is_told_and_silences_the_track(browser: Browser, server: StandInServer) -> None:
    init_script = """
      const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        globalThis.wanted = wanted;
        return (globalThis.microphone = await original(wanted));
      };
    """
    async with open_call_page(browser, server.url, init_script=init_script) as page:
        await take_call(server, page)
        assert await page.page.evaluate("globalThis.wanted") is None  # nothing before the click
        await page.start_audio.click()
        call = await take_call(server, page)
        wanted = await page.page.evaluate("globalThis.wanted")
        assert wanted == {
            "audio": {"echoCancellation": True, "noiseSuppression": True, "autoGainControl": True}
        }

        is_open = "microphone.getAudioTracks()[0].enabled"
        for muted in (True, False):
            await page.mute.click()
            assert await call.received.get() == {"type": "mute", "muted": muted}
            assert await page.page.evaluate(is_open) is not muted
            await expect(page.mute).to_have_attribute("data-muted", str(muted).lower())


async def test_mute_outlives_a_lost_connection(browser: Browser, server: StandInServer) -> None:
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.start_audio.click()
        call = await take_call(server, page)
        await page.mute.click()
        await call.received.get()
        await call.close()
        again = await take_call(server, page)
        assert again.has_audio
        assert await again.received.get() == {"type": "mute", "muted": True}


async def test_only_a_hang_up_by_hand_ends_a_mute(browser: Browser, server: StandInServer) -> None:
    """The next call begins as a person expects a call to begin."""
    async with open_call_page(browser, server.url) as page:
        await take_audio_call(server, page)
        await page.mute.click()
        await page.hang_up.click()
        await page.start_audio.click()
        await take_call(server, page)
        await expect(page.mute).to_have_attribute("data-muted", "false")


async def test_time_of_an_answer_goes_with_the_call(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_audio_call(server, page)
        call.send("latency", turn=1, response_ms=1340, playout_ms=1, uplink_ms=2)
        latency = page.page.locator("#latency")
        await expect(latency).to_be_visible()
        await page.hang_up.click()
        await expect(latency).to_be_hidden()


async def test_level_shows_that_the_microphone_hears(
    browser: Browser, server: StandInServer
) -> None:
    """The fake microphone beeps once a second: the bar must move."""
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.start_audio.click()
        await take_call(server, page)
        async with asyncio.timeout(TIMEOUT_S):
            await page.page.evaluate("""async () => {
              const style = getComputedStyle(document.querySelector("#mute"));
              while (Number(style.getPropertyValue("--own")) < 0.2) {
                await new Promise(requestAnimationFrame);
              }
            }""")


async def test_escape_and_button_interrupt_the_answer(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        await expect(page.interrupt).to_be_hidden()
        call.send("state", state="speaking")
        await page.interrupt.click()
        assert await call.received.get() == {"type": "interrupt"}
        await page.message.press("Escape")
        assert await call.received.get() == {"type": "interrupt"}


async def test_hang_up_ends_the_call_and_typing_goes_on_with_the_session(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.start_audio.click()
        call = await take_call(server, page)
        await page.hang_up.click()
        async with asyncio.timeout(TIMEOUT_S):
            await call.hung_up.wait()
        await expect(page.state).to_have_text("Not connected")
        await expect(page.start_audio).to_be_focused()

        await page.type("Are you still there?")
        again = await take_call(server, page)
        assert not again.has_audio
        assert again.offer["session_id"] == call.session_id
        assert (await again.received.get())["data"] == "Are you still there?"


async def test_denied_microphone_gets_a_sentence_and_typing_still_works(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url, allow_microphone=False) as page:
        call = await take_call(server, page)
        await page.start_audio.click()
        await expect(page.notice).to_contain_text("not allowed to use the microphone")
        await expect(page.start_audio).to_be_enabled()
        await page.type("Hello")
        assert (await call.received.get())["data"] == "Hello"


async def test_missing_microphone_gets_a_sentence(server: StandInServer) -> None:
    async with (
        launch_chromium(has_microphone=False) as browser,
        open_call_page(browser, server.url) as page,
    ):
        await take_call(server, page)
        await page.start_audio.click()
        await expect(page.notice).to_contain_text("No microphone was found")
