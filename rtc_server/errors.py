"""The exceptions of the server, one tree.

* :exc:`RtcServerError`

  * :exc:`ConfigurationError` (the server cannot start: one sentence, exit status 2)

    * :exc:`AgentLoadError`

  * :exc:`CallError` (a call cannot be placed or changed: an HTTP problem)

    * :exc:`BadRequest` (400)

      * :exc:`OfferError`
      * :exc:`CandidateError`

    * :exc:`Unauthorized` (401)
    * :exc:`Forbidden` (403)
    * :exc:`CallNotFound` (404)
    * :exc:`TooManyRequests` (429)
    * :exc:`AgentUnreachable` (502)
    * :exc:`ServerBusy` (503)

  * :exc:`CallEnded` (ends the TaskGroup of a call; carries the outcome)

The HTTP status of a :exc:`CallError` is chosen in ``signaling.py`` alone.  The
message of every :exc:`CallError` is written for the person at the other end: it
holds no SDP, no secret and no text of another exception.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AgentLoadError",
    "AgentUnreachable",
    "BadRequest",
    "CallEnded",
    "CallError",
    "CallNotFound",
    "CandidateError",
    "ConfigurationError",
    "Forbidden",
    "OfferError",
    "Outcome",
    "RtcServerError",
    "ServerBusy",
    "TooManyRequests",
    "Unauthorized",
]


class RtcServerError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigurationError(RtcServerError):
    """The settings cannot work; the message is one sentence that says what to mend."""


class AgentLoadError(ConfigurationError):
    """The agent named at start cannot be loaded."""


class CallError(RtcServerError):
    """A request about a call cannot be met; the message is for the caller."""


class BadRequest(CallError):
    """The request is malformed or asks for what is not allowed."""


class OfferError(BadRequest):
    """The offer is not one that a call can be made of."""


class CandidateError(BadRequest):
    """An ICE candidate is malformed, forbidden, or one too many."""


class Unauthorized(CallError):
    """No valid token came with the request."""


class Forbidden(CallError):
    """The request is understood but not allowed for this caller or origin."""


class CallNotFound(CallError):
    """There is no such call, or it has ended."""


class TooManyRequests(CallError):
    """The caller asks too often; ``retry_after_s`` says when to come back."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AgentUnreachable(CallError):
    """The session store or the agent did not answer."""


class ServerBusy(CallError):
    """The server is full or draining; ``retry_after_s`` says when to come back."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Outcome(StrEnum):
    """Why a call ended; the ``outcome`` label of ``rtc_calls_total``."""

    HANGUP = "hangup"  # DELETE, or the peer closed the connection
    LOST = "lost"  # the peer vanished
    NEVER_CONNECTED = "never_connected"
    REPLACED = "replaced"
    AGENT_FAILED = "agent_failed"
    IDLE = "idle"
    MAX_DURATION = "max_duration"
    DRAIN = "drain"
    REFUSED = "refused"  # negotiation failed
    INTERNAL_ERROR = "internal_error"


class CallEnded(RtcServerError):
    """Raised inside a call's TaskGroup to end the call in the one way there is."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome
