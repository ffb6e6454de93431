"""What the conversation wants done, beside the messages that it wants sent."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import ServerMessage

__all__ = ["Action", "InterruptModel", "RenewModel", "SendPrompt", "SendText", "Spoken"]


@dataclass(frozen=True, slots=True)
class InterruptModel:
    """The model is to stop what it is saying, where it can be told so."""


@dataclass(frozen=True, slots=True)
class RenewModel:
    """The model owes an answer and is given up: its connection is to be made anew."""

    prompt: str | None = None
    """To be put to it then, on nobody's behalf."""


@dataclass(frozen=True, slots=True)
class SendText:
    """A user's text turn is to be passed to the model."""

    text: str


@dataclass(frozen=True, slots=True)
class SendPrompt:
    """A text turn that is nobody's is to be passed to the model."""

    text: str
    again: bool
    """It is put again if it is lost with the connection to the model."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """There is new audio in the playout buffer; ``dropped_s`` of it found no room."""

    dropped_s: float


Action = ServerMessage | InterruptModel | RenewModel | SendPrompt | SendText | Spoken
