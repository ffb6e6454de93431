"""The panel of call details alone, on a call that says what each test tells it to."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.blank_page import open_blank_page
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

BODY = """
<button id="toggle" aria-controls="panel">Details</button>
<aside id="panel" hidden></aside>
"""

FAKE_CALL = """
() => {
  const call = new EventTarget();
  Object.assign(call, {
    line: "up", sessionId: "session-1", callId: "call-1",
    hasAudio: true, isMuted: false, microphone: null,
    figures: null, asked: 0,
    stats: async () => {
      call.asked += 1;
      if (call.figures === "broken") throw new Error("closed");
      return call.figures && { ...call.figures, atMs: performance.now() };
    },
  });
  call.say = (type, detail) => call.dispatchEvent(new CustomEvent(type, { detail }));
  globalThis.call = call;
  globalThis.timers = 0;
  for (const name of ["setInterval", "setTimeout", "requestAnimationFrame"]) {
    const original = globalThis[name];
    globalThis[name] = (...given) => { globalThis.timers += 1; return original(...given); };
  }
}
"""

MAKE_PANEL = """
async (options) => {
  const { Panel } = await import("/page/panel.js");
  globalThis.panel = new Panel(document.getElementById("panel"), globalThis.call, {
    toggle: document.getElementById("toggle"),
    fingerprint: () => "f1n9e7",
    outputLatencyMs: () => 21.5,
    ...options,
  });
}
"""

DOWNLINK = {
    "packets": 500,
    "lost": 3,
    "lossShare": 0.024,
    "jitterMs": 3.456,
    "bitrate": 47_890,
    "jitterBufferMs": 62.4,
    "jitterBufferTargetMs": 40,
    "concealedShare": 0.01,
    "codec": "opus/48000/2 useinbandfec=1",
    "level": 0.2,
}
UPLINK = {
    "packets": 900,
    "lossShare": 0,
    "jitterMs": 12.3,
    "bitrate": 8_460,
    "codec": "opus/48000/2 minptime=10",
    "level": 0.1,
}
CANDIDATES = {
    "local": "relay",
    "remote": "host",
    "protocol": "udp",
    "relayProtocol": "tls",
    "networkType": "wifi",
}
FIGURES: dict[str, Any] = {
    "roundTripMs": 37.6,
    "downlink": DOWNLINK,
    "uplink": UPLINK,
    "candidates": CANDIDATES,
}
SILENT = {
    **FIGURES,
    "downlink": {
        **DOWNLINK,
        "lossShare": None,
        "bitrate": None,
        "jitterBufferMs": None,
        "jitterBufferTargetMs": None,
        "concealedShare": None,
    },
}


DASH = "\N{EN DASH}"
"""A figure that is not known."""


class PanelPage:
    """The panel in a page whose time the test moves."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator("#panel")
        self.events = page.locator(".event")
        self.bars = page.locator(".bars > li")

    async def open(self) -> None:
        await self.page.evaluate("globalThis.panel.open()")

    async def close(self) -> None:
        await self.page.evaluate("globalThis.panel.close()")

    async def say(self, type: str, **fields: Any) -> None:
        """Let a message of the server come."""
        await self.emit("message", {"type": type, **fields})

    async def emit(self, event: str, detail: Any) -> None:
        await self.page.evaluate("([type, detail]) => call.say(type, detail)", [event, detail])

    async def measure(self, figures: Any, *, seconds: int = 1) -> None:
        """Let the connection measure this for so long."""
        await self.page.evaluate("(figures) => { call.figures = figures; }", figures)
        for _ in range(seconds):  # a second at a time, so that every answer is there by the next
            await self.page.clock.run_for(1000)

    async def asked(self) -> int:
        """How often the connection was asked."""
        asked: int = await self.page.evaluate("call.asked")
        return asked

    def figure(self, label: str) -> Locator:
        return self.page.locator(".figure, .name").filter(
            has=self.page.locator("dt").get_by_text(label, exact=True)
        )

    def value(self, label: str) -> Locator:
        return self.figure(label).locator("bdi")

    async def path(self, label: str) -> str:
        """The line of a plot, as SVG has it."""
        path = await self.figure(label).locator(".plot-line").get_attribute("d")
        assert path is not None
        return path

    async def parts(self, row: int = 0) -> list[tuple[str, float]]:
        """The parts of a bar, the newest being row 0: names, and shares of the scale."""
        parts = await self.bars.nth(row).locator(".bar-part").all()
        return [
            (
                await part.get_attribute("data-part") or "",
                await part.evaluate("(it) => Number(it.style.getPropertyValue('--share'))"),
            )
            for part in parts
        ]

    async def copied(self) -> str:
        """The report, as it lies on the clipboard after a click."""
        await self.page.get_by_role("button", name="Copy report").click()
        await expect(self.page.get_by_role("button", name="Copied")).to_be_visible()
        text: str = await self.page.evaluate("navigator.clipboard.readText()")
        return text


@asynccontextmanager
async def open_panel(
    browser: Browser, server: StandInServer, **options: Any
) -> AsyncIterator[PanelPage]:
    """A page with the panel, folded."""
    permissions = ("clipboard-read", "clipboard-write")
    async with open_blank_page(browser, server, BODY, permissions=permissions, clock=True) as page:
        await page.evaluate(FAKE_CALL)
        await page.evaluate(MAKE_PANEL, options)
        yield PanelPage(page)


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


# -- events --------------------------------------------------------------------------------


async def test_events_come_with_time_and_a_short_detail(
    browser: Browser, server: StandInServer
) -> None:
    """Time is counted from the beginning of the call."""
    async with open_panel(browser, server) as panel:
        await panel.page.clock.run_for(30_000)
        await panel.open()
        await panel.emit(
            "status", {"line": "dialling", "audio": True, "problem": None, "retryInS": 0}
        )
        await panel.page.clock.run_for(61_500)
        await panel.say("state", state="speaking")
        await panel.emit("sent", {"type": "mute", "muted": True})
        await panel.say("turn", turn=2, turn_complete=True, interrupted=True, heard_ms=840)
        await panel.emit(
            "status",
            {"line": "waiting", "audio": True, "problem": {"code": "lost"}, "retryInS": 0.4},
        )
        await expect(panel.events).to_have_text(
            [
                "0:00.000·status line=dialling audio",
                "1:01.500↓receivedstate state=speaking",
                "1:01.500↑sentmute muted",
                "1:01.500↓receivedturn turn=2 complete interrupted heard_ms=840",
                "1:01.500·status line=waiting audio problem=lost retry_in_s=0.4",
            ]
        )


async def test_partial_transcripts_and_pieces_of_text_are_one_line_each(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.say("transcript", role="user", text="What", final=False, turn=1)
        await panel.open()
        await panel.say("state", state="thinking")
        await panel.say("transcript", role="user", text="What is", final=False, turn=1)
        await panel.say("transcript", role="user", text="What is six?", final=True, turn=1)
        await panel.say("transcript", role="user", text="Well?", final=False, turn=1)
        for piece in ("It ", "is ", "six."):
            await panel.say("text", data=piece, turn=1)
        for n in range(3):
            await panel.emit("sent", {"type": "ping", "t": n})
            await panel.say("pong", t=n)
        await expect(panel.page.locator(".event-words")).to_have_text(
            [
                "transcript turn=1 role=user characters=12 updates=3 final",
                "state state=thinking",
                "transcript turn=1 role=user characters=5 updates=1",
                "text turn=1 pieces=3 characters=10",
                "ping sent=3 answered=3",
            ]
        )


async def test_last_two_hundred_events_are_kept(browser: Browser, server: StandInServer) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.page.evaluate("""() => {
          for (let turn = 1; turn <= 250; turn += 1) {
            call.say("message", { type: "turn", turn, turn_complete: true, interrupted: false });
          }
        }""")
        await expect(panel.events).to_have_count(200)
        await expect(panel.events.first).to_contain_text("turn=51 ")
        await expect(panel.events.last).to_contain_text("turn=250 ")


async def test_events_follow_the_end_unless_scrolled_up(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        events = panel.page.locator(".panel-events")
        is_at_end = "(it) => it.scrollHeight - it.scrollTop - it.clientHeight < 2"

        async def say_many() -> None:
            for turn in range(40):
                await panel.say("turn", turn=turn, turn_complete=True, interrupted=False)

        await say_many()
        assert await events.evaluate("(it) => it.scrollHeight > it.clientHeight")
        assert await events.evaluate(is_at_end)

        await events.evaluate("""(it) => new Promise((resolve) => {
          it.addEventListener("scroll", resolve, { once: true });
          it.scrollTop = 10;
        })""")
        await say_many()
        assert await events.evaluate("(it) => it.scrollTop") == 10


# -- report --------------------------------------------------------------------------------


async def test_report_tells_what_a_bug_needs(browser: Browser, server: StandInServer) -> None:
    async with open_panel(browser, server) as panel:
        await panel.page.evaluate("""() => {
          call.isMuted = true;
          call.microphone = { getAudioTracks: () => [{
            readyState: "live", enabled: false, muted: false, label: "Bob's headset",
            getSettings: () => ({
              deviceId: "d-123", groupId: "g-456", echoCancellation: true, sampleRate: 48000,
              noiseSuppression: false, autoGainControl: true, channelCount: 1, latency: 0.01,
            }),
          }] };
        }""")
        await panel.open()
        await panel.measure(FIGURES, seconds=70)
        await panel.emit(
            "status", {"line": "up", "audio": True, "problem": {"code": "lost"}, "retryInS": 0}
        )
        await panel.say("latency", turn=1, response_ms=900, agent_ms=880, playout_ms=20)
        await panel.measure(FIGURES)

        report = await panel.copied()
        blocks = dict(re.findall(r"```(\w+)\n(.*?)\n```", report, flags=re.DOTALL))
        facts = json.loads(blocks["json"])
        assert facts["page"] == "f1n9e7"
        assert facts["browser"]["userAgent"] == await panel.page.evaluate("navigator.userAgent")
        assert facts["browser"]["languages"].startswith("en")
        assert facts["browser"]["viewport"] == "1100x760"
        assert facts["call"] == {
            "callId": "call-1",
            "sessionId": "session-",  # the beginning: who has all of it can go on with the session
            "line": "up",
            "problem": "lost",
            "audio": True,
            "muted": True,
            "outputLatencyMs": 21.5,
            "codecDown": DOWNLINK["codec"],
            "codecUp": UPLINK["codec"],
            "candidates": CANDIDATES,
        }
        assert facts["microphone"] == [
            {
                "readyState": "live",
                "enabled": False,
                "muted": False,
                "autoGainControl": True,
                "channelCount": 1,
                "echoCancellation": True,
                "latency": 0.01,
                "noiseSuppression": False,
                "sampleRate": 48000,
            }
        ]
        assert facts["answersMs"] == [{"turn": 1, "agent": 880, "playout": 20, "network": 100}]

        names, *samples = (line.split(",") for line in blocks["csv"].splitlines())
        assert len(samples) == 60
        newest = dict(zip(names, samples[-1], strict=True))
        assert newest["roundTripMs"] == "37.6"
        assert newest["jitterBufferMs"] == "62.4"
        assert newest["upBitrate"] == "8460"
        assert len(blocks["text"].splitlines()) == 2
        assert "latency turn=1 response_ms=900" in blocks["text"]
        assert "session-1" not in report
        assert len(report) < 65_536  # what the description of an issue may hold


async def test_nothing_that_was_said_and_no_secret_is_shown_or_copied(
    browser: Browser, server: StandInServer
) -> None:
    """Every text of every message, and what the browser knows of the person."""
    async with open_panel(browser, server) as panel:
        said = "Sesame opens 192.0.2.7"
        await panel.page.evaluate(
            """(said) => {
              history.replaceState(null, "", `#token=${said}`);
              sessionStorage.setItem("rtc.token", said);
              localStorage.setItem("rtc.other", said);
              call.token = said;
              call.microphone = { getAudioTracks: () => [{
                readyState: "live", enabled: true, muted: false, label: said, id: said,
                getSettings: () => ({ deviceId: said, groupId: said, sampleRate: 48000 }),
              }] };
            }""",
            said,
        )
        figures = {**FIGURES, "address": said, "candidates": {**CANDIDATES}}
        await panel.open()
        await panel.measure(figures)
        await panel.emit(
            "status",
            {
                "line": "waiting",
                "audio": True,
                "problem": {"code": "lost", "message": said},
                "retryInS": 1,
            },
        )
        await panel.emit("microphone", {"stream": {}, "label": said, "reason": "opened"})
        await panel.emit("video", {"reason": "opened", "kind": "camera", "label": said})
        await panel.emit("speaker", {"deviceId": said, "label": said})
        messages: list[dict[str, Any]] = [
            {"type": "ready", "agent": "bob", "modality": "audio", "resume_token": said},
            {"type": "transcript", "role": "user", "text": said, "final": False, "turn": 1},
            {"type": "transcript", "role": "user", "text": said, "final": True, "turn": 1},
            {"type": "text", "data": said, "turn": 1},
            {"type": "tool", "phase": "call", "id": said, "name": "look_up", "args": {"q": said}},
            {"type": "tool", "phase": "result", "id": said, "name": "look_up", "result": said},
            {"type": "session_state", "delta": {said: said}},
            {"type": "error", "code": "x", "message": said, "retryable": True},
            {"type": "turn", "turn": 1, "turn_complete": True, "heard_text": said},
            {"type": "usage", "turn": 1, "prompt_tokens": 12, "note": said},
            {"type": "confirm", "id": said, "name": "pay", "hint": said, "args": said},
            {"type": "client_tool", "id": said, "name": "look", "args": {said: said}},
            {"type": "thought", "text": said, "turn": 1},
            {"type": "grounding", "turn": 1, "queries": [said], "sources": [{"uri": said}]},
            {"type": "code", "turn": 1, "phase": "call", "code": said, "language": said},
            {"type": "code", "turn": 1, "phase": "result", "output": said, "outcome": said},
            {"type": "image", "turn": 1, "mime_type": "image/png", "data": "U2VzYW1l"},
            {"type": "file", "turn": 1, "uri": said, "name": said, "mime_type": said},
            {"type": "artifact", "name": said, "version": 1},
            {"type": "model", "state": "back", "name": said},
            {"type": said, "data": said},
        ]
        for message in messages:
            await panel.emit("message", message)
        for message in (
            {"type": "text", "mime_type": "text/plain", "data": said},
            {"type": "image", "mime_type": "image/jpeg", "data": "U2VzYW1l"},
            {"type": "session_state", "delta": {"key": said}},
            {"type": "confirm", "id": said, "confirmed": True, "payload": said},
            {"type": "client_tool_result", "id": said, "result": {said: said}},
        ):
            await panel.emit("sent", message)

        report = await panel.copied()
        shown = await panel.panel.evaluate("(it) => it.outerHTML")
        assert "mime_type=image/jpeg bytes=6" in report
        assert f"transcript turn=1 role=user characters={len(said)} updates=2 final" in report
        for place in (report, shown):
            for secret in ("Sesame", "opens", "192.0.2.7", "U2VzYW1l"):
                assert secret not in place


async def test_copy_button_says_copied_for_two_seconds(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.copied()
        await expect(panel.page.get_by_role("status")).to_have_text("Copied")
        await panel.page.clock.run_for(1900)
        await expect(panel.page.locator(".panel-copy")).to_have_text("Copied")
        await panel.page.clock.run_for(200)
        await expect(panel.page.locator(".panel-copy")).to_have_text("Copy report")
        await expect(panel.page.get_by_role("status")).to_be_empty()


@pytest.mark.parametrize(
    "clipboard", ["undefined", "{ writeText: () => Promise.reject(new Error('no')) }"]
)
async def test_report_stands_selected_where_the_clipboard_is_refused(
    browser: Browser, server: StandInServer, clipboard: str
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.page.evaluate(
            f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard} }})"
        )
        await panel.open()
        await panel.page.get_by_role("button", name="Copy report").click()
        text = panel.page.get_by_role("textbox", name=re.compile("Copy this report yourself"))
        await expect(text).to_be_focused()
        selected = await panel.page.evaluate("String(getSelection())")
        assert selected.startswith("## Call report")
        assert selected == await text.input_value()


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
