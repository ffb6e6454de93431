"""What the caller is told of an answer: its words, its timings, and what was heard of it.

``turns.py`` and ``open_answers.py`` decide when; nothing here awaits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .agent.live_events import AgentTranscript
from .answer import Answer
from .call_service import Modality
from .media.playout_buffer import Heard, PlayoutBuffer
from .messages import ServerMessage, Text, Transcript, Turn

__all__ = ["AnswerReport"]


@dataclass(slots=True)
class AnswerReport:
    """Of one call's answers, as messages in the order in which they are to be sent.

    Args:
        playout: is told which words its audio has.
        uplink_ms: see :class:`~rtc_server.conversation.Conversation`.
    """

    playout: PlayoutBuffer
    modality: Modality
    uplink_ms: Callable[[], float | None]

    _said: AgentTranscript | None = None
    """What the model said last, of whatever answer."""

    _before: AgentTranscript | None = None
    """What it had said before the answer whose words were told last."""

    _worded_turn: int = 0
    """That answer."""

    timed_turn: int = 0
    """The answer whose timings were told last."""

    def text(self, answer: Answer, text: str, now: float) -> list[ServerMessage]:
        """A piece of its text came."""
        if answer.first_audio_at is None:
            answer.first_audio_at = now
        answer.text += text
        out: list[ServerMessage] = [Text(data=text, turn=answer.n)]
        return out + self.latency(answer, now) if self.modality == "text" else out

    def transcript(self, answer: Answer, event: AgentTranscript) -> list[ServerMessage]:
        """The model said what it says; only more of it is news."""
        # A shorter one is the model's own guess of what was heard before an interruption;
        # the ledger knows better.
        if answer.n != self._worded_turn:
            self._worded_turn, self._before = answer.n, self._said
        self._said = event
        text = event.text_after(self._before)
        if len(text) <= len(answer.transcript):
            return []
        answer.transcript = text
        self.playout.mark_text(answer.n, text)
        return [
            Transcript(role="agent", text=text, final=False, turn=answer.n, language=event.language)
        ]

    def swallowed(self, event: AgentTranscript) -> None:
        """Words of an answer that was cut off: they are told of none, and begin none."""
        self._said = event

    def latency(self, answer: Answer, sent_at: float) -> list[ServerMessage]:
        """Its first audible sample, or text, left at ``sent_at``; told once."""
        if answer.latency_told:
            return []
        answer.latency_told = True
        self.timed_turn = answer.n
        return [answer.latency(sent_at, self.uplink_ms())]

    def end(self, answer: Answer, heard: Heard | None, now: float) -> list[ServerMessage]:
        """It is over; ``heard`` is what was heard of an interrupted one."""
        out: list[ServerMessage] = []
        if answer.text:
            out += self.latency(answer, answer.first_audio_at or now)
        heard_text = None
        if heard is not None:
            heard_text = heard.text if self.modality == "audio" else answer.text
        if answer.transcript:
            said = answer.transcript if heard_text is None else heard_text
            out.append(Transcript(role="agent", text=said, final=True, turn=answer.n))
        out.append(
            Turn(
                turn=answer.n,
                turn_complete=True,
                interrupted=heard is not None,
                heard_ms=None if heard is None else heard.ms,
                heard_text=heard_text,
            )
        )
        return out
