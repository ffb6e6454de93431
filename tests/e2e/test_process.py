"""The server as a process: how it stops, and where it can be reached."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack
from functools import partial

import aiohttp
import pytest

from rtc_server.app import serve
from rtc_server.settings import Settings
from tests.browser.server_process import ServerProcess
from tests.peer.rtc_client import RtcClient
from tests.stolen_time import StolenTime

STOP_S = 5.0

pytestmark = pytest.mark.deadline(180)


async def place(url: str, sdp: str) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}api/calls", json={"sdp": sdp, "type": "offer"}) as response,
    ):
        assert response.status == 201
        return str((await response.json())["sdp"])


def is_closed(client: RtcClient) -> bool:
    return client.pc.connectionState == "closed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("calls", [1, 3])
async def test_a_signal_tells_each_caller_and_ends_the_process(
    number: signal.Signals, calls: int, stolen: StolenTime
) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ServerProcess("local", "--drain-seconds", "1"))
        clients = [
            RtcClient(lambda sdp: place(server.url, sdp), audio="sendrecv" if n else None)
            for n in range(calls)
        ]
        for client in clients:
            stack.push_async_callback(client.close)
            await client.connect()
            await client.next_message("ready")
        begun_at = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(server.stop(number))
            for client in clients:
                goaway = await client.next_message("goaway")
                assert goaway["reason"] == "drain"
        # A promise to the operator, not a measurement: the usual figure is a fifth of it.
        took_s = time.monotonic() - begun_at
        took_s -= stolen.between(begun_at, begun_at + took_s)
        assert took_s < STOP_S + 1.0 * (number is signal.SIGTERM)
        for client in clients:
            await client.wait_for(partial(is_closed, client))


async def test_a_garbage_collection_finds_nothing_of_what_was_made_at_start() -> None:
    """A look through all of ADK takes longer than ten frames, and every call stands still."""
    frozen = []

    def started(url: str) -> None:
        frozen.append(gc.get_freeze_count())
        signal.raise_signal(signal.SIGINT)

    try:
        settings = Settings(port=0, agent="tests.browser.silent_agent:root_agent")
        await serve(settings, on_started=started)
    finally:
        gc.unfreeze()
    assert frozen[0] > 10_000


LOOPBACK_ONLY = """
set -e
ip link set lo up
"{python}" -m rtc_server serve local --port 8080 >/dev/null 2>&1 &
server=$!
for _ in $(seq 300); do
    "{python}" -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:8080/readyz")' \
        2>/dev/null && break
    sleep 0.1
done
"{python}" -m rtc_server call --url http://127.0.0.1:8080 --modality audio --text hello
kill -INT $server
wait $server
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")),
    reason="a network namespace needs root, unshare and ip",
)
async def test_with_only_loopback_up_server_and_harness_still_meet() -> None:
    process = await asyncio.create_subprocess_exec(
        "unshare",
        "--net",
        "bash",
        "-c",
        LOOPBACK_ONLY.format(python=sys.executable),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    assert b"answered" in printed


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_database_that_cannot_be_used_ends_the_server_with_a_sentence(workers: str) -> None:
    """At start, with exit status 2, and without its password."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtc_server", "serve", "tests.browser.silent_agent:root_agent"),
        *("--port", "0", "--workers", workers),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "RTC_SERVER_SESSION_DB": "postgresql://rtc:SENTINEL@127.0.0.1:1/calls"},
    )
    printed, _ = await process.communicate()
    assert process.returncode == 2
    last = printed.decode().splitlines()[-1]
    assert last.startswith("Error: The session service postgresql://127.0.0.1:1/calls cannot be")
    assert b"SENTINEL" not in printed
    assert b"Traceback" not in printed
