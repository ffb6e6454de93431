"""What a call costs between the media path and the model: CPU of live sessions, in one process.

Twenty sessions hear 20 ms pieces in real time, with no network and no codec. Three ways take turns:

* *bypassed*: the stand-in of ``under_test/bypassed.py``, which is the loop-back agent without ADK;
* *ADK alone*: ADK's ``run_live`` with ADK's own queue and requests made beforehand, its events
  thrown away: what is left when nothing of ours is there;
* *ours*: :class:`~rtc_server.agent.live_session.LiveSession`, which puts the bounded queue before
  ADK and the typed events behind it.

Run: ``python -m benches.live_sessions [ROUNDS]``; half a minute a round. CPU time is compared, but
caches are shared: other load makes all three ways dearer.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import numpy as np
from google.adk.agents.live_request_queue import LiveRequest, LiveRequestQueue
from google.adk.runners import Runner
from google.genai import types

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.live_run_config import live_run_config
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.loader import LoadedAgent
from rtc_server.media.piece_joiner import HANGOVER_PIECES
from rtc_server.metrics import Metrics
from rtc_server.settings import Settings

from .agents.loopback import root_agent
from .under_test.bypassed import LoopBackRuntime

SESSIONS = 20
SECONDS = 3.0
_PIECE_S = 0.02

Send = Callable[[], object]

SPEECH = np.random.default_rng(1).normal(0, 3000, 320).astype("<i2").tobytes()
SILENCE = bytes(640)


async def _user(runtime: AgentRuntime, number: int) -> tuple[str, str]:
    made = await runtime.sessions.service.create_session(
        app_name=runtime.name, user_id=f"user-{number}"
    )
    return made.user_id, made.id


@contextlib.asynccontextmanager
async def _open(runtime: AgentRuntime, pcm: bytes, *, quiet: bool) -> AsyncIterator[list[Send]]:
    """Sessions as calls have them, bypassed or not; yields what sends a piece to each."""
    lives: list[LiveSession] = []
    for number in range(SESSIONS):
        user_id, session_id = await _user(runtime, number)
        lives.append(
            runtime.open_live_session(user_id=user_id, session_id=session_id, modality="audio")
        )

    async def read(live: LiveSession) -> None:
        async for _ in live.events():
            pass

    async with asyncio.TaskGroup() as group:
        for live in lives:
            await live.__aenter__()
            group.create_task(read(live), name="read")
        yield [partial(live.send_audio, pcm, quiet=quiet) for live in lives]
        await asyncio.gather(*(live.close() for live in lives))


@contextlib.asynccontextmanager
async def _open_adk_alone(
    runtime: AgentRuntime, runner: Runner, pcm: bytes
) -> AsyncIterator[list[Send]]:
    """ADK's own ``run_live``; yields what sends a piece to each."""
    request = LiveRequest(blob=types.Blob(data=pcm, mime_type="audio/pcm;rate=16000"))
    queues = [LiveRequestQueue() for _ in range(SESSIONS)]

    async def run(number: int) -> None:
        user_id, session_id = await _user(runtime, number)
        events = runner.run_live(
            user_id=user_id,
            session_id=session_id,
            live_request_queue=queues[number],
            run_config=live_run_config(modality="audio"),
        )
        async with contextlib.aclosing(events):
            async for _ in events:
                pass

    tasks = [asyncio.create_task(run(number), name="run") for number in range(SESSIONS)]
    try:
        yield [partial(queue.send, request) for queue in queues]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _feed(send: Send, offset_s: float, pieces: int) -> None:
    """A piece every 20 ms."""
    loop = asyncio.get_running_loop()
    due = loop.time() + offset_s
    for _ in range(pieces):
        await asyncio.sleep(max(0.0, due - loop.time()))
        send()
        due += _PIECE_S


async def _measure(way: str, pcm: bytes, *, quiet: bool = False) -> float:
    """Milliseconds of CPU in a second of each session."""
    agent = LoadedAgent.from_object("loopback", root_agent)
    made = LoopBackRuntime if way == "bypassed" else AgentRuntime
    async with made(agent, Settings(agent="loopback"), Metrics()) as runtime:
        await runtime.warm_up()
        runner = Runner(app=agent.app, session_service=runtime.sessions.service)
        opened = (
            _open_adk_alone(runtime, runner, pcm)
            if way == "ADK alone"
            else _open(runtime, pcm, quiet=quiet)
        )
        async with opened as sends:
            await asyncio.sleep(0.3)
            if quiet:  # the silence before pieces are joined
                for _ in range(HANGOVER_PIECES):
                    for send in sends:
                        send()
                await asyncio.sleep(0.5)
            gc.collect()
            begun = time.process_time()
            pieces = round(SECONDS / _PIECE_S)
            # Callers are not in step.
            await asyncio.gather(
                *(_feed(send, n * _PIECE_S / SESSIONS, pieces) for n, send in enumerate(sends))
            )
            used_s = time.process_time() - begun
    return used_s / SECONDS / SESSIONS * 1000


async def main(rounds: int) -> None:
    """Print the medians."""
    measured: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for way in ("bypassed", "ADK alone", "ours"):
            for name, pcm, quiet in (
                ("speaking", SPEECH, False),
                ("silent", SILENCE, False),
                ("silent, joined", SILENCE, True),
            ):
                if quiet and way != "ours":
                    continue
                cost = await _measure(way, pcm, quiet=quiet)
                measured.setdefault((way, name), []).append(cost)
    for (way, name), costs in measured.items():
        spread = f"{min(costs):.1f} to {max(costs):.1f}"
        print(f"{way:<10} {name:<15}{statistics.median(costs):6.1f} ms a call-second ({spread})")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
