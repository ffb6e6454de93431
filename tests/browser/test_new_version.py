"""A server that was renewed: the page is loaded anew, where nothing is lost by it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from rtc_server.page import find_web_dir
from tests.browser.chromium import CallPage, open_call_page
from tests.browser.page_record import MICROPHONE_IS, RECORD
from tests.browser.stand_in_server import StandInServer
from tests.browser.taken_calls import take_audio_call, take_call
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(120)]

OLD_WORDS, NEW_WORDS = "Say something, or type it.", "Speak or write."


@pytest_asyncio.fixture(loop_scope="module")
async def versioned(tmp_path: Path) -> AsyncIterator[StandInServer]:
    """A server whose page ``renew`` changes; a copy of the real one."""
    web_dir = tmp_path / "web"
    await asyncio.to_thread(shutil.copytree, find_web_dir(), web_dir)
    async with StandInServer(web_dir=web_dir) as server:
        yield server


async def renew(server: StandInServer, tmp_path: Path) -> None:
    """Restart the server with a newer page, which differs in one of its modules."""
    await server.stop()
    words = tmp_path / "web" / "page" / "strings.js"
    old = words.read_text()
    assert OLD_WORDS in old
    words.write_text(old.replace(OLD_WORDS, NEW_WORDS))
    await server.start()


def count_loads(page: CallPage) -> list[str]:
    """The addresses of the loads to come, as they come."""
    loads: list[str] = []
    page.page.on("load", lambda loaded: loads.append(loaded.url))
    return loads


async def check_page_is_new_and_stays(server: StandInServer, page: CallPage) -> None:
    """One load is enough: after a further restart of the same version the page is not loaded."""
    loads = count_loads(page)
    await expect(page.page.get_by_text(NEW_WORDS)).to_have_count(1)
    await server.stop()
    await expect(page.state).to_have_attribute("data-state", "reconnecting", timeout=20_000)
    await server.start()
    await take_call(server, page)
    assert loads == []


async def test_idle_page_is_renewed_with_its_server_and_keeps_the_conversation(
    browser: Browser, versioned: StandInServer, tmp_path: Path
) -> None:
    async with open_call_page(browser, versioned.url, refused_requests=True) as page:
        call = await take_call(versioned, page)
        await page.type("I am Ada.")
        call.send("text", data="Hello Ada.", turn=1)
        call.send("turn", turn=1, turn_complete=True, interrupted=False)
        await expect(page.rows("agent")).to_have_attribute("data-final", "true")
        loads = count_loads(page)
        await renew(versioned, tmp_path)
        await until(lambda: len(loads) == 1)
        again = await take_call(versioned, page)
        assert again.offer["session_id"] == call.session_id
        await expect(page.transcript.locator(".words")).to_have_text(["I am Ada.", "Hello Ada."])
        await expect(page.notice).to_be_hidden()
        assert len(loads) == 1
        await check_page_is_new_and_stays(versioned, page)


async def test_half_typed_message_is_not_lost_to_a_new_version(
    browser: Browser, versioned: StandInServer, tmp_path: Path
) -> None:
    """The page goes on as it is and offers to be loaded anew."""
    async with open_call_page(browser, versioned.url, refused_requests=True) as page:
        call = await take_call(versioned, page)
        await page.message.fill("I was about to say")
        loads = count_loads(page)
        await renew(versioned, tmp_path)
        again = await take_call(versioned, page)
        assert again.offer["session_id"] == call.session_id
        reload = page.page.get_by_role("button", name="Reload")
        await expect(reload).to_be_visible()
        await expect(page.message).to_have_value("I was about to say")
        await page.message.press("Enter")
        assert (await again.received.get())["data"] == "I was about to say"
        await expect(reload).to_be_visible()
        assert loads == []
        await reload.click()
        await until(lambda: len(loads) == 1)
        await take_call(versioned, page)
        await check_page_is_new_and_stays(versioned, page)


async def test_audio_call_is_not_cut_off_by_a_new_version(
    browser: Browser, versioned: StandInServer, tmp_path: Path
) -> None:
    """It goes on with its microphone on the new server, and the page offers to be loaded anew."""
    async with open_call_page(
        browser, versioned.url, refused_requests=True, init_script=RECORD
    ) as page:
        call = await take_audio_call(versioned, page)
        loads = count_loads(page)
        await renew(versioned, tmp_path)
        again = await take_call(versioned, page)
        assert again.has_audio
        assert again.offer["session_id"] == call.session_id
        assert await page.page.evaluate(MICROPHONE_IS) == "live"
        reload = page.page.get_by_role("button", name="Reload")
        await expect(reload).to_be_visible()
        assert loads == []
        await reload.click()
        await until(lambda: len(loads) == 1)
        renewed = await take_call(versioned, page)
        assert renewed.offer["session_id"] == call.session_id
        await check_page_is_new_and_stays(versioned, page)
