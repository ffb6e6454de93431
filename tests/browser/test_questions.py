"""What the agent asks the person before it does something, and that its model is away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chromium import stop_clock
from tests.browser.scenes import Stage, open_stage
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


FRAME_MS = 50
"""In so long the page draws what is new in the conversation."""


async def ask(stage: Stage, id: str = "1", *, seconds: float = 60, **fields: Any) -> None:
    stage.call.send("confirm", id=id, name="pay", seconds=seconds, **fields)
    await expect(stage.page.page.locator("#question")).to_be_visible()


async def read(stage: Stage) -> None:
    """Who answers has read: a click in the first moment answers nothing."""
    await stage.page.page.clock.fast_forward(1_000)


async def said(stage: Stage) -> dict[str, Any]:
    async with asyncio.timeout(20):
        return await stage.call.received.get()


async def test_question_is_read_out_and_answered_by_keys(
    browser: Browser, server: StandInServer
) -> None:
    """The card has the focus, no key on its way answers it, and the focus goes back afterwards."""
    async with open_stage(browser, server) as stage:
        page, keyboard = stage.page.page, stage.page.page.keyboard
        await stop_clock(page)
        card = page.get_by_role("alertdialog", name="May the agent use pay?")
        await page.locator("#panel-toggle").focus()
        await ask(stage, hint="Pay 5 euros to Ada?", args={"amount": 5, "to": "Ada"})
        await expect(card).to_be_focused()
        await expect(card).to_have_accessible_description("Pay 5 euros to Ada?")
        await expect(page.locator("#question-args")).to_have_text('amount: 5 to: "Ada"')
        await keyboard.press("Enter")
        await keyboard.press("Space")
        await read(stage)
        await expect(page.locator("#question-left")).to_have_text("Counts as no in 59 s.")
        assert stage.call.received.empty()

        await keyboard.press("Tab")  # what is passed can be scrolled
        await keyboard.press("Tab")
        await expect(card.get_by_role("button", name="No")).to_be_focused()
        await keyboard.press("Tab")
        await keyboard.press("Enter")
        assert await said(stage) == {"type": "confirm", "id": "1", "confirmed": True}
        await expect(card).to_be_hidden()
        await expect(page.locator("#panel-toggle")).to_be_focused()
        await page.clock.run_for(FRAME_MS)
        await expect(stage.page.rows("note")).to_have_text("You allowed pay.")


async def test_who_is_typing_is_told_and_not_torn_away(
    browser: Browser, server: StandInServer
) -> None:
    async with open_stage(browser, server) as stage:
        await stage.page.message.fill("Half a sen")
        await stage.page.message.focus()
        await ask(stage)
        await expect(stage.page.message).to_be_focused()
        announcer = stage.page.page.locator("#announcer")
        await expect(announcer).to_contain_text("asks for your permission")


async def test_questions_come_one_after_the_other_and_a_double_click_answers_one(
    browser: Browser, server: StandInServer
) -> None:
    async with open_stage(browser, server) as stage:
        page = stage.page.page
        await stop_clock(page)
        await ask(stage, "1", hint="First?")
        stage.call.send("confirm", id="2", name="send_mail", seconds=60)
        stage.call.send("confirm", id="2", name="send_mail", seconds=60)  # again, not another one
        await expect(page.locator("#question-more")).to_have_text("1 more question")
        await read(stage)
        no = page.locator("#question-no")
        await no.dblclick()
        assert await said(stage) == {"type": "confirm", "id": "1", "confirmed": False}
        await expect(page.locator("#question-title")).to_have_text("May the agent use send_mail?")
        await expect(page.locator("#question-hint")).to_be_hidden()
        await read(stage)
        await no.click()
        assert await said(stage) == {"type": "confirm", "id": "2", "confirmed": False}
        await expect(page.locator("#question")).to_be_hidden()


async def test_details_go_with_a_yes_as_the_person_has_changed_them(
    browser: Browser, server: StandInServer
) -> None:
    """They are JSON; what is none is not sent, and it is said why."""
    async with open_stage(browser, server) as stage:
        page = stage.page.page
        await stop_clock(page)
        await ask(stage, payload={"tip": 0})
        await read(stage)
        field = page.get_by_role("textbox", name="Details that go with a yes")
        await expect(field).to_have_value('{\n  "tip": 0\n}')
        await field.fill("{tip: 1}")
        await page.locator("#question-yes").click()
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(page.locator("#question-wrong")).to_have_text("This is not JSON.")
        await field.fill('{"tip": 1}')
        await page.locator("#question-yes").click()
        yes = {"type": "confirm", "id": "1", "confirmed": True, "payload": {"tip": 1}}
        assert await said(stage) == yes


async def test_question_about_more_than_is_shown_says_so(
    browser: Browser, server: StandInServer
) -> None:
    """Whether the server cut the arguments short, or the card does: nobody agrees unawares."""
    async with open_stage(browser, server) as stage:
        page = stage.page.page
        await stop_clock(page)
        for id, is_cut, fields in (
            ("1", True, {"args": '{"to": "Ada", "text": "aaaa', "truncated": True}),
            ("2", True, {"args": {"text": "a" * 20_000}}),
            ("3", False, {"args": {"text": "a" * 2_000}}),
        ):
            await ask(stage, id, **fields)
            cut = page.locator("#question-cut")
            await expect(cut).to_be_visible(visible=is_cut)
            if is_cut:
                await expect(cut).to_have_text("shortened")
            await read(stage)
            await page.locator("#question-no").click()
            await expect(page.locator("#question")).to_be_hidden()
            await said(stage)


async def test_question_that_nobody_answers_goes_and_it_is_said(
    browser: Browser, server: StandInServer
) -> None:
    """So does one that the agent takes back, and one whose call is lost, without a word."""
    async with open_stage(browser, server) as stage:
        page = stage.page.page
        await stop_clock(page)
        await ask(stage, "1", seconds=2)
        await page.clock.fast_forward(3_000)
        await expect(page.locator("#question")).to_be_hidden()
        await page.clock.run_for(FRAME_MS)
        words = "Nobody answered in time: pay was not allowed."
        await expect(stage.page.rows("note")).to_have_text(words)
        await expect(page.locator("#announcer")).to_have_text(words)

        await ask(stage, "2")
        stage.call.send("tool", phase="cancelled", id="2", name="pay")
        await expect(page.locator("#question")).to_be_hidden()
        await ask(stage, "3")
        await stage.call.close()
        await expect(page.locator("#question")).to_be_hidden()
        assert stage.call.received.empty()


async def test_absence_of_the_model_is_shown_until_it_is_back(
    browser: Browser, server: StandInServer
) -> None:
    async with open_stage(browser, server) as stage:
        stage.call.send("model", state="away")
        await stage.notices("model_away")
        await stage.shows("away")
        await expect(stage.page.state).to_have_text("Agent is away")
        stage.call.send("model", state="back")
        await expect(stage.page.notice).to_be_hidden()
        await stage.shows("listening")
        await expect(stage.page.page.locator("#announcer")).to_have_text("The agent is back")

        stage.call.send("model", state="away")
        await stage.shows("away")
        stage.call.send("model", state="back", name="another-model")
        await expect(stage.page.notice).to_contain_text("another model, another-model.")
        stage.call.send("text", data="Here I am.", turn=1)
        await expect(stage.page.notice).to_be_hidden()
