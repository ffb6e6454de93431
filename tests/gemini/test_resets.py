"""A reset of the stand-in comes after what was sent: else a test would not know what was lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from tests.gemini.live_model import Moment, Pace
from tests.gemini.misbehaviour import Abort, Day, at
from tests.gemini.server import StandIn

SETUP = {"setup": {"model": "models/gemini-2.5-flash-native-audio-stand-in"}}
QUICK = Pace(think_s=0.0, word_s=0.01, playback=0.0)
QUESTION = {
    "client_content": {
        "turns": [{"role": "user", "parts": [{"text": "hello"}]}],
        "turn_complete": True,
    }
}


async def test_a_reset_comes_once_the_client_has_read_what_was_sent(tmp_path: Path) -> None:
    """A client that writes to a connection after its reset never reads the rest of it."""
    days = [Day(at(Moment.ANSWERED, Abort()))]
    async with StandIn.running(tmp_path, days=days, pace=QUICK) as api:
        port = urlsplit(api.environment["GOOGLE_GEMINI_BASE_URL"]).port
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        async with connect(f"wss://127.0.0.1:{port}/", ssl=anybody) as client:
            await client.send(json.dumps(SETUP))
            assert "setupComplete" in json.loads(await client.recv())
            client.transport.pause_reading()
            await client.send(json.dumps(QUESTION))
            for _ in range(50):
                await client.ping()
                await asyncio.sleep(0.01)
            assert api.done == []
            client.transport.resume_reading()
            received = []
            with contextlib.suppress(ConnectionClosedError):
                while True:
                    received.append(json.loads(await client.recv()))
        assert "turnComplete" in received[-1]["serverContent"]
        assert api.done == [Abort()]
