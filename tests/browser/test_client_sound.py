"""What is said and heard by the client library: microphones, loudspeakers, levels, autoplay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, Route

from tests.browser.chromium import launch_chromium
from tests.browser.library_client import OWN_STREAM, open_client, received
from tests.browser.stand_in_server import StandInServer
from tests.browser.tone import ToneTrack

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.deadline(60),
    pytest.mark.usefixtures("browser"),  # its loop keeps the threads of the module
]


# -- microphone ----------------------------------------------------------------------------


async def test_mute_is_told_once_and_closes_the_track(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.mute(true); call.mute(true)")
        assert await client.run("[call.isMuted, opened[0].enabled]") == [True, False]
        await client.run("call.mute(false)")
        assert await client.run("[call.isMuted, opened[0].enabled]") == [False, True]
        assert await received(call) == {"type": "mute", "muted": True}
        assert await received(call) == {"type": "mute", "muted": False}
        assert await client.said("muted") == [True, False]


async def test_push_to_talk_opens_the_microphone_while_it_is_pressed(
    browser: Browser, server: StandInServer
) -> None:
    """In this order; the last sound is still on its way when the finger is lifted."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.mute(true)")
        assert await received(call) == {"type": "mute", "muted": True}

        assert await client.run("(call.pushToTalk(true), opened[0].enabled)") is True
        assert await received(call) == {"type": "interrupt"}
        assert await received(call) == {"type": "mute", "muted": False}
        assert await received(call) == {"type": "activity", "state": "start"}

        assert await client.run("(call.pushToTalk(false), opened[0].enabled)") is True
        assert await received(call) == {"type": "activity", "state": "end"}
        assert await received(call) == {"type": "mute", "muted": True}
        assert await client.run("opened[0].enabled") is False


async def test_each_activity_that_starts_ends_once(browser: Browser, server: StandInServer) -> None:
    """Pressed again before the tail was over, and muted before it was over."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run(
            """() => {
              call.pushToTalk(true);
              call.pushToTalk(false);
              call.pushToTalk(true);
              call.pushToTalk(false);
              call.mute(true);
              call.sendText("Over.");
            }"""
        )
        states: list[str] = []
        while (message := await received(call))["type"] != "text":
            if message["type"] == "activity":
                states.append(message["state"])
        assert states in (["start", "end"], ["start", "end", "start", "end"])


async def test_button_that_is_held_is_told_to_the_next_connection(
    browser: Browser, server: StandInServer
) -> None:
    """Who goes on speaking while the call is placed again is heard from there on."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.pushToTalk(true)")
        await call.close()
        again = await client.take_call(2)
        assert await received(again) == {"type": "activity", "state": "start"}
        await client.run("call.pushToTalk(false)")
        assert await received(again) == {"type": "activity", "state": "end"}


async def test_server_that_needs_no_button_is_not_told_of_it(
    browser: Browser, server: StandInServer
) -> None:
    """After its first refusal; the microphone opens and closes as before."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.pushToTalk(true)")
        assert [(await received(call))["type"] for _ in range(2)] == ["interrupt", "activity"]
        call.send("error", code="activity_refused", message="It listens.", retryable=True)
        call.send("agent", name="last")
        await client.seen("agent")
        await client.run("call.pushToTalk(false)")
        assert await received(call) == {"type": "mute", "muted": True}
        await client.run("call.pushToTalk(true)")
        assert [(await received(call))["type"] for _ in range(2)] == ["interrupt", "mute"]
        await client.run("call.sendText('Over.')")
        assert (await received(call))["type"] == "text"


async def test_microphone_is_replaced_without_a_new_connection(
    browser: Browser, server: StandInServer
) -> None:
    """Muted as the one before it; that one is let go of."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.mute(true)")
        await client.run("call.replaceMicrophone({ echoCancellation: false })")
        state = await client.run(
            """() => ({
              opened: opened.length,
              old: opened[0].readyState,
              isSent: sender().track === opened[1],
              isOwn: call.microphone.getAudioTracks()[0] === opened[1],
              enabled: opened[1].enabled,
              processing: opened[1].getSettings().echoCancellation,
              peers: peers.length,
            })"""
        )
        assert state == {
            "opened": 2,
            "old": "ended",
            "isSent": True,
            "isOwn": True,
            "enabled": False,
            "processing": False,
            "peers": 1,
        }
        reasons = [change["reason"] for change in await client.said("microphone")]
        assert reasons == ["opened", "replaced"]
        assert await received(call) == {"type": "mute", "muted": True}
        assert len(server.calls) == 1


async def test_microphone_that_cannot_be_opened_leaves_the_one_before_it(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server) as client:
        await client.start()
        refused = "call.replaceMicrophone({ deviceId: { exact: 'none' } }).catch(one => one.code)"
        assert await client.run(refused) == "microphone_missing"
        assert await client.run("[opened[0].readyState, call.line]") == ["live", "up"]


async def test_microphone_in_a_text_call_makes_it_an_audio_call(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server) as client:
        first = await client.start("call.start({ microphone: false })")
        call = await client.start("call.replaceMicrophone(true)")
        assert call.has_audio
        assert call.offer["session_id"] == first.session_id


async def test_stream_of_the_page_stays_the_page_s(browser: Browser, server: StandInServer) -> None:
    """It is sent, muted while it is, and neither stopped nor left muted."""
    async with open_client(browser, server) as client:
        await client.run(OWN_STREAM)
        call = await client.start("call.start({ microphone: own })")
        track = "own.getAudioTracks()[0]"
        assert call.has_audio
        assert await client.run(f"sender().track === {track}") is True
        assert await client.run("opened.length") == 0
        await client.run("call.mute(true)")
        assert await client.run(f"{track}.enabled") is False
        await client.run("call.hangUp()")
        assert await client.run(f"[{track}.readyState, {track}.enabled]") == ["live", True]


async def test_stream_of_the_page_is_not_exchanged_for_a_device(
    browser: Browser, server: StandInServer
) -> None:
    """Though a device was used before it, and another one comes."""
    async with open_client(browser, server) as client:
        await client.run(OWN_STREAM)
        devices = await client.run(
            """async () => {
              await navigator.mediaDevices.getUserMedia({ audio: true });
              return (await library.listDevices()).microphones.map((one) => one.deviceId);
            }"""
        )
        wanted = {"deviceId": {"ideal": devices[-1]}}
        await client.page.evaluate("(wanted) => call.start({ microphone: wanted })", wanted)
        await client.take_call()
        await client.run("call.replaceMicrophone(own)")
        before = await client.run("opened.length")
        changes = len(await client.said("microphone"))
        await client.run(
            """async (changes) => {
              navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
              const noLonger = new Promise((resolve) => setTimeout(resolve, 1500));
              await Promise.race([seen("microphone", changes + 1), noLonger]);
            }""",
            changes,
        )
        assert await client.run("opened.length") == before
        assert await client.run("sender().track === own.getAudioTracks()[0]") is True


async def test_stream_in_use_can_be_started_with_again(
    browser: Browser, server: StandInServer
) -> None:
    """The microphone that is open is not closed by being handed over."""
    async with open_client(browser, server) as client:
        await client.start()
        await client.start("call.start({ microphone: call.microphone })")
        assert await client.run("[opened.length, opened[0].readyState]") == [1, "live"]
        await client.run("call.hangUp()")
        assert await client.run("opened[0].readyState") == "ended"


async def test_refused_microphone_rejects_and_the_text_call_stands(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server, allow_microphone=False) as client:
        call = await client.start("call.start({ microphone: false })")
        refused = await client.run(
            """() => call.start().catch(
              (error) => [error instanceof library.CallProblem, error.code, error.retryable])"""
        )
        assert refused == [True, "microphone_denied", False]
        assert await client.run("[call.line, call.hasAudio, call.stream]") == ["up", False, None]
        await client.run("call.sendText('Still here.')")
        assert (await received(call))["data"] == "Still here."
        assert len(server.calls) == 1


# -- sound ---------------------------------------------------------------------------------


async def test_statistics_of_an_audio_call_are_plausible(
    browser: Browser, server: StandInServer
) -> None:
    """Both directions, over loopback."""
    server.make_track = ToneTrack
    async with open_client(browser, server) as client:
        assert await client.run("call.stats()") is None
        await client.start()
        stats = await client.run(
            """async () => {
              for (;;) {
                const stats = await call.stats();
                const { downlink, uplink, candidates } = stats;
                if (downlink?.packets > 50 && downlink.level > 0.01 && uplink?.packets > 50
                    && uplink.lossShare !== null && candidates) return stats;
                await new Promise((resolve) => setTimeout(resolve, 200));
              }
            }"""
        )
        assert 0 <= stats["roundTripMs"] < 5_000
        assert stats["downlink"]["codec"].startswith("opus/48000/2")
        assert stats["uplink"]["codec"].startswith("opus/48000/2")
        assert stats["uplink"]["bitrate"] > 0
        assert 0 <= stats["downlink"]["lossShare"] <= 1
        assert stats["candidates"]["protocol"] == "udp"


async def test_level_meter_measures_what_is_heard(browser: Browser, server: StandInServer) -> None:
    """A tone at -9 dBFS; once closed the meter shows nothing."""
    server.make_track = ToneTrack
    async with open_client(browser, server) as client:
        await client.start()
        await client.seen("stream")
        shown = await client.run(
            """() => new Promise((resolve) => {
              const meter = new library.LevelMeter(call.stream, (level) => {
                if (level > 0.75) setTimeout(() => {
                  globalThis.last = null;
                  meter.close();
                  meter.close();
                  resolve([level, last]);
                });
                globalThis.last = level;
              });
            })"""
        )
        assert 0.75 < shown[0] < 0.9
        assert shown[1] == 0


# -- sound that is held back ---------------------------------------------------------------


PAGE_THAT_MAY_NOT_PLAY = """<!doctype html>
<title>Calls by itself</title>
<audio id="agent"></audio>
<button id="start">Start</button>
<button id="hear">Hear</button>
<script type="module" src="/calls_by_itself.js"></script>
"""

CALLS_BY_ITSELF = """
import { Call, LevelMeter } from "/client/call.js";

const element = document.querySelector("#agent");
const call = new Call({ element });
element.addEventListener("playing", () => {
  if (call.stream) console.info("playing");
});
call.on("stream", (stream) => {
  let wasHeard = false;
  new LevelMeter(stream, (level) => {
    if (level > 0.5 && !wasHeard) console.info("measured");
    wasHeard ||= level > 0.5;
  });
});
call.on("blocked", () => console.info("blocked"));
document.querySelector("#start").onclick = () => call.start();
document.querySelector("#hear").onclick = () => call.resumeSound();
if (location.hash === "#now") {
  // Who lets a page record lets it play as well: this one records nobody.
  const microphone = new AudioContext().createMediaStreamDestination().stream;
  call.start({ microphone });
}
"""
"""It tells by the console: whatever is evaluated in a page counts as a gesture of the person."""


@asynccontextmanager
async def open_page_that_may_not_play(
    server: StandInServer, fragment: str = ""
) -> AsyncIterator[tuple[Page, asyncio.Queue[str]]]:
    """The page, and what it says."""
    server.make_track = ToneTrack
    said: asyncio.Queue[str] = asyncio.Queue()

    async def serve_page(route: Route) -> None:
        await route.fulfill(body=PAGE_THAT_MAY_NOT_PLAY, content_type="text/html")

    async def serve_script(route: Route) -> None:
        await route.fulfill(body=CALLS_BY_ITSELF, content_type="text/javascript")

    async with launch_chromium(autoplay=False) as browser:
        context = await browser.new_context(permissions=["microphone"])
        page = await context.new_page()
        page.on("console", lambda one: said.put_nowait(one.text) if one.type == "info" else None)
        await page.route("**/may_not_play.html", serve_page)
        await page.route("**/calls_by_itself.js", serve_script)
        await page.goto(f"{server.url}may_not_play.html{fragment}")
        yield page, said
        await context.close()


async def test_sound_that_is_held_back_plays_after_a_click(server: StandInServer) -> None:
    """A call that no gesture started is ``blocked``; ``resumeSound`` in a click lets it out."""
    async with open_page_that_may_not_play(server, "#now") as (page, said):
        async with asyncio.timeout(30):
            assert await said.get() == "blocked"
            await page.click("#hear")
            assert {await said.get(), await said.get()} == {"playing", "measured"}


async def test_call_that_a_click_started_plays_at_once(server: StandInServer) -> None:
    async with open_page_that_may_not_play(server) as (page, said):
        await page.click("#start")
        async with asyncio.timeout(30):
            assert {await said.get(), await said.get()} == {"playing", "measured"}
