"""The one settings object: made once at start, frozen, passed down.

Nothing but ``cli.py`` reads the command line or the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Limits", "Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much, how often and how long; every figure bounds what a stranger can ask for."""

    body_bytes: int = 64 * 1024
    """Largest body of an HTTP request."""

    candidates_per_call: int = 32
    """Remote ICE candidates a call takes, those in the offer included."""

    offers_per_minute: int = 120
    """Offers one client address may make in a minute before it gets 429."""

    connect_timeout_s: float = 15.0
    """A peer that is not connected after this long is given up."""

    channel_messages_per_s: float = 50.0
    """Data-channel messages above this rate are dropped, counted and reported."""

    channel_backlog_bytes: int = 4 * 1024 * 1024
    """Unsent data-channel bytes; a client that lets more pile up is disconnected."""

    max_calls: int | None = None
    """Calls at once; more get 503. None: as many as the event loop has time for, by measure."""

    max_call_s: float | None = None
    """Longest call; ``goaway`` is sent before it ends. None: no limit."""

    idle_s: float | None = None
    """A call in which neither side speaks for this long ends. None: never."""

    resume_s: float = 3600.0
    """How long a ``resume_token`` is good."""

    drain_s: float = 4.0
    """How long calls may go on after the server was told to stop."""

    uplink_backlog_s: float = 2.0
    """Caller's audio kept for an agent that stalls; the oldest is dropped."""

    playout_s: float = 600.0
    """Agent's audio kept ahead of playout; the newest is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator chose."""

    host: str = "127.0.0.1"
    """Address the HTTP server binds to."""

    port: int = 8080
    """TCP port of the HTTP server; 0 takes a free one."""

    workers: int = 1
    """Processes that share the calls; 1: this process serves them itself."""

    agent: str = "local"
    """The agent served: a folder, ``package.module:attribute`` or ``local``."""

    tls_cert: str | None = None
    """File of the certificate chain (PEM); with ``tls_key`` the server speaks HTTPS."""

    tls_key: str | None = None
    """File of the certificate's private key (PEM)."""

    auth_secret: str | None = field(default=None, repr=False)
    """Secret of the HS256 call tokens; None: calls need no token."""

    allow_origins: tuple[str, ...] = ()
    """Further origins whose pages may place calls."""

    allow_hosts: tuple[str, ...] = ()
    """Further values of ``Host`` that are answered."""

    allow_run_config: tuple[str, ...] = ()
    """Fields of ADK's ``RunConfig`` that an offer may set."""

    allow_state: tuple[str, ...] = ()
    """Keys of the session state that cross the data channel."""

    show_tools: bool = False
    """Tool arguments and results go to every caller, not only to loopback."""

    ice_servers: tuple[str, ...] = ()
    """STUN and TURN URLs given to clients; the server itself needs none."""

    public_ips: tuple[str, ...] = ()
    """Addresses offered as candidates beside those of the machine (1:1 NAT)."""

    udp_ports: tuple[int, int] | None = None
    """Lowest and highest UDP port of media; None: any free one."""

    modality: Literal["audio", "text"] = "audio"
    """Modality of a call whose offer names none."""

    voice: str | None = None
    """Prebuilt voice asked of the model."""

    greeting: str | None = None
    """Text turn put to the agent when a new conversation begins, so that it speaks first."""

    text_during_speech: Literal["interrupt", "queue"] = "interrupt"
    """What typed text does to a running answer."""

    decoder: Literal["pyav", "libopus"] = "pyav"
    """What decodes the caller's Opus: PyAV, or libopus called directly for half the CPU."""

    metrics_public: bool = False
    """``/metrics`` answers every address, not only loopback."""

    limits: Limits = field(default_factory=Limits)
