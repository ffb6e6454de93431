"""The call page in trouble: refused, full, lost and failed calls, in words."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chromium import open_call_page
from tests.browser.stand_in_server import Refusal, StandInServer
from tests.browser.taken_calls import take_call
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

WITHOUT_ADDRESSES = """
const Original = RTCPeerConnection;
globalThis.RTCPeerConnection = class extends Original {
  constructor(configuration) {
    super({ ...configuration, iceTransportPolicy: "relay" });
  }
};
"""
"""No relay is configured, so that the browser gathers no candidate at all."""

NOTE_COUNTDOWNS = """
globalThis.shown = [];
addEventListener("DOMContentLoaded", () => {
  const [notice, title, countdown] = ["", "-title", "-countdown"].map(
    (part) => document.querySelector(`#notice${part}`),
  );
  new MutationObserver(() => {
    if (!notice.hidden) shown.push(`${title.textContent} ${countdown.textContent}`);
  }).observe(notice, { attributes: true, childList: true, characterData: true, subtree: true });
});
"""
"""All that the notice said, however shortly."""


async def test_candidates_follow_the_offer_by_patch(
    browser: Browser, server: StandInServer
) -> None:
    """The offer does not wait for ICE: it holds no candidate, they come and end by PATCH."""
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        assert "a=candidate" not in call.offer["sdp"]
        await until(lambda: bool(call.candidates))  # a call may be up before the server has any
        assert all(line.split()[2].lower() == "udp" for line in call.candidates if line)


async def test_browser_without_any_candidate_gets_a_sentence(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url, init_script=WITHOUT_ADDRESSES) as page:
        await expect(page.notice).to_contain_text("found no network address", timeout=20_000)


async def test_full_server_is_said_in_words_and_asked_again(
    browser: Browser, server: StandInServer
) -> None:
    server.refusals = [Refusal(503, "All lines are taken.", {"Retry-After": "2"})]
    async with open_call_page(
        browser, server.url, refused_requests=True, init_script=NOTE_COUNTDOWNS
    ) as page:
        await take_call(server, page)
        await expect(page.notice).to_be_hidden()
        assert server.refused == 1
        shown = await page.page.evaluate("shown")
        assert "All lines are taken. Trying again in 2 s." in shown, shown


async def test_retries_are_counted_down_and_announced_once(
    browser: Browser, server: StandInServer
) -> None:
    """The seconds run beside the alert: who hears the page is not told of every one."""
    server.refusals = [Refusal(503, "All lines are taken.", {"Retry-After": "2"})] * 50
    async with open_call_page(
        browser, server.url, refused_requests=True, init_script=NOTE_COUNTDOWNS
    ) as page:
        await expect(page.notice).to_contain_text("All lines are taken.")
        await page.page.evaluate("""() => {
          globalThis.changes = 0;
          const count = new MutationObserver((all) => (changes += all.length));
          const deep = { childList: true, characterData: true, attributes: true, subtree: true };
          count.observe(document.querySelector("[role=alert]"), deep);
          count.observe(document.querySelector("#notice"), { attributeFilter: ["hidden"] });
        }""")
        refused = server.refused
        await until(lambda: server.refused >= refused + 2, timeout_s=40)
        assert await page.page.evaluate("changes") == 0
        server.refusals.clear()
        await take_call(server, page)
        shown = await page.page.evaluate("shown")
        countdowns = {one.removeprefix("All lines are taken. ") for one in shown}
        assert {"Trying again.", "Trying again in 2 s."} <= countdowns


async def test_refusal_of_too_many_messages_is_not_wiped_by_the_next_words(
    browser: Browser, server: StandInServer
) -> None:
    """The agent answers what it got: what it did not get is still to be said again."""
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("error", code="rate_limited", message="Too many messages.", retryable=True)
        await expect(page.notice).to_contain_text("Too many messages.")
        call.send("text", data="An answer.", turn=1)
        await expect(page.rows("agent")).to_have_count(1)
        await expect(page.notice).to_contain_text("Too many messages.")


async def test_refused_call_is_not_placed_again_unasked(
    browser: Browser, server: StandInServer
) -> None:
    server.refusals = [Refusal(403, "This origin may not call.")]
    async with open_call_page(browser, server.url, refused_requests=True) as page:
        await expect(page.notice).to_contain_text("This origin may not call.")
        await expect(page.state).to_have_text("Not connected")
        await page.page.get_by_role("button", name="Try again now").click()
        await take_call(server, page)


async def test_call_token_comes_in_the_address_and_does_not_stay_there(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, f"{server.url}#token=abc.def.ghi") as page:
        call = await take_call(server, page)
        assert call.headers["Authorization"] == "Bearer abc.def.ghi"
        assert page.page.url == server.url


async def test_missing_call_token_is_said_in_words(browser: Browser, server: StandInServer) -> None:
    server.refusals = [Refusal(401, "This server asks for Authorization: Bearer.")]
    async with open_call_page(browser, server.url, refused_requests=True) as page:
        await expect(page.notice).to_contain_text("asks for a call token")
        await expect(page.state).to_have_text("Not connected")


async def test_lost_server_is_redialled_with_the_same_session(browser: Browser) -> None:
    """The server goes and comes back; the page keeps the conversation by itself."""
    async with (
        StandInServer() as server,
        open_call_page(browser, server.url, refused_requests=True) as page,
    ):
        first = await take_call(server, page)
        await page.type("Remember the number seven.")
        await first.received.get()

        await server.stop()
        await expect(page.state).to_have_attribute("data-state", "reconnecting", timeout=20_000)
        await expect(page.notice).to_contain_text("The server cannot be reached.")
        await expect(page.notice).to_contain_text("Trying again")
        await server.start()

        again = await take_call(server, page)
        assert again.offer["session_id"] == first.session_id
        await expect(page.rows("user")).to_have_count(1)
        await expect(page.notice).to_be_hidden()


async def test_replaced_call_is_not_redialled_until_asked(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("goaway", reason="replaced", seconds=0)
        await expect(page.notice).to_contain_text("another window")
        await call.close()
        await expect(page.state).to_have_text("Not connected")
        assert len(server.calls) == 1
        await page.page.get_by_role("button", name="Continue here").click()
        again = await take_call(server, page)
        assert again.offer["session_id"] == call.session_id


async def test_draining_server_is_redialled_when_the_call_ends(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("goaway", reason="drain", seconds=1)
        await call.close()
        again = await take_call(server, page)
        assert again.offer["session_id"] == call.session_id


async def test_failed_agent_is_said_in_words_and_not_redialled(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("error", code="agent_failed", message="The agent gave up.", retryable=False)
        await expect(page.notice).to_contain_text("The agent gave up.")
        await call.close()
        await expect(page.state).to_have_text("Not connected")
        await expect(page.notice).to_contain_text("The agent gave up.")
        assert len(server.calls) == 1


async def test_error_that_passes_is_shown_until_the_agent_speaks_again(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("error", code="agent_failed", message="One moment, please.", retryable=True)
        await expect(page.notice).to_contain_text("One moment, please.")
        call.send("text", data="Here I am again.", turn=1)
        await expect(page.notice).to_be_hidden()
