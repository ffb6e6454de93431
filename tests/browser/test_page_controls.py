"""What a person does on the call page beside talking: keys, pictures, copies, downloads."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chromium import CallPage, hold_timeouts, open_call_page
from tests.browser.stand_in_server import Refusal, StandInCall, StandInServer
from tests.browser.taken_calls import take_audio_call, take_call

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

IS_OPEN = "document.querySelector('#remote') && globalThis.microphone.getAudioTracks()[0].enabled"
SPY_ON_MICROPHONE = """
  const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) =>
    (globalThis.microphone = await original(wanted));
"""
PASTE_A_PICTURE = """async (type) => {
  const canvas = new OffscreenCanvas(32, 32);
  canvas.getContext("2d").fillRect(0, 0, 16, 32);
  const picture = type === "image/png" ? await canvas.convertToBlob() : "not a picture";
  const data = new DataTransfer();
  data.items.add(new File([picture], "p.png", { type: "image/png" }));
  const paste = new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
  document.querySelector("#text").dispatchEvent(paste);
}"""


DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
"""A picture of one pixel."""


async def next_message(call: StandInCall) -> dict[str, Any]:
    """What the page said next, beside asking whether the server is there."""
    async with asyncio.timeout(20):
        while (message := await call.received.get())["type"] == "ping":
            pass
    return message


async def leave_the_field(page: CallPage) -> None:
    """Keys belong to the page then, as after a click beside everything."""
    await page.page.locator("#stage").click()


# -- keys ----------------------------------------------------------------------------------


async def test_space_bar_opens_a_muted_microphone_while_it_is_held(
    browser: Browser, server: StandInServer
) -> None:
    """It stops an answer, is told as activity, and closes the microphone when it is let go."""
    async with open_call_page(browser, server.url, init_script=SPY_ON_MICROPHONE) as page:
        call = await take_audio_call(server, page)
        await leave_the_field(page)
        await page.page.keyboard.press("m")
        assert await next_message(call) == {"type": "mute", "muted": True}
        assert await page.page.evaluate(IS_OPEN) is False

        await page.page.keyboard.down("Space")
        assert await next_message(call) == {"type": "interrupt"}
        assert await next_message(call) == {"type": "mute", "muted": False}
        assert await next_message(call) == {"type": "activity", "state": "start"}
        assert await page.page.evaluate(IS_OPEN) is True

        await page.page.keyboard.up("Space")
        assert await next_message(call) == {"type": "activity", "state": "end"}
        assert await next_message(call) == {"type": "mute", "muted": True}
        assert await page.page.evaluate(IS_OPEN) is False


async def test_space_bar_talks_where_the_focus_is_after_a_start(
    browser: Browser, server: StandInServer
) -> None:
    """The mute button has the focus then: held, the space bar talks and does not press it."""
    async with open_call_page(browser, server.url, init_script=SPY_ON_MICROPHONE) as page:
        call = await take_audio_call(server, page)
        await expect(page.mute).to_be_focused()
        await page.page.keyboard.press("m")
        assert await next_message(call) == {"type": "mute", "muted": True}

        for _ in range(2):
            await page.page.keyboard.down("Space")
            await page.page.keyboard.down("Space")  # the key repeats
            assert await next_message(call) == {"type": "interrupt"}
            assert await next_message(call) == {"type": "mute", "muted": False}
            assert (await next_message(call))["type"] == "activity"
            assert await page.page.evaluate(IS_OPEN) is True
            await page.page.keyboard.up("Space")
            assert await next_message(call) == {"type": "activity", "state": "end"}
            assert await next_message(call) == {"type": "mute", "muted": True}
        await page.page.keyboard.press("Enter")
        assert await next_message(call) == {"type": "mute", "muted": False}


async def test_mute_key_works_on_every_button_and_in_no_field(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_audio_call(server, page)
        for muted, button in ((True, page.hang_up), (False, page.page.locator("#settings-open"))):
            await button.focus()
            await page.page.keyboard.press("m")
            assert await next_message(call) == {"type": "mute", "muted": muted}
        await page.page.locator("#settings-open").click()
        await page.page.keyboard.press("m")
        await page.page.locator("#microphone").focus()
        await page.page.keyboard.press("m")
        await page.page.keyboard.press("Escape")
        await page.type("m")
        assert (await next_message(call))["data"] == "m"


async def start_holding_to_talk(server: StandInServer, page: CallPage) -> StandInCall:
    await take_call(server, page)
    await page.page.locator("#settings-open").click()
    await page.page.get_by_role("switch", name="Hold to talk").check()
    await page.page.keyboard.press("Escape")
    await page.start_audio.click()
    call = await take_call(server, page)
    assert await next_message(call) == {"type": "mute", "muted": True}
    return call


@pytest.mark.parametrize(
    "leave",
    [
        "document.querySelector('#text').focus()",
        "window.dispatchEvent(new Event('blur'))",
        """() => {
          Object.defineProperty(document, "hidden", { value: true, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
          delete document.hidden;
        }""",
    ],
    ids=["another field", "another window", "another tab"],
)
async def test_held_button_lets_go_when_it_is_left(
    browser: Browser, server: StandInServer, leave: str
) -> None:
    """A key that is lifted elsewhere must not leave the microphone open."""
    async with open_call_page(browser, server.url, init_script=SPY_ON_MICROPHONE) as page:
        call = await start_holding_to_talk(server, page)
        await page.page.locator("#hold").focus()
        await page.page.keyboard.down("Enter")
        assert await next_message(call) == {"type": "interrupt"}
        assert await next_message(call) == {"type": "mute", "muted": False}
        assert (await next_message(call))["type"] == "activity"
        await page.page.evaluate(leave)
        assert await next_message(call) == {"type": "activity", "state": "end"}
        assert await next_message(call) == {"type": "mute", "muted": True}
        assert await page.page.evaluate(IS_OPEN) is False
        await page.page.keyboard.up("Enter")


async def test_held_button_lets_go_of_the_tab_key(browser: Browser, server: StandInServer) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await start_holding_to_talk(server, page)
        await page.page.locator("#hold").focus()
        await page.page.keyboard.down("Enter")
        await expect(page.page.locator("#hold")).to_have_class(re.compile("pressed"))
        await page.page.keyboard.press("Tab")
        await page.page.keyboard.up("Enter")
        await expect(page.page.locator("#hold")).not_to_have_class(re.compile("pressed"))
        for type in ("interrupt", "mute", "activity", "activity"):
            assert (await next_message(call))["type"] == type
        assert await next_message(call) == {"type": "mute", "muted": True}


async def test_hold_to_talk_that_is_switched_off_leaves_a_mute_by_hand(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url, init_script=SPY_ON_MICROPHONE) as page:
        call = await take_audio_call(server, page)
        hold_to_talk = page.page.get_by_role("switch", name="Hold to talk")

        await page.mute.click()
        assert await next_message(call) == {"type": "mute", "muted": True}
        await page.page.locator("#settings-open").click()
        await hold_to_talk.check()
        await hold_to_talk.uncheck()
        await page.page.keyboard.press("Escape")
        await expect(page.mute).to_have_attribute("data-muted", "true")
        assert await page.page.evaluate(IS_OPEN) is False

        await page.mute.click()
        assert await next_message(call) == {"type": "mute", "muted": False}
        await page.page.locator("#settings-open").click()
        await hold_to_talk.check()
        assert await next_message(call) == {"type": "mute", "muted": True}
        await hold_to_talk.uncheck()
        assert await next_message(call) == {"type": "mute", "muted": False}


async def test_keys_are_letters_in_the_message_field(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_audio_call(server, page)
        await page.message.focus()
        await page.page.keyboard.type("m m")
        await expect(page.message).to_have_value("m m")
        await page.page.keyboard.press("Enter")
        assert (await next_message(call))["data"] == "m m"


async def test_hold_to_talk_begins_muted_and_opens_for_the_button_only(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url, init_script=SPY_ON_MICROPHONE) as page:
        await take_call(server, page)
        await page.page.get_by_role("button", name="Settings").click()
        await page.page.get_by_role("switch", name="Hold to talk").check()
        await page.page.keyboard.press("Escape")
        await page.start_audio.click()
        call = await take_call(server, page)
        assert await next_message(call) == {"type": "mute", "muted": True}
        assert await page.page.evaluate(IS_OPEN) is False
        await expect(page.mute).to_be_hidden()

        hold = page.page.get_by_role("button", name="Hold to talk")
        await hold.hover()
        await page.page.mouse.down()
        await expect(page.page.get_by_role("button", name="Release to stop")).to_be_visible()
        assert (await next_message(call))["type"] == "interrupt"
        assert await next_message(call) == {"type": "mute", "muted": False}
        assert (await next_message(call))["type"] == "activity"
        await page.page.mouse.up()
        assert await next_message(call) == {"type": "activity", "state": "end"}
        assert await next_message(call) == {"type": "mute", "muted": True}

        await page.page.reload()
        await take_call(server, page)
        await page.page.get_by_role("button", name="Settings").click()
        await expect(page.page.get_by_role("switch", name="Hold to talk")).to_be_checked()


async def test_escape_that_closes_the_settings_does_not_stop_the_answer(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("state", state="speaking")
        await expect(page.interrupt).to_be_visible()
        await page.page.get_by_role("button", name="Settings").click()
        await page.page.keyboard.press("Escape")
        await expect(page.page.locator("#settings")).to_be_hidden()
        await page.type("Hello")
        assert (await next_message(call))["type"] == "text"


# -- going on ------------------------------------------------------------------------------


async def test_trying_again_keeps_a_muted_microphone_muted(browser: Browser) -> None:
    """Who does not wait for the next try must not be heard all of a sudden."""
    async with (
        StandInServer() as server,
        open_call_page(
            browser, server.url, refused_requests=True, init_script=SPY_ON_MICROPHONE
        ) as page,
    ):
        call = await take_audio_call(server, page)
        await page.mute.click()
        assert (await next_message(call))["muted"] is True
        await server.stop()
        await expect(page.state).to_have_attribute("data-state", "reconnecting", timeout=20_000)
        server.answers.clear()  # the page tries by itself as well: it is not to be the first
        await server.start()
        await page.page.get_by_role("button", name="Try again now").click()
        server.answers.set()
        again = await take_call(server, page)
        assert again.has_audio
        assert await next_message(again) == {"type": "mute", "muted": True}
        assert await page.page.evaluate(IS_OPEN) is False


async def test_continuing_here_brings_the_microphone_back(
    browser: Browser, server: StandInServer
) -> None:
    """A call that another window took over was an audio call, and is one again."""
    async with open_call_page(browser, server.url) as page:
        call = await take_audio_call(server, page)
        call.send("goaway", reason="replaced", seconds=0)
        await page.page.get_by_role("button", name="Continue here").click()
        again = await take_call(server, page)
        assert again.has_audio
        assert again.offer["session_id"] == call.session_id


@pytest.mark.parametrize("way", ["New conversation", "Continue here", "Try again now"])
async def test_muted_microphone_stays_muted_in_the_next_call(
    browser: Browser, server: StandInServer, way: str
) -> None:
    async with open_call_page(
        browser, server.url, init_script=SPY_ON_MICROPHONE, refused_requests=True
    ) as page:
        call = await take_audio_call(server, page)
        await page.mute.click()
        assert await next_message(call) == {"type": "mute", "muted": True}
        if way == "Continue here":
            call.send("goaway", reason="replaced", seconds=0)
        elif way == "Try again now":
            call.send("error", code="agent_failed", message="It gave up.", retryable=False)
            await call.close()
            await expect(page.state).to_have_text("Not connected")
        await page.page.get_by_role("button", name=way).click()
        again = await take_call(server, page)
        assert again.has_audio
        assert await next_message(again) == {"type": "mute", "muted": True}
        assert await page.page.evaluate(IS_OPEN) is False
        await expect(page.mute).to_have_attribute("data-muted", "true")


async def test_audio_that_is_refused_leaves_the_text_call_and_can_be_asked_for_again(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url, refused_requests=True) as page:
        call = await take_call(server, page)
        server.refusals = [Refusal(503, "No line for audio.", {"Retry-After": "60"})]
        await page.start_audio.click()
        await expect(page.notice).to_contain_text("No line for audio.")
        await page.wait_connected()
        await page.type("Still there?")
        assert (await next_message(call))["data"] == "Still there?"

        server.refusals = [Refusal(503, "No line for audio.", {"Retry-After": "60"})]
        await page.start_audio.click()
        await page.page.get_by_role("button", name="Try again now").click()
        again = await take_call(server, page)
        assert again.has_audio


# -- what is typed -------------------------------------------------------------------------


async def test_text_that_has_no_room_stays_in_the_field(
    browser: Browser, server: StandInServer
) -> None:
    """The server is away, and more is typed than the page keeps for it."""
    server.refusals = [Refusal(503, "Full.", {"Retry-After": "600"})]
    async with open_call_page(browser, server.url, refused_requests=True) as page:
        await expect(page.notice).to_contain_text("Full.")
        long = "a" * 32_000
        kept = 0
        while kept < 20:
            await page.type(long)
            if await page.message.input_value():
                break
            kept += 1
        assert kept == 256 * 1024 // len(long)
        await expect(page.message).to_have_value(long)
        await expect(page.notice).to_contain_text("waiting to be sent")
        await expect(page.rows("user")).to_have_count(kept)


async def test_page_of_yesterday_waits_for_what_is_not_sent(browser: Browser) -> None:
    """The server is renewed while a typed text is on its way: a reload would lose it."""
    async with (
        StandInServer() as server,
        open_call_page(browser, server.url, refused_requests=True) as page,
    ):
        await take_call(server, page)
        await page.page.evaluate("globalThis.isOld = true")
        await server.stop()
        await expect(page.state).to_have_attribute("data-state", "reconnecting", timeout=20_000)
        await page.type("Do not lose me.")
        server.page_fingerprint = "tomorrow"
        await server.start()
        again = await take_call(server, page)
        assert (await next_message(again))["data"] == "Do not lose me."
        assert await page.page.evaluate("globalThis.isOld") is True
        await expect(page.notice).to_contain_text("new version")


# -- devices -------------------------------------------------------------------------------


async def test_speaker_that_fails_is_not_chosen(browser: Browser, server: StandInServer) -> None:
    """The list shows the one that is heard, now and after a reload."""
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.page.locator("#settings-open").click()
        await page.page.evaluate("""() => {
          const speaker = document.querySelector("#speaker");
          speaker.append(new Option("Gone", "gone"));
          speaker.value = "gone";
          speaker.dispatchEvent(new Event("change"));
        }""")
        await expect(page.notice).to_contain_text("speaker cannot be used")
        await expect(page.page.locator("#speaker")).to_have_value("")
        stored = await page.page.evaluate("JSON.parse(localStorage.getItem('rtc.preferences'))")
        assert stored["speaker"] == ""


async def test_lost_microphone_is_said_again_after_a_reconnection(
    browser: Browser, server: StandInServer
) -> None:
    """The next connection does not make the agent hear anything."""
    async with open_call_page(
        browser, server.url, init_script=SPY_ON_MICROPHONE, refused_requests=True
    ) as page:
        call = await take_audio_call(server, page)
        await page.page.evaluate("""() => {
          const [track] = microphone.getAudioTracks();
          navigator.mediaDevices.getUserMedia = () =>
            Promise.reject(new DOMException("unplugged", "NotFoundError"));
          track.stop();
          track.dispatchEvent(new Event("ended"));
        }""")
        await expect(page.notice).to_contain_text("hears nothing")
        await call.close()
        await take_call(server, page)
        await expect(page.notice).to_contain_text("hears nothing")


async def test_address_with_another_session_shows_nothing_of_the_one_before(
    browser: Browser, server: StandInServer
) -> None:
    """What was said in the first is not taken for the beginning of the second."""
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.type("I am Ada.")
        await page.page.goto("about:blank")
        await page.page.goto(f"{server.url}#session=another")
        call = await take_call(server, page)
        assert call.offer["session_id"] == "another"
        await expect(page.transcript).to_be_empty()


# -- pictures ------------------------------------------------------------------------------


async def test_chosen_picture_is_sent_and_noted(browser: Browser, server: StandInServer) -> None:
    """Phones have no picture to paste or drop."""
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        for number in (1, 2):  # the same one again, too
            async with page.page.expect_file_chooser() as waiting:
                await page.page.get_by_role("button", name="Send a picture").click()
            await (await waiting.value).set_files(
                {"name": "dot.png", "mimeType": "image/png", "buffer": DOT}
            )
            sent = await next_message(call)
            assert (sent["type"], sent["mime_type"]) == ("image", "image/jpeg")
            await expect(page.transcript.get_by_text("Picture sent")).to_have_count(number)


async def test_pasted_picture_is_sent_and_noted(browser: Browser, server: StandInServer) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        await page.page.evaluate(PASTE_A_PICTURE, "image/png")
        sent = await next_message(call)
        assert (sent["type"], sent["mime_type"]) == ("image", "image/jpeg")
        await expect(page.transcript).to_contain_text("Picture sent")


async def test_picture_that_cannot_be_read_is_said_in_words(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.page.evaluate(PASTE_A_PICTURE, "text/plain")
        await expect(page.notice).to_contain_text("cannot read that picture")


# -- what leaves the page ------------------------------------------------------------------


async def say_something(call: StandInCall, page: CallPage) -> None:
    await page.type("Two times three?")
    call.send("text", data="It is **six**.", turn=1)
    call.send("latency", turn=1, response_ms=480)
    call.send("turn", turn=1, turn_complete=True, interrupted=False)
    await expect(page.rows("agent")).to_have_attribute("data-final", "true")


async def test_transcript_can_be_copied(browser: Browser, server: StandInServer) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        await page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await say_something(call, page)
        await page.page.get_by_role("button", name="More").click()
        async with hold_timeouts(page.page):
            await page.page.get_by_role("button", name="Copy transcript").click()
            await expect(page.page.locator("#copy-transcript")).to_have_text("Copied")
        copied = await page.page.evaluate("navigator.clipboard.readText()")
        time = r"\[\d\d:\d\d:\d\d\]"
        assert re.fullmatch(
            rf"{time} You: Two times three\?\n{time} Agent \(480 ms\): It is \*\*six\*\*\.\n?",
            copied,
        ), copied


async def test_transcript_can_be_downloaded_as_text_and_as_json(
    browser: Browser, server: StandInServer, tmp_path: Path
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        await say_something(call, page)
        files = {}
        for kind in ("text", "JSON"):
            await page.page.get_by_role("button", name="More").click()
            async with page.page.expect_download() as waiting:
                await page.page.get_by_role("button", name=f"Download as {kind}").click()
            download = await waiting.value
            assert re.fullmatch(r"call-[\d-]+\.(txt|json)", download.suggested_filename)
            await download.save_as(tmp_path / kind)
            files[kind] = (tmp_path / kind).read_text()
        assert "You: Two times three?" in files["text"]
        stored = json.loads(files["JSON"])
        assert stored["version"] == 1
        assert stored["sessionId"] == call.session_id
        assert [one["text"] for one in stored["entries"]] == ["Two times three?", "It is **six**."]
