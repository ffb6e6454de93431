"""The page comes back: after sleep, on another network, beside another tab."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from tests.browser.chromium import CHROMIUM, FLAGS, CallPage, open_call_page
from tests.browser.network import Network, NetworkUnavailableError
from tests.browser.page_record import MICROPHONE_IS, RECORD
from tests.browser.server_process import ServerProcess
from tests.browser.stand_in_server import Refusal, StandInCall, StandInServer
from tests.browser.taken_calls import TIMEOUT_S, take_audio_call, take_call
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(120)]

BACK_WITHIN_S = 20
"""What is promised is five seconds; the machine of a test may be busy with others."""
ASLEEP_S = 3
"""Longer than any silence that a connection is given."""

WITHOUT_NAMESPACES = "RTC_TESTS_WITHOUT_NAMESPACES"
"""Set to 1 in the environment: this machine is known to allow none, as without root."""

SAY_ALL_IS_WELL = """() => {
  dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("resume"));
  document.dispatchEvent(new Event("visibilitychange"));
  navigator.connection.dispatchEvent(new Event("change"));
}"""
"""What a browser says when the network is back, the device wakes or the tab is looked at."""


SLOW_TIMERS = """
globalThis.slowTimers = () => {
  const original = setTimeout;
  globalThis.setTimeout = (act, ms, ...rest) => original(act, ms * 1000, ...rest);
};
"""
"""Whatever is waited for takes a thousand times as long, from ``slowTimers`` on."""


async def next_call(server: StandInServer, *, timeout_s: float = 20) -> StandInCall:
    async with asyncio.timeout(timeout_s):
        return await server.next_call()


async def start_audio(server: StandInServer, page: CallPage, *, muted: bool = False) -> StandInCall:
    call = await take_audio_call(server, page)
    if muted:
        await page.mute.click()
        assert await call.received.get() == {"type": "mute", "muted": True}
    return call


async def check_it_goes_on(
    server: StandInServer, page: CallPage, before: StandInCall
) -> StandInCall:
    """The same conversation is in a new connection, and works."""
    again = await next_call(server, timeout_s=BACK_WITHIN_S)
    await page.wait_connected()
    assert again.id != before.id
    assert again.offer["session_id"] == before.session_id
    assert again.has_audio == before.has_audio
    await expect(page.notice).to_be_hidden()
    again.send("text", data="Here I am.", turn=1)
    await expect(page.rows("agent").last).to_contain_text("Here I am.")
    return again


async def check_loss_was_said(page: CallPage) -> None:
    notices = await page.page.evaluate("notices")
    assert any("The connection was lost." in one and "Trying again" in one for one in notices), (
        notices
    )


# -- sleep ---------------------------------------------------------------------------------


async def set_lifecycle(page: CallPage, state: str) -> None:
    session = await page.page.context.new_cdp_session(page.page)
    await session.send("Page.setWebLifecycleState", {"state": state})
    await session.detach()


async def test_tab_that_was_frozen_goes_on_when_it_is_woken(
    browser: Browser, server: StandInServer
) -> None:
    """The call ended while no timer ran and no event came."""
    async with open_call_page(browser, server.url, init_script=RECORD) as page:
        call = await take_call(server, page)
        await set_lifecycle(page, "frozen")
        await call.close()
        await set_lifecycle(page, "active")
        await check_it_goes_on(server, page, call)
        await check_loss_was_said(page)


async def test_frozen_tab_whose_call_still_stands_keeps_it(
    browser: Browser, server: StandInServer
) -> None:
    """Waking up is no reason to place another call."""
    async with open_call_page(browser, server.url, init_script=RECORD) as page:
        call = await take_call(server, page)
        await set_lifecycle(page, "frozen")
        await asyncio.sleep(ASLEEP_S)
        await set_lifecycle(page, "active")
        await page.type("Still here?")
        assert (await call.received.get())["data"] == "Still here?"
        pings = call.pings
        await until(lambda: call.pings > pings + 2)
        assert server.calls == [call]
        assert await page.page.evaluate("notices") == []


def processes_below(pid: int) -> list[int]:
    """The processes that this one has started, directly or not, that are of Chromium."""
    children: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue  # It has ended meanwhile.
        names[int(entry.name)] = stat.partition("(")[2].rpartition(")")[0]
        parent = int(stat.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(entry.name))
    found = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        found += [one for one in below if names[one].startswith("chrom")]
    return found


@asynccontextmanager
async def lid_closed() -> AsyncIterator[None]:
    """All of the browser stands still, and time goes on."""
    stopped = processes_below(os.getpid())
    assert len(stopped) >= 3
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("is_told", [True, False], ids=["closed", "vanished"])
async def test_audio_call_goes_on_after_the_lid_was_closed(
    browser: Browser, server: StandInServer, *, is_told: bool
) -> None:
    """The server gave the call up meanwhile; microphone and mute are as they were."""
    async with open_call_page(browser, server.url, init_script=RECORD) as page:
        call = await start_audio(server, page, muted=True)
        async with lid_closed():
            if is_told:
                await call.close()
            else:
                await call.vanish()
            await asyncio.sleep(ASLEEP_S)
        again = await check_it_goes_on(server, page, call)
        assert await again.received.get() == {"type": "mute", "muted": True}
        await expect(page.mute).to_have_attribute("data-muted", "true")
        assert await page.page.evaluate(MICROPHONE_IS) == "live"
        await check_loss_was_said(page)


async def test_short_sleep_does_not_end_a_call_that_still_stands(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url, init_script=RECORD) as page:
        call = await start_audio(server, page)
        async with lid_closed():
            await asyncio.sleep(ASLEEP_S)
        pings = call.pings
        await until(lambda: call.pings > pings + 2)
        assert len(server.calls) == 2
        assert await page.page.evaluate("notices") == []


# -- another network -----------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def network(browser: Browser) -> AsyncIterator[Network]:
    network = Network()
    try:
        await network.__aenter__()
    except NetworkUnavailableError as error:
        if os.environ.get(WITHOUT_NAMESPACES) != "1":
            raise
        pytest.skip(f"no network of its own for the browser: {error}")
    try:
        yield network
    finally:
        await network.__aexit__(None, None, None)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def traveller(
    network: Network, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Browser]:
    """A browser on a device that goes from Wi-Fi to Wi-Fi."""
    async with network.launch_chromium(tmp_path_factory.mktemp("traveller")) as browser:
        yield browser


@asynccontextmanager
async def call_over_wifi(
    network: Network, traveller: Browser
) -> AsyncIterator[tuple[StandInServer, CallPage]]:
    """The page, loaded over the first Wi-Fi; the server is across the network."""
    await network.a.join()
    try:
        async with (
            StandInServer(host=network.server_address) as server,
            open_call_page(
                traveller,
                f"http://localhost:{server.port}/",
                refused_requests=True,
                init_script=RECORD,
            ) as page,
        ):
            yield server, page
    finally:
        await network.a.leave()
        await network.b.leave()


async def change_wifi(network: Network) -> None:
    await network.a.leave()
    await asyncio.sleep(1)
    await network.b.join()


async def change_wifi_at_once(network: Network) -> None:
    await network.b.join()
    await network.a.leave()


async def lose_wifi_for_a_while(network: Network) -> None:
    await network.a.leave()
    await asyncio.sleep(4)
    await network.a.join()


async def lose_packets_for_a_while(network: Network) -> None:
    await network.black_out()
    await asyncio.sleep(5)
    await network.light_up()


async def change_address(network: Network) -> None:
    await network.a.change_address()


@pytest.mark.parametrize(
    "happen",
    [
        change_wifi,
        change_wifi_at_once,
        lose_wifi_for_a_while,
        lose_packets_for_a_while,
        change_address,
    ],
)
async def test_audio_call_goes_on_over_the_network_that_is_there(
    network: Network, traveller: Browser, happen: Callable[[Network], Awaitable[None]]
) -> None:
    """A new connection, the same conversation, and the microphone muted as it was."""
    async with call_over_wifi(network, traveller) as (server, page):
        call = await start_audio(server, page, muted=True)
        await happen(network)
        again = await check_it_goes_on(server, page, call)
        assert await again.received.get() == {"type": "mute", "muted": True}
        assert await page.page.evaluate(MICROPHONE_IS) == "live"
        await check_loss_was_said(page)


async def test_blackout_of_a_second_is_sat_out(network: Network, traveller: Browser) -> None:
    """What was typed meanwhile arrives over the same connection."""
    async with call_over_wifi(network, traveller) as (server, page):
        call = await take_call(server, page)
        await network.black_out()
        await page.type("Can you hear me?")
        await network.light_up()
        assert (await call.received.get())["data"] == "Can you hear me?"
        pings = call.pings
        await until(lambda: call.pings > pings + 2)
        assert server.calls == [call]


async def test_page_that_was_opened_before_the_network_died_says_so_and_waits_for_it(
    network: Network, traveller: Browser
) -> None:
    """Text typed meanwhile is kept, and sent when the network is back."""
    async with call_over_wifi(network, traveller) as (server, page):
        call = await take_call(server, page)
        await network.a.leave()
        await expect(page.notice).to_contain_text("The connection was lost.", timeout=20_000)
        await page.type("Remember this.")
        await network.a.join()
        again = await next_call(server, timeout_s=BACK_WITHIN_S)
        assert again.offer["session_id"] == call.session_id
        assert (await again.received.get())["data"] == "Remember this."


# -- two tabs ------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def real_server(browser: Browser) -> AsyncIterator[ServerProcess]:
    async with ServerProcess() as server:
        yield server


async def open_tab(context: BrowserContext, url: str) -> CallPage:
    page = CallPage(await context.new_page())
    await page.page.goto(url)
    return page


async def duplicate_tab(page: CallPage) -> CallPage:
    """As the browser's own command does it: the new tab has what the old one remembers."""
    async with page.page.context.expect_page() as opened:
        await page.page.evaluate("() => { window.open(location.href); }")
    return CallPage(await opened.value)


async def tab_of_the_same_session(page: CallPage) -> CallPage:
    """The session in the address, as in a link."""
    session = await page.page.evaluate(
        "JSON.parse(sessionStorage.getItem('rtc.conversation')).sessionId"
    )
    return await open_tab(page.page.context, f"{page.page.url}#session={session}")


def count_offers(page: CallPage) -> int:
    return sum(one.endswith("/api/calls") for one in page.requests)


@pytest.mark.parametrize("second_tab", [duplicate_tab, tab_of_the_same_session])
async def test_newer_of_two_tabs_has_the_conversation_until_it_is_taken_back(
    browser: Browser,
    real_server: ServerProcess,
    second_tab: Callable[[CallPage], Awaitable[CallPage]],
) -> None:
    """The older one says so, lets go of its microphone and stays quiet, whatever happens."""
    context = await browser.new_context(permissions=["microphone"])
    try:
        await context.add_init_script(RECORD)
        older = await open_tab(context, real_server.url)
        await older.wait_connected(timeout_s=30)
        await older.start_audio.click()
        await expect(older.hang_up).to_be_visible()
        await older.wait_connected()

        newer = await second_tab(older)
        await newer.wait_connected()
        await expect(older.notice).to_contain_text("goes on in another window")
        await expect(older.state).to_have_text("Not connected")
        await expect(older.start_audio).to_be_visible()
        assert await older.page.evaluate(MICROPHONE_IS) == "ended"

        offers = count_offers(older)
        await older.page.evaluate(SAY_ALL_IS_WELL)
        await older.page.bring_to_front()
        await ask(newer, "What is three times four?")
        assert count_offers(older) == offers
        await expect(older.notice).to_contain_text("goes on in another window")
        await expect(newer.notice).to_be_hidden()

        offers = count_offers(newer)
        await older.page.get_by_role("button", name="Continue here").click()
        await older.wait_connected()
        await expect(newer.notice).to_contain_text("goes on in another window")
        await expect(older.notice).to_be_hidden()
        await newer.page.evaluate(SAY_ALL_IS_WELL)
        await ask(older, "What is five times four?")
        assert count_offers(newer) == offers
        older.check_clean()
        newer.check_clean()
    finally:
        await context.close()


async def ask(page: CallPage, text: str) -> None:
    answers = await page.rows("agent").count()
    await page.type(text)
    await expect(page.rows("agent")).to_have_count(answers + 1, timeout=30_000)
    await expect(page.rows("agent").last).to_have_attribute("data-final", "true", timeout=30_000)


# -- leaving and returning -----------------------------------------------------------------


@asynccontextmanager
async def launch_chromium_with_its_cache() -> AsyncIterator[Browser]:
    """Pages that are left are kept as they are, as for people; Playwright turns that off."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[*FLAGS, "--use-fake-device-for-media-stream"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@pytest.mark.usefixtures("browser")
async def test_page_out_of_the_back_forward_cache_calls_again(server: StandInServer) -> None:
    """Leaving hangs up; coming back is no load, and goes on with the session."""
    async with (
        launch_chromium_with_its_cache() as browser,
        open_call_page(browser, server.url) as page,
    ):
        call = await take_call(server, page)
        await page.type("I am Ada.")
        await page.page.evaluate("""() => {
          globalThis.shown = [];
          addEventListener("pageshow", (event) => shown.push(event.persisted));
        }""")
        await page.page.goto("data:text/html,<p>Elsewhere</p>")
        async with asyncio.timeout(TIMEOUT_S):
            await call.hung_up.wait()
        await page.page.go_back(wait_until="commit")
        again = await take_call(server, page)
        assert await page.page.evaluate("shown") == [True]
        assert again.offer["session_id"] == call.session_id
        await expect(page.rows("user")).to_have_count(1)
        await expect(page.notice).to_be_hidden()


@pytest.mark.usefixtures("browser")
async def test_page_that_is_left_in_an_audio_call_is_silent_when_one_comes_back(
    server: StandInServer,
) -> None:
    """Chromium keeps no page that had a microphone: it is loaded again, and only types."""
    async with (
        launch_chromium_with_its_cache() as browser,
        open_call_page(browser, server.url) as page,
    ):
        call = await start_audio(server, page)
        await page.type("I am Ada.")
        await page.page.goto("data:text/html,<p>Elsewhere</p>")
        async with asyncio.timeout(TIMEOUT_S):
            await call.hung_up.wait()
        await page.page.go_back()
        again = await take_call(server, page)
        assert again.offer["session_id"] == call.session_id
        assert not again.has_audio
        await expect(page.rows("user")).to_have_count(1)


# -- patience ------------------------------------------------------------------------------


async def test_full_server_is_not_asked_before_it_said_whatever_the_browser_says(
    browser: Browser, server: StandInServer
) -> None:
    """`online` and waking shorten a wait of the page's own, not one that the server asked for."""
    server.refusals = [Refusal(503, "All lines are taken.", {"Retry-After": "4"})]
    async with open_call_page(browser, server.url, refused_requests=True) as page:
        await expect(page.notice).to_contain_text("All lines are taken.")
        for _ in range(10):
            await page.page.evaluate(SAY_ALL_IS_WELL)
        assert server.refused == 1
        await take_call(server, page)
        refused_at, placed_at = server.asked_at
        assert placed_at - refused_at > 3.9
        assert count_offers(page) == 2


async def test_page_that_is_looked_at_again_does_not_wait_for_its_timer(browser: Browser) -> None:
    """After many failures the waits are long; who comes back does not have to sit one out."""
    async with (
        StandInServer() as server,
        open_call_page(browser, server.url, refused_requests=True, init_script=SLOW_TIMERS) as page,
    ):
        call = await take_call(server, page)
        await server.stop()
        await page.page.evaluate("slowTimers()")
        await expect(page.state).to_have_attribute("data-state", "reconnecting", timeout=20_000)
        await server.start()
        await page.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        again = await take_call(server, page)
        assert again.offer["session_id"] == call.session_id
