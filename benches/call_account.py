"""What became of each turn of a call: the books of a caller, as plain code.

A turn is *answered* (its ``turn`` came, not interrupted), *lost* and told of (``turn`` with
``interrupted`` and an ``error`` beside it, ``agent_timeout``, or, of one that was said aloud,
``speech_not_heard``), *cut* (the caller interrupted it) or *ended* (the call ended, and said why).
What is none of these is a broken promise.  Any other ``error`` is no excuse: a caller who is told
that the model was connected to anew, and then nothing, waits.  Times are in monotonic seconds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

__all__ = ["CallAccount", "Outcome", "Turn"]

_STORY = 24
_TOLD = ("turn", "interrupted", "state", "phase", "role", "text", "code", "reason", "retryable")

WORD_S = 3.0
"""The ``error`` that goes with an interrupted turn comes within this time; and of what was not
heard, or withdrawn, no answer is on its way any more when nothing has come for so long."""

_SIGNS = frozenset(
    {"text", "transcript", "turn", "tool", "error", "model", "goaway", "latency", "ready"}
)
"""Messages that tell the caller something; ``state`` alone does not."""


class Outcome(Enum):
    """Of a turn."""

    ANSWERED = auto()
    LOST = auto()
    CUT = auto()
    ENDED = auto()
    UNTOLD = auto()
    """Interrupted, and nobody said why: a broken promise."""
    SILENT = auto()
    """Nothing came for longer than the watchdog's time: a broken promise."""


@dataclass(slots=True)
class Turn:
    """One question of the caller."""

    asked_at: float
    is_aloud: bool = False
    outcome: Outcome | None = None
    was_cut: bool = False
    was_withdrawn: bool = False
    """It was cut while the agent did not say that it had heard it: nothing is owed to it."""
    was_not_heard: bool = False
    """The caller was told so of what he said; the model may have heard the rest of it."""
    silent_s: float = 0.0
    """The longest time in it without a sign."""


@dataclass(slots=True)
class CallAccount:
    """The books of one call.

    Args:
        patience_s: silence that is a broken promise: the watchdog's time and a margin.
    """

    patience_s: float
    turns: list[Turn] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    last_word: str | None = None
    """Why the call will end: the ``goaway``'s reason, or the code of the last error."""
    unasked: int = 0
    """Answers that nobody asked for."""
    stories: list[list[str]] = field(default_factory=list)
    """What came before each broken promise."""

    _open: Turn | None = None
    _state: str = "listening"
    """Of the agent, as it says itself."""
    _is_away: bool = False
    _typed_over: bool = False
    """The caller asked while something else was being answered, which that interrupts."""
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=_STORY))
    _sign_at: float = 0.0
    _interrupted_at: float | None = None
    _error_at: float | None = None
    _typed_over_at: float | None = None
    """When that was interrupted."""

    @property
    def is_waiting(self) -> bool:
        """Whether a turn is open."""
        return self._open is not None

    def ask(self, now: float, *, is_aloud: bool = False, words: str = "aloud") -> None:
        """The caller asks."""
        self._recent.append(f"{now:.2f} asks {words}")
        self._open = Turn(now, is_aloud)
        self.turns.append(self._open)
        self._sign_at = now
        self._interrupted_at = self._error_at = self._typed_over_at = None
        # What was typed while the model is away waits, and this comes on top of it.
        self._typed_over = self._is_away or self._state in ("thinking", "speaking")

    def cut(self) -> None:
        """The caller interrupts the answer."""
        if self._open is not None:
            self._open.was_cut = True
            self._open.was_withdrawn = self._state == "listening"
            self._recent.append("interrupts")

    def on_audio(self, now: float) -> None:
        """A packet of sound came."""
        self._sign(now)

    def on_message(self, message: Mapping[str, Any], now: float) -> None:
        """A message of the server came."""
        kind = message["type"]
        facts = (str(message[key]) for key in _TOLD if key in message)
        self._recent.append(f"{now:.2f} {kind} {' '.join(facts)}")
        if kind in _SIGNS:
            self._sign(now)
        if kind == "state":
            self._state = str(message["state"])
        elif kind == "model":
            self._is_away = message["state"] == "away"
        elif kind == "goaway":
            self.last_word = str(message["reason"])
        elif kind == "error":
            self._on_error(message, now)
        elif kind == "turn":
            self._on_turn(message, now)

    def on_end(self, now: float) -> None:
        """The call is over."""
        if self._open is not None:
            self._sign(now)
            self._recent.append(f"{now:.2f} the call is over")
            told = self.last_word is not None
            self._settle(Outcome.ENDED if told else Outcome.UNTOLD)

    def tick(self, now: float) -> None:
        """Time went by."""
        turn = self._open
        if turn is None:
            return
        if self._is_away:
            self._sign(now)  # the caller knows, and hears the notice
        if self._interrupted_at is not None and now - self._interrupted_at > WORD_S:
            self._settle(Outcome.UNTOLD)
        elif turn.was_withdrawn and now - self._sign_at > WORD_S:
            self._settle(Outcome.CUT)
        elif turn.was_not_heard and now - self._sign_at > WORD_S:
            self._settle(Outcome.LOST)
        elif now - self._sign_at > self.patience_s:
            self._sign(now)
            self._settle(Outcome.SILENT)

    def _on_error(self, message: Mapping[str, Any], now: float) -> None:
        self.errors[str(message["code"])] += 1
        if not message["retryable"]:
            self.last_word = str(message["code"])
        if self._open is None:
            return
        self._error_at = now
        self._open.was_not_heard |= self._open.is_aloud and message["code"] == "speech_not_heard"
        at = self._interrupted_at if self._interrupted_at is not None else self._typed_over_at
        goes_with_turn = at is not None and now - at <= WORD_S
        if goes_with_turn or message["code"] == "agent_timeout":
            self._settle(Outcome.LOST)

    def _on_turn(self, message: Mapping[str, Any], now: float) -> None:
        turn = self._open
        if turn is None:
            self.unasked += 1
        elif not message["interrupted"]:
            self._settle(Outcome.ANSWERED)
        elif turn.was_cut:
            self._settle(Outcome.CUT)
        elif self._typed_over:
            # Most likely of what was asked before; if an error goes with it, it is of this too.
            self._typed_over = False
            self._typed_over_at = now
        elif self._error_at is not None and now - self._error_at <= WORD_S:
            self._settle(Outcome.LOST)
        else:
            self._interrupted_at = now

    def _sign(self, now: float) -> None:
        if self._open is not None:
            self._open.silent_s = max(self._open.silent_s, now - self._sign_at)
        self._sign_at = now

    def _settle(self, outcome: Outcome) -> None:
        assert self._open is not None
        self._open.outcome = outcome
        if outcome in (Outcome.UNTOLD, Outcome.SILENT):
            self.tell_story(outcome.name)
        self._open = None

    def tell_story(self, end: str) -> None:
        """Keep what came before a broken promise."""
        self.stories.append([*self._recent, end])
