"""The call page in a real browser, against a server that says what each test tells it to."""

from __future__ import annotations

import asyncio
import base64
import json
import re

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.chromium import CallPage, open_call_page, stop_clock
from tests.browser.stand_in_server import Refusal, StandInServer
from tests.browser.taken_calls import TIMEOUT_S, take_audio_call, take_call

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


NOTE_ANNOUNCED = """
globalThis.announced = [];
addEventListener("DOMContentLoaded", () => {
  const announcer = document.querySelector("#announcer");
  const note = () => announcer.textContent && announced.push(announcer.textContent);
  new MutationObserver(note).observe(announcer, { childList: true });
});
"""


async def hold_markdown(page: CallPage) -> asyncio.Event:
    """What reads markdown comes when the event is set."""
    may_come = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_come.wait()
        await route.continue_()

    await page.page.route("**/markdown.js", hold)
    return may_come


# -- text ----------------------------------------------------------------------------------


async def test_page_connects_without_microphone_and_sends_typed_text(
    browser: Browser, server: StandInServer
) -> None:
    """One can type at once; the offer has a data channel only and asks for text."""
    async with open_call_page(browser, server.url, allow_microphone=False) as page:
        call = await take_call(server, page)
        assert not call.has_audio
        assert call.offer["modality"] == "text"

        await page.type("What is two times three?")

        sent = await call.received.get()
        assert sent == {
            "type": "text",
            "mime_type": "text/plain",
            "data": "What is two times three?",
        }
        await expect(page.rows("user")).to_have_text(["You: What is two times three?"])
        await expect(page.message).to_have_value("")


async def test_text_typed_before_the_call_is_up_is_sent_when_it_is(
    browser: Browser, server: StandInServer
) -> None:
    server.refusals = [Refusal(503, "The server is full.")]
    async with open_call_page(browser, server.url, refused_requests=True) as page:
        await page.type("Hello")
        call = await take_call(server, page)
        assert (await call.received.get())["data"] == "Hello"


async def test_what_reads_markdown_is_fetched_with_the_first_text_answer(
    browser: Browser, server: StandInServer
) -> None:
    """Until it is there, and if it cannot be had, the words are shown and read out as they came."""
    async with open_call_page(browser, server.url, refused_requests=True) as page:
        call = await take_call(server, page)
        assert not [one for one in page.requests if "markdown.js" in one]
        asked = asyncio.Event()

        async def refuse(route: Route) -> None:
            asked.set()
            await route.abort()

        await page.page.route("**/markdown.js", refuse)
        words = page.rows("agent").locator(".words")
        announcer = page.page.locator("[aria-live=polite]")

        call.send("text", data="It is\n**six**", turn=1)
        await asked.wait()
        call.send("turn", turn=1, turn_complete=True, interrupted=False)
        await expect(words).to_have_text("It is\n**six**", use_inner_text=True)
        await expect(announcer).to_have_text("Agent: It is **six**")

        await page.page.unroute("**/markdown.js", refuse)
        may_come = await hold_markdown(page)
        call.send("text", data="**Eight", turn=2)
        await expect(words.nth(1)).to_have_text("**Eight")
        may_come.set()
        call.send("text", data="**, too", turn=2)
        await expect(words.nth(1).locator("strong")).to_have_text("Eight")
        await expect(words.nth(1)).to_have_text("Eight, too")


async def test_answer_is_read_out_though_what_reads_markdown_does_not_come(
    browser: Browser, server: StandInServer
) -> None:
    """A network may swallow a request: the answer is not held up for it, and is not said twice."""
    async with open_call_page(browser, server.url, init_script=NOTE_ANNOUNCED) as page:
        call = await take_call(server, page)
        may_come = await hold_markdown(page)
        call.send("text", data="It is **six**.", turn=1)
        call.send("turn", turn=1, turn_complete=True, interrupted=False)
        announcer = page.page.locator("#announcer")
        await expect(announcer).to_have_text("Agent: It is **six**.")
        may_come.set()
        await expect(page.rows("agent").locator("strong")).to_have_text("six")
        assert await page.page.evaluate("announced") == ["Agent: It is **six**."]


async def test_answer_of_a_conversation_that_was_forgotten_is_not_read_out(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url, init_script=NOTE_ANNOUNCED) as page:
        call = await take_call(server, page)
        may_come = await hold_markdown(page)
        call.send("text", data="My secret.", turn=1)
        call.send("turn", turn=1, turn_complete=True, interrupted=False)
        await expect(page.rows("agent")).to_have_attribute("data-final", "true")
        await page.begin_anew()
        before = await page.page.evaluate("announced")
        may_come.set()
        await take_call(server, page)
        await page.page.evaluate("import('/page/markdown.js').then(() => {})")
        assert await page.page.evaluate("announced") == before
        await expect(page.page.locator("#announcer")).to_be_empty()


async def test_answer_streams_and_is_announced_once_whole(
    browser: Browser, server: StandInServer
) -> None:
    """Pieces of text grow one row; the row is final, timed and announced after `turn`."""
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        announcer = page.page.locator("[aria-live=polite]")
        answer = page.rows("agent")

        call.send("text", data="It is ", turn=1)
        await expect(answer.locator(".words")).to_have_text("It is ")
        await expect(answer).to_have_attribute("data-final", "false")
        await expect(announcer).to_be_empty()

        call.send("text", data="<b>six</b>.", turn=1)
        call.send("latency", turn=1, response_ms=1340, playout_ms=1, uplink_ms=2)
        call.send("turn", turn=1, turn_complete=True, interrupted=False)
        await expect(answer.locator(".words")).to_have_text("It is <b>six</b>.")
        await expect(answer).to_have_attribute("data-final", "true")
        await expect(answer.locator(".remark")).to_have_text("1.3 s")
        await expect(page.page.locator("#latency")).to_have_text("Answered in 1.3 s")
        await expect(announcer).to_have_text("Agent: It is <b>six</b>.")


async def test_timing_that_comes_before_the_words_is_shown_with_them(
    browser: Browser, server: StandInServer
) -> None:
    """The first sound leaves before the transcript of it is known."""
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("latency", turn=1, response_ms=637)
        call.send("transcript", role="agent", text="Six.", final=False, turn=1)
        await expect(page.rows("agent").locator(".remark")).to_have_text("640 ms")


# -- transcript ----------------------------------------------------------------------------


async def test_provisional_transcript_is_replaced_until_it_is_final(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("transcript", role="user", text="what is sex", final=False, turn=1)
        await expect(page.rows("user")).to_have_class(re.compile("provisional"))
        call.send("transcript", role="user", text="What is six?", final=True, turn=1)
        await expect(page.rows("user").locator(".words")).to_have_text(["What is six?"])
        await expect(page.rows("user")).not_to_have_class(re.compile("provisional"))


async def test_transcript_that_comes_after_its_answer_is_shown_before_it(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("transcript", role="agent", text="Six.", final=True, turn=1)
        call.send("transcript", role="user", text="Two times three?", final=True, turn=1)
        await expect(page.transcript.locator(".words")).to_have_text(["Two times three?", "Six."])


async def test_second_utterance_of_a_turn_has_a_row_of_its_own(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("transcript", role="user", text="Well.", final=True, turn=1)
        call.send("transcript", role="user", text="Two times", final=False, turn=1)
        call.send("transcript", role="user", text="Two times three?", final=True, turn=1)
        await expect(page.rows("user").locator(".words")).to_have_text(
            ["Well.", "Two times three?"]
        )


async def test_interrupted_answer_shows_what_was_not_heard(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("transcript", role="agent", text="Once upon a time.", final=False, turn=1)
        call.send(
            "turn",
            turn=1,
            turn_complete=True,
            interrupted=True,
            heard_ms=400,
            heard_text="Once upon",
        )
        answer = page.rows("agent")
        await expect(answer.locator(".unheard")).to_have_text(" a time.")
        await expect(answer.locator(".words")).to_have_text("Once upon a time.")
        await expect(answer.locator(".remark")).to_have_text("interrupted")


async def test_tool_call_and_its_result_are_one_quiet_row(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("tool", phase="call", id="a", name="multiply", args={"a": 2, "b": 3})
        await expect(page.rows("tool")).to_have_text(["multiply(a: 2, b: 3)…"])
        call.send("tool", phase="result", id="a", name="multiply", result={"product": 6})
        await expect(page.rows("tool")).to_have_text(["multiply(a: 2, b: 3)product: 6"])
        call.send("tool", phase="call", id="b", name="look_up")
        call.send("tool", phase="cancelled", id="b", name="look_up")
        await expect(page.rows("tool").last).to_have_text("look_upcancelled")


async def test_messages_of_unknown_types_are_ignored(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        call.send("from_the_future", text="?")
        call.send("text", data="Hello", turn=1)
        await expect(page.rows("agent")).to_have_count(1)


# -- coming and going ----------------------------------------------------------------------


async def test_leaving_the_page_hangs_up(browser: Browser, server: StandInServer) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        await page.page.goto("about:blank")
        async with asyncio.timeout(TIMEOUT_S):
            await call.hung_up.wait()


async def test_reload_keeps_the_session_and_what_was_said(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        await page.type("I am Ada.")
        call.send("text", data="Hello Ada.", turn=1)
        await expect(page.rows("agent")).to_have_count(1)

        await page.page.reload()
        again = await take_call(server, page)

        assert again.offer["session_id"] == call.session_id
        await expect(page.transcript.locator(".words")).to_have_text(["I am Ada.", "Hello Ada."])
        again.send("text", data="Welcome back.", turn=1)
        await expect(page.rows("agent").locator(".words")).to_have_text(
            ["Hello Ada.", "Welcome back."]
        )


async def test_conversation_of_nobody_known_is_not_shown(
    browser: Browser, server: StandInServer
) -> None:
    """Where the call has no session to go on with, the words of before are another one's."""
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.type("My secret.")
        await expect(page.rows("user")).to_have_count(1)
        await page.page.evaluate("sessionStorage.removeItem('rtc.conversation')")
        await page.page.reload()
        await take_call(server, page)
        await expect(page.transcript).to_be_empty()
        assert await page.page.evaluate("sessionStorage.getItem('rtc.transcript')") is None


async def test_call_token_of_somebody_else_shows_none_of_the_words_before(
    browser: Browser, server: StandInServer
) -> None:
    def token_of(name: str) -> str:
        claims = base64.urlsafe_b64encode(json.dumps({"sub": name}).encode()).decode()
        return f"eyJhbGciOiJIUzI1NiJ9.{claims.rstrip('=')}.c2lnbmF0dXJl"

    async with open_call_page(browser, f"{server.url}#token={token_of('ada')}") as page:
        await take_call(server, page)
        await page.type("My secret.")
        await expect(page.rows("user")).to_have_count(1)
        await page.page.evaluate("(hash) => (location.hash = hash)", f"token={token_of('bob')}")
        await page.page.reload()
        call = await take_call(server, page)
        assert "session_id" not in call.offer
        await expect(page.transcript).to_be_empty()


async def test_new_conversation_asks_before_it_forgets_one(
    browser: Browser, server: StandInServer
) -> None:
    """One click by mistake loses nothing; the question goes by itself."""
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.type("I am Ada.")
        await expect(page.rows("user")).to_have_count(1)
        await stop_clock(page.page)
        button = page.page.locator("#new")
        await button.click()
        await expect(button).to_have_accessible_name("Really?")
        await expect(page.rows("user")).to_have_count(1)
        await page.page.clock.fast_forward(5_000)
        await expect(button).to_have_accessible_name("New conversation")
        assert len(server.calls) == 1


async def test_new_conversation_forgets_the_session(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        await page.type("I am Ada.")
        await page.begin_anew()
        call = await take_call(server, page)
        assert "session_id" not in call.offer
        await expect(page.transcript).to_be_empty()


async def test_server_that_forgot_the_session_is_told_apart(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        call = await take_call(server, page)
        await page.type("I am Ada.")
        server.forget_sessions = True
        await call.close()
        await take_call(server, page)
        await expect(page.rows("note")).to_contain_text("new conversation")


# -- looks ---------------------------------------------------------------------------------


async def test_phone_of_common_height_gives_the_words_the_room(
    browser: Browser, server: StandInServer
) -> None:
    """In an audio call with words the orb stands in one line with its word."""
    async with open_call_page(browser, server.url, size=(375, 667)) as page:
        call = await take_audio_call(server, page)
        call.send("text", data="Hello", turn=1)
        await expect(page.rows("agent")).to_have_count(1)
        stage = await page.page.locator("#stage").bounding_box()
        assert stage is not None
        assert stage["height"] < 667 * 0.15


async def test_narrowest_window_says_the_state_once(
    browser: Browser, server: StandInServer
) -> None:
    """The stage says it; a screen reader, to which the stage is silent, still finds the chip."""
    async with open_call_page(browser, server.url, size=(320, 740)) as page:
        await take_call(server, page)
        chip = await page.state.bounding_box()
        assert chip is not None
        assert chip["width"] <= 1
        await expect(page.state).to_have_text("Ready")


async def test_message_field_is_as_high_as_its_words_after_a_turn_of_the_phone(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url, size=(900, 700)) as page:
        await take_call(server, page)
        await page.message.fill("A sentence that takes a line or two of the field. " * 3)
        rows = "document.querySelector('#text').clientHeight"
        wide = await page.page.evaluate(rows)
        await page.page.set_viewport_size({"width": 500, "height": 700})
        grown = """(wide) => {
          const { scrollHeight, clientHeight } = document.querySelector("#text");
          return scrollHeight <= clientHeight && clientHeight > wide;
        }"""
        await page.page.wait_for_function(grown, arg=wide)
        await page.page.set_viewport_size({"width": 900, "height": 700})
        await page.page.wait_for_function(f"(wide) => {rows} === wide", arg=wide)


@pytest.mark.parametrize("width", [320, 768, 1440])
async def test_page_fits_its_width(browser: Browser, server: StandInServer, width: int) -> None:
    """Nothing is wider than the window, in an audio call with all its buttons."""
    async with open_call_page(browser, server.url, size=(width, 640)) as page:
        await take_call(server, page)
        await page.start_audio.click()
        call = await take_call(server, page)
        call.send("state", state="speaking")
        call.send("text", data="Donaudampfschiff" * 20, turn=1)
        await expect(page.interrupt).to_be_visible()
        await expect(page.rows("agent")).to_contain_text("Donaudampfschiff")
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.page.evaluate(overflow) == 0
        for button in (page.mute, page.interrupt, page.hang_up):
            box = await button.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


async def test_page_can_be_used_with_the_keyboard_alone(
    browser: Browser, server: StandInServer
) -> None:
    async with open_call_page(browser, server.url) as page:
        await take_call(server, page)
        keyboard = page.page.keyboard
        await keyboard.press("Tab")  # the link past the header
        await keyboard.press("Enter")
        await expect(page.message).to_be_focused()
        await keyboard.press("Tab")
        await expect(page.start_audio).to_be_focused()
        await keyboard.press("Enter")
        call = await take_call(server, page)
        await expect(page.mute).to_be_focused()
        await keyboard.press("Space")
        assert await call.received.get() == {"type": "mute", "muted": True}
