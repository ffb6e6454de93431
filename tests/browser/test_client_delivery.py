"""What was typed arrives, once; and calls that are refused, given up or asked for in between."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser

from tests.browser.library_client import OWN_STREAM, Client, open_client, received
from tests.browser.stand_in_server import Refusal, StandInCall, StandInServer
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


async def next_text(call: StandInCall) -> str:
    message = await received(call)
    assert message["type"] == "text"
    return str(message["data"])


async def type_text(client: Client, text: str) -> bool:
    """Type a text; whether there was room for it."""
    has_room: bool = await client.run("(text) => call.sendText(text)", text)
    return has_room


# -- delivery ------------------------------------------------------------------------------


async def test_text_that_went_into_the_void_is_delivered_once_by_the_next_connection(
    browser: Browser, server: StandInServer
) -> None:
    """The server was gone, and nobody knew yet."""
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        await until(lambda: call.pings > 0)
        call.send("agent", name="behind the pong")
        await client.seen("agent")
        await call.vanish()
        # At once: in a moment it is known.
        typed = "[call.sendText('First'), call.sendText('Second'), call.line, call.hasUnsent]"
        assert await client.run(typed) == [True, True, "up", True]
        again = await client.take_call(2)
        await type_text(client, "Third")
        assert [await next_text(again) for _ in range(3)] == ["First", "Second", "Third"]
        await until(lambda: client.run("!call.hasUnsent"))
        last = await client.start("call.redial()")
        await type_text(client, "Fourth")
        assert await next_text(last) == "Fourth"
        assert again.received.empty()


@pytest.mark.parametrize("sign", ["pong", "thinking", "transcript"])
async def test_text_that_the_server_got_is_not_sent_again(
    browser: Browser, server: StandInServer, sign: str
) -> None:
    """Shown by the answer to a later ping, by the agent's beginning, or by its own words."""
    async with open_client(browser, server, modality="text") as client:
        call = await client.start()
        await type_text(client, "Once")
        assert await next_text(call) == "Once"
        if sign == "thinking":
            call.send("state", state="thinking")
        if sign == "transcript":
            call.send("transcript", role="user", text="Once", final=True, turn=1)
        await until(lambda: client.run("!call.hasUnsent"))
        await call.vanish()
        again = await client.take_call(2)
        await type_text(client, "Then")
        assert await next_text(again) == "Then"


async def test_call_says_whether_something_typed_could_be_lost(
    browser: Browser, server: StandInServer
) -> None:
    """From the first word that waits for the line to the sign that it arrived."""
    async with open_client(browser, server, modality="text") as client:
        assert await client.run("call.hasUnsent") is False
        assert await client.run("[call.sendText('Hello'), call.hasUnsent]") == [True, True]
        call = await client.take_call()
        assert await next_text(call) == "Hello"
        await until(lambda: client.run("!call.hasUnsent"))
        assert await client.run("[call.sendText('Again'), call.hasUnsent]") == [True, True]
        await client.run("call.forget()")
        assert await client.run("call.hasUnsent") is False


async def test_text_for_which_there_is_no_room_is_refused_at_once(
    browser: Browser, server: StandInServer
) -> None:
    """What was taken is delivered in full and in order; what was not, never."""
    async with open_client(browser, server, modality="text") as client:
        taken = await client.run(
            "['a', 'b', 'c', 'd', 'e', 'f'].map((one) => call.sendText(one.repeat(50_000)))"
        )
        assert taken == [True] * 5 + [False]
        assert await type_text(client, "There is room for this.")
        call = await client.take_call()
        for letter in "abcde":
            assert await next_text(call) == letter * 50_000
        assert await next_text(call) == "There is room for this."
        await until(lambda: client.run("!call.hasUnsent"))
        assert await type_text(client, "g" * 50_000)
        assert await next_text(call) == "g" * 50_000


async def test_text_that_is_lost_with_a_second_connection_is_delivered_by_the_third(
    browser: Browser, server: StandInServer
) -> None:
    """A network that comes and goes: nothing was answered in the connection between."""
    async with open_client(browser, server, modality="text") as client:
        first = await client.start()
        await until(lambda: first.pings > 0)
        first.send("agent", name="behind the pong")
        await client.seen("agent")
        second = await client.start("call.redial()")
        await second.vanish()
        assert await type_text(client, "Still there?")
        third = await client.take_call(3)
        assert await next_text(third) == "Still there?"


async def test_text_that_no_message_can_hold_is_refused_and_holds_nothing_up(
    browser: Browser, server: StandInServer
) -> None:
    """A message has 256 KiB, and a character up to four bytes."""
    async with open_client(browser, server, modality="text") as client:
        assert await client.run("call.sendText('€'.repeat(100_000))") is False
        assert await client.run("[call.hasUnsent, call.line]") == [False, "down"]
        assert await client.run("call.sendText('€'.repeat(20_000))") is True
        call = await client.take_call()
        assert await next_text(call) == "€" * 20_000


async def test_many_short_texts_are_all_kept(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server, modality="text") as client:
        texts = [f"Text {number}" for number in range(50)]
        await client.run("(texts) => texts.forEach((one) => call.sendText(one))", texts)
        call = await client.take_call()
        assert [await next_text(call) for _ in texts] == texts


async def test_closed_call_takes_no_text(browser: Browser, server: StandInServer) -> None:
    async with open_client(browser, server, modality="text") as client:
        await client.run("call.close()")
        assert await type_text(client, "Hello?") is False
        assert await client.run("call.line") == "down"


# -- a microphone that comes and goes ------------------------------------------------------

TAKE_MICROPHONES_AWAY = """() => {
  const devices = navigator.mediaDevices;
  const getUserMedia = devices.getUserMedia;
  devices.getUserMedia = async () => { throw new DOMException("none", "NotFoundError"); };
  globalThis.plugIn = () => {
    devices.getUserMedia = getUserMedia;
    devices.dispatchEvent(new Event("devicechange"));
  };
  opened.at(-1).stop();
  opened.at(-1).dispatchEvent(new Event("ended"));
}"""
"""As if the only one were unplugged, until ``plugIn``."""

PACKETS_SENT = "call.stats().then((stats) => stats?.uplink?.packets ?? 0)"


async def test_microphone_that_returns_after_a_reconnection_is_heard(
    browser: Browser, server: StandInServer
) -> None:
    """An audio call without a microphone is one all the same."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run(TAKE_MICROPHONES_AWAY)
        assert (await client.seen("microphone", 2))["reason"] == "lost"
        await call.close()
        again = await client.take_call(2)
        assert again.has_audio
        audio = again.offer["sdp"].partition("m=audio")[2].partition("\nm=")[0]
        assert "a=sendrecv" in audio
        assert await client.run("call.hasAudio") is True
        await client.run("plugIn()")
        assert (await client.seen("microphone", 3))["reason"] == "returned"
        await until(lambda: client.run("sender().track === opened.at(-1)"))
        before = await client.run(PACKETS_SENT)
        await until(lambda: client.run(f"{PACKETS_SENT}.then((packets) => packets > {before})"))
        assert len(server.calls) == 2


# -- a call that is refused beside one that stands -----------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [(503, "busy"), (429, "too_many"), (502, "agent_unreachable")]
)
async def test_text_call_goes_on_where_the_audio_call_is_refused(
    browser: Browser, server: StandInServer, status: int, code: str
) -> None:
    """Who cannot speak can type; asked again, the audio call comes up."""
    async with open_client(browser, server, refused_requests=True) as client:
        first = await client.start("call.start({ microphone: false })")
        server.refusals = [Refusal(status, "Not now.")]
        statuses = len(await client.said("status"))
        await client.run("call.start()")
        assert (await client.seen("status", statuses + 1))["line"] == "dialling"
        said = await client.seen("status", statuses + 2)
        assert said == {
            "line": "up",
            "audio": False,
            "problem": {"code": code, "message": "Not now."},
            "retryInS": 0,
        }
        assert await client.run("[call.line, call.hasAudio]") == ["up", False]
        assert await client.run("opened.map((track) => track.readyState)") == ["ended"]
        await type_text(client, "Then I type.")
        assert await next_text(first) == "Then I type."
        first.send("text", data="And I write.", turn=1)
        assert (await client.seen("text"))["data"] == "And I write."
        assert server.calls == [first]
        again = await client.start("call.start()")
        assert again.has_audio
        assert again.offer["session_id"] == first.session_id


async def test_audio_call_goes_on_where_the_next_one_is_refused(
    browser: Browser, server: StandInServer
) -> None:
    """Its microphone stays open, and is sent."""
    async with open_client(browser, server, refused_requests=True) as client:
        first = await client.start()
        server.refusals = [Refusal(503, "Not now.")]
        statuses = len(await client.said("status"))
        await client.run("call.redial()")
        said = await client.seen("status", statuses + 2)
        assert (said["line"], said["audio"], said["problem"]["code"]) == ("up", True, "busy")
        is_sent = "peers[0].getSenders()[0].track?.readyState"
        assert await client.run(is_sent) == "live"
        await type_text(client, "Still here.")
        assert await next_text(first) == "Still here."


# -- ends at odd times ---------------------------------------------------------------------


@pytest.mark.parametrize("end", ["hangUp", "close"])
async def test_call_that_the_server_placed_too_late_is_ended(
    browser: Browser, server: StandInServer, end: str
) -> None:
    """Nobody is there any more when the answer comes; the server is told."""
    async with open_client(browser, server, modality="text") as client:
        server.answers.clear()
        await client.run("call.start()")
        await until(lambda: len(server.calls) == 1)
        await client.run(f"call.{end}()")
        assert await client.run("call.line") == "down"
        server.answers.set()
        async with asyncio.timeout(20):
            await server.calls[0].hung_up.wait()
        assert await client.run("call.line") == "down"
        assert len(server.calls) == 1


async def test_start_says_whether_a_call_is_being_placed(
    browser: Browser, server: StandInServer
) -> None:
    """Not where somebody hung up while the browser asked for the microphone."""
    async with open_client(browser, server) as client:
        script = "() => { const started = call.start(); call.hangUp(); return started; }"
        assert await client.run(script) is False
        assert await client.run("call.start()") is True
        await client.take_call()
        assert await client.run("call.start({ microphone: false })") is True


PROMPT = """() => {
  const devices = navigator.mediaDevices;
  const getUserMedia = devices.getUserMedia;
  const allowed = new Promise((resolve) => { globalThis.allow = resolve; });
  devices.getUserMedia = async (wanted) => {
    await allowed;
    return getUserMedia(wanted);
  };
}"""
"""The browser asks for the microphone, and somebody reads it until ``allow``."""


async def test_text_that_is_typed_while_the_browser_asks_is_sent_in_the_audio_call(
    browser: Browser, server: StandInServer
) -> None:
    """No text call comes before it."""
    async with open_client(browser, server) as client:
        await client.run(PROMPT)
        await client.run("() => { call.start(); }")
        assert await type_text(client, "I am thinking about it.")
        assert await client.run("[call.hasUnsent, peers.length]") == [True, 0]
        await client.run("allow()")
        call = await client.take_call()
        assert call.has_audio
        assert await next_text(call) == "I am thinking about it."
        assert server.calls == [call]
        assert await client.run("opened.map((track) => track.readyState)") == ["live"]


@pytest.mark.parametrize("line", ["dialling", "waiting", "up"])
async def test_call_may_be_hung_up_by_whoever_hears_of_its_status(
    browser: Browser, server: StandInServer, line: str
) -> None:
    """And it can be started again."""
    async with open_client(browser, server, refused_requests=True) as client:
        if line == "waiting":
            server.refusals = [Refusal(503, "Not now.")]
        await client.run(
            """(line) => {
              const stop = call.on("status", (status) => {
                if (status.line !== line) return;
                stop();
                call.hangUp();
              });
            }""",
            line,
        )
        await client.run("call.start()")
        await until(lambda: client.run("call.line === 'down' && call.microphone === null"))
        assert await client.run("opened.map((track) => track.readyState)") == ["ended"]
        assert (await client.lines())[-2:] == [line, "down"]
        if line == "up":
            first = await server.next_call()
            async with asyncio.timeout(20):
                await first.hung_up.wait()
        ready = len(await client.said("ready"))
        await client.run("call.start()")
        again = await client.take_call(ready + 1)
        assert again.has_audio
        assert await client.run("call.line") == "up"


# -- meters --------------------------------------------------------------------------------

WATCH_CONTEXTS = """() => {
  globalThis.contexts = [];
  globalThis.AudioContext = class extends AudioContext {
    constructor(...given) {
      super(...given);
      contexts.push(this);
    }
  };
}"""


async def test_nothing_is_measured_once_the_last_meter_is_closed(
    browser: Browser, server: StandInServer
) -> None:
    """All meters share one audio context, which takes the processor's time while it runs."""
    async with open_client(browser, server, modality="text") as client:
        await client.run(OWN_STREAM)
        await client.run(WATCH_CONTEXTS)
        await client.run(
            """() => {
              globalThis.one = new library.LevelMeter(own, () => {});
              globalThis.other = new library.LevelMeter(own, () => {});
            }"""
        )
        await until(lambda: client.run("contexts[0].state === 'running'"))
        await client.run("one.close()")
        level = "new Promise((resolve) => { new library.LevelMeter(own, resolve); })"
        assert await client.run("contexts[0].state") == "running"
        await client.run("other.close(); other.close()")
        await until(lambda: client.run("contexts[0].state === 'suspended'"))
        assert await client.run(f"{level}.then((level) => level >= 0)") is True
        await until(lambda: client.run("contexts[0].state === 'running'"))
        assert await client.run("contexts.length") == 1
