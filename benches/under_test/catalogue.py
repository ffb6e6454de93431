"""The servers that can be measured: how each is started and called, and what work it does."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

__all__ = [
    "BY_HEADROOM",
    "OURS",
    "PEERS",
    "SERVERS",
    "TIMED_CHECKS",
    "VARIANTS",
    "WORKERS",
    "ServerUnderTest",
]

_CHECKOUT = Path(__file__).resolve().parents[2]
_PEERS_PYTHON = _CHECKOUT / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class ServerUnderTest:
    """One server."""

    name: str
    title: str
    work: str
    """What it does with a call's audio: for the reader, to judge what is compared."""
    command: Callable[[int], list[str]]
    """Takes the port."""
    offer_path: str
    ready_path: str
    packages: tuple[str, ...]
    """Whose versions belong to the result."""
    tells_stories: bool = False
    """Whether its agent can be interrupted, see ``agents/loopback.py``."""
    peer: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return _PEERS_PYTHON if self.peer else Path(sys.executable)

    def offer(self, sdp: str) -> dict[str, Any]:
        """The JSON body that places a call."""
        body = {"sdp": sdp, "type": "offer"}
        if self.name == "fastrtc":
            body["webrtc_id"] = uuid.uuid4().hex
        return body


_NO_REFUSAL = ("--max-calls", "1000")
"""How many calls are on time is tried out: the server must not refuse those that would not be."""


def _module(name: str, *options: str, peer: bool = False) -> Callable[[int], list[str]]:
    python = str(_PEERS_PYTHON) if peer else sys.executable
    return lambda port: [python, "-m", f"benches.under_test.{name}", str(port), *options]


def _serve(*options: str) -> Callable[[int], list[str]]:
    serve = [sys.executable, "-m", "rtc_server", "serve", "benches.agents.loopback:root_agent"]
    return lambda port: [*serve, "--port", str(port), "--log-level", "warning", *options]


_OUR_WORK = (
    "decode to 16 kHz mono, detect speech, 40 ms pieces back at 24 kHz, "
    "encode 24 kHz mono 72 kbit/s in the MDCT mode, complexity 5"
)

OURS = (
    ServerUnderTest(
        "ours-adk",
        "ours, ADK loop-back agent",
        f"{_OUR_WORK}; ADK's runner and live flow between",
        _serve(*_NO_REFUSAL),
        "/api/calls",
        "/healthz",
        ("google-adk", "aiortc", "av"),
        tells_stories=True,
    ),
    ServerUnderTest(
        "ours",
        "ours, ADK bypassed",
        _OUR_WORK,
        _module("bypassed", *_NO_REFUSAL),
        "/api/calls",
        "/healthz",
        ("aiortc", "av"),
        tells_stories=True,
    ),
)

PEERS = (
    ServerUnderTest(
        "aiortc",
        "plain aiortc",
        "decode to 48 kHz stereo, frames back as they are, "
        "encode 48 kHz stereo 96 kbit/s complexity 10",
        _module("plain_aiortc", peer=True),
        "/offer",
        "/",
        ("aiortc", "av"),
        peer=True,
    ),
    ServerUnderTest(
        "pipecat",
        "Pipecat SmallWebRTC",
        "decode to 48 kHz stereo, resample to 16 kHz mono, 40 ms pieces back at 24 kHz, resample, "
        "encode 48 kHz stereo 96 kbit/s complexity 10",
        _module("pipecat_echo", peer=True),
        "/offer",
        "/",
        ("pipecat-ai", "aiortc", "av"),
        peer=True,
    ),
    ServerUnderTest(
        "fastrtc",
        "FastRTC",
        "decode to 48 kHz stereo, resample to 16 kHz mono, 20 ms pieces back at 24 kHz, resample, "
        "encode 48 kHz stereo 96 kbit/s complexity 10",
        _module("fastrtc_echo", peer=True),
        "/webrtc/offer",
        "/",
        ("fastrtc", "aiortc", "av"),
        peer=True,
    ),
)

VARIANTS = {
    "timed-checks": "ICE looked at every 20 ms, as aioice does",
    "through-aiortc": "packets through aiortc",
    "every-wake": "the loop wakes for each packet",
    "libopus": "decoded by libopus alone",
}
"""Ours with ADK bypassed and one thing done otherwise: see ``variant.py``."""

_VARIANTS = tuple(
    ServerUnderTest(
        f"ours-{name}",
        f"ours, {what}",
        f"{_OUR_WORK}; {what}",
        _module("variant", name),
        "/api/calls",
        "/healthz",
        ("aiortc", "av"),
    )
    for name, what in VARIANTS.items()
)

TIMED_CHECKS = _VARIANTS[0]
"""Compared with in ``set_up.py``."""

WORKERS = ServerUnderTest(
    "ours-workers",
    "ours, two workers",
    f"{_OUR_WORK}; ADK's runner and live flow between",
    _serve("--workers", "2", *_NO_REFUSAL),
    "/api/calls",
    "/readyz",
    ("google-adk", "aiortc", "av"),
)
"""Compared with in ``workers.py``."""

BY_HEADROOM = {
    one.name: replace(one, command=command)
    for one, command in zip(OURS, (_serve(), _module("bypassed")), strict=True)
}
"""Ours as they are by themselves: they refuse calls for which they measure no room."""

SERVERS = {one.name: one for one in (*OURS, *_VARIANTS, WORKERS, *PEERS)}
