"""What the caller shows reaches the agent: video and pictures, in whole calls."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from google.genai import types
from numpy.typing import NDArray

from rtc_server.media.picture import decode_picture
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    said,
    text_of,
    text_piece,
    turn_complete,
)
from tests.e2e.server import Server
from tests.peer.camera import BLUE, RED, Camera, colour_at, is_near, pattern

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
