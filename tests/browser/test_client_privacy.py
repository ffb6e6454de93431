"""What the client library keeps to one person: the conversation, and the microphone."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from playwright.async_api import Browser, Route

from tests.browser.library_client import OWN_STREAM, Client, open_client, received
from tests.browser.stand_in_server import Refusal, StandInServer
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

STORED = "JSON.parse(sessionStorage.getItem('rtc.conversation'))"


def token_of(sub: str, *, signature: str = "signature") -> str:
    """A call token of that person, in shape; the stand-in checks none."""

    def part(fields: dict[str, Any]) -> str:
        text = json.dumps(fields, ensure_ascii=False).encode()
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part({'sub': sub, 'exp': 2_000_000_000})}.{signature}"


async def construct_anew(client: Client, **options: Any) -> None:
    """Another ``Call`` in the same tab, as after a reload."""
    await client.run("call.close()")
    await client.construct(modality="text", **options)


# -- whose conversation it is --------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(token_of("ada"), token_of("bob"), id="other-subject"),
        pytest.param(token_of("søren"), token_of("søren?~"), id="not-ascii"),
        pytest.param("first-key", "second-key", id="opaque"),
    ],
)
async def test_token_of_another_person_begins_another_conversation(
    browser: Browser, server: StandInServer, one: str, other: str
) -> None:
    """In the same tab, where one logged out and the other in."""
    async with open_client(browser, server, modality="text", token=one) as client:
        await client.start()
        await construct_anew(client, token=other)
        assert await client.run("call.sessionId") == ""
        call = await client.start()
        assert "session_id" not in call.offer
        assert call.headers["Authorization"] == f"Bearer {other}"


async def test_fresh_token_of_the_same_person_goes_on_with_the_conversation(
    browser: Browser, server: StandInServer
) -> None:
    """A token is renewed at each load of a page; whose it is stays."""
    async with open_client(
        browser, server, modality="text", token=token_of("søren", signature="old")
    ) as client:
        before = await client.start()
        await construct_anew(client, token=token_of("søren", signature="new"))
        assert await client.run("call.sessionId") == before.session_id
        call = await client.start()
        assert call.offer["session_id"] == before.session_id
        assert call.headers["Authorization"] == f"Bearer resume-{before.session_id}"


async def test_resume_token_that_is_refused_is_not_kept(
    browser: Browser, server: StandInServer
) -> None:
    """The call token is tried next, and after a reload it is the only one."""
    token = token_of("ada")
    async with open_client(
        browser, server, refused_requests=True, modality="text", token=token
    ) as client:
        await client.start()
        assert await client.run(f"{STORED}.resumeToken")
        server.refusals = [Refusal(401, "Expired."), Refusal(401, "Expired.")]
        await client.run("call.hangUp()")
        statuses = len(await client.said("status"))
        await client.run("call.start()")
        assert (await client.seen("status", statuses + 1))["line"] == "dialling"
        assert (await client.seen("status", statuses + 3))["problem"]["code"] == "unauthorized"
        assert server.refused == 2
        assert await client.run(f"{STORED}?.resumeToken ?? null") is None
        await construct_anew(client, token=token)
        call = await client.start()
        assert call.headers["Authorization"] == f"Bearer {token}"


# -- mute ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["hangUp", "forget", "replaced", "idle"])
async def test_microphone_stays_muted_until_it_is_opened(
    browser: Browser, server: StandInServer, end: str
) -> None:
    """However the call ended, whoever muted himself is not heard in the next."""
    async with open_client(browser, server) as client:
        call = await client.start()
        await client.run("call.mute(true)")
        assert await received(call) == {"type": "mute", "muted": True}
        if end in ("hangUp", "forget"):
            await client.run(f"call.{end}()")
        else:
            call.send("goaway", reason=end, seconds=0)
            await client.seen("goaway")
            await call.close()
        await until(lambda: client.run("call.line === 'down'"))
        assert await client.run("call.isMuted") is True
        again = await client.start()
        assert await received(again) == {"type": "mute", "muted": True}
        assert await client.run("[opened.length, opened.at(-1).enabled]") == [2, False]
        assert await client.said("muted") == [True]
        await client.run("call.mute(false)")
        assert await client.run("opened.at(-1).enabled") is True


# -- a stream that was lent ----------------------------------------------------------------


async def test_lent_track_that_is_closed_stays_closed(
    browser: Browser, server: StandInServer
) -> None:
    """The page that lends it has its own reasons; mute closes, and nothing opens it."""
    async with open_client(browser, server) as client:
        await client.run(OWN_STREAM)
        await client.run("own.getAudioTracks()[0].enabled = false")
        await client.start("call.start({ microphone: own })")
        is_open = "own.getAudioTracks()[0].enabled"
        assert await client.run(is_open) is False
        await client.run("call.mute(true)")
        await client.run("call.mute(false)")
        assert await client.run(is_open) is False
        await client.run("call.mute(true)")
        await client.run("call.hangUp()")
        assert await client.run("call.microphone") is None
        assert await client.run(f"own.getAudioTracks()[0].readyState + {is_open}") == "livefalse"


WATCH_OPENING = """() => {
  const [track] = own.getAudioTracks();
  const { get, set } = Object.getOwnPropertyDescriptor(MediaStreamTrack.prototype, "enabled");
  globalThis.openings = [];
  Object.defineProperty(track, "enabled", {
    get() { return get.call(track); },
    set(enabled) {
      const isSent = peers.some(
        (peer) => peer.connectionState !== "closed"
          && peer.getSenders().some((one) => one.track === track),
      );
      if (enabled) openings.push(isSent ? "heard" : "unheard");
      set.call(track, enabled);
    },
  });
}"""
"""``openings`` says of each time the track was opened whether a connection sent it then."""


@pytest.mark.parametrize("end", ["text", "another", "hangUp"])
async def test_lent_track_that_is_muted_is_opened_again_when_no_connection_sends_it(
    browser: Browser, server: StandInServer, end: str
) -> None:
    """The connection before stands until the next is up, which may take a while."""
    async with open_client(browser, server) as client:
        await client.run(OWN_STREAM)
        call = await client.start("call.start({ microphone: own })")
        await client.run("call.mute(true)")
        assert await received(call) == {"type": "mute", "muted": True}
        await client.run(WATCH_OPENING)
        if end == "another":
            await client.run("call.replaceMicrophone(true)")
        elif end == "hangUp":
            await client.run("call.hangUp()")
        else:
            way_is_free = asyncio.Event()

            async def delay(route: Route) -> None:
                await way_is_free.wait()
                await route.continue_()

            await client.page.route("**/api/config", delay)
            await client.run("call.start({ microphone: false })")
            await until(lambda: client.run("call.microphone === null"))
            assert "heard" not in await client.run("openings")
            way_is_free.set()
            await client.take_call(2)
        await until(lambda: client.run("openings.length > 0"))
        assert set(await client.run("openings")) == {"unheard"}
        assert await client.run("own.getAudioTracks()[0].enabled") is True
        assert await client.run("call.isMuted") is True
