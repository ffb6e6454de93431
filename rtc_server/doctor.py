"""Checks what calls need of a machine, and says what to mend."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import ifaddr

from .errors import ConfigurationError
from .settings import Settings

__all__ = [
    "Finding",
    "State",
    "candidate_addresses",
    "check_addresses",
    "check_agent",
    "check_keys",
    "check_opus",
    "check_packet_path",
    "check_port",
    "check_secret",
    "check_services",
    "check_udp",
    "examine",
]

_RATE = 48_000
_FRAME = _RATE // 50
_UDP_TIMEOUT_S = 2.0


class State(Enum):
    """How a thing was found, from good to bad."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing, and what to do where it is not well."""

    state: State
    subject: str
    words: str


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check everything, one after another; each finding comes as soon as it is known.

    Loading the agent imports it, and may add the agent's ``.env`` to the environment.
    """
    yield check_opus()
    yield check_packet_path()
    yield check_addresses(candidate_addresses())
    yield check_udp(settings.udp_ports)
    yield check_port(settings.host, settings.port)
    yield check_secret(settings)
    yield check_services(settings)
    yield check_agent(settings.agent)
    yield check_keys(settings.agent, environ)
    if settings.fallback_model is not None:
        yield check_fallback(settings.fallback_model)


def check_opus() -> Finding:
    """Encode a tone and decode it again."""
    try:
        from .media.opus import Codec, OpusDecoder, OpusEncoder, codec_in_use, describe_codec

        encoder, decoder = OpusEncoder(_RATE), OpusDecoder()
        heard = b"".join(decoder.decode(encoder.encode(_tone(n))) for n in range(10))
    except Exception as error:
        # Whatever a broken codec library throws is the finding.
        return _broken("Opus", f"PyAV cannot code it ({type(error).__name__}): reinstall av.")
    samples = struct.unpack(f"<{len(heard) // 2}h", heard)
    if max(map(abs, samples), default=0) < 1000:
        return _broken("Opus", "what was encoded is not heard again: reinstall av.")
    words = f"a tone was encoded and decoded by {describe_codec()}."
    if codec_in_use() is Codec.LIBOPUS:
        return _ok("Opus", words)
    return Finding(
        State.NOTE,
        "Opus",
        f"{words} It costs more CPU and recovers no lost packet: reinstall av, or install libopus.",
    )


def check_packet_path() -> Finding:
    """Whether audio packets go past aiortc, or through it."""
    try:
        from .peer.aiortc_fast_path import find_fault
    except ImportError as error:
        return _broken("packets", f"{error.name} cannot be imported: install rtc-server again.")

    async def on_a_loop() -> str | None:
        return find_fault()

    fault = asyncio.run(on_a_loop())
    if fault is None:
        return _ok("packets", "audio goes from the socket to the codec and back, past aiortc.")
    return Finding(
        State.NOTE,
        "packets",
        f"audio goes through aiortc, which costs more CPU a call: {fault}.",
    )


def _tone(frame: int) -> bytes:
    """20 ms of 440 Hz."""
    start = frame * _FRAME
    angles = (2 * math.pi * 440 * (start + n) / _RATE for n in range(_FRAME))
    return struct.pack(f"<{_FRAME}h", *(int(8000 * math.sin(angle)) for angle in angles))


def candidate_addresses() -> list[str]:
    """The addresses of this machine that ICE offers: not loopback, not link-local."""
    addresses = []
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            text = one.ip if isinstance(one.ip, str) else one.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_link_local):
                addresses.append(str(address))
    return addresses


def check_addresses(addresses: Sequence[str]) -> Finding:
    """Say where media can go."""
    if addresses:
        return _ok("ICE addresses", ", ".join(addresses))
    return Finding(
        State.NOTE,
        "ICE addresses",
        "only loopback is up. `rtc-server call` on this machine still connects by 127.0.0.1, but "
        "a browser gathers no candidate then and cannot connect: bring up a network interface "
        "that has an address (any will do, without internet too), and reload the page.",
    )


def check_udp(udp_ports: tuple[int, int] | None) -> Finding:
    """Send a datagram over loopback, from a port of the media range if there is one."""
    try:
        with _bound_udp(udp_ports) as sender, _bound_udp(None) as receiver:
            receiver.settimeout(_UDP_TIMEOUT_S)
            sender.sendto(b"ping", receiver.getsockname())
            if receiver.recv(16) != b"ping":
                return _broken("UDP", "another datagram came than was sent over loopback.")
            port = sender.getsockname()[1]
    except TimeoutError:
        return _broken("UDP", "a datagram over loopback is lost: look at the firewall.")
    except OSError:
        ports = "a UDP port" if udp_ports is None else f"a UDP port of {_shown(udp_ports)}"
        return _broken("UDP", f"cannot bind {ports}: free one, or choose others (--udp-ports).")
    if udp_ports is None:
        return _ok("UDP", "a datagram went over loopback.")
    return _ok("UDP", f"a datagram went over loopback from port {port} of {_shown(udp_ports)}.")


def _shown(ports: tuple[int, int]) -> str:
    return f"{ports[0]}-{ports[1]}"


@contextlib.contextmanager
def _bound_udp(ports: tuple[int, int] | None) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        if ports is None:
            bound.bind(("127.0.0.1", 0))
        else:
            _bind_first_free(bound, ports)
        yield bound


def _bind_first_free(unbound: socket.socket, ports: tuple[int, int]) -> None:
    low, high = ports
    for port in range(low, high + 1):
        try:
            unbound.bind(("127.0.0.1", port))
        except OSError:
            if port == high:
                raise
        else:
            return


def check_port(host: str, port: int) -> Finding:
    """Whether the HTTP server could listen."""
    where = f"{host} port {port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        return _broken("HTTP port", f"{host} is no address of this machine: choose another --host.")
    with socket.socket(family, kind, protocol) as listener:
        # As a server sets it: connections that just ended do not hold the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except PermissionError:
            return _broken("HTTP port", f"{where} needs root: choose a --port above 1023.")
        except OSError:
            return _broken(
                "HTTP port",
                f"{where} is taken or not of this machine: stop what listens there, "
                "or choose another --port or --host.",
            )
    return _ok("HTTP port", f"{where} is free.")


def check_secret(settings: Settings) -> Finding:
    """Whether the secret of the call tokens can be used."""
    if settings.auth_secret is None:
        return _ok("auth", "calls need no token.")
    from .auth import Tokens

    try:
        Tokens(settings.auth_secret)
    except ConfigurationError as error:
        return _broken("auth", str(error))
    return _ok("auth", "calls need a token; the secret is long enough.")


def check_services(settings: Settings) -> Finding:
    """Connect to where sessions, memories and artifacts are kept, as ``serve`` would."""
    from .agent.sessions.adk_services import open_services, shown_url

    async def open_and_close() -> None:
        async with open_services(settings):
            pass

    urls = (settings.session_db, settings.memory_service, settings.artifact_service)
    try:
        asyncio.run(open_and_close())
    except ConfigurationError as error:
        return _broken("sessions", str(error))
    if settings.session_db is None:
        words = "conversations are kept in memory: they end with the server."
        return _ok("sessions", words)
    shown = ", ".join(shown_url(url) for url in urls if url is not None)
    return _ok("sessions", f"{shown} can be used.")


def check_agent(spec: str) -> Finding:
    """Load the agent as ``serve`` would."""
    try:
        from .app import load_agent_named
    except ImportError as error:
        return _broken("agent", f"{error.name} cannot be imported: install rtc-server again.")
    try:
        loaded = load_agent_named(spec)
    except ConfigurationError as error:
        return _broken("agent", str(error))
    return _ok("agent", f"{loaded.name} loads.")


def check_fallback(name: str) -> Finding:
    """Whether the model that is asked when the agent's own is away can be used."""
    from .agent.loader import load_fallback

    try:
        load_fallback(name, "")
    except ConfigurationError as error:
        return _broken("fallback", str(error))
    return _ok("fallback", f"{name} can be asked.")


def check_keys(spec: str, environ: Mapping[str, str]) -> Finding:
    """Which credentials a Gemini model would find; no value is shown."""
    if spec == "local":
        return _ok("keys", "the embedded agent needs none.")
    vertex = environ.get("GOOGLE_GENAI_USE_VERTEXAI", "").lower() in ("1", "true")
    if vertex:
        missing = [
            name
            for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION")
            if not environ.get(name)
        ]
        if not missing:
            return _ok("keys", "Vertex AI, by project and location.")
        return Finding(
            State.NOTE, "keys", f"Vertex AI is chosen, but {' and '.join(missing)} is not set."
        )
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        if environ.get(name):
            return _ok("keys", f"AI Studio, by {name}.")
    return Finding(
        State.NOTE,
        "keys",
        "no key for Gemini: put GOOGLE_API_KEY=… into the .env file in the agent's folder "
        "(or GOOGLE_GENAI_USE_VERTEXAI=1 with project and location); other models need none.",
    )


def _ok(subject: str, words: str) -> Finding:
    return Finding(State.OK, subject, words)


def _broken(subject: str, words: str) -> Finding:
    return Finding(State.BROKEN, subject, words)
