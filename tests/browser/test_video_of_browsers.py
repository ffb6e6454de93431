"""Video as browsers send it reaches the agent: real Chromium, real Firefox, our server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedLlm
from tests.browser.chromium import launch_chromium
from tests.browser.firefox import find_firefox, launch_firefox
from tests.e2e.server import Server
from tests.e2e.test_pictures import Received, pictures, watching
from tests.peer.camera import BLUE, GREEN, RED, WHITE, colour_at, is_near
from tests.waiting import until

pytestmark = pytest.mark.deadline(120)

Run = Callable[[str], Awaitable[Any]]
"""Runs a JavaScript function in the page, and gives what it returns."""

CALL = """async () => {
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 480;
  const drawing = canvas.getContext("2d");
  const colours = %s;
  const draw = () => colours.forEach(([r, g, b], at) => {
    drawing.fillStyle = `rgb(${r}, ${g}, ${b})`;
    drawing.fillRect(320 * (at %% 2), 240 * (at >> 1), 320, 240);
  });
  draw();
  setInterval(draw, 50);
  globalThis.track = canvas.captureStream(30).getVideoTracks()[0];

  const connection = (globalThis.connection = new RTCPeerConnection());
  const transceiver = connection.addTransceiver("video", { direction: "sendonly" });
  globalThis.sender = transceiver.sender;
  const only = %s;
  if (only !== null) {
    const all = RTCRtpReceiver.getCapabilities("video").codecs;
    transceiver.setCodecPreferences(all.filter((one) => one.mimeType === only));
  }
  connection.createDataChannel("events");
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== "complete") {
    await new Promise((done) => setTimeout(done, 20));
  }
  const answer = await fetch("/api/calls", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ type: "offer", sdp: connection.localDescription.sdp, modality: "text" }),
  });
  const { sdp, call_id } = await answer.json();
  await connection.setRemoteDescription({ type: "answer", sdp });
  while (connection.connectionState !== "connected") {
    await new Promise((done) => setTimeout(done, 20));
  }
  return [call_id, transceiver.currentDirection];
}"""

SHOW = "async () => { await sender.replaceTrack(track); }"
HIDE = """async () => {
  await sender.replaceTrack(null);
  // Firefox shows its last frame once a second all the same, unless it is told not to send.
  const parameters = sender.getParameters();
  for (const encoding of parameters.encodings) encoding.active = false;
  await sender.setParameters(parameters);
}"""
HANG_UP = "async () => { connection.close(); }"


@asynccontextmanager
async def chromium(url: str, folder: Path) -> AsyncIterator[Run]:
    async with launch_chromium() as browser:
        page = await browser.new_page()
        await page.goto(url)
        yield page.evaluate


@asynccontextmanager
async def firefox(url: str, folder: Path) -> AsyncIterator[Run]:
    program = find_firefox()
    if program is None:
        pytest.skip("there is no Firefox")
    async with launch_firefox(program, folder, os.environ) as browser:
        opened = await browser.command("browsingContext.create", type="tab")
        context = opened["context"]
        await browser.command("browsingContext.navigate", context=context, url=url, wait="complete")

        async def run(function: str) -> Any:
            said = await browser.command(
                "script.callFunction",
                functionDeclaration=function,
                target={"context": context},
                awaitPromise=True,
            )
            assert said["type"] == "success", said
            value = said["result"].get("value")
            return [one["value"] for one in value] if isinstance(value, list) else value

        yield run


@pytest.mark.parametrize(
    ("browser", "codec"),
    [(chromium, None), (chromium, "video/H264"), (firefox, None)],
    ids=["chromium", "chromium-h264", "firefox"],
)
async def test_what_a_browser_shows_reaches_the_agent(
    browser: Callable[[str, Path], Any], codec: str | None, tmp_path: Path
) -> None:
    """A section without a track costs nothing; a track put in its place is seen; then no more."""
    received: Received = []
    colours = [list(one) for one in (RED, GREEN, BLUE, WHITE)]
    settings = Settings(port=0, limits=Limits(frames_per_s=2.0))
    async with (
        Server.running(ScriptedLlm(scripts=[watching(received)]), settings) as server,
        browser(server.url, tmp_path) as run,
    ):
        only = "null" if codec is None else f'"{codec}"'
        call_id, direction = await run(CALL % (colours, only))

        async def video() -> dict[str, Any]:
            async with server.http.get(f"/api/calls/{call_id}") as response:
                return dict((await response.json())["media"]["video"])

        assert direction == "sendonly"
        assert (await video())["packets"] == 0

        await run(SHOW)
        await until(lambda: len(pictures(received)) >= 3, timeout_s=40)
        jpeg = pictures(received)[-1]
        for x, y, colour in (
            (0.25, 0.25, RED),
            (0.75, 0.25, GREEN),
            (0.25, 0.75, BLUE),
            (0.75, 0.75, WHITE),
        ):
            assert is_near(colour_at(jpeg, x, y), colour, 32), colour_at(jpeg, x, y)
        seen = await video()
        assert seen["codec"] == ("VP8" if codec is None else "H264")
        assert seen["frames_broken"] == seen["packets_malformed"] == seen["packets_refused"] == 0
        assert seen["key_frames_requested"] >= 1
        assert seen["packets_skipped"] > 0

        await run(HIDE)

        async def has_stopped() -> bool:
            before = (await video())["pictures"]
            await run("async () => { await new Promise((done) => setTimeout(done, 1200)); }")
            return bool((await video())["pictures"] == before)

        await until(has_stopped)
        await run(HANG_UP)
