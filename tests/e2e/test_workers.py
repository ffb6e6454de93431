"""Several workers behind one front: real processes, real calls."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from rtc_server.auth import Tokens
from rtc_server.settings import Limits, Settings
from rtc_server.workers.front import WorkerLogs, run_front
from rtc_server.workers.placement import WorkerState
from rtc_server.workers.remote_calls import RemoteCalls
from tests.browser.server_process import ServerProcess
from tests.peer.rtc_client import RtcClient
from tests.waiting import until

AGENT = "tests.e2e.echoing_agent:root_agent"
LOW, HIGH = 42_500, 42_599
ROOT = Path(__file__).parents[2]


def children_of(pid: int) -> set[int]:
    """The processes that ``pid`` started and that are not reaped, zombies too."""
    return {
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    }


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@dataclass
class Caller:
    """A connected client; ``worker`` is known by the UDP ports of the answer."""

    client: RtcClient
    http: aiohttp.ClientSession
    placed: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"/api/calls/{self.placed['call_id']}"

    @property
    def worker(self) -> int:
        ports = [int(one) for one in re.findall(r"udp \d+ \S+ (\d+) typ", self.client.answer)]
        assert all(LOW <= port <= HIGH for port in ports)
        (worker,) = {int(port > (LOW + HIGH) // 2) for port in ports}
        return worker

    async def status(self, method: str, **options: Any) -> int:
        async with self.http.request(method, self.url, **options) as response:
            return response.status

    async def is_answered(self) -> bool:
        """Whether a text comes back."""
        self.client.send({"type": "text", "data": "hello"})
        return bool(await self.client.next_message("turn"))


@dataclass
class Front:
    """Two workers behind the front in this process."""

    calls: RemoteCalls
    http: aiohttp.ClientSession

    @classmethod
    @asynccontextmanager
    async def running(cls, limits: Limits | None = None, **options: Any) -> AsyncIterator[Self]:
        settings = Settings(
            port=0,
            workers=2,
            agent=AGENT,
            udp_ports=(LOW, HIGH),
            # Not by measure, where it is not the question: the machine may have more to do.
            limits=limits or Limits(drain_s=1.0, max_calls=100),
            **options,
        )
        before = children_of(os.getpid())
        async with (
            run_front(settings, WorkerLogs(log_level="warning")) as (url, calls),
            aiohttp.ClientSession(
                base_url=url, connector=aiohttp.TCPConnector(force_close=True)
            ) as http,
        ):
            assert len(children_of(os.getpid()) - before) == 2
            # Calls are spread by their number alone: whatever else the machine does is load, too.
            calls.placement.set_load = lambda worker, load: None  # type: ignore[method-assign]
            yield cls(calls, http)
        assert children_of(os.getpid()) <= before

    async def offer(self, sdp: str, **offer: Any) -> tuple[int, dict[str, Any]]:
        body = {"sdp": sdp, "type": "offer", **offer}
        async with self.http.post("/api/calls", json=body) as response:
            return response.status, await response.json(content_type=None)

    @asynccontextmanager
    async def call(self, **offer: Any) -> AsyncIterator[Caller]:
        placed: dict[str, Any] = {}

        async def place(sdp: str) -> str:
            status, body = await self.offer(sdp, **offer)
            assert status == 201, body
            placed.update(body)
            return str(body["sdp"])

        async with RtcClient(place, audio=None) as client:
            await client.wait_open()
            yield Caller(client, self.http, placed)

    async def get(self, path: str) -> int:
        async with self.http.get(path) as response:
            return response.status

    async def metric(self, name: str) -> float:
        """One sample of ``/metrics``; absent ones are 0."""
        async with self.http.get("/metrics") as response:
            found = re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), re.M)
        return float(found[1]) if found else 0.0

    def process_of(self, worker: int) -> int:
        return self.calls._members[worker].process

    def state_of(self, worker: int) -> WorkerState:
        return self.calls.placement.state_of(worker)

    async def is_open(self, worker: int, *, replacing: int) -> None:
        await until(
            lambda: (
                self.state_of(worker) is WorkerState.OPEN and self.process_of(worker) != replacing
            ),
            30,
        )


async def test_calls_are_spread_found_counted_and_limited_over_all_workers() -> None:
    async with Front.running(Limits(max_calls=4)) as front, AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(front.call()) for _ in range(4)]
        assert sorted(one.worker for one in callers) == [0, 0, 1, 1]
        for one in callers:
            assert await one.status("PATCH", json={"candidates": [None]}) == 204
            assert await one.status("GET") == 200
            assert await one.is_answered()
        assert await front.metric("rtc_calls_active") == 4
        assert await front.metric("rtc_call_setup_seconds_count") == 4

        status, problem = await front.offer(callers[0].client.pc.localDescription.sdp)
        assert (status, problem["status"]) == (503, 503)
        assert await front.get("/readyz") == 503
        assert await front.get("/healthz") == 200

        leaver = callers[0]
        assert await leaver.status("DELETE") == 200
        assert await leaver.status("DELETE") == 404
        assert await leaver.status("GET") == 404
        assert await front.get("/readyz") == 200
        async with front.call() as another:  # where the one that left made room
            assert another.worker == leaver.worker
        await until(lambda: front.calls.active == 3)
        assert await front.metric('rtc_calls_total{outcome="hangup"}') == 2


async def test_a_crashed_worker_takes_only_its_calls_and_is_replaced() -> None:
    async with (
        Front.running() as front,
        front.call(session_id="kept") as kept,
        front.call(session_id="lost") as lost,
    ):
        assert kept.worker != lost.worker
        before = await front.metric("rtc_call_setup_seconds_count")
        crashed = front.process_of(lost.worker)
        os.kill(crashed, signal.SIGKILL)
        await until(lambda: front.state_of(lost.worker) is WorkerState.AWAY)
        assert await lost.status("GET") == 404
        assert await lost.status("DELETE") == 404
        assert await kept.status("GET") == 200
        assert await kept.is_answered()
        assert await front.get("/readyz") == 200
        async with front.call() as meanwhile:
            assert meanwhile.worker == kept.worker

        await front.is_open(lost.worker, replacing=crashed)
        async with front.call() as after:
            assert after.worker == lost.worker
            assert await after.is_answered()
        assert not is_alive(crashed)
        assert crashed not in children_of(os.getpid())
        # What it had counted stays counted, and its calls are not forgotten.
        assert await front.metric("rtc_call_setup_seconds_count") == before + 2
        assert await front.metric('rtc_calls_total{outcome="internal_error"}') == 1
        assert await front.metric("rtc_worker_crashes_total") == 1

        async with front.call(session_id="lost") as again:
            assert (await again.client.next_message("ready"))["resumed"] is False


async def test_a_conversation_goes_on_with_the_worker_that_holds_it() -> None:
    async with Front.running() as front:
        async with front.call(session_id="mine") as first, front.call() as other:
            assert other.worker != first.worker
            async with front.call(session_id="mine") as second:  # takes the first one over
                assert (await first.client.next_message("goaway"))["reason"] == "replaced"
                assert second.worker == first.worker
                assert (await second.client.next_message("ready"))["resumed"] is True
                assert await second.is_answered()
        for _ in range(3):  # whichever worker would be next
            async with front.call(), front.call(session_id="mine") as later:
                assert later.worker == first.worker
                assert (await later.client.next_message("ready"))["resumed"] is True
        async with front.call(session_id="mine", user_id="another") as stranger:
            assert (await stranger.client.next_message("ready"))["resumed"] is False


async def test_an_offer_refused_by_its_worker_is_a_problem_and_leaves_nothing() -> None:
    secret = "correct horse battery staple, twice"
    token = Tokens(secret).mint("ann", ttl_s=60, now=time.time())
    headers = {"Authorization": f"Bearer {token}"}
    async with Front.running(auth_secret=secret) as front:
        body = {"sdp": "v=0\r\nnonsense", "type": "offer", "session_id": "s"}
        async with front.http.post("/api/calls", json=body) as response:
            assert response.status == 401
        async with front.http.post("/api/calls", json=body, headers=headers) as response:
            assert response.status == 400
            assert response.content_type == "application/problem+json"
        assert front.calls.active == 0
        assert front.calls.placement.holder(("echoing", "ann", "s")) is None
        async with front.http.get("/api/calls/none", headers=headers) as response:
            assert response.status == 404


async def test_a_worker_that_was_told_to_end_drains_its_calls_and_is_replaced() -> None:
    async with Front.running() as front, front.call() as leaving, front.call() as staying:
        ended = front.process_of(leaving.worker)
        os.kill(ended, signal.SIGTERM)
        assert (await leaving.client.next_message("goaway"))["reason"] == "drain"
        async with front.call() as another:
            assert another.worker == staying.worker
        await front.is_open(leaving.worker, replacing=ended)
        assert await staying.is_answered()
        assert await front.metric("rtc_worker_crashes_total") == 0
        assert await front.metric('rtc_calls_total{outcome="drain"}') == 1


async def test_a_worker_that_stands_still_gets_no_calls_until_it_goes_on() -> None:
    async with Front.running() as front:
        stopped = front.process_of(0)
        os.kill(stopped, signal.SIGSTOP)
        try:
            await until(lambda: front.state_of(0) is WorkerState.BUSY)
            async with front.call() as one, front.call() as two:
                assert one.worker == two.worker == 1
                assert await front.metric("rtc_calls_active") == 2
        finally:
            os.kill(stopped, signal.SIGCONT)
        await until(lambda: front.state_of(0) is WorkerState.OPEN)
        async with front.call() as three:
            assert three.worker == 0


async def test_workers_without_headroom_get_no_calls_and_refuse_those_of_nobody_else() -> None:
    """By their own measure: one that is full leaves calls to the other, two make a 503."""
    async with (
        Front.running(Limits(drain_s=1.0)) as front,
        front.call() as one,
        front.call(session_id="s") as two,
    ):
        one.client.send({"type": "text", "data": "work"})
        busy, other = one.worker, two.worker
        await until(
            lambda: (
                front.state_of(busy) is WorkerState.BUSY
                and front.state_of(other) is WorkerState.OPEN
            ),
            60,
        )
        assert await front.get("/readyz") == 200
        assert await front.metric("rtc_load_ratio") > 0.5
        async with front.call() as three:
            assert three.worker == two.worker != one.worker
        await until(lambda: front.calls.active == 2)
        two.client.send({"type": "text", "data": "work"})
        await until(lambda: front.state_of(two.worker) is WorkerState.BUSY, 60)
        assert await front.get("/readyz") == 503
        status, problem = await front.offer(two.client.pc.localDescription.sdp)
        assert (status, problem["status"]) == (503, 503)
        assert front.calls.active == 2
        async with front.call(session_id="s") as instead:
            assert instead.worker == two.worker
            assert await instead.is_answered()


# -- as a process ------------------------------------------------------------------------------


def server() -> ServerProcess:
    return ServerProcess(AGENT, "--workers", "2", "--drain-seconds", "1")


async def place(url: str, sdp: str) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}api/calls", json={"sdp": sdp, "type": "offer"}) as response,
    ):
        assert response.status == 201
        return str((await response.json())["sdp"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_however_the_front_ends_each_caller_is_told_and_no_process_is_left(
    number: signal.Signals,
) -> None:
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(server())
        clients = [RtcClient(lambda sdp: place(process.url, sdp), audio=None) for _ in range(2)]
        workers = children_of(process.pid)
        assert len(workers) == 2
        for client in clients:
            stack.push_async_callback(client.close)
            await client.connect()
            await client.next_message("ready")
        async with asyncio.TaskGroup() as group:
            group.create_task(process.stop(number))
            for client in clients:
                assert (await client.next_message("goaway"))["reason"] == "drain"
        await until(lambda: not any(map(is_alive, workers)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["tests.no_such_module:root_agent"], "There is no module tests.no_such_module"),
        ([AGENT, "--udp-ports", "42600-42600"], "2 workers cannot share 1 UDP ports"),
    ],
)
async def test_what_the_operator_can_mend_is_one_sentence_and_status_2(
    options: list[str], words: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "rtc_server", "serve", *options, "--port", "0", "--workers", "2"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    (line,) = [one for one in said.decode().splitlines() if one.startswith("Error: ")]
    assert words in line
    assert "Traceback" not in said.decode()
