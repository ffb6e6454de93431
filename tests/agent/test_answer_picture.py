"""Pictures of the agent that are too large for a message."""

from __future__ import annotations

import av
import numpy as np
from av.video.frame import VideoFrame
from google.adk.models.llm_response import LlmResponse
from google.genai import types

from rtc_server.agent.answer_picture import fit_for_message
from rtc_server.agent.live_events import AgentPicture
from rtc_server.media.picture import decode_picture

from .conftest import agent_of, serve_agent
from .listening import until
from .scripted_llm import ScriptedConnection, ScriptedLlm


def png(width: int, height: int) -> bytes:
    """Noise, which does not compress."""
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = width, height, "rgb24"
    codec.thread_count = 1
    frame = VideoFrame.from_ndarray(pixels, format="rgb24")
    return b"".join(bytes(one) for one in [*codec.encode(frame), *codec.encode(None)])


async def test_large_picture_becomes_a_smaller_jpeg_and_a_small_one_stays() -> None:
    """In a thread; the proportions stay."""
    small, large = AgentPicture("image/png", png(64, 32)), AgentPicture("image/png", png(800, 400))
    assert len(large.data) > 256 * 1024
    assert await fit_for_message(small) is small
    fitted = await fit_for_message(large)
    assert fitted.mime_type == "image/jpeg"
    assert len(fitted.data) <= 190_000
    frame = decode_picture("image/jpeg", fitted.data)
    assert frame.width == 2 * frame.height


async def test_large_picture_that_is_none_is_left_as_it_is() -> None:
    """The caller is told that it is too large."""
    broken = AgentPicture("image/png", bytes(300_000))
    assert await fit_for_message(broken) is broken


async def test_picture_in_an_answer_fits_into_the_messages_of_its_caller(llm: ScriptedLlm) -> None:
    """Who said in his offer that he takes small ones."""

    async def shows(connection: ScriptedConnection) -> None:
        blob = types.Blob(data=png(128, 64), mime_type="image/png")
        content = types.Content(role="model", parts=[types.Part(inline_data=blob)])
        connection.emit(LlmResponse(content=content))

    llm.scripts = [shows]
    async with serve_agent(agent_of(llm)) as server, server.call(message_bytes=16_384) as live:
        seen = await until(live, lambda one: isinstance(one, AgentPicture))
    assert isinstance(seen[-1], AgentPicture)
    assert seen[-1].mime_type == "image/jpeg"
    assert len(seen[-1].data) < 12_288
