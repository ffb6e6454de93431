"""Pipecat's SmallWebRTC transport with an echo for a pipeline: 16 kHz in, 24 kHz out.

The transport's own settings otherwise, of which the bit rate (96 kbit/s, stereo by aiortc)
matters.  Run in the peers' environment: ``python -m benches.under_test.pipecat_echo PORT``.
"""

# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
# The peers are installed in an environment of their own only.

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.request_handler import (
    SmallWebRTCRequest,
    SmallWebRTCRequestHandler,
)
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner

from ..loop_back import LoopBack

api = FastAPI()
handler = SmallWebRTCRequestHandler()
running: set[asyncio.Task[None]] = set()


class Echo(FrameProcessor):
    """Says what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self._loop_back = LoopBack()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            await self.push_frame(frame, direction)
            return
        said, _ = self._loop_back.push(frame.audio)
        if said:
            await self.push_frame(
                OutputAudioRawFrame(audio=said, sample_rate=24_000, num_channels=1)
            )


async def _serve_call(connection: Any) -> None:
    transport = SmallWebRTCTransport(
        webrtc_connection=connection,
        params=TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=16_000,
            audio_out_enabled=True,
            audio_out_sample_rate=24_000,
        ),
    )
    pipeline = Pipeline([transport.input(), Echo(), transport.output()])
    rates = PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=24_000)
    worker = PipelineWorker(pipeline, params=rates, idle_timeout_secs=None)

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport: Any, client: Any) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


@api.post("/offer")
async def offer(body: dict[str, str]) -> Any:
    """The answer, as the request handler makes it."""

    async def start(connection: Any) -> None:
        task = asyncio.create_task(_serve_call(connection))
        running.add(task)
        task.add_done_callback(running.discard)

    request = SmallWebRTCRequest(sdp=body["sdp"], type=body["type"])
    return await handler.handle_web_request(request, start)


@api.get("/")
async def ready() -> str:
    """For whoever waits for the start."""
    return "ready"


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    uvicorn.run(api, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
