"""What holds in a call's conversation, whatever is said in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .call_service import Modality
from .media.away_notice import AwayNotice

__all__ = ["ConversationRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRules:
    """What the operator decided about a call, and what is known of its model."""

    modality: Modality
    show_tools: bool = False
    show_thoughts: bool = False
    allow_state: frozenset[str] = frozenset()
    text_during_speech: Literal["interrupt", "queue"] = "interrupt"

    answer_timeout_s: float = 30.0
    """The agent has this long to begin an answer, or to go on with one."""

    tool_timeout_s: float = 150.0
    """So long a tool may hold up an answer; then the agent is given up as if it said nothing."""

    away_notice: AwayNotice | None = None
    """What is heard while the agent's model is away."""

    may_stay_silent: bool = False
    """The model decides whether to answer: no answer is none that is overdue."""

    owes_signs: bool = False
    """The model listens for speech and cannot but say something of what it heard."""

    passes_over_voice: bool = False
    """A voice without words leads to no sign: one utterance without any proves nothing."""

    kept_sound_s: float = 2.0
    """So much of the caller's sound waits for the first connection to the model."""

    stall_s: float = 1.0
    """A model that is silent for longer after its words were heard goes on with no answer of
    its own: a text that comes then cuts nothing off, and what follows is the answer to it."""

    boundary_timeout_s: float = 5.0
    """After an interruption the model has this long to say that the old answer is over."""

    pause_s: float = 0.4
    """Silence after recognised words that looks like the end of the user's turn."""

    queued_texts: int = 16
    """Texts that may wait for the end of an answer; more are refused."""
