"""What the HTTP interface asks of the calls, wherever they are: in this process or in a worker."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

__all__ = ["CallOffer", "CallService", "Modality", "PlacedCall", "make_call_id"]

Modality = Literal["audio", "text"]
"""What the agent answers a call in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOffer:
    """What a caller asks for; already authenticated, not yet looked at."""

    sdp: str = field(repr=False)
    user_id: str
    session_id: str | None = None
    agent: str | None = None
    modality: Modality | None = None
    run_config: Mapping[str, Any] = field(default_factory=dict)
    client_tools: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """Declarations of tools that run on the client: ``name``, ``description``, ``parameters``."""
    peer_is_loopback: bool = False
    call_id: str | None = None
    """Made by a front that knows its workers' calls by it; never by the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCall:
    """What the caller gets."""

    call_id: str
    session_id: str
    user_id: str
    answer_sdp: str = field(repr=False)


class CallService(Protocol):
    """All calls of the server, as :class:`rtc_server.calls.Calls` has them in one process."""

    @property
    def agent_name(self) -> str:
        """The agent that answers where an offer names none."""
        ...

    @property
    def modalities(self) -> Sequence[str]:
        """What a call may be."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether another call would be taken."""
        ...

    async def place(self, offer: CallOffer) -> PlacedCall:
        """Place a call and give its answer SDP as soon as there is one."""
        ...

    async def add_candidates(
        self, call_id: str, user_id: str | None, candidates: Sequence[Mapping[str, Any] | None]
    ) -> None:
        """Pass on trickled ICE candidates; None ends them."""
        ...

    async def describe(self, call_id: str, user_id: str | None) -> dict[str, Any]:
        """State, timings and media statistics of a call."""
        ...

    async def hang_up(self, call_id: str, user_id: str | None) -> None:
        """End a call and wait, for a bounded time, until it is closed."""
        ...


def make_call_id() -> str:
    """An id that cannot be guessed: 128 random bits."""
    return secrets.token_urlsafe(16)
