"""What the client library shows to the agent: cameras, screens, and when they are let go of.

One page is shared by all tests of a browser, each with a ``Call`` of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.library_client import Client, open_client
from tests.browser.stand_in_server import StandInCall, StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

CANVAS = """(colour) => {
  const canvas = document.createElement("canvas");
  canvas.width = 2560;
  canvas.height = 1440;
  const drawing = canvas.getContext("2d");
  const draw = () => {
    drawing.fillStyle = colour;
    drawing.fillRect(0, 0, canvas.width, canvas.height);
  };
  draw();
  const drawn = setInterval(draw, 100);
  const stream = canvas.captureStream(30);
  stream.getTracks()[0].addEventListener("ended", () => clearInterval(drawn));
  return stream;
}"""
"""A stream of one colour, larger than what is sent."""

SCREEN = f"""(colour) => {{
  const draw = {CANVAS};
  navigator.mediaDevices.getDisplayMedia = async (wanted) => {{
    globalThis.wanted = wanted;
    const stream = draw(colour);
    opened.push(stream.getTracks()[0]);
    return stream;
  }};
}}"""
"""A browser without a screen has nothing to share: what the person chose is drawn."""

FAIL = """(name) => {
  navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", name); };
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def client(browser: Browser, server: StandInServer) -> AsyncIterator[Client]:
    async with open_client(browser, server, modality="text") as client:
        yield client
        await client.run("call.close()")


async def seen_colour(call: StandInCall) -> tuple[int, int, int]:
    """Of the newest frame's middle, and how large it is at most."""
    async with asyncio.timeout(20):
        frame = await call.video_frame()
    assert max(frame.width, frame.height) <= 1280
    pixels = frame.to_ndarray(format="rgb24")
    r, g, b = pixels[frame.height // 2, frame.width // 2]
    return int(r), int(g), int(b)


async def until_seen(call: StandInCall, *, red: bool) -> None:
    """Frames come until one is red, or not red any more."""
    async with asyncio.timeout(20):
        while True:
            r, g, _ = await seen_colour(call)
            if (r > 150 and g < 100) is red:
                return


async def test_offer_always_has_room_for_video_and_shows_nothing_unasked(client: Client) -> None:
    """One section, of one codec, that can carry video later without another offer."""
    call = await client.start()
    sdp: str = call.offer["sdp"]
    section = sdp.partition("m=video")[2].partition("m=application")[0]
    codecs = {
        line.split()[1].partition("/")[0] for line in section.splitlines() if "rtpmap" in line
    }
    assert codecs <= {"VP8", "rtx"}
    assert "a=sendonly" in section
    assert await client.run("[call.takesVideo, call.video, opened.length]") == [True, None, 0]


async def test_camera_is_seen_within_the_same_connection_and_its_light_goes_out(
    client: Client,
) -> None:
    call = await client.start()
    assert await client.run("call.startVideo('camera')") is True
    opened = await client.seen("video")
    assert (opened["reason"], opened["kind"], opened["stream"]) == ("opened", "camera", "stream")
    await seen_colour(call)
    assert await client.run("peers.length") == 1
    rate = "sender().getParameters().encodings[0].maxFramerate"
    assert await client.run(rate) == 5

    await client.run("call.stopVideo()")
    assert (await client.seen("video", 2))["reason"] == "closed"
    assert await client.run("[opened[0].readyState, call.video]") == ["ended", None]
    await client.run("call.stopVideo()")
    assert len(await client.said("video")) == 2


async def test_screen_takes_the_place_of_the_camera_and_is_made_smaller(client: Client) -> None:
    call = await client.start()
    await client.run("call.startVideo('camera')")
    await client.run(SCREEN, "red")
    assert await client.run("call.startVideo('screen')") is True
    assert await client.run("wanted.video.width.max") == 1280
    assert await client.run("opened.map((track) => track.readyState)") == ["ended", "live"]
    assert [one["reason"] for one in await client.said("video")] == ["opened", "replaced"]
    assert await client.run("call.video.kind") == "screen"
    await until_seen(call, red=True)


async def test_sharing_that_the_person_ends_in_the_browser_is_told(client: Client) -> None:
    await client.start()
    await client.run(SCREEN, "red")
    await client.run("call.startVideo('screen')")
    # As the browser does: the track ends, and is told so.
    await client.run("(opened[0].stop(), opened[0].dispatchEvent(new Event('ended')))")
    ended = await client.seen("video", 2)
    assert (ended["reason"], ended["kind"], ended["stream"]) == ("ended", "screen", None)
    assert await client.run("sender().track") is None


async def test_video_goes_on_in_the_next_connection(client: Client) -> None:
    call = await client.start()
    await client.run(SCREEN, "red")
    await client.run("call.startVideo('screen')")
    await until_seen(call, red=True)
    await call.close()
    again = await client.take_call(2)
    await until_seen(again, red=True)
    assert await client.run("opened.length") == 1


async def test_hang_up_lets_go_of_the_camera(client: Client) -> None:
    await client.start()
    await client.run("call.startVideo('camera')")
    await client.run("call.hangUp()")
    assert await client.run("[opened[0].readyState, call.video]") == ["ended", None]


async def test_camera_that_opens_after_a_hang_up_is_closed_again(client: Client) -> None:
    await client.start()
    hung_up = "() => { const open = call.startVideo('camera'); call.hangUp(); return open; }"
    assert await client.run(hung_up) is False  # at once: the camera may take no time to open
    assert await client.run("opened[0].readyState") == "ended"
    assert await client.said("video") == []


async def test_camera_without_a_call_places_one(client: Client) -> None:
    await client.run("call.startVideo('camera')")
    call = await client.take_call()
    assert not call.has_audio
    await seen_colour(call)


async def test_lent_stream_is_shown_and_not_stopped(client: Client) -> None:
    """Larger than the agent looks: it is made smaller on the way."""
    call = await client.start()
    await client.run(f"(colour) => {{ globalThis.own = ({CANVAS})(colour); }}", "red")
    await client.run("call.startVideo(own)")
    await until_seen(call, red=True)
    await client.run("call.stopVideo()")
    assert await client.run("own.getTracks()[0].readyState") == "live"
    await client.run("own.getTracks()[0].stop()")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("NotAllowedError", "camera_denied"),
        ("NotFoundError", "camera_missing"),
        ("NotReadableError", "camera_busy"),
        ("TypeError", "camera_failed"),
    ],
)
async def test_camera_that_cannot_be_opened_is_told_apart(
    client: Client, name: str, code: str
) -> None:
    await client.start()
    await client.run(FAIL, name)
    caught = "call.startVideo('camera').catch((error) => [error.code, error.retryable])"
    assert await client.run(caught) == [code, False]
    assert await client.run("call.line") == "up"


async def test_other_camera_that_fails_leaves_none(client: Client) -> None:
    """A phone opens one only: the first was closed for it."""
    await client.start()
    await client.run("call.startVideo('camera')")
    await client.run(FAIL, "NotReadableError")
    failed = "call.startVideo('camera', { facingMode: 'environment' }).catch((it) => it.code)"
    assert await client.run(failed) == "camera_busy"
    assert [one["reason"] for one in await client.said("video")] == ["opened", "ended"]
    assert await client.run("call.video") is None


async def test_server_that_does_not_look_at_video_is_not_shown_any(
    client: Client, server: StandInServer
) -> None:
    server.takes_video = False
    await client.start()
    assert await client.run("call.takesVideo") is False
    assert await client.run("call.startVideo('camera').catch((it) => it.code)") == "video_refused"
    assert await client.run("opened.length") == 0


async def test_agent_that_looks_at_no_pictures_is_sent_none(
    client: Client, server: StandInServer
) -> None:
    server.takes_pictures = False
    await client.start()
    assert await client.run("[call.takesPictures, call.takesVideo]") == [False, False]
    refused = ".catch((it) => it.code)"
    assert await client.run(f"call.startVideo('camera'){refused}") == "pictures_refused"
    assert await client.run(f"call.sendImage(new Blob([])){refused}") == "pictures_refused"
    assert await client.run("opened.length") == 0
