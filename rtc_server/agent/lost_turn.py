"""The user's turn that the model has not answered to its end: what a lost connection loses.

Plain code with the time as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

__all__ = ["OpenTurn"]


@dataclass(slots=True)
class OpenTurn:
    """What the user asked last, for as long as it may still be answered.

    Typed text and transcripts of speech go in, the model's output and the ends of its
    answers too.  Only one turn is kept, and of it :data:`LONGEST` characters.
    """

    LONGEST: ClassVar[int] = 8_000
    STALE_S: ClassVar[float] = 60.0
    """A turn that nothing was said to for so long is not waited for."""

    tool_ran: bool = False
    """A tool has been called for it: to ask again might do something twice."""

    _typed: list[str] = field(default_factory=list)
    _spoken: str = ""
    _next_spoken: str = ""
    """What was heard during the answer: the next turn, or a late copy of this one."""
    _answered: str = ""
    """The spoken turn that was answered last."""
    _is_answering: bool = False
    _at: float = 0.0
    _was_asked_again: bool = False
    _prompt: str | None = None
    _may_prompt_again: bool = False

    def prompted(self, text: str, *, again: bool) -> None:
        """A turn that is nobody's was put to the model; ``again``: it may be put once more."""
        self._prompt, self._may_prompt_again = text, again

    def typed(self, text: str, now: float) -> None:
        """The user typed a text turn."""
        if self._is_answering:
            self._forget()
        self._typed.append(text)
        self._at = now

    def heard(self, text: str, now: float) -> None:
        """The model's transcript of what the user says: the whole of it so far."""
        if self._is_answering:
            self._next_spoken = text
        elif text != self._answered:
            self._spoken = text
            self._at = now

    def output(self, now: float, *, tool: bool = False) -> None:
        """The model says something, or calls a tool."""
        self._is_answering = True
        self.tool_ran = self.tool_ran or tool
        self._at = now

    def completed(self) -> None:
        """The model ended its answer."""
        self._answered = self._next_spoken or self._spoken or self._answered
        self._forget()

    def interrupted(self, now: float) -> None:
        """The user spoke over the answer: what was heard meanwhile is the next turn."""
        spoken = self._next_spoken
        self._forget()
        self._spoken = spoken
        self._at = now

    def is_open(self, now: float) -> bool:
        """Whether there is an answer to lose."""
        return bool(self._typed or self._spoken) and now - self._at < self.STALE_S

    @property
    def is_prompted(self) -> bool:
        """Whether what the model says, or owes, was asked by nobody."""
        return self._prompt is not None

    def lose_prompt(self) -> str | None:
        """The connection is gone, and with it the answer to the prompt.

        Returns:
            The prompt, to be put to the model again, if it may be.
        """
        if self._prompt is None:
            return None
        prompt = self._prompt if self._may_prompt_again else None
        self._forget()
        return prompt

    def lose(self, now: float) -> str | None:
        """The connection is gone, and with it the answer.

        Returns:
            The turn's words, to be put to the model again: once, and only if no tool ran.
        """
        words = "\n".join(filter(None, [self._spoken, *self._typed]))[: self.LONGEST]
        may = self.is_open(now) and not self.tool_ran and not self._was_asked_again
        self._forget()
        if not may or not words:
            return None
        self._typed = [words]
        self._at = now
        self._was_asked_again = True
        return words

    def _forget(self) -> None:
        self._typed = []
        self._spoken = self._next_spoken = ""
        self._prompt = None
        self._is_answering = self.tool_ran = self._was_asked_again = False
