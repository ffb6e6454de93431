"""The one settings object: made once at start, frozen, passed down.

Nothing but ``cli.py`` reads the command line or the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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

    model_connects_per_s: float = 10.0
    """Connections to a model that are opened in a second, over all calls, in the long run."""

    model_connects_at_once: int = 40
    """So many are opened at once after a quiet time."""

    answer_s: float = 30.0
    """The agent has this long to begin an answer, or to go on with one."""

    tool_s: float = 120.0
    """A tool of the agent may take this long; then the model is told that it failed."""

    idle_prompt_s: float = 20.0
    """Silence after which the agent is given the idle prompt, where there is one."""

    confirm_s: float = 60.0
    """How long a tool waits for the caller's yes or no; then it counts as no."""

    client_tool_s: float = 30.0
    """How long a tool of the client may take."""

    picture_px: int = 1024
    """Longest side of a video frame that the agent is given."""

    frames_per_s: float = 1.0
    """Video frames a second that the agent is given, the newest ones."""


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

    allow_client_tools: bool = False
    """Every caller may declare tools of its own, not only those on loopback."""

    show_thoughts: bool = False
    """What the model thinks, where it says so, goes to callers."""

    modality: Literal["audio", "text"] | None = None
    """Modality of a call whose offer names none; None: the agent's, or audio."""

    voice: str | None = None
    """Prebuilt voice asked of the model."""

    language: str | None = None
    """Language asked of the model, as a BCP-47 tag."""

    run_config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ADK's ``RunConfig`` for every call, in ADK's names."""

    fallback_model: str | None = None
    """Model asked when the agent's own cannot be reached."""

    ask_again: bool = False
    """A turn that was lost with the connection to the model is put to it again."""

    away_notice: str = "tone"
    """Heard while the model is away: ``tone``, ``none``, or the path of a WAV file."""

    idle_prompt: str | None = None
    """Text turn put to the agent after a silence of ``limits.idle_prompt_s``."""

    session_db: str | None = field(default=None, repr=False)
    """ADK session URL: where conversations are kept; None: in memory."""

    memory_service: str | None = field(default=None, repr=False)
    """ADK memory service URL; sessions are added to it. None: in memory, and none is added."""

    artifact_service: str | None = field(default=None, repr=False)
    """ADK artifact service URL; None: in memory."""

    otlp_endpoint: str | None = None
    """Where traces are sent by OTLP over HTTP; None: nowhere."""

    greeting: str | None = None
    """Text turn put to the agent when a new conversation begins, so that it speaks first."""

    text_during_speech: Literal["interrupt", "queue"] = "interrupt"
    """What typed text does to a running answer."""

    decoder: Literal["pyav", "libopus"] = "pyav"
    """What decodes the caller's Opus: PyAV, or libopus called directly for half the CPU."""

    metrics_public: bool = False
    """``/metrics`` answers every address, not only loopback."""

    limits: Limits = field(default_factory=Limits)
