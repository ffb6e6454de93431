"""The client library alone, as a page of somebody else's uses it: ``Call`` and no page."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, Route, expect

from tests.browser import speech
from tests.browser.chromium import CallPage, launch_chromium
from tests.browser.library_client import OWN_STREAM, WATCH, Client, open_client, received
from tests.browser.server_process import ServerProcess
from tests.browser.stand_in_server import Refusal, StandInServer
from tests.browser.tone import ToneTrack

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.deadline(60),
    pytest.mark.usefixtures("browser"),  # its loop keeps the threads of the module
]

WEB = Path(__file__).parents[2] / "web"
MESSAGE_BYTES_MAX = 256 * 1024

# -- options -------------------------------------------------------------------------------


async def test_options_arrive_in_the_offer(browser: Browser, server: StandInServer) -> None:
    """The token as a header, everything else as the fields of the contract."""
    async with open_client(
        browser,
        server,
        token="abc.def.ghi",
        sessionId="session-1",
        userId="ada",
        agent="second",
        runConfig={"max_llm_calls": 5},
    ) as client:
        assert await client.run("[call.line, call.sessionId, call.callId]") == [
            "down",
            "session-1",
            "",
        ]
        call = await client.start()
        assert call.headers["Authorization"] == "Bearer abc.def.ghi"
        offer = {name: value for name, value in call.offer.items() if name != "sdp"}
        assert offer == {
            "type": "offer",
            "session_id": "session-1",
            "user_id": "ada",
            "agent": "second",
            "modality": "audio",
            "run_config": {"max_llm_calls": 5},
        }
        assert call.has_audio
        assert await client.run("[call.callId, call.hasAudio]") == [call.id, True]


async def test_nothing_is_offered_that_was_not_asked_for(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server) as client:
        call = await client.start()
        assert set(call.offer) == {"type", "sdp", "modality"}
        assert "Authorization" not in call.headers


async def test_text_modality_opens_no_microphone_unless_it_is_asked_for(
    browser: Browser, server: StandInServer
) -> None:
    """Asked for, the agent hears and writes."""
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        assert (call.has_audio, call.offer["modality"]) == (False, "text")
        assert await client.run("opened.length") == 0
        call = await client.start("call.start({ microphone: true })")
        assert (call.has_audio, call.offer["modality"]) == (True, "text")


async def test_server_may_lie_under_another_path(browser: Browser, server: StandInServer) -> None:
    """``api/`` is looked for beside the address that is given."""
    async with open_client(browser, server, url=f"{server.url}lines/one/") as client:
        asked: list[str] = []

        async def to_server(route: Route) -> None:
            asked.append(f"{route.request.method} {route.request.url}")
            await route.continue_(url=route.request.url.replace("/lines/one/", "/"))

        await client.page.route("**/lines/one/api/**", to_server)
        call = await client.start()
        await client.run("call.hangUp()")
        async with asyncio.timeout(10):
            await call.hung_up.wait()
        api = f"{server.url}lines/one/api/"
        assert asked[0] == f"GET {api}config"
        assert asked[1] == f"POST {api}calls"
        assert asked[2] == f"PATCH {api}calls/{call.id}"
        assert asked[-1] == f"DELETE {api}calls/{call.id}"


# -- events --------------------------------------------------------------------------------


MESSAGES: list[dict[str, Any]] = [
    {"type": "state", "state": "thinking"},
    {"type": "text", "mime_type": "text/plain", "data": "Six.", "turn": 1},
    {"type": "transcript", "role": "user", "text": "Hm?", "final": True, "turn": 1},
    {"type": "turn", "turn": 1, "turn_complete": True, "interrupted": False},
    {"type": "tool", "phase": "call", "id": "a", "name": "multiply", "args": {"a": 2}},
    {"type": "session_state", "delta": {"mood": "good"}},
    {"type": "agent", "name": "second"},
    {"type": "latency", "turn": 1, "response_ms": 640, "playout_ms": 1, "uplink_ms": 2},
    {"type": "usage", "turn": 1, "total_token_count": 7},
    {"type": "error", "code": "rate_limited", "message": "Too fast.", "retryable": True},
    {"type": "goaway", "reason": "drain", "seconds": 60},
]


async def test_each_message_is_an_event_of_its_type_and_one_of_all(
    browser: Browser, server: StandInServer
) -> None:
    """By ``on`` with the message itself, by ``addEventListener`` in ``detail``."""
    async with open_client(browser, server, modality="text") as client:
        await client.run(
            """(types) => {
              globalThis.byOn = [];
              globalThis.byListener = [];
              globalThis.all = [];
              for (const type of types) {
                call.on(type, (message) => byOn.push(message));
                call.addEventListener(type, ({ detail }) => byListener.push(detail));
              }
              call.on("message", (message) => all.push(message));
            }""",
            ["ready", *(one["type"] for one in MESSAGES)],
        )
        call = await client.start()
        for message in MESSAGES:
            call.send(**message)
        await client.seen("goaway")
        ready = {
            "type": "ready",
            "call_id": call.id,
            "session_id": call.session_id,
            "agent": "stand_in",
            "modality": "text",
            "resumed": False,
        }
        expected = [ready, {"type": "state", "state": "listening"}, *MESSAGES]
        for name in ("byOn", "byListener", "all"):
            assert await client.run(name) == expected


async def test_what_a_page_needs_not_know_of_is_no_event(
    browser: Browser, server: StandInServer
) -> None:
    """Types of a later server, and that it needs no button; a pong is one of its own alone."""
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        call.send("from_the_future", text="?")
        call.send("pong", t=1)
        call.send("error", code="activity_refused", message="It listens.", retryable=True)
        call.send("toString")
        call.send("agent", name="last")
        await client.seen("agent")
        types = [message["type"] for message in await client.said("message")]
        assert types == ["ready", "state", "agent"]
        assert await client.said("error") == []
        assert {"type": "pong", "t": 1} in await client.said("pong")


async def test_listener_can_be_taken_away(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server, modality="text") as client:
        await client.run("globalThis.names = []")
        await client.run(
            "() => { globalThis.stop = call.on('agent', (one) => names.push(one.name)) }"
        )
        call = await client.start()
        call.send("agent", name="first")
        await client.seen("agent", 1)
        await client.run("stop()")
        call.send("agent", name="second")
        await client.seen("agent", 2)
        assert await client.run("names") == ["first"]


async def test_line_says_where_the_call_stands(browser: Browser, server: StandInServer) -> None:
    """A call that is refused for a while waits, and comes up by itself."""
    server.refusals = [Refusal(503, "All lines are taken.", {"Retry-After": "1"})]
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{server.url}example.html")
        await page.evaluate(WATCH)
        client = Client(page, server)
        await client.construct(modality="text")
        assert await client.run("call.line") == "down"
        assert await client.run("(call.start(), call.line)") == "dialling"
        await client.take_call()
        assert await client.run("call.line") == "up"
        await client.run("call.hangUp()")
        assert await client.run("call.line") == "down"
        assert await client.lines() == ["dialling", "waiting", "dialling", "up", "down"]
        waiting = (await client.said("status"))[1]
        assert waiting["problem"] == {"code": "busy", "message": "All lines are taken."}
        assert waiting["retryInS"] >= 1
        assert (await client.said("config"))[0]["agent"] == "stand_in"
    finally:
        await context.close()


# -- text and pictures ---------------------------------------------------------------------


async def test_text_before_the_line_is_up_places_the_call_and_is_sent_once(
    browser: Browser, server: StandInServer
) -> None:
    """Without a microphone: nobody has pressed a button that asks for one."""
    async with open_client(browser, server) as client:
        await client.run("call.sendText('First'); call.sendText('Second')")
        call = await client.take_call()
        assert not call.has_audio
        await client.run("call.sendText('Third')")
        texts = [(await received(call))["data"] for _ in range(3)]
        assert texts == ["First", "Second", "Third"]
        again = await client.start("call.start({ microphone: true })")
        await client.run("call.interrupt()")
        assert await received(again) == {"type": "interrupt"}
        assert call.received.empty()
        sent = [message["type"] for message in await client.said("sent")]
        assert sent == ["text", "text", "text", "interrupt"]


NOISE = """async ([width, height, type]) => {
  const canvas = new OffscreenCanvas(width, height);
  const drawing = canvas.getContext("2d");
  const pixels = drawing.createImageData(width, height);
  let state = 1;
  for (let at = 0; at < pixels.data.length; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    pixels.data[at] = at % 4 === 3 ? 255 : state & 255;
  }
  drawing.putImageData(pixels, 0, 0);
  globalThis.picture = await canvas.convertToBlob({ type });
  return picture.size;
}"""
"""A picture that no encoder makes small."""


def decode(jpeg: bytes) -> av.VideoFrame:
    with av.open(io.BytesIO(jpeg), "r") as container:
        (frame,) = container.decode(video=0)
        return frame


async def test_large_picture_is_made_to_fit_into_one_message(
    browser: Browser, server: StandInServer
) -> None:
    """Twelve million pixels of noise arrive as a JPEG of the same shape."""
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        assert await client.run(NOISE, [4000, 3000, "image/png"]) > 10_000_000
        assert await client.run("call.sendImage(picture)") is True
        message = await received(call)
        assert len(json.dumps(message)) <= MESSAGE_BYTES_MAX
        assert (message["type"], message["mime_type"]) == ("image", "image/jpeg")
        jpeg = base64.b64decode(message["data"], validate=True)
        assert jpeg.startswith(b"\xff\xd8\xff")
        frame = decode(jpeg)
        assert frame.width < 4000
        assert frame.width / frame.height == pytest.approx(4 / 3, rel=0.01)


async def test_small_picture_keeps_its_size(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        await client.run(NOISE, [120, 80, "image/webp"])
        await client.run("call.sendImage(picture)")
        frame = decode(base64.b64decode((await received(call))["data"]))
        assert (frame.width, frame.height) == (120, 80)


async def test_transparent_picture_is_shown_on_white(
    browser: Browser, server: StandInServer
) -> None:
    """A JPEG knows no transparency, and black on black says nothing."""
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        await client.run(
            """async () => {
              const canvas = new OffscreenCanvas(40, 40);
              canvas.getContext("2d");
              globalThis.picture = await canvas.convertToBlob({ type: "image/png" });
            }"""
        )
        await client.run("call.sendImage(picture)")
        frame = decode(base64.b64decode((await received(call))["data"]))
        assert frame.to_ndarray(format="gray").min() > 250


async def test_file_that_is_no_picture_is_refused(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        refused = await client.run(
            """async () => {
              const text = new Blob(["Not a picture."], { type: "image/png" });
              return await call.sendImage(text).catch((error) => error instanceof DOMException);
            }"""
        )
        assert refused is True
        await client.run("call.interrupt()")
        assert await received(call) == {"type": "interrupt"}


async def test_picture_is_not_kept_until_the_line_is_up(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server, modality="text") as client:
        await client.run(NOISE, [16, 16, "image/png"])
        assert await client.run("call.sendImage(picture)") is False
        assert server.calls == []


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


# -- start and end -------------------------------------------------------------------------


async def test_hang_up_tells_the_server_and_lets_go_of_the_microphone(
    browser: Browser, server: StandInServer
) -> None:
    """Twice is once; the session is gone on with by the next start, muted as it was."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.mute(true)")
        await client.run("call.hangUp(); call.hangUp()")
        async with asyncio.timeout(10):
            await call.hung_up.wait()
        state = "[call.line, call.hasAudio, call.isMuted, call.microphone, call.stream]"
        assert await client.run(state) == ["down", False, True, None, None]
        assert await client.run("opened[0].readyState") == "ended"
        assert await client.run("peers[0].connectionState") == "closed"
        assert await client.run("call.stats()") is None
        assert (await client.lines()).count("down") == 1
        again = await client.start()
        assert again.offer["session_id"] == call.session_id
        assert again.headers["Authorization"] == f"Bearer resume-{call.session_id}"


async def test_forget_begins_a_new_conversation(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server, modality="text") as client:
        await client.start()
        await client.run("call.forget()")
        assert await client.run("[call.sessionId, sessionStorage.length]") == ["", 0]
        again = await client.start()
        assert "session_id" not in again.offer


async def test_close_twice_is_as_good_as_once(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.close(); call.close()")
        async with asyncio.timeout(10):
            await call.hung_up.wait()
        assert await client.run("[call.line, opened[0].readyState]") == ["down", "ended"]


async def test_page_that_goes_away_hangs_up(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.page.goto("about:blank")
        async with asyncio.timeout(10):
            await call.hung_up.wait()


async def test_start_twice_in_a_row_is_one_call(browser: Browser, server: StandInServer) -> None:
    """A person who presses twice talks once, through one microphone."""
    async with open_client(browser, server) as client:
        await client.run("Promise.all([call.start(), call.start()])")
        await client.take_call()
        assert len(server.calls) == 1
        live = "opened.filter((track) => track.readyState === 'live').length"
        assert await client.run(live) == 1
        assert await client.run("sender().track.readyState") == "live"


async def test_hang_up_while_the_browser_asks_leaves_nothing_open(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server) as client:
        await client.run("() => { const started = call.start(); call.hangUp(); return started; }")
        assert await client.run("opened.map((track) => track.readyState)") == ["ended"]
        assert await client.run("[call.line, call.hasAudio, peers.length]") == ["down", False, 0]
        assert server.calls == []


async def test_session_outlives_a_reload_where_there_is_storage(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        await client.page.reload()
        await client.page.evaluate(WATCH)
        await client.construct(modality="text")
        again = await client.start()
        assert again.offer["session_id"] == call.session_id


async def test_without_storage_nothing_is_remembered(
    browser: Browser, server: StandInServer
) -> None:
    async with open_client(browser, server, modality="text", storage=None) as client:
        await client.start()
        assert await client.run("sessionStorage.length") == 0
        await client.run("call.forget()")


@pytest.mark.parametrize(
    "storage",
    [
        pytest.param("throw new DOMException('', 'SecurityError')", id="forbidden"),
        pytest.param(
            """return {
              getItem() { throw new DOMException("", "SecurityError"); },
              setItem() { throw new DOMException("", "QuotaExceededError"); },
              removeItem() { throw new DOMException("", "SecurityError"); },
            }""",
            id="full",
        ),
        pytest.param("return { getItem: () => 'null', setItem() {}, removeItem() {} }", id="empty"),
        pytest.param("return { getItem: () => '{', setItem() {}, removeItem() {} }", id="broken"),
    ],
)
async def test_call_goes_well_where_storage_does_not(
    browser: Browser, server: StandInServer, storage: str
) -> None:
    """A browser that keeps nothing for a page throws at its first word of storage."""
    async with open_client(browser, server, modality="text") as client:
        define = "() => Object.defineProperty(globalThis, 'sessionStorage', { get() { %s } })"
        await client.run(define % storage)
        await client.construct(modality="text")
        await client.start()
        await client.run("call.forget()")
        assert await client.run("call.line") == "down"


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


# -- the example ---------------------------------------------------------------------------


async def test_example_has_fewer_than_thirty_lines() -> None:
    """Page and script together."""
    names = ("example.html", "example.js")
    assert sum(len((WEB / name).read_text().splitlines()) for name in names) < 30


@pytest.mark.deadline(120)
async def test_example_holds_a_conversation_with_the_embedded_agent(tmp_path: Path) -> None:
    """Somebody presses Talk and asks; the answer is shown, and Hang up ends the call."""
    samples, rate = speech.speak("What is 23 times 7?")
    wav = speech.write_wav(tmp_path / "question.wav", samples, rate, lead_s=4, tail_s=60)
    async with (
        ServerProcess() as server,
        launch_chromium(microphone=wav) as browser,
        await browser.new_context(permissions=["microphone"]) as context,
    ):
        page = await context.new_page()
        seen = CallPage(page)
        await page.goto(f"{server.url}example.html")
        await page.get_by_role("button", name="Talk").click()
        answer = re.compile(r"^agent: .*(161|hundred and sixty[ -]one)")
        await expect(page.locator("p")).to_have_text(answer, timeout=60_000)
        async with page.expect_response(lambda one: one.request.method == "DELETE"):
            await page.get_by_role("button", name="Hang up").click()
        seen.check_clean()


# -- the documentation ---------------------------------------------------------------------


class DocumentedSite:
    """Somebody's own web site: the two files and the policy of ``docs/client.md``, as they are."""

    def __init__(self) -> None:
        document = (WEB.parent / "docs" / "client.md").read_text()
        self._html = self._block(document, "html")
        self._script = self._block(document, "js")
        (self._policy,) = re.findall(r"^ *(script-src .*)$", document, re.M)
        self.lines = len((self._html + self._script).splitlines())
        self.origin = ""
        self.server = ""

    async def __aenter__(self) -> DocumentedSite:
        app = web.Application()
        app.router.add_get("/talk.html", self._page)
        app.router.add_get("/talk.js", self._module)
        app.router.add_get("/favicon.ico", self._no_icon)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        return self._answer(self._html, "text/html")

    async def _module(self, request: web.Request) -> web.Response:
        return self._answer(self._script, "text/javascript")

    def _answer(self, body: str, content_type: str) -> web.Response:
        policy = f"default-src 'none'; {self._name_server(self._policy)}"
        return web.Response(
            text=self._name_server(body),
            content_type=content_type,
            headers={"Content-Security-Policy": policy},
        )

    async def _no_icon(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    def _name_server(self, text: str) -> str:
        return text.replace("https://calls.example", self.server.rstrip("/"))

    @staticmethod
    def _block(document: str, language: str) -> str:
        """The first of that language."""
        block = re.search(rf"^```{language}\n(.*?)^```$", document, re.M | re.S)
        assert block is not None, language
        return block[1]


@pytest.mark.deadline(120)
async def test_documented_page_works_as_it_stands_there(tmp_path: Path) -> None:
    """On another origin, under the documented policy and nothing else, with a microphone."""
    samples, rate = speech.speak("What is 23 times 7?")
    wav = speech.write_wav(tmp_path / "question.wav", samples, rate, lead_s=4, tail_s=60)
    async with (
        DocumentedSite() as site,
        ServerProcess("local", "--allow-origin", site.origin) as server,
        launch_chromium(microphone=wav) as browser,
        await browser.new_context(permissions=["microphone"]) as context,
    ):
        assert site.lines < 30
        site.server = server.url
        page = await context.new_page()
        seen = CallPage(page)
        await page.goto(f"{site.origin}/talk.html")
        await page.get_by_role("button", name="Talk").click()
        answer = re.compile(r"^agent: .*(161|hundred and sixty[ -]one)")
        await expect(page.locator("#said")).to_have_text(answer, timeout=60_000)
        async with page.expect_response(lambda one: one.request.method == "DELETE"):
            await page.get_by_role("button", name="Hang up").click()
        await expect(page.locator("#problem")).to_be_empty()
        seen.check_clean()
