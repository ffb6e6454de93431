"""The answers in the panel: what each took, by its parts, and how many tokens."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.blank_page import open_blank_page
from tests.browser.panel_page import FIGURES, SILENT, open_panel
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


# -- answers -------------------------------------------------------------------------------


async def test_parts_of_an_answer_make_up_its_total(
    browser: Browser, server: StandInServer
) -> None:
    """As the server measured them, in their order, and the network and playout of the browser."""
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.measure(FIGURES)
        await panel.say(
            "latency",
            turn=3,
            response_ms=850.4,
            endpoint_ms=310.2,
            agent_ms=520.1,
            playout_ms=20.1,
            uplink_ms=1.2,
        )
        bar = panel.bars.first
        assert [name for name, _ in await panel.parts()] == [
            "endpoint",
            "model",
            "playout",
            "network",
        ]
        total_ms = 850.4 + 37.6 + 62.4
        assert sum(share for _, share in await panel.parts()) * 1000 == pytest.approx(total_ms)
        await expect(bar.locator(".bar-total")).to_have_text("950 ms")
        await expect(bar.locator(".sr-only")).to_have_text(
            "Answer 3: 950 ms. end of speech 310 ms, recognition and model 520 ms, "
            "first audio sent 20 ms, network and playout 100 ms."
        )
        legend = panel.page.locator(".legend")
        await expect(legend.locator("dt")).to_have_text(
            ["end of speech", "recognition and model", "first audio sent", "network and playout"]
        )
        await expect(legend.locator("dd")).to_have_text(["310 ms", "520 ms", "20 ms", "100 ms"])


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"response_ms": 800, "playout_ms": 30}, {"agent": 770, "playout": 30}),
        ({"response_ms": 800, "agent_ms": 790, "playout_ms": 10}, {"agent": 790, "playout": 10}),
        ({"response_ms": 800}, {"agent": 800, "playout": 0}),
        (
            {"response_ms": 800, "endpoint_ms": 200, "agent_ms": 400, "playout_ms": 50},
            {"endpoint": 200, "model": 400, "playout": 50, "silence": 150},
        ),
        (
            {"response_ms": 500, "endpoint_ms": 200, "agent_ms": 400, "playout_ms": 50},
            {"endpoint": 200, "model": 300, "playout": 0},
        ),
        ({"playout_ms": 50}, {}),
    ],
)
async def test_parts_that_are_known_add_up_to_the_response_time(
    browser: Browser, server: StandInServer, fields: dict[str, float], parts: dict[str, float]
) -> None:
    """What is not told apart is the agent's; what is left after the first packet is silence."""
    async with open_blank_page(browser, server) as page:
        taken = await page.evaluate(
            """async (latency) => {
              const { partsOf } = await import("/page/latency_bars.js");
              return partsOf({ latency, networkMs: null });
            }""",
            {"turn": 1, **fields},
        )
    assert {part["name"]: part["ms"] for part in taken} == parts
    assert list(parts) == [part["name"] for part in taken]


async def test_answer_that_nobody_asked_for_has_no_bar(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.say("latency", turn=1, playout_ms=12)
        await expect(panel.bars).to_have_count(0)
        await expect(panel.page.locator(".panel-empty")).to_be_visible()
        await expect(panel.events).to_have_count(1)


async def test_last_twenty_answers_share_one_scale(browser: Browser, server: StandInServer) -> None:
    """The newest is the first; the longest decides where the scale ends."""
    async with open_panel(browser, server) as panel:
        await panel.open()
        for turn in range(1, 26):
            await panel.say(
                "latency", turn=turn, response_ms=100 * turn, agent_ms=100 * turn, playout_ms=0
            )
        await expect(panel.bars).to_have_count(20)
        await expect(panel.page.locator(".bar-turn").first).to_have_text("25")
        await expect(panel.page.locator(".bar-turn").last).to_have_text("6")
        await expect(panel.page.locator(".bar-ticks bdi")).to_have_text(["0", "1500 ms", "3000 ms"])
        for row, turn in ((0, 25), (19, 6)):
            assert dict(await panel.parts(row))["agent"] == pytest.approx(100 * turn / 3000)
        widths = [
            await panel.bars.nth(row).locator(".bar-track").evaluate("(it) => it.offsetWidth")
            for row in (0, 19)
        ]
        assert widths[0] == widths[1]


async def test_network_part_is_measured_while_the_answer_plays(
    browser: Browser, server: StandInServer
) -> None:
    """The first sample with sound in it counts; later ones no longer change the bar."""
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.measure(SILENT)
        await panel.say("latency", turn=1, response_ms=900, agent_ms=880, playout_ms=20)
        await expect(panel.bars.first).to_contain_text("network and playout 38 ms")
        await panel.measure(FIGURES)
        await expect(panel.bars.first).to_contain_text("network and playout 100 ms")
        await panel.measure({**FIGURES, "roundTripMs": 900})
        await expect(panel.bars.first).to_contain_text("network and playout 100 ms")


async def test_answer_of_a_text_call_waits_for_no_jitter_buffer(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.measure({**FIGURES, "downlink": None, "uplink": None})
        await panel.say("latency", turn=1, response_ms=900, agent_ms=899, playout_ms=1)
        await panel.say("turn", turn=1, turn_complete=True, interrupted=False)
        assert await panel.asked() == 1
        await panel.open()
        await expect(panel.bars.first).to_contain_text("network and playout 38 ms")


# -- tokens --------------------------------------------------------------------------------


async def test_tokens_of_the_newest_answer_and_of_all_are_counted(
    browser: Browser, server: StandInServer
) -> None:
    """A model that reports an answer several times means the last; a new connection counts anew."""
    async with open_panel(browser, server) as panel:
        await panel.open()
        await expect(panel.panel.locator(".tokens")).to_be_hidden()
        await panel.say("usage", turn=1, prompt_tokens=1000, total_tokens=1010, note="?")
        await panel.say("usage", turn=1, prompt_tokens=1000, response_tokens=200, total_tokens=1200)
        await expect(panel.value("Tokens in")).to_have_text("1,000")
        await expect(panel.value("Together")).to_have_text("1,200")
        await expect(panel.figure("All answers")).to_have_count(0)
        await panel.say("usage", turn=2, thoughts_tokens=30, cached_tokens=4, total_tokens=34)
        await expect(panel.value("Of thoughts")).to_have_text("30")
        await expect(panel.value("From the cache")).to_have_text("4")
        await expect(panel.figure("Tokens in")).to_have_count(0)
        await expect(panel.value("All answers")).to_have_text("1,234")
        await panel.say("ready", agent="bob", modality="audio", resumed=True)
        await panel.say("usage", turn=1, total_tokens=6)
        await expect(panel.value("All answers")).to_have_text("1,240")
