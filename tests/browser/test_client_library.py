"""The client library alone, as a page of somebody else's uses it: ``Call`` and no page."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Any

import av
import pytest
from playwright.async_api import Browser, Route

from tests.browser.library_client import WATCH, Client, open_client, received
from tests.browser.stand_in_server import Refusal, StandInServer
from tests.browser.taken_calls import TIMEOUT_S
from tests.waiting import until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.deadline(60),
    pytest.mark.usefixtures("browser"),  # its loop keeps the threads of the module
]

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
        async with asyncio.timeout(TIMEOUT_S):
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
            "pictures": True,
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


# -- start and end -------------------------------------------------------------------------


async def test_hang_up_tells_the_server_and_lets_go_of_the_microphone(
    browser: Browser, server: StandInServer
) -> None:
    """Twice is once; the session is gone on with by the next start, muted as it was."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.mute(true)")
        await client.run("call.hangUp(); call.hangUp()")
        async with asyncio.timeout(TIMEOUT_S):
            await call.hung_up.wait()
        state = "[call.line, call.hasAudio, call.isMuted, call.microphone, call.stream]"
        assert await client.run(state) == ["down", False, True, None, None]
        assert await client.run("opened[0].readyState") == "ended"
        await until(lambda: client.run("peers[0].connectionState === 'closed'"))
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
        async with asyncio.timeout(TIMEOUT_S):
            await call.hung_up.wait()
        assert await client.run("[call.line, opened[0].readyState]") == ["down", "ended"]


async def test_page_that_goes_away_hangs_up(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.page.goto("about:blank")
        async with asyncio.timeout(TIMEOUT_S):
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
