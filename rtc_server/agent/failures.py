"""What an exception of a live run means, in words for a person and a short code.

The codes are labels of ``rtc_agent_errors_total``: there are few, and none is made of
what an exception says.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.genai.errors import APIError
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

__all__ = [
    "ASKED_AGAIN",
    "ASK_AGAIN",
    "ENDED",
    "FAILED",
    "GAVE_UP",
    "POLICY_VIOLATION",
    "RECONNECTED",
    "REFUSED",
    "SESSION_UNAVAILABLE",
    "STALLED",
    "AgentStalled",
    "Failure",
    "HandleRefused",
    "HeldTooLong",
    "ModelChanged",
    "NoLiveConnection",
    "RedialLimit",
    "Renewed",
    "SessionUnavailable",
    "Superseded",
    "blames_the_request",
    "close_code_of",
    "is_of_this_process",
]

UNSUPPORTED_DATA = 1007
"""The close code with which a Gemini model refuses a modality."""


POLICY_VIOLATION = 1008
"""The close code of a refused key, and of a resumption handle that is not known any more."""


class AgentStalled(Exception):
    """The run does not take what the caller sends."""


class NoLiveConnection(Exception):
    """The model, which it names, is of a kind that has no live connection: none will ever be."""


class RedialLimit(Exception):
    """ADK's own reconnects within a run led nowhere."""


class Superseded(Exception):
    """The connection of an agent that took over is lost; ADK would go on with the one before."""


class Renewed(Exception):
    """The run was ended on purpose: it showed no life.

    Args:
        prompt: is put to the model by the next run, on nobody's behalf.
    """

    def __init__(self, prompt: str | None = None) -> None:
        super().__init__()
        self.prompt = prompt


class HeldTooLong(Exception):
    """The model has been down for as long as a call waits for it."""


class HandleRefused(Exception):
    """The model does not go on with the session of a handle; it is told the history instead."""


class SessionUnavailable(Exception):
    """The session of the call cannot be read: that is no failure of its model."""


class ModelChanged(Exception):
    """The run ends because the next one asks another model."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run is over; ``cause`` is for the caller, who is also told what comes of it."""

    code: str
    cause: str
    sequel: str = "It is being called again."
    waits: bool = False
    """Whether it passes, as far as is known, and is waited for; else it is tried a few times."""

    def told(self, advice: str = "") -> str:
        """In words for the caller."""
        return " ".join(filter(None, (self.cause, self.sequel, advice)))

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What ``error`` means, whichever of ADK's layers it comes from."""
        if isinstance(error, AgentStalled):
            return STALLED
        if isinstance(error, SessionUnavailable):
            return SESSION_UNAVAILABLE
        status = close_code_of(error)
        if status is not None:
            if status == 429:
                return BUSY
            if status in (UNSUPPORTED_DATA, POLICY_VIOLATION) or 400 <= status < 500:
                return REFUSED
            if status >= 500:  # a close code is, too
                return LOST
        if isinstance(error, ConnectionClosed | RedialLimit | HandleRefused | Superseded):
            return LOST
        if isinstance(error, OSError | TimeoutError | InvalidHandshake | HeldTooLong):
            return UNREACHABLE
        return FAILED


ENDED = Failure("agent_ended", "The agent hung up.")
STALLED = Failure("agent_stalled", "The agent does not listen.")
BUSY = Failure("agent_busy", "The agent has too much to do.", waits=True)
REFUSED = Failure("agent_refused", "The agent's model refused the connection.", "")
LOST = Failure("agent_lost", "The connection to the agent was lost.", waits=True)
UNREACHABLE = Failure("agent_unreachable", "The agent cannot be reached.", waits=True)
FAILED = Failure("agent_failed", "Something went wrong with the agent.")
RECONNECTED = Failure(
    "agent_reconnected", "The connection to the agent was lost and is renewed.", "", waits=True
)
SESSION_UNAVAILABLE = Failure(
    "session_unavailable",
    "The conversation cannot be read now.",
    "It is being tried again.",
    waits=True,
)
GAVE_UP = "The agent cannot be reached. Please call again later."

ASKED_AGAIN = "Your question is put to it again."
ASK_AGAIN = "Please ask again."


def blames_the_request(error: BaseException | None) -> bool:
    """Whether the model refused what this one call asked for: it is there, for others."""
    return close_code_of(error) in (400, 404, UNSUPPORTED_DATA)


def is_of_this_process(error: BaseException | None) -> bool:
    """Whether the fault arose here, and says nothing about the model.

    What a model's side does shows as a fault of the network or of its protocol, as a status, or
    as an end without a word, be it as the cause of what a client's library raises.
    """
    told_by_the_model = (
        OSError,  # timeouts and TLS are such
        APIError,
        WebSocketException,
        AgentStalled,
        RedialLimit,
    )
    chain = 0
    while error is not None and chain < 16:
        if isinstance(error, told_by_the_model):
            return False
        error, chain = error.__cause__, chain + 1
    return chain > 0


def close_code_of(error: BaseException | None) -> int | None:
    """The HTTP status or WebSocket close code that ``error`` carries, if any."""
    if isinstance(error, APIError):
        return error.code
    if isinstance(error, ConnectionClosed):
        return error.rcvd.code if error.rcvd is not None else None
    if isinstance(error, InvalidStatus):
        return error.response.status_code
    return None
