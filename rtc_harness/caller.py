"""Places one call, plays its turns in order, and says what came of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .caller_tools import CallerTools, ClientTool, Decide
from .camera import Film, PictureMessage, Still
from .client import RtcClient
from .conversation import Answer, Question
from .errors import HarnessError, Unanswered
from .levels import Samples
from .narrator import Narrator
from .report import mouth_to_ear_ms, other_answers, response_ms, turn_report
from .signalling import CallRequest

__all__ = ["CallPlan", "CallResult", "Shown", "TextTurn", "WavTurn", "place_call"]


SEEN_AFTER_S = 1.5
"""The agent is given a picture a second: by then it has seen what the camera shows."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the agent is shown before a turn."""

    film: Still | Film | None = None
    """What the camera shows from now on; None: what it showed before."""

    images: tuple[PictureMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class WavTurn:
    """A turn to be spoken: 48 kHz mono samples."""

    name: str
    samples: Samples = field(repr=False)
    shown: Shown = field(default_factory=Shown)


@dataclass(frozen=True, slots=True)
class TextTurn:
    """A turn to be typed."""

    text: str
    shown: Shown = field(default_factory=Shown)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call: where, as whom, and what is to be said."""

    url: str
    turns: Sequence[WavTurn | TextTurn]
    request: CallRequest = field(default_factory=CallRequest)
    token: str | None = None
    timeout_s: float = 30.0
    """How long each turn may remain unanswered."""

    barge_in_s: float | None = None
    """Speak each following turn this long into the answer to the one before; None waits for
    its end."""

    client_tools: Sequence[ClientTool] = ()
    """What the agent may have run by this caller."""

    confirm: Decide | None = None
    """Says yes or no to what the agent's tools ask; None: no."""

    push_to_talk: bool = False
    """Tell the server when each spoken turn begins and ends."""

    @property
    def audio(self) -> bool:
        """The call has an audio section: there is something to say, or audio is asked for."""
        return self.request.modality == "audio" or any(
            isinstance(turn, WavTurn) for turn in self.turns
        )

    @property
    def video(self) -> bool:
        """The call has a video section: there is something to show."""
        return any(turn.shown.film is not None for turn in self.turns)


@dataclass(slots=True)
class CallResult:
    """What came of a call; ``failure`` is one sentence, None if every turn was answered."""

    report: dict[str, Any]
    recording: Samples | None
    failure: str | None


async def place_call(plan: CallPlan, write: Callable[[str], None]) -> CallResult:
    """Make the call of ``plan`` and tell it line by line to ``write``.

    Never raises a :exc:`HarnessError`: it becomes the result's ``failure``.  The first turn
    without an answer ends the call.
    """
    narrator = Narrator(write, time.monotonic())
    run = _Run(plan, narrator)
    failure: str | None = None
    try:
        async with RtcClient.connect(
            plan.url,
            audio=plan.audio,
            video=plan.video,
            request=plan.request,
            token=plan.token,
            on_message=narrator.on_message,
            tools=CallerTools(plan.client_tools, plan.confirm),
        ) as client:
            run.client = client
            try:
                await run.turns()
            finally:
                run.network = await client.statistics()
    except HarnessError as error:
        failure = str(error)
    listener = run.client.listener if run.client is not None else None
    return CallResult(
        run.report(failure), listener.recording() if listener is not None else None, failure
    )


class _Run:
    """The turns of one call, one after another."""

    def __init__(self, plan: CallPlan, narrator: Narrator) -> None:
        self.client: RtcClient | None = None
        self.network: dict[str, Any] = {}
        self._plan = plan
        self._narrator = narrator
        self._failures: dict[int, str] = {}
        self._asked: list[Question] = []
        self._interrupted: dict[int, Question] = {}

    async def turns(self) -> None:
        """Say every turn and wait for every answer."""
        assert self.client is not None
        last = len(self._plan.turns) - 1
        spoken_into: int | None = None
        for index, turn in enumerate(self._plan.turns):
            if spoken_into is None:
                await self.client.wait_until_idle(min(10.0, self._plan.timeout_s))
            question = await self._ask(turn)
            if spoken_into is not None:
                self._interrupted[index] = self._asked[spoken_into]
                await self._answer(spoken_into, settle=False)
                spoken_into = None
            if self._plan.barge_in_s is not None and index < last:
                await self._wait_for_barge_in(index, question, self._plan.barge_in_s)
                spoken_into = index
            else:
                await self._answer(index)

    def report(self, failure: str | None) -> dict[str, Any]:
        """The call so far as a JSON object."""
        client = self.client
        turns = [
            turn_report(
                question,
                interrupted_answer=self._interrupted_answer(index),
                failure=self._failures.get(index),
            )
            for index, question in enumerate(self._asked)
        ]
        report: dict[str, Any] = {
            "url": self._plan.url,
            "failure": failure,
            "turns_planned": len(self._plan.turns),
            "turns": turns,
        }
        if client is not None:
            said = client.conversation
            report |= {
                "call": {
                    "call_id": client.placed.call_id,
                    "session_id": client.placed.session_id,
                    "user_id": client.placed.user_id,
                    "agent": client.ready.get("agent"),
                    "modality": client.ready.get("modality"),
                    "resumed": client.ready.get("resumed"),
                    "setup_ms": _ms((client.connected_at or 0.0) - client.started_at),
                    "duration_ms": _ms(time.monotonic() - client.started_at),
                    "ended": client.ended_because,
                },
                "other_answers": other_answers(said.ended),
                "errors": said.errors,
                "violations": said.violations,
                "network": self.network,
            }
        return report

    async def _ask(self, turn: WavTurn | TextTurn) -> Question:
        assert self.client is not None
        await self._show(turn.shown)
        if isinstance(turn, TextTurn):
            self._narrator.line("you", turn.text, time.monotonic())
            question = self.client.send_text(turn.text)
        else:
            self._narrator.line("you", f"({turn.name})", time.monotonic())
            question = await self._say(turn)
        self._asked.append(question)
        return question

    async def _show(self, shown: Shown) -> None:
        assert self.client is not None
        if shown.film is not None:
            assert self.client.camera is not None
            self._narrator.line("you", f"(show {shown.film.name})", time.monotonic())
            self.client.camera.show(shown.film)
            await asyncio.sleep(SEEN_AFTER_S)
        for image in shown.images:
            self._narrator.line("you", f"(send {image.name})", time.monotonic())
            self.client.send_image(image)

    async def _say(self, turn: WavTurn) -> Question:
        assert self.client is not None
        if not self._plan.push_to_talk:
            return await self.client.say(turn.samples, turn.name)
        self.client.send({"type": "activity", "state": "start"})
        question = await self.client.say(turn.samples, turn.name)
        self.client.send({"type": "activity", "state": "end"})
        return question

    async def _wait_for_barge_in(self, index: int, question: Question, after_s: float) -> None:
        assert self.client is not None
        try:
            await self.client.wait_until_audible(question, self._plan.timeout_s)
        except Unanswered as error:
            raise self._fail(index, error) from None
        await asyncio.sleep(after_s)

    async def _answer(self, index: int, *, settle: bool = True) -> Answer:
        assert self.client is not None
        question = self._asked[index]
        try:
            answer = await self.client.answer_to(question, self._plan.timeout_s, settle=settle)
        except HarnessError as error:
            raise self._fail(index, error) from None
        self._narrator.line("time", _timings(question, answer), time.monotonic())
        return answer

    def _fail(self, index: int, error: HarnessError) -> HarnessError:
        """The error, saying which turn it is about."""
        sentence = f"Turn {index + 1} ({self._asked[index].input}): {error}"
        self._failures[index] = sentence
        return HarnessError(sentence)

    def _interrupted_answer(self, index: int) -> Answer | None:
        question = self._interrupted.get(index)
        return question.answer if question is not None else None


def _timings(question: Question, answer: Answer) -> str:
    response = response_ms(question, answer)
    words = "no response time" if response is None else f"answered after {response:.0f} ms"
    ear = mouth_to_ear_ms(question, answer)
    if ear is not None:
        words += f", mouth to ear {ear:.0f} ms"
    server = (answer.latency or {}).get("response_ms")
    if isinstance(server, int | float):
        words += f" (the server says {server:.0f} ms)"
    return words


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
