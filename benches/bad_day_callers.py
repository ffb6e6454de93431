"""Callers who go on asking while the model has bad days, and keep books of what became of it."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from rtc_harness.aiortc_internals import offer_loopback_where_alone
from rtc_server.media.opus import OpusEncoder

from .call_account import CallAccount, Outcome
from .light_call import LightCall
from .probe_signal import to_s16

__all__ = ["OPEN_S", "Callers", "Report", "question", "silence"]

_LOOK_EVERY_S = 0.05
_STORIES = 20
_RATE, _FRAME = 48_000, 960
_SPOKEN_S, _QUIET_S = 0.8, 30.0

OPEN_S = 0.5
"""A microphone is open for so long before somebody speaks: a steady tone from its first packet on
is noise to the server's detector, which knows no other floor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of all turns of all calls."""

    calls: int
    """That were placed."""
    refused: int
    turns: int
    outcomes: dict[str, int]
    errors: dict[str, int]
    ends: dict[str, int]
    """Why calls ended before the caller hung up."""
    unasked: int
    worst_lateness_s: float
    """Of the callers themselves, whose process has to run as well."""
    late_share: float
    """Of all their looks that came over half a second late."""
    longest_silence_s: float
    silences_s: tuple[float, float]
    """The median and the 99th of a hundred of each turn's longest silence."""
    broken: list[str]
    """Promises."""
    stories: list[list[str]]
    """What came before some of them."""


@dataclass(slots=True, eq=False)
class Callers:
    """So many callers at once, for so long; each call lasts for some turns, then another comes.

    Args:
        url: of the server.
        patience_s: silence in an open turn that is a broken promise.
        aloud: so many of the callers have a microphone that is open, and speak; the others type.
        text: so many of these read the answers and do not hear them.
    """

    url: str
    calls: int
    patience_s: float
    aloud: int = 0
    text: int = 0
    seed: int = 1
    turns_a_call: tuple[int, int] = (6, 14)
    pause_s: tuple[float, float] = (1.0, 5.0)
    refused: int = 0
    accounts: list[CallAccount] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    lateness_s: list[float] = field(default_factory=list)
    """Of the loop of the callers, twenty times a second."""
    _http: aiohttp.ClientSession = field(init=False)
    _until: float = 0.0

    async def run(self, seconds: float) -> Report:
        """Let them call; returns when all have hung up."""
        offer_loopback_where_alone()
        self._until = time.monotonic() + seconds
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(base_url=self.url, connector=connector) as self._http,
            asyncio.TaskGroup() as group,
        ):
            watch = group.create_task(self._watch_itself(), name="lateness")
            async with asyncio.TaskGroup() as callers:
                for number in range(self.calls):
                    callers.create_task(self._caller(number), name=f"caller {number}")
            watch.cancel()
        return self.report()

    async def _watch_itself(self) -> None:
        while True:
            due = time.monotonic() + _LOOK_EVERY_S
            await asyncio.sleep(_LOOK_EVERY_S)
            self.lateness_s.append(time.monotonic() - due)

    def report(self) -> Report:
        """The books of all calls."""
        turns = [turn for account in self.accounts for turn in account.turns]
        outcomes = Counter(one.outcome.name.lower() for one in turns if one.outcome is not None)
        silences = sorted(one.silent_s for one in turns) or [0.0]
        open_ones = sum(one.outcome is None for one in turns)
        broken = list(self.broken)
        for outcome in (Outcome.UNTOLD, Outcome.SILENT):
            if n := outcomes[outcome.name.lower()]:
                broken.append(f"{n} turns were {outcome.name.lower()}")
        if open_ones:
            broken.append(f"nothing is known of {open_ones} turns")
        return Report(
            calls=len(self.accounts),
            refused=self.refused,
            turns=len(turns),
            outcomes=dict(outcomes),
            errors=dict(sum((one.errors for one in self.accounts), Counter())),
            ends=dict(self.ends),
            worst_lateness_s=max(self.lateness_s, default=0.0),
            late_share=sum(one > 0.5 for one in self.lateness_s) / max(1, len(self.lateness_s)),
            unasked=sum(one.unasked for one in self.accounts),
            longest_silence_s=silences[-1],
            silences_s=(silences[len(silences) // 2], silences[len(silences) * 99 // 100]),
            broken=broken,
            stories=[one for account in self.accounts for one in account.stories][:_STORIES],
        )

    async def _caller(self, number: int) -> None:
        rng = random.Random(self.seed * 10_000 + number)
        await asyncio.sleep(number * 0.1)  # they do not all come at once
        while time.monotonic() < self._until:
            call = LightCall(rng.randrange(1000))
            try:
                modality = "text" if number >= self.calls - self.text else "audio"
                await call.place(functools.partial(self._offer, modality))
            except _Refused:
                self.refused += 1
                await call.close()
                await asyncio.sleep(1.0)
                continue
            account = CallAccount(self.patience_s)
            self.accounts.append(account)
            caller = _Caller(call, account, rng, is_aloud=number < self.aloud)
            try:
                why = await caller.converse(rng.randint(*self.turns_a_call), self._until, self)
            finally:
                await call.close()
            if why is not None:
                self.ends[why] += 1

    async def _offer(self, modality: str, sdp: str) -> str:
        user = f"user-{len(self.accounts)}"
        body = {"sdp": sdp, "type": "offer", "user_id": user, "modality": modality}
        async with self._http.post("/api/calls", json=body) as response:
            if response.status in (429, 503):
                raise _Refused
            if response.status != 201:
                raise ConnectionError(f"{response.status}: {await response.text()}")
            answer: str = (await response.json())["sdp"]
            return answer


class _Refused(ConnectionError):
    """The server has no room."""


@dataclass(slots=True, eq=False)
class _Caller:
    call: LightCall
    account: CallAccount
    rng: random.Random
    is_aloud: bool
    _read: int = 0

    async def converse(self, turns: int, until: float, all_of: Callers) -> str | None:
        """Ask so often; returns why the call ended, if it was not the caller who ended it."""
        if self.is_aloud:
            self.call.talk(silence())
            await self._pause((OPEN_S, OPEN_S))
        for _ in range(turns):
            if time.monotonic() >= until:
                break
            self._ask()
            while self.account.is_waiting and self.call.is_up:
                await self._look()
                self._maybe_cut()
            if not await self._pause(all_of.pause_s):
                break
        await self._look()
        if not self.call.is_up:
            self.account.on_end(time.monotonic())
            if self.account.last_word is None:
                all_of.broken.append("a call ended without a word")
                self.account.tell_story("WITHOUT A WORD")
            return self.account.last_word or "without a word"
        return None

    async def _pause(self, pause_s: tuple[float, float]) -> bool:
        """Think; False if the call is over."""
        until = time.monotonic() + self.rng.uniform(*pause_s)
        while time.monotonic() < until and self.call.is_up:
            await self._look()
        return self.call.is_up

    async def _look(self) -> None:
        await asyncio.sleep(_LOOK_EVERY_S)
        messages = self.call.messages
        for at, message in messages[self._read :]:
            self.account.on_message(message, at)
        self._read = len(messages)
        if self.call.arrived:
            self.account.on_audio(self.call.arrived[-1][0])
            self.call.arrived.clear()
        self.call.sent.clear()
        self.account.tick(time.monotonic())

    def _ask(self) -> None:
        now = time.monotonic()
        if self.is_aloud and self.rng.random() < 0.7:
            self.account.ask(now + _SPOKEN_S, is_aloud=True)
            self._speak()
            return
        words = self.rng.choice(_QUESTIONS)
        self.account.ask(now, words=words)
        self.call.say(type="text", data=words)

    def _speak(self) -> None:
        """From now on, once: the loop is longer than any answer takes."""
        packets = question()
        place = self.call.place_in_loop(len(packets))
        self.call.talk([*packets[-place:], *packets[:-place]] if place else packets)

    def _maybe_cut(self) -> None:
        turn = self.account.turns[-1]
        is_late = time.monotonic() - turn.asked_at > 1.0
        if is_late and not turn.was_cut and self.rng.random() < 0.003:
            self.account.cut()
            self.call.say(type="interrupt")


_QUESTIONS = ("hello", "hello again", "count to 10", "count to 25", "use clock", "What did I say?")


def _encode(samples: Any) -> list[bytes]:
    encoder = OpusEncoder(_RATE)
    pcm = to_s16(samples)
    size = 2 * _FRAME
    return [encoder.encode(pcm[begin : begin + size]) for begin in range(0, len(pcm), size)]


@functools.cache
def silence() -> tuple[bytes, ...]:
    """A second of it, as packets."""
    return tuple(_encode(np.zeros(_RATE, np.float32)))


@functools.cache
def question() -> tuple[bytes, ...]:
    """A tone that the stand-in takes for speech, and silence after it."""
    t = np.arange(round(_SPOKEN_S * _RATE)) / _RATE
    tone = (0.4 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    return (*_encode(tone), *silence() * round(_QUIET_S))
