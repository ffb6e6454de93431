"""The embedded agent remembers what was heard of it: by its own ear, from the caller's audio."""

from __future__ import annotations

import difflib
import re
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from rtc_server.app import run_server
from rtc_server.local_agent.agent import shared_models
from rtc_server.settings import Settings
from tests.e2e.heard import TOLERANCE_MS, audible, check_bias, received_ms
from tests.local_agent.sounds import resample, silence
from tests.peer.rtc_client import RATE, RtcClient
from tests.waiting import until

MOMENTS = (12, 20, 28, 35, 50, 65, 85, 105, 130, 150)
"""Packets of sound, of 20 ms, after which a story is interrupted."""

TOLERANCE = 2
"""Words; the voice is given sentences, over which the words are spread evenly."""

MISHEARD = 0.25
"""Of the words of an answer that was cut off anywhere, the ear may mishear so many."""


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def is_beginning(told: list[str], heard: list[str]) -> bool:
    """Whether both are the same words from the first on, but for a few at the end."""
    longest = min(len(told), len(heard))
    same = difflib.SequenceMatcher(None, told[:longest], heard[:longest], autojunk=False)
    matching = sum(one.size for one in same.get_matching_blocks())
    wrong = longest - matching
    return abs(len(told) - len(heard)) <= TOLERANCE and wrong <= max(1, MISHEARD * longest)


def has_heard(client: RtcClient, first: int, packets: int) -> bool:
    return audible(client, first) >= packets


def is_quiet(client: RtcClient, turn: dict[str, Any]) -> bool:
    """Whether nothing of that turn's answer is on its way any more."""
    later = client.messages[client.messages.index(turn) :]
    return any(one["type"] == "state" and one["state"] != "speaking" for one in later)


@pytest.mark.deadline(150)
async def test_an_interrupted_story_is_remembered_as_far_as_it_was_heard(tmp_path: Path) -> None:
    """Word for word, within two at the end, at ten moments; in the session and for the caller.

    The milliseconds are those that arrived.
    """
    database = tmp_path / "s.db"
    settings = Settings(port=0, agent="local", session_db=f"sqlite:///{database}")
    told: list[str] = []
    told_ms: list[int] = []
    arrived_ms: list[int] = []
    async with (
        run_server(settings, thread_time=lambda: 0.0) as (url, _),
        aiohttp.ClientSession(
            base_url=url, connector=aiohttp.TCPConnector(force_close=True)
        ) as http,
    ):

        async def place(sdp: str) -> str:
            offer = {"sdp": sdp, "type": "offer", "session_id": "s"}
            async with http.post("/api/calls", json=offer) as response:
                assert response.status == 201
                return str((await response.json())["sdp"])

        async with RtcClient(place) as client:
            await client.wait_open()
            for moment in MOMENTS:
                first, heard_before = len(client.packets), len(client.pcm())
                client.send({"type": "text", "data": "Tell me a story."})
                await client.wait_for(partial(has_heard, client, first, moment), 30)
                client.send({"type": "interrupt"})
                turn = await client.next_message("turn", 10)
                await client.wait_for(partial(is_quiet, client, turn))
                assert turn["interrupted"] is True
                told.append(turn["heard_text"])
                told_ms.append(turn["heard_ms"])
                arrived_ms.append(received_ms(client.packets[first:]))
                assert turn["heard_ms"] == pytest.approx(arrived_ms[-1], abs=TOLERANCE_MS)
                pcm = resample(client.pcm()[heard_before:], RATE)
                heard = await shared_models().recogniser.transcribe(pcm + silence(0.5))
                assert is_beginning(words(turn["heard_text"]), words(heard)), (
                    heard,
                    turn["heard_text"],
                )
    check_bias(told_ms, arrived_ms)
    service = SqliteSessionService(str(database))
    stored: list[str] = []

    async def is_stored() -> bool:
        session = await service.get_session(app_name="local", user_id="user", session_id="s")
        assert session is not None
        stored[:] = [
            event.output_transcription.text or ""
            for event in session.events
            if event.output_transcription is not None
        ]
        return len(stored) >= len(told)

    await until(is_stored)
    assert stored == told
