"""What was put to the agent and not answered yet, by the user or on his behalf; plain code."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from .answer import Question

__all__ = ["OpenQuestion", "Prompt"]

_MAX_TEXTS = 32
"""Texts that are remembered, each for the time of its answer."""

_INTERRUPTS_S = 1.0
"""So long after a text a model may be told to be interrupted by it."""


@dataclass(slots=True)
class Prompt:
    """A text that was put to the agent on nobody's behalf."""

    text: str
    is_greeting: bool
    """The agent is to speak first: without an answer the call would be silent."""
    is_first: bool = True
    """It has been put once."""


@dataclass(slots=True)
class OpenQuestion:
    """Of one call, from one answer's beginning to the next; times are monotonic seconds."""

    question: Question = field(default_factory=Question)
    """What the user has said and written since the agent last began to answer."""

    prompt: Prompt | None = None
    """The text that was put last on nobody's behalf."""

    prompted_at: float | None = None
    """When a text that is not the user's was put to the agent, which has not answered it yet."""

    put_at: float = float("-inf")
    """When the newest text went to the agent, for which it may have had to wait."""

    beside: deque[float] = field(default_factory=deque)
    """When texts came that may have been answered together with one before them, or may yet be."""

    is_given_up: bool = False
    """The agent has had its time, and no answer is waited for."""

    def type(self, now: float, *, came_at: float | None = None, joins: bool = False) -> None:
        """A text of the user goes to the agent.

        Args:
            came_at: when the user sent it, where it had to wait.
            joins: the agent is at work on another, whose answer may serve both.
        """
        question = self.question
        if self.is_given_up:
            question.earlier.clear()
        elif question.text_at is not None and len(question.earlier) < _MAX_TEXTS:
            question.earlier.append(question.text_at)
        self.beside.clear()
        question.text_at = now if came_at is None else came_at
        self.put_at = now
        question.joined = joins
        self.is_given_up = False

    def speak(self, at: float, duration_ms: int) -> None:
        """A piece of the uplink was judged to be speech."""
        self.question.speech_at = at
        self.question.speech_ms += duration_ms

    def end_speech(self, now: float) -> None:
        """Somebody says that the user's speech is over; a cough asks nothing."""
        if self.is_spoken:
            self._end_speech(now)

    def transcribe(self, now: float, *, final: bool) -> None:
        """The model said what it understood, ``final``: to the end of the user's turn."""
        self.question.transcribed = True
        self.prompted_at = None  # the model has turned to the user
        self.is_given_up = False
        if final:
            self._end_speech(now)

    def _end_speech(self, now: float) -> None:
        self.is_given_up = False
        self.question.joined = False
        self.question.end(now)

    def take(self, now: float) -> Question:
        """What the answer that begins now is to; nothing of that is open any longer."""
        self.is_given_up = False
        if self.prompted_at is not None:
            self.prompted_at = None
            # What the user has asked since then is answered after this, or by the same answer.
            self.question.joined = self.question.is_put
            return Question()
        question = Question() if self.question.is_stale(now) else self.question
        self.question = Question()
        if question.kind is None and self.beside:
            return Question(text_at=self.beside.popleft())
        question, later = question.for_one_answer()
        self.beside = deque(later)
        return question

    def reopen(self, question: Question | None, now: float) -> None:
        """The model says that what it gave was interrupted: by the text that was put just now?

        Then that text is open, and it is the text that is waited for.  Nothing is known where
        the user has spoken.

        Args:
            question: what began was no answer to it either.
        """
        texts = list(self.beside)
        if question is not None and question.kind == "text" and question.text_at is not None:
            texts.insert(0, question.text_at)
        is_new = now - self.put_at <= _INTERRUPTS_S
        if not texts or not is_new or self.is_spoken or self.question.is_put:
            return
        *earlier, last = texts
        self.question = Question(text_at=last, earlier=earlier)
        self.beside.clear()

    def give_up_joined(self) -> None:
        """One answer served all: what was asked beside it is open no longer."""
        if self.is_joined:
            self.question = Question()
        self.beside.clear()

    def lose_speech(self) -> None:
        """What was said has reached nobody; what was typed is open still."""
        self.question = replace(
            self.question, speech_at=None, speech_ms=0, transcribed=False, endpoint_at=None
        )

    def withdraw(self) -> None:
        """No answer is wanted any more."""
        self.question = Question()
        self.prompted_at = None
        self.beside.clear()

    @property
    def is_spoken(self) -> bool:
        """There was more speech than a cough."""
        return self.question.speech_ms >= Question.SPEECH_MS

    @property
    def is_asked(self) -> bool:
        """The agent has something to answer."""
        return self.question.is_open or self.prompted_at is not None

    @property
    def is_awaited(self) -> bool:
        """The agent is taken to be thinking of its answer."""
        is_asked = self.question.is_open or self.is_joined
        return self.prompted_at is not None or (is_asked and not self.is_given_up)

    @property
    def is_joined(self) -> bool:
        """A text was put while the agent was at work on another, whose answer may serve both."""
        return self.question.joined and self.question.text_at is not None

    def waiting_since(self, *, is_heard: bool) -> float | None:
        """When the user ended a turn that nothing has answered yet, as far as is known.

        Args:
            is_heard: the model has said what it understood of speech that is not answered.
        """
        question = self.question
        if question.is_open:
            asked_at = question.endpoint_at if question.asked_at is None else question.asked_at
            if asked_at is None or question.text_at is None:
                return asked_at
            return max(asked_at, self.put_at)
        # Models that finish a transcript with their answer only are known by silence.
        return question.speech_at if is_heard else None
