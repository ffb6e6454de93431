"""One answer of the agent: who asked for it, when each part of it came and left.

Plain data with the arithmetic of the contract's timings; ``turns.py`` decides when
an answer begins and ends.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from .messages import Latency

__all__ = ["Answer", "Question", "ToolRound"]


@dataclass(slots=True)
class Question:
    """What the user has put to the agent since it last began to answer."""

    text_at: float | None = None
    """When a typed text came, the newest."""

    earlier: list[float] = field(default_factory=list)
    """When the texts before it came."""

    speech_at: float | None = None
    """Arrival of the last uplink packet that was judged to be speech."""

    speech_ms: int = 0
    """How much speech there was."""

    transcribed: bool = False
    """The model has said what it understood of the speech."""

    joined: bool = False
    """It was put while the agent was at work on another: one answer may serve both."""

    endpoint_at: float | None = None
    """When the model said that the user's spoken turn was over."""

    SPEECH_MS: ClassVar[int] = 200
    """Less than this, without a transcript, is a cough and asks nothing."""

    STALE_S: ClassVar[float] = 10.0
    """Speech without a transcript asks for no answer that begins later than this."""

    def end(self, now: float) -> None:
        """The user's spoken turn is over; what says so first says when."""
        if self.endpoint_at is None or (self.speech_at or 0.0) > self.endpoint_at:
            self.endpoint_at = now

    @property
    def is_open(self) -> bool:
        """The user has finished a turn that nothing has answered yet."""
        return self.is_put and not self.joined

    @property
    def is_put(self) -> bool:
        """The user has finished a turn."""
        return self.text_at is not None or self.endpoint_at is not None

    def for_one_answer(self) -> tuple[Question, list[float]]:
        """What one answer is to, and the texts that are left: one answer may serve them all, too.

        It is to the first text.  What was said aloud beside texts is answered with them.
        """
        if self.text_at is None or not self.earlier or self.is_spoken:
            return self, []
        first, *later = [*self.earlier, self.text_at]
        return replace(self, text_at=first, earlier=[]), later

    def is_stale(self, now: float) -> bool:
        """Nothing but noise, as it seems, which the agent did not answer at the time."""
        if self.text_at is not None or self.transcribed or self.speech_at is None:
            return False
        return now - self.speech_at > self.STALE_S

    @property
    def is_spoken(self) -> bool:
        """There was speech that is more than a cough."""
        is_enough = self.transcribed or self.speech_ms >= self.SPEECH_MS
        return self.speech_at is not None and is_enough

    @property
    def kind(self) -> Literal["text", "speech"] | None:
        """How the user asked, or None if nobody did."""
        if self.text_at is not None and (
            not self.is_spoken or self.speech_at is None or self.speech_at <= self.text_at
        ):
            return "text"
        return "speech" if self.is_spoken else None

    @property
    def asked_at(self) -> float | None:
        """The end of the user's turn: the typed text, or the last packet of speech."""
        match self.kind:
            case "text":
                return self.text_at
            case "speech":
                return self.speech_at
            case None:
                return None


@dataclass(slots=True)
class ToolRound:
    """The tools that the model has called for an answer, until it goes on with its words."""

    running: set[str] = field(default_factory=set)
    """Their ids."""

    returned: set[str] = field(default_factory=set)
    """The ids of those that have answered; the model has said nothing since."""

    cancelled: set[str] = field(default_factory=set)
    """The ids of those that give no answer."""

    @property
    def is_on(self) -> bool:
        """A tool is at work, or has answered and the model has said nothing since."""
        return bool(self.running or self.returned)

    def give_back(self, id: str) -> None:
        """A tool has answered the model."""
        if id in self.running:
            self.running.discard(id)
            self.returned.add(id)

    def cancel(self, id: str) -> None:
        """A tool gives no answer."""
        if id in self.running:
            self.running.discard(id)
            self.cancelled.add(id)

    @property
    def is_taken_back(self) -> bool:
        """Nothing is left of it to be waited for, and the model has said nothing since."""
        return bool(self.cancelled) and not self.is_on

    def take_back(self, ids: Collection[str]) -> None:
        """The model wants these calls no more, nor what came of them."""
        its_own = (self.running | self.returned).intersection(ids)
        self.running -= its_own
        self.returned -= its_own
        self.cancelled |= its_own

    def go_on(self) -> None:
        """The model goes on with its words."""
        self.returned.clear()
        self.cancelled.clear()


@dataclass(slots=True)
class Answer:
    """Answer ``n`` from its first event to its last packet; times are monotonic seconds."""

    n: int
    question: Question
    begun_at: float
    last_output_at: float

    transcript: str = ""
    """The whole of what the agent says in it so far."""

    text: str = ""
    """The text that was sent of it."""

    first_audio_at: float | None = None
    """When its first audio (or, without audio, its first text) came from the agent."""

    first_packet_at: float | None = None
    """When its first packet left."""

    latency_told: bool = False
    tools: ToolRound = field(default_factory=ToolRound)
    at_work_since: float | None = None
    """When the tools that run were first found running."""

    said_text: bool = False
    """It has text parts of its own, so that its transcript is not its text."""

    said_complete_at: float | None = None
    """The model called it complete in the middle of a round of tools."""

    @property
    def has_spoken(self) -> bool:
        """Some of it, audio or text, has come from the agent."""
        return self.first_audio_at is not None

    @property
    def is_pausing(self) -> bool:
        """What came of it has been heard, and no tool is at work: the model may be done."""
        return self.first_packet_at is not None and not self.tools.is_on

    def has_stalled(self, now: float, *, for_s: float, after_tool_s: float) -> bool:
        """Its model has begun to speak, and has said nothing for long.

        Args:
            for_s: so long.
            after_tool_s: so long where a tool has answered it.
        """
        if not self.has_spoken or self.tools.running:
            return False
        patience_s = after_tool_s if self.tools.returned else for_s
        return now - self.last_output_at > patience_s

    def latency(self, sent_at: float, uplink_ms: float | None) -> Latency:
        """The timings of this answer, whose first audible sample (or text) left at ``sent_at``."""
        asked_at = self.question.asked_at
        came_at = sent_at if self.first_audio_at is None else self.first_audio_at
        left_at = sent_at if self.first_packet_at is None else self.first_packet_at
        response_ms = endpoint_ms = agent_ms = None
        if asked_at is not None:
            response_ms = _ms(sent_at - asked_at)
            endpoint_at = self.question.endpoint_at
            if self.question.kind == "speech" and endpoint_at is not None:
                endpoint_ms = _ms(endpoint_at - asked_at)
                agent_ms = _ms(came_at - endpoint_at)
            else:
                agent_ms = _ms(came_at - asked_at)
        return Latency(
            turn=self.n,
            response_ms=response_ms,
            endpoint_ms=endpoint_ms,
            agent_ms=agent_ms,
            playout_ms=_ms(left_at - came_at),
            uplink_ms=uplink_ms if uplink_ms is None else round(uplink_ms, 1),
        )


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 1)
