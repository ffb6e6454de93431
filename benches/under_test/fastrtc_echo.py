"""FastRTC with an asynchronous echo for a handler: 16 kHz in, 24 kHz out.

The echo answers in pieces of 20 ms: with pieces of 40 ms its packets come in pairs, and not a
single call is on time.  Run in the peers' environment:
``python -m benches.under_test.fastrtc_echo PORT``.
"""

# mypy: disable-error-code="import-not-found, misc"
# The peers are installed in an environment of their own only.

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastrtc import AsyncStreamHandler, Stream

from ..loop_back import PIECE_BYTES, LoopBack


class Echo(AsyncStreamHandler):
    """Says what it hears."""

    def __init__(self) -> None:
        super().__init__(input_sample_rate=16_000, output_sample_rate=24_000)
        self._loop_back = LoopBack(PIECE_BYTES // 2)
        self._said: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(self, frame: tuple[int, Any]) -> None:
        said, _ = self._loop_back.push(frame[1].tobytes())
        if said:
            self._said.put_nowait(np.frombuffer(said, np.int16).reshape(1, -1))

    async def emit(self) -> Any:
        return 24_000, await self._said.get()

    def copy(self) -> Echo:
        return Echo()


def main(port: int) -> None:
    """Serve until killed."""
    api = FastAPI()
    stream = Stream(
        handler=Echo(),
        modality="audio",
        mode="send-receive",
        concurrency_limit=1000,
        server_rtc_configuration={"iceServers": []},
        verbose=False,
    )
    stream.mount(api)

    @api.get("/")
    async def ready() -> str:
        return "ready"

    uvicorn.run(api, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]))
