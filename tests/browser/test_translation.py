"""The page in another language, from right to left: all its words stand in strings.js."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Locator, Route

from rtc_server.page import HEADERS, find_web_dir
from tests.browser.chromium import CallPage
from tests.browser.fit import misfits_of
from tests.browser.scenes import HOOKS, SCENES, Stage
from tests.browser.stand_in_server import StandInServer
from tests.browser.taken_calls import take_call

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(120)]

TRANSLATION = """
import * as original from "./strings.js?original";
const translated = (it, key) => {
  if (key === "picture") return it; // a name of index.html
  if (typeof it === "string") return `⟦${it}⟧`;
  if (typeof it === "function") return (...given) => translated(it(...given));
  if (Array.isArray(it)) return it.map((one) => translated(one));
  return Object.fromEntries(Object.entries(it).map(([k, one]) => [k, translated(one, k)]));
};
export const LANGUAGE = { code: "ar", direction: "rtl" };
"""

UNTRANSLATED = """([notOurs, serversWords]) => {
  const left = [];
  const look = (where, words) => {
    let rest = words;
    for (let before = ""; before !== rest;) {
      before = rest;
      rest = rest.replace(/⟦[^⟦⟧]*⟧/g, "");
    }
    const isOurs = !serversWords.includes(rest.trim());
    if (/\\p{L}/u.test(rest) && isOurs) left.push(`${where}: ${words}`);
  };
  for (const one of document.body.querySelectorAll("*")) {
    if (one.closest(notOurs)) continue;
    const name = one.id || one.className || one.tagName;
    for (const node of one.childNodes) if (node.nodeType === Node.TEXT_NODE) look(name, node.data);
    for (const attribute of ["aria-label", "title", "placeholder", "alt"]) {
      const words = one.getAttribute(attribute);
      if (words) look(`${attribute} of ${name}`, words);
    }
  }
  for (const one of document.querySelectorAll(".unheard")) look("unheard", one.dataset.label);
  return left;
}"""

NOT_OURS = ", ".join(
    [
        "script, noscript",
        "#agent",
        "#announcer",  # what was said, whole
        ".words *, p.words",  # what was said
        ".row.tool :is(code, .result, pre)",
        ".row.code :is(code, .result, pre, .label)",
        ".thought-text, .links *, .queries q",
        "#question-hint, #question-args",
        ".code-bar > span",
        "select",  # the names of devices
        "time",  # the browser's own words
        ".panel-events",  # words of the wire
        ".panel .names dd",
    ]
)
SERVERS_WORDS = [
    "The server is full.",
    "The agent cannot be reached. Please call again later.",
    "travel agent",
]


@asynccontextmanager
async def open_translated(
    browser: Browser, server: StandInServer, size: tuple[int, int] = (1280, 800)
) -> AsyncIterator[Stage]:
    """The page with every string in brackets, as a language that runs from right to left."""
    source = (find_web_dir() / "page" / "strings.js").read_text(encoding="utf-8")
    names = set(re.findall(r"^export (?:const|function) (\w+)", source, re.MULTILINE))
    exports = (
        f"export const {name} = translated(original.{name});\n" for name in names - {"LANGUAGE"}
    )
    script = TRANSLATION + "".join(exports)

    async def translate(route: Route) -> None:
        await route.fulfill(body=script, content_type="text/javascript", headers=HEADERS)

    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        permissions=["microphone", "camera"],
        reduced_motion="reduce",
    )
    try:
        await context.add_init_script(HOOKS)
        page = await context.new_page()
        await page.route(re.compile(r"/page/strings\.js$"), translate)
        call_page = CallPage(page)
        await page.goto(server.url)
        yield Stage(call_page, server, await take_call(server, call_page))
        call_page.check_clean(refused_requests=True)
    finally:
        await context.close()


@pytest.mark.parametrize("scene", SCENES)
async def test_every_word_of_the_page_is_translated_and_fits(
    browser: Browser, server: StandInServer, scene: str
) -> None:
    """Text, labels, titles and placeholders; in windows of three sizes, also with longer words."""
    async with open_translated(browser, server) as stage:
        await SCENES[scene](stage)
        page = stage.page.page
        assert await page.locator("html").get_attribute("lang") == "ar"
        assert await page.evaluate(UNTRANSLATED, [NOT_OURS, SERVERS_WORDS]) == []
        for width, height in ((1280, 800), (768, 1024), (360, 740)):
            await page.set_viewport_size({"width": width, "height": height})
            assert await misfits_of(page) == [], width


async def test_every_notice_is_translated(browser: Browser, server: StandInServer) -> None:
    async with open_translated(browser, server, (360, 740)) as stage:
        page = stage.page.page
        codes = await page.evaluate(
            """async () => {
              const { Notice } = await import("/page/notice.js");
              const { PROBLEMS, WORDS } = await import("/page/strings.js");
              globalThis.notice = new Notice();
              globalThis.action = WORDS.tryAgain;
              return Object.keys(PROBLEMS);
            }"""
        )
        for code in codes:
            await page.evaluate("(code) => notice.show(code, { action })", code)
            assert await page.evaluate(UNTRANSLATED, [NOT_OURS, []]) == [], code
            assert await misfits_of(page) == [], code


async def test_page_is_mirrored_from_right_to_left(browser: Browser, server: StandInServer) -> None:
    """The bar begins at the right; the person's rows and the panel are at the left."""
    async with open_translated(browser, server) as stage:
        await SCENES["panel"](stage)
        page = stage.page.page
        assert await left_of(page.locator("#agent")) > await left_of(page.locator("#new"))
        assert await left_of(page.locator("#new")) > await left_of(page.locator("#settings-open"))
        users, agents = stage.page.rows("user").first, stage.page.rows("agent").first
        words = ".words"
        assert await left_of(users.locator(words)) < await left_of(agents.locator(words))
        assert await left_of(page.locator("#panel")) == 0
        assert await left_of(page.locator("#send")) < await left_of(page.locator("#text"))
        assert await left_of(stage.page.mute) > await left_of(stage.page.hang_up)


async def left_of(element: Locator) -> float:
    box = await element.bounding_box()
    assert box is not None
    return box["x"]
