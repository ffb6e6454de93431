"""The panel of call details alone: its figures and plots."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from tests.browser.panel_page import DASH, FAKE_CALL, FIGURES, MAKE_PANEL, SILENT, open_panel
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


# -- folded --------------------------------------------------------------------------------


async def test_folded_panel_costs_nothing(browser: Browser, server: StandInServer) -> None:
    """No timer, no question to the connection, however much is said."""
    async with open_panel(browser, server) as panel:
        await expect(panel.panel).to_be_hidden()
        await panel.emit("status", {"line": "up", "audio": True, "problem": None, "retryInS": 0})
        await panel.say("state", state="listening")
        await panel.say("turn", turn=1, turn_complete=True, interrupted=False)
        await panel.page.clock.run_for(60_000)
        assert await panel.asked() == 0
        assert await panel.page.evaluate("timers") == 0


async def test_open_panel_asks_once_a_second_until_it_is_folded(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        assert await panel.asked() == 1
        await panel.measure(FIGURES, seconds=5)
        assert await panel.asked() == 6
        await panel.open()  # again, which changes nothing
        await panel.measure(FIGURES)
        assert await panel.asked() == 7

        await panel.close()
        await panel.page.clock.run_for(60_000)
        assert await panel.asked() == 7


async def test_folded_panel_asks_once_for_an_answer_and_shows_it_when_opened(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.measure(FIGURES)
        await panel.say("latency", turn=1, response_ms=900, agent_ms=880, playout_ms=20)
        await panel.say("turn", turn=1, turn_complete=True, interrupted=False)
        assert await panel.asked() == 1
        await panel.open()
        await expect(panel.bars).to_have_count(1)
        await expect(panel.bars.first).to_contain_text("network and playout 100 ms")


async def test_answer_whose_sound_was_not_played_yet_is_measured_at_its_end(
    browser: Browser, server: StandInServer
) -> None:
    """The message comes with the first packet: the jitter buffer has nothing to tell yet."""
    async with open_panel(browser, server) as panel:
        await panel.measure(SILENT)
        await panel.say("latency", turn=1, response_ms=900, agent_ms=880, playout_ms=20)
        await panel.measure(FIGURES)
        await panel.say("turn", turn=1, turn_complete=True, interrupted=False)
        assert await panel.asked() == 2
        await panel.open()
        await expect(panel.bars.first).to_contain_text("network and playout 100 ms")


# -- open and closed -----------------------------------------------------------------------


async def test_button_opens_and_folds_and_says_which(
    browser: Browser, server: StandInServer
) -> None:
    """Closing by the cross leads the keyboard back to the button."""
    async with open_panel(browser, server) as panel:
        toggle = panel.page.get_by_role("button", name="Details", exact=True)
        await expect(toggle).to_have_attribute("aria-expanded", "false")
        await toggle.click()
        await expect(toggle).to_have_attribute("aria-expanded", "true")
        await expect(panel.page.get_by_role("complementary", name="Call details")).to_be_visible()
        await panel.page.get_by_role("button", name="Close call details").click()
        await expect(panel.panel).to_be_hidden()
        await expect(toggle).to_be_focused()
        await expect(toggle).to_have_attribute("aria-expanded", "false")


async def test_panel_is_as_it_was_after_a_reload(browser: Browser, server: StandInServer) -> None:
    async with open_panel(browser, server) as panel:
        for is_open in (True, False):
            await panel.page.locator("#toggle").click()
            await panel.page.reload()
            await panel.page.evaluate(FAKE_CALL)
            await panel.page.evaluate(MAKE_PANEL, {})
            await expect(panel.panel).to_be_visible(visible=is_open)
            assert await panel.asked() == (1 if is_open else 0)


async def test_panel_opens_where_storage_is_forbidden(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.page.evaluate("""() => {
          const refuse = () => { throw new DOMException("no", "SecurityError"); };
          Object.defineProperty(globalThis, "localStorage", { get: refuse });
        }""")
        await panel.page.evaluate(f"() => ({MAKE_PANEL})({{ toggle: null }})")
        await panel.open()
        await expect(panel.panel).to_be_visible()
        await panel.close()
        await expect(panel.panel).to_be_hidden()


# -- figures -------------------------------------------------------------------------------


async def test_figures_are_shown_with_their_units(browser: Browser, server: StandInServer) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.measure(FIGURES)
        for label, words in {
            "Round trip": "38 ms",
            "Jitter down": "3.5 ms",
            "Jitter up": "12 ms",
            "Loss down": "2.4 %",
            "Loss up": "0 %",
            "Jitter buffer": "62 ms",
            "Bitrate down": "48 kbit/s",
            "Bitrate up": "8.5 kbit/s",
            "Codec down": "opus/48000/2 useinbandfec=1",
            "Codec up": "opus/48000/2 minptime=10",
            "Path": "relay to host, UDP, TURN/TLS, wifi",
        }.items():
            await expect(panel.value(label)).to_have_text(words)


async def test_figures_that_are_not_known_are_a_dash(
    browser: Browser, server: StandInServer
) -> None:
    """Never 0 or NaN: while the agent is silent, before a call, and when the connection fails."""
    async with open_panel(browser, server) as panel:
        await panel.open()
        await expect(panel.value("Round trip")).to_have_text(DASH)
        await panel.measure(SILENT)
        await expect(panel.value("Round trip")).to_have_text("38 ms")
        await expect(panel.value("Loss down")).to_have_text(DASH)
        await expect(panel.value("Jitter buffer")).to_have_text(DASH)
        await expect(panel.value("Bitrate down")).to_have_text(DASH)
        await panel.measure("broken")
        await expect(panel.value("Round trip")).to_have_text(DASH)
        await panel.measure(FIGURES)
        await expect(panel.value("Round trip")).to_have_text("38 ms")


async def test_text_call_shows_no_figures_of_audio(browser: Browser, server: StandInServer) -> None:
    async with open_panel(browser, server) as panel:
        await panel.page.evaluate("call.hasAudio = false")
        await panel.open()
        await panel.measure({**FIGURES, "downlink": None, "uplink": None})
        await expect(panel.page.locator(".figure:visible dt, .name:visible dt")).to_have_text(
            ["Round trip", "Path"]
        )


# -- plots ---------------------------------------------------------------------------------


async def test_plot_shows_the_last_minute(browser: Browser, server: StandInServer) -> None:
    """Older samples leave it; the newest is at its right end."""
    async with open_panel(browser, server) as panel:
        await panel.measure(FIGURES)
        await panel.open()
        await panel.measure(FIGURES, seconds=3)
        assert _places(await panel.path("Round trip"))[-1][0] == 120
        assert len(_places(await panel.path("Round trip"))) == 4
        await panel.measure(FIGURES, seconds=70)
        places = _places(await panel.path("Round trip"))
        assert len(places) == 60
        assert all(0 < x <= 120 for x, _ in places)
        assert [x for x, _ in places] == sorted(x for x, _ in places)
        await expect(panel.figure("Round trip").locator(".plot")).to_have_attribute(
            "aria-hidden", "true"
        )


async def test_plot_has_a_gap_where_nothing_was_measured(
    browser: Browser, server: StandInServer
) -> None:
    """The agent was silent in between; and while the panel was folded nobody looked."""
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.measure(FIGURES, seconds=3)
        await panel.measure(SILENT, seconds=3)
        await panel.measure(FIGURES, seconds=2)
        assert (await panel.path("Jitter buffer")).count("M") == 2
        assert (await panel.path("Round trip")).count("M") == 1
        await panel.close()
        await panel.page.clock.run_for(10_000)
        await panel.open()
        await panel.measure(FIGURES)
        assert (await panel.path("Jitter buffer")).count("M") == 3
        assert (await panel.path("Round trip")).count("M") == 2


async def test_plot_grows_its_scale_to_a_round_number(
    browser: Browser, server: StandInServer
) -> None:
    """Small noise stays small; what is high fits in, and the scale says how high that is."""
    async with open_panel(browser, server) as panel:
        await panel.open()
        scale = panel.figure("Round trip").locator(".plot-scale")
        await panel.measure({**FIGURES, "roundTripMs": 5})
        await expect(scale).to_have_text("50")
        assert _places(await panel.path("Round trip"))[-1][1] == pytest.approx(24 * 0.9)
        await panel.measure({**FIGURES, "roundTripMs": 230})
        await expect(scale).to_have_text("300")
        places = _places(await panel.path("Round trip"))
        assert all(0 <= y <= 24 for _, y in places)
        assert places[-1][1] == pytest.approx(24 * (1 - 230 / 300), abs=0.02)


def _places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]


# -- looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 380, 900, 3840])
async def test_panel_never_scrolls_sideways(
    browser: Browser, server: StandInServer, width: int
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.page.set_viewport_size({"width": width, "height": 700})
        await panel.open()
        await panel.measure({**FIGURES, "roundTripMs": 12_345}, seconds=2)
        await panel.say("tool", phase="call", id="a", name="a_tool_with_a_name_" * 3)
        await panel.say(
            "latency", turn=100, response_ms=12_345, endpoint_ms=300, agent_ms=9, playout_ms=3
        )
        for place in ("#panel", ".panel-body", ".panel-events", ".figures", ".bars"):
            assert (
                await panel.page.locator(place).evaluate("(it) => it.scrollWidth - it.clientWidth")
                <= 0
            ), place
