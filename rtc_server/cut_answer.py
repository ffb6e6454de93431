"""The answer that the user cut off, while the model still speaks of it; plain code.

A model that was interrupted goes on for a while, and none says with its words which answer they
are of: all that comes is discarded until the model is known to have begun another.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .answer import Question, ToolRound
from .conversation_rules import ConversationRules

__all__ = ["CutAnswer"]


@dataclass(slots=True)
class CutAnswer:
    """What is to be discarded of one answer; times are monotonic seconds."""

    since: float
    """When it was cut off, or the model last said something of it."""

    has_begun: bool
    """The model has said something of it."""

    tools: ToolRound

    said_at: float = float("-inf")
    """When the model last said something of it."""

    round_has_ended: bool = False
    """The model has ended the turn of its round of tools."""

    interrupted_ahead: bool = False
    """The model has said that it is interrupted, and ADK will when its tool has returned."""

    @property
    def is_held_up(self) -> bool:
        """It goes on when a tool has returned: what the model says until then is of another."""
        return bool(self.tools.running) and not self.interrupted_ahead

    def swallow(self, now: float) -> None:
        """The model said something, which is discarded."""
        self.since = self.said_at = now
        self.tools.go_on()
        self.has_begun = True

    def take_back(self, ids: Collection[str]) -> bool:
        """The model wants these calls no more; whether it says nothing more of the answer, then."""
        self.tools.take_back(ids)
        return self.tools.is_taken_back and not self.interrupted_ahead

    def is_over(self, question: Question, now: float) -> bool:
        """Whether a ``turn_complete`` of the model is the end of this answer."""
        self.since = now
        if self.interrupted_ahead:
            return False
        # The model closes a round of tools, unless it has something else to answer.
        self.round_has_ended = self.tools.is_on and not question.is_open
        return not self.round_has_ended

    def is_forgotten(self, question: Question, now: float, rules: ConversationRules) -> bool:
        """The model has neither gone on with it nor said that it is over, and will not."""
        return not self.interrupted_ahead and now - self.since > self._patience_s(question, rules)

    def has_stalled(self, now: float, *, for_s: float) -> bool:
        """The model had left it in the middle, and has said nothing of it for so long."""
        is_at_work = self.tools.is_on or self.interrupted_ahead or not self.has_begun
        return not is_at_work and now - self.said_at > for_s

    def _patience_s(self, question: Question, rules: ConversationRules) -> float:
        asked_anew = question.is_open or question.speech_ms >= Question.SPEECH_MS
        is_at_work = bool(self.tools.running) or not self.has_begun
        if is_at_work and not asked_anew:
            return rules.answer_timeout_s
        return rules.boundary_timeout_s
