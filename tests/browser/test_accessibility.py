"""Everyone can use the call page: axe-core, keyboard, screen reader, zoom, motion.

axe-core checks what a machine can check (roles, names, contrast, sizes); the rest of the module
checks what a person would meet: order and traps of the focus, what is announced, and that
nothing is cut off in any window.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.chromium import open_call_page
from tests.browser.fit import misfits_of
from tests.browser.scenes import SCENES, Stage, open_stage
from tests.browser.stand_in_server import StandInServer
from tests.browser.taken_calls import TIMEOUT_S, take_call

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(120)]

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
"""``make test`` installs it."""

RUN_AXE = """async () => {
  const { violations, incomplete } = await axe.run(document, {
    resultTypes: ["violations", "incomplete"],
    // All that are on by default (WCAG 2.0 to 2.2 A and AA, best practices), and this one of 2.2.
    rules: { "target-size": { enabled: true } },
  });
  return violations.flatMap(({ id, nodes }) => nodes.map(
    (node) => `${id} ${node.target.join(" ")}: ${node.failureSummary}`,
  )).concat(incomplete.filter(({ id }) => id === "color-contrast").flatMap(({ nodes }) =>
    nodes.map(({ target }) => document.querySelector(target.at(-1)))
      .filter((element) => contrastOf(element) < 4.5)
      .map((element) => `contrast of ${element.outerHTML}: ${contrastOf(element)}`),
  ));
}"""

CONTRAST = """
// Of an element that axe leaves open, because it is scrolled away or lies on a gradient: its
// colour on the plain backgrounds behind it, and on `tint` as the last of them.
globalThis.contrastOf = (element, ...tint) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) {
    const { backgroundColor, opacity } = getComputedStyle(one);
    if (opacity !== "1") throw new Error(`${one.outerHTML} is translucent`);
    layers.unshift([backgroundColor, 1]);
  }
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = (...colours) => {
    for (const [colour, alpha] of colours) {
      canvas.globalAlpha = alpha;
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((it) => {
      const share = it / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = luminance(...layers, ...tint);
  const front = luminance([getComputedStyle(element).color, 1]);
  return (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
};
null; // a function would be called
"""

STILL = """() => {
  for (const one of document.getAnimations()) {
    if (one.effect.getComputedTiming().endTime === Infinity) one.pause();
    else one.finish();
  }
}"""
"""What is drawn while it fades in is measured as it is going to be."""

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


async def load_axe(page: Page) -> None:
    """By the debugger: no script of another place gets past the page's policy."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    await page.evaluate(CONTRAST)


async def check_with_axe(page: Page) -> None:
    """No violation in either scheme."""
    await load_axe(page)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        await page.evaluate(STILL)
        violations: list[str] = await page.evaluate(RUN_AXE)
        assert not violations, f"{scheme}\n" + "\n".join(violations)


# -- axe -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", SCENES)
async def test_axe_finds_nothing_in_any_state(
    browser: Browser, server: StandInServer, scene: str
) -> None:
    """On a desktop and on a phone, in both schemes."""
    async with open_stage(browser, server, size=(1280, 800)) as stage:
        await SCENES[scene](stage)
        await check_with_axe(stage.page.page)
        await stage.page.page.set_viewport_size({"width": 390, "height": 844})
        await check_with_axe(stage.page.page)


async def test_axe_finds_nothing_in_any_notice(browser: Browser, server: StandInServer) -> None:
    """Each thing that can be amiss, in the page's own notice, with a button as well."""
    async with open_stage(browser, server, size=(390, 844)) as stage:
        page = stage.page.page
        await load_axe(page)
        codes = await page.evaluate(
            """async () => {
              const { Notice } = await import("/page/notice.js");
              const { PROBLEMS, WORDS } = await import("/page/strings.js");
              globalThis.notice = new Notice();
              globalThis.action = WORDS.tryAgain;
              return Object.keys(PROBLEMS);
            }"""
        )
        assert len(codes) > 20
        for code in codes:
            await page.evaluate("(code) => notice.show(code, { action })", code)
            await expect(stage.page.notice).to_be_visible()
            assert await page.evaluate(RUN_AXE) == [], code
        await check_with_axe(page)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("state", ["listening", "thinking", "speaking", "initializing"])
async def test_word_of_the_stage_can_be_read_on_its_glow(
    browser: Browser, server: StandInServer, state: str, scheme: Scheme
) -> None:
    """The glow is never more than this share of the orb's colour over the ground."""
    async with open_stage(browser, server, color_scheme=scheme) as stage:
        await stage.be(state)
        await stage.page.page.evaluate(CONTRAST)
        contrast: float = await stage.page.page.evaluate(
            """() => {
              const glow = getComputedStyle(document.getElementById("stage")).color;
              return contrastOf(document.getElementById("stage-word"), [glow, 0.3]);
            }"""
        )
        assert contrast >= 4.5


# -- what a screen reader hears ------------------------------------------------------------

LISTEN = """
globalThis.announced = [];
document.addEventListener("DOMContentLoaded", () => {
  // Everything that a screen reader would speak up for: live regions and alerts.
  for (const region of document.querySelectorAll("[aria-live], [role=alert], [role=status]")) {
    new MutationObserver(() => {
      const words = region.hidden ? "" : region.textContent.replace(/\\s+/g, " ").trim();
      if (words && announced.at(-1) !== words) announced.push(words);
    }).observe(region, { childList: true, characterData: true, subtree: true, attributes: true });
  }
});
"""


async def announced(stage: Stage) -> list[str]:
    words: list[str] = await stage.page.page.evaluate("announced")
    return words


async def test_nothing_that_is_spoken_is_announced_and_no_change_of_state(
    browser: Browser, server: StandInServer
) -> None:
    """The agent's voice is not talked over by the screen reader."""
    async with open_stage(browser, server, init_script=LISTEN) as stage:
        await stage.start_audio()
        before = await announced(stage)
        for state in ("thinking", "speaking", "listening", "thinking"):
            await stage.be(state)
        for final in (False, True):
            for role in ("user", "agent"):
                stage.call.send("transcript", role=role, text="Good day.", final=final, turn=1)
        stage.call.send("latency", turn=1, response_ms=500, playout_ms=1, uplink_ms=1)
        stage.call.send("turn", turn=1, turn_complete=True, interrupted=False)
        await expect(stage.page.rows("agent")).to_have_attribute("data-final", "true")
        await expect(stage.page.page.locator("#latency")).to_be_visible()
        assert await announced(stage) == before


async def test_answer_of_a_text_call_is_announced_once_and_whole(
    browser: Browser, server: StandInServer
) -> None:
    async with open_stage(browser, server, init_script=LISTEN) as stage:
        before = await announced(stage)
        await stage.page.type("Two times three?")
        await stage.be("thinking")
        await stage.be("speaking")
        for piece in ("It ", "is ", "**six**."):
            stage.call.send("text", data=piece, turn=1)
        await expect(stage.page.rows("agent").locator("strong")).to_have_text("six")
        stage.call.send("turn", turn=1, turn_complete=True, interrupted=False)
        await expect(stage.page.rows("agent")).to_have_attribute("data-final", "true")
        await stage.be("listening")
        await expect(stage.page.page.locator("#announcer")).to_have_text("Agent: It is six.")
        news = (await announced(stage))[len(before) :]
        assert news == ["Agent: It is six."]


async def test_lost_connection_is_announced_and_that_it_is_back(
    browser: Browser, server: StandInServer
) -> None:
    async with open_stage(browser, server, init_script=LISTEN) as stage:
        before = await announced(stage)
        await stage.call.close()
        await take_call(server, stage.page)
        await expect(stage.page.page.locator("#announcer")).to_have_text("Connected")
        news = (await announced(stage))[len(before) :]
        assert "connection was lost" in news[0]


# -- keyboard ------------------------------------------------------------------------------

FOCUSED = """() => {
  const element = document.activeElement;
  const shown = element.closest(".composer, .switch") ?? element;
  const rings = [element, shown].map((one) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
    return (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow.includes("1px");
  });
  return [element.id || element.className || element.tagName, rings.some(Boolean)];
}"""


async def tab_through(page: Page) -> list[str]:
    """Tab from the start of the page to its end: what gets the focus, each of it visibly."""
    await page.evaluate(
        """() => {
          document.body.tabIndex = -1;
          document.body.focus();
          document.body.removeAttribute("tabindex");
        }"""
    )
    seen: list[str] = []
    for _ in range(60):
        await page.keyboard.press("Tab")
        name, is_visible = await page.evaluate(FOCUSED)
        if name == "BODY":
            break
        assert is_visible, f"one cannot see that {name} has the focus"
        seen.append(name)
    return seen


async def test_tab_goes_through_the_page_in_the_order_in_which_it_is_read(
    browser: Browser, server: StandInServer
) -> None:
    """From the link past the bar to the last button of the call; each focus can be seen."""
    async with open_stage(browser, server) as stage:
        await SCENES["speaking"](stage)
        bar = ["new", "panel-toggle", "more", "settings-open"]
        order = await tab_through(stage.page.page)
        assert order[: 2 + len(bar)] == ["skip", *bar, "scroll"]
        assert order[-6:] == ["text", "mute", "camera", "screen", "interrupt", "hangup"]


async def test_all_of_a_call_is_done_by_keys(browser: Browser, server: StandInServer) -> None:
    """Start, mute by M and by the button, speak while muted by Space, stop by Esc, hang up."""
    async with open_stage(browser, server) as stage:
        page, keyboard = stage.page, stage.page.page.keyboard
        await page.start_audio.focus()
        await keyboard.press("Enter")
        stage.call = await take_call(server, page)
        await expect(page.mute).to_be_focused()
        await keyboard.press("Enter")
        assert await said(stage) == {"type": "mute", "muted": True}
        await page.page.locator("#scroll").focus()

        await keyboard.down("Space")
        assert await said(stage) == {"type": "interrupt"}
        assert await said(stage) == {"type": "mute", "muted": False}
        assert await said(stage) == {"type": "activity", "state": "start"}
        await keyboard.up("Space")
        assert await said(stage) == {"type": "activity", "state": "end"}
        assert await said(stage) == {"type": "mute", "muted": True}

        await keyboard.press("m")
        assert await said(stage) == {"type": "mute", "muted": False}
        await stage.be("speaking")
        await keyboard.press("Escape")
        assert await said(stage) == {"type": "interrupt"}
        await page.hang_up.focus()
        await keyboard.press("Space")
        await expect(page.start_audio).to_be_focused()


async def said(stage: Stage) -> dict[str, Any]:
    """The next message of the page."""
    async with asyncio.timeout(TIMEOUT_S):
        return await stage.call.received.get()


@pytest.mark.parametrize("key", ["Space", "Enter"])
async def test_hold_to_talk_works_by_holding_a_key_on_its_button(
    browser: Browser, server: StandInServer, key: str
) -> None:
    async with open_stage(browser, server) as stage:
        await SCENES["hold-to-talk"](stage)
        hold = stage.page.page.locator("#hold")
        await hold.focus()
        while not stage.call.received.empty():
            stage.call.received.get_nowait()
        await stage.page.page.keyboard.down(key)
        await expect(hold).to_have_text("Release to stop")
        assert await said(stage) == {"type": "interrupt"}
        assert await said(stage) == {"type": "mute", "muted": False}
        assert await said(stage) == {"type": "activity", "state": "start"}
        await stage.page.page.keyboard.up(key)
        assert await said(stage) == {"type": "activity", "state": "end"}
        assert await said(stage) == {"type": "mute", "muted": True}
        await expect(hold).to_be_focused()


async def test_settings_keep_the_focus_and_give_it_back(
    browser: Browser, server: StandInServer
) -> None:
    """Tab does not leave the dialog for the page; Esc closes it, and nothing else."""
    async with open_stage(browser, server) as stage:
        page, keyboard = stage.page.page, stage.page.page.keyboard
        button, dialog = page.locator("#settings-open"), page.locator("#settings")
        await button.focus()
        await keyboard.press("Enter")
        await expect(dialog).to_be_visible()
        for _ in range(12):
            await keyboard.press("Tab")
            name, is_visible = await page.evaluate(FOCUSED)
            if name == "BODY":  # between the last and the first is the browser's own bar
                continue
            assert is_visible, name
            assert await page.evaluate("document.activeElement.closest('dialog') !== null")
        await page.locator("#noiseSuppression").focus()
        await keyboard.press("Space")
        await expect(page.locator("#noiseSuppression")).not_to_be_checked()
        await keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(button).to_be_focused()
        assert stage.call.received.empty()


async def test_menu_and_panel_are_opened_and_left_by_keys(
    browser: Browser, server: StandInServer
) -> None:
    async with open_stage(browser, server) as stage:
        page, keyboard = stage.page.page, stage.page.page.keyboard
        await page.locator("#more").focus()
        await keyboard.press("Enter")
        await expect(page.locator("#menu")).to_be_visible()
        await keyboard.press("Tab")
        await expect(page.locator("#copy-transcript")).to_be_focused()
        await keyboard.press("Escape")
        await expect(page.locator("#menu")).to_be_hidden()
        await expect(page.locator("#more")).to_be_focused()
        assert stage.call.received.empty()

        toggle = page.locator("#panel-toggle")
        await toggle.focus()
        await keyboard.press("Enter")
        await expect(page.locator("#panel")).to_be_visible()
        await expect(toggle).to_have_attribute("aria-expanded", "true")
        order = await tab_through(page)
        assert order.index("scroll") < order.index("panel-copy") < order.index("text")
        await page.locator(".panel-close").focus()
        await keyboard.press("Enter")
        await expect(page.locator("#panel")).to_be_hidden()
        await expect(toggle).to_be_focused()


# -- windows of all sizes ------------------------------------------------------------------

WINDOWS = {
    "watch": (320, 480),
    "phone": (360, 740),
    "landscape": (640, 360),
    "tablet": (768, 1024),
    "desktop": (1440, 900),
    "zoomed-200": (720, 450),
    "zoomed-400": (320, 256),
    "4k": (3840, 2160),
}
"""CSS pixels: 200 % and 400 % of zoom leave a half and a quarter of a window's (WCAG 1.4.10)."""

FITTING = [
    *("empty", "text-conversation", "question", "speaking", "held"),
    *("server-gone", "settings", "menu"),
]


@pytest.mark.parametrize("scene", [*FITTING, "panel"])
async def test_page_fits_every_window(browser: Browser, server: StandInServer, scene: str) -> None:
    """Nothing is cut off, lies over another or is too small to be hit, from a watch to 4K."""
    async with open_stage(browser, server) as stage:
        await SCENES[scene](stage)
        page = stage.page.page
        wrong: dict[str, list[str]] = {}
        for name, (width, height) in WINDOWS.items():
            await page.set_viewport_size({"width": width, "height": height})
            if misfits := await misfits_of(page):
                wrong[name] = misfits
        assert not wrong, json.dumps(wrong, indent=2)


# -- motion --------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", ["listening", "thinking", "speaking", "reconnecting"])
async def test_nothing_moves_by_itself_where_less_motion_is_asked_for(
    browser: Browser, server: StandInServer, scene: str
) -> None:
    """And the levels are shown all the same."""
    async with open_stage(browser, server) as stage:
        page = stage.page.page
        await page.emulate_media(reduced_motion="reduce")
        await SCENES[scene](stage)
        assert await page.evaluate("document.getAnimations().length") == 0
        await stage.hear(own=0.5, agents=0.5)
        if scene == "speaking":
            bar = page.locator("#agent-level > span")
            await expect(bar).to_have_css("transform", "matrix(0.5, 0, 0, 1, 0, 0)")
        bar = page.locator("#level > span")
        await expect(bar).not_to_have_css("transform", "matrix(0, 0, 0, 1, 0, 0)")


async def test_something_moves_where_motion_is_welcome(
    browser: Browser, server: StandInServer
) -> None:
    """So that the test above can fail."""
    async with open_stage(browser, server, motion=True) as stage:
        await SCENES["thinking"](stage)
        assert await stage.page.page.evaluate("document.getAnimations().length") > 0


# -- camera and microphone -----------------------------------------------------------------

SPY = """
const asked = [];
globalThis.asked = asked;
for (const name of ["getUserMedia", "getDisplayMedia"]) {
  const original = navigator.mediaDevices[name].bind(navigator.mediaDevices);
  navigator.mediaDevices[name] = (...given) => { asked.push(name); return original(...given); };
}
"""


async def test_microphone_is_asked_for_on_a_click_only(
    browser: Browser, server: StandInServer
) -> None:
    """Not by loading, typing, opening the settings, losing the connection or reloading."""
    async with open_call_page(browser, server.url, init_script=SPY, refused_requests=True) as page:
        call = await take_call(server, page)
        await page.type("Hello")
        await page.page.locator("#settings-open").click()
        await page.page.keyboard.press("Escape")
        await call.close()
        await take_call(server, page)
        assert await page.page.evaluate("asked") == []
        await page.page.reload()
        await take_call(server, page)
        assert await page.page.evaluate("asked") == []

        await page.start_audio.click()
        await take_call(server, page)
        assert await page.page.evaluate("asked") == ["getUserMedia"]
        await page.page.reload()
        await take_call(server, page)
        assert await page.page.evaluate("asked") == []
