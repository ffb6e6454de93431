"""What the caller shows reaches the agent: video and pictures, in whole calls."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types
from numpy.typing import NDArray

from rtc_harness.camera import read_image
from rtc_harness.cli import call_command
from rtc_server.media.picture import decode_picture
from rtc_server.messages import MAX_MESSAGE_BYTES
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    said,
    text_of,
    text_piece,
    turn_complete,
)
from tests.agent.tone_cascade import TextLlm, tone_cascade
from tests.e2e.server import Server
from tests.peer.camera import BLUE, GREEN, RED, Camera, colour_at, is_near, pattern
from tests.waiting import until

Received = list[bytes | str]


def watching(
    received: Received,
) -> Callable[[ScriptedConnection], Coroutine[Any, Any, None]]:
    """A model that keeps the pictures and texts it is given, and answers each text."""

    async def script(connection: ScriptedConnection) -> None:
        while True:
            one = await connection.receive_input()
            if isinstance(one, types.Blob):
                if one.mime_type == "image/jpeg":
                    received.append(one.data or b"")
                else:
                    assert (one.mime_type or "").startswith("audio/")
            elif isinstance(one, types.Content):
                received.append(text_of(one))
                connection.emit(text_piece("seen"), said("seen"), turn_complete())

    return script


def pictures(received: Received) -> list[bytes]:
    return [one for one in received if isinstance(one, bytes)]


def message(picture: bytes, mime_type: str = "image/png") -> dict[str, Any]:
    data = base64.b64encode(picture).decode()
    return {"type": "image", "mime_type": mime_type, "data": data}


def png(rgb: NDArray[np.uint8]) -> bytes:
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = rgb.shape[1], rgb.shape[0], "rgb24"
    encoder.time_base = Fraction(1)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    frame.pts = 0
    return b"".join(bytes(one) for one in (*encoder.encode(frame), *encoder.encode(None)))


def film(path: Path, *, frames: int = 30) -> Path:
    """A file of red, then green, half a second each."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libvpx", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(frames):
            colour = RED if number < frames // 2 else GREEN
            frame = av.VideoFrame.from_ndarray(pattern(colours=(colour,) * 4), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("audio", "modality"), [("sendrecv", "audio"), (None, "text")])
async def test_what_a_camera_shows_reaches_the_agent(audio: str | None, modality: str) -> None:
    """A picture now and then, as a JPEG; the call's statistics say what was taken."""
    received: Received = []
    settings = Settings(port=0, limits=Limits(frames_per_s=2.0))
    async with (
        Server.running(ScriptedLlm(scripts=[watching(received)]), settings) as server,
        server.call(audio=audio, video=Camera(), modality=modality) as caller,
    ):
        await caller.client.wait_for(lambda: len(pictures(received)) >= 2, 20)
        jpeg = pictures(received)[-1]
        assert is_near(colour_at(jpeg, 0.25, 0.25), RED)
        assert is_near(colour_at(jpeg, 0.25, 0.75), BLUE)
        video = (await caller.describe())["media"]["video"]
        assert video["pictures"] >= 2
        assert (video["width"], video["height"]) == (320, 240)
        assert video["frames_broken"] == 0


async def test_a_picture_in_a_message_arrives_before_the_text_behind_it() -> None:
    """Made small and a JPEG, whatever it was; the text about it does not overtake it."""
    received: Received = []
    settings = Settings(port=0, limits=Limits(picture_px=200))
    async with (
        Server.running(ScriptedLlm(scripts=[watching(received)]), settings) as server,
        server.call(audio=None, modality="text") as caller,
    ):
        await caller.client.next_message("ready")
        caller.client.send(message(png(pattern(400, 300))))
        caller.client.send({"type": "text", "data": "what is it?"})
        await caller.client.next_message("turn")
        assert [type(one) for one in received] == [bytes, str]
        picture = decode_picture("image/jpeg", pictures(received)[0])
        assert (picture.width, picture.height) == (200, 150)
        assert is_near(colour_at(pictures(received)[0], 0.25, 0.25), RED)


async def test_what_is_no_picture_is_told_and_does_not_reach_the_agent() -> None:
    """One error each; the text behind it is answered all the same."""
    received: Received = []
    async with (
        Server.running(ScriptedLlm(scripts=[watching(received)])) as server,
        server.call(audio=None, modality="text") as caller,
    ):
        await caller.client.next_message("ready")
        broken = [
            message(b"no picture"),
            message(png(pattern())[:60]),
            message(png(pattern()), "image/jpeg"),
        ]
        for one in broken:
            caller.client.send(one)
        caller.client.send({"type": "text", "data": "what is it?"})
        await caller.client.next_message("turn")
        errors = [one for one in caller.client.messages if one["type"] == "error"]
        assert [one["code"] for one in errors] == ["bad_image"] * 3
        assert received == ["what is it?"]


async def test_a_model_that_looks_at_no_pictures_is_said_to_be_one() -> None:
    """In ``ready``, and for each picture that comes all the same; of video nothing is decoded."""

    def reply(request: LlmRequest) -> list[LlmResponse]:
        return [LlmResponse(content=types.Content(parts=[types.Part(text="I see.")]))]

    async with (
        Server.running(ScriptedLlm(), model=tone_cascade(TextLlm(answer=reply))) as server,
        server.call(video=Camera()) as caller,
    ):
        ready = await caller.client.next_message("ready")
        assert ready["pictures"] is False
        caller.client.send(message(png(pattern())))
        refused = await caller.client.next_message("error")
        assert (refused["code"], refused["retryable"]) == ("pictures_refused", False)

        async def has_come() -> bool:
            return bool((await caller.describe())["media"]["video"]["packets"])

        await until(has_come)
        caller.client.send({"type": "text", "data": "what is it?"})
        await caller.client.next_message("turn")
        video = (await caller.describe())["media"]["video"]
        assert (video["frames"], video["pictures"]) == (0, 0)


async def test_the_harness_shows_a_picture_and_then_a_film(tmp_path: Path) -> None:
    """``--video`` and ``--image`` belong to the turn behind them; both are seen before it."""
    received: Received = []
    still, sent = tmp_path / "still.png", tmp_path / "sent.png"
    still.write_bytes(png(pattern(colours=(BLUE,) * 4)))
    sent.write_bytes(png(pattern(64, 64)))
    command = ["--video", str(still), "--image", str(sent), "--text", "one"]
    command += ["--video", str(film(tmp_path / "film.webm")), "--text", "two"]
    settings = Settings(port=0, limits=Limits(frames_per_s=2.0))
    async with Server.running(ScriptedLlm(scripts=[watching(received)]), settings) as server:
        result = await asyncio.to_thread(
            CliRunner().invoke, call_command, [*command, "--url", server.url]
        )
    assert result.exit_code == 0, result.output
    one, two = received.index("one"), received.index("two")
    before = [colour_at(jpeg, 0.5, 0.1) for jpeg in pictures(received[:one])]
    assert is_near(before[0], BLUE)
    assert any(
        (picture.width, picture.height) == (64, 64)
        for picture in (decode_picture("image/jpeg", jpeg) for jpeg in pictures(received[:one]))
    )
    between = [colour_at(jpeg, 0.5, 0.1) for jpeg in pictures(received[one:two])]
    assert any(is_near(one, RED) or is_near(one, GREEN) for one in between)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["--text", "hi", "--image", "{picture}"], "belongs to behind it"),
        (["--video", "{text}", "--text", "hi"], "no picture or video"),
        (["--image", "{text}", "--text", "hi"], "no picture or video"),
        (["--image", "{missing}", "--text", "hi"], "no picture or video"),
    ],
)
def test_what_the_harness_cannot_show_is_said(
    command: list[str], sentence: str, tmp_path: Path
) -> None:
    """In one sentence, before any call is placed."""
    files = {name: tmp_path / name for name in ("picture", "text", "missing")}
    files["picture"].write_bytes(png(pattern(64, 64)))
    files["text"].write_text("no picture")
    result = CliRunner().invoke(call_command, [one.format(**files) for one in command])
    assert result.exit_code == 1
    assert sentence in result.output


def test_a_large_picture_is_sent_smaller(tmp_path: Path) -> None:
    """As a message it has 256 KiB at most."""
    path = tmp_path / "large.png"
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8)
    path.write_bytes(png(noise))
    image = read_image(path)
    assert image.mime_type == "image/jpeg"
    assert len(json.dumps(image.to_json())) < MAX_MESSAGE_BYTES
