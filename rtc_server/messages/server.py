"""What the server says on the data channel; ``None`` fields are absent on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from ..json_values import json_of, written_out

__all__ = [
    "TOOL_JSON_LIMIT_BYTES",
    "Agent",
    "Artifact",
    "ClientTool",
    "Code",
    "Confirm",
    "Error",
    "FileLink",
    "GoAway",
    "Grounding",
    "Latency",
    "Model",
    "Picture",
    "Pong",
    "Ready",
    "ServerMessage",
    "SessionStateDelta",
    "State",
    "Text",
    "Thought",
    "Tool",
    "Transcript",
    "Turn",
    "Usage",
    "beginning",
]

TOOL_JSON_LIMIT_BYTES = 16 * 1024
"""``args`` and ``result`` of a tool message are shortened above this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMessage:
    """One JSON object from the server; ``None`` fields are absent on the wire."""

    type: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The message as a JSON-serialisable dictionary."""
        body: dict[str, Any] = {"type": self.type}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None:
                body[one.name] = value
        return body

    def to_json(self) -> str:
        """The message as it goes over the data channel."""
        return json_of(self.to_dict(), separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(ServerMessage):
    """First message of every call."""

    type: ClassVar[str] = "ready"
    call_id: str
    session_id: str
    agent: str
    modality: Literal["audio", "text"]
    resumed: bool
    pictures: bool
    """Whether the agent may look at pictures and video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State(ServerMessage):
    """What the agent is doing; ``speaking`` spans the time its audio is on the wire."""

    type: ClassVar[str] = "state"
    state: Literal["initializing", "listening", "thinking", "speaking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(ServerMessage):
    """A piece of the agent's text answer, never sent twice."""

    type: ClassVar[str] = "text"
    data: str
    turn: int
    mime_type: str = "text/plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript(ServerMessage):
    """The whole of an utterance so far; a later one replaces it."""

    type: ClassVar[str] = "transcript"
    role: Literal["user", "agent"]
    text: str
    final: bool
    turn: int
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(ServerMessage):
    """The end of answer ``turn``, after its last audio was sent or flushed."""

    type: ClassVar[str] = "turn"
    turn: int
    turn_complete: bool
    interrupted: bool
    heard_ms: int | None = None
    heard_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(ServerMessage):
    """The agent's tool use."""

    type: ClassVar[str] = "tool"
    phase: Literal["call", "progress", "result", "cancelled"]
    id: str
    name: str
    args: Any = None
    result: Any = None
    long_running: bool | None = None
    """With ``call``: the agent goes on without waiting for the result."""
    failed: bool | None = None
    """With ``result``: the tool gave an error in place of one."""
    truncated: bool | None = None

    @staticmethod
    def shortened(value: Any) -> tuple[Any, bool]:
        """``value`` if its JSON fits 16 KiB, else its JSON's beginning as a string."""
        text = json_of(value)
        short = beginning(text, TOOL_JSON_LIMIT_BYTES)
        if short is not text:
            return short, True
        try:
            return json.loads(text), False
        except RecursionError:  # so near the limit that reading needs a frame too many
            return written_out(value), False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStateDelta(ServerMessage):
    """The agent changed keys of the session state that the operator allows."""

    type: ClassVar[str] = "session_state"
    delta: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(ServerMessage):
    """Another agent took over."""

    type: ClassVar[str] = "agent"
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(ServerMessage):
    """The timings of an answer in milliseconds, as ``docs/contract.md`` defines them."""

    type: ClassVar[str] = "latency"
    turn: int
    response_ms: float | None = None
    endpoint_ms: float | None = None
    agent_ms: float | None = None
    playout_ms: float | None = None
    uplink_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(ServerMessage):
    """Token counts of an answer, where the model reports them."""

    type: ClassVar[str] = "usage"
    turn: int
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    total_tokens: int | None = None
    thoughts_tokens: int | None = None
    cached_tokens: int | None = None
    tool_tokens: int | None = None
    prompt_details: Mapping[str, int] | None = None
    response_details: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(ServerMessage):
    """What went wrong, in words for a person."""

    type: ClassVar[str] = "error"
    code: str
    message: str
    retryable: bool
    dropped: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway(ServerMessage):
    """The call will end in ``seconds``."""

    type: ClassVar[str] = "goaway"
    reason: Literal["drain", "max_duration", "idle", "replaced"]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(ServerMessage):
    """The answer to a ping, with the same ``t``."""

    type: ClassVar[str] = "pong"
    t: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(ServerMessage):
    """A tool waits for the caller's yes or no, for ``seconds``; then it counts as no."""

    type: ClassVar[str] = "confirm"
    id: str
    name: str
    hint: str | None = None
    args: Any = None
    payload: Any = None
    seconds: float
    truncated: bool | None = None
    """``args`` or ``payload`` is the beginning of its JSON, as a string."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool(ServerMessage):
    """The agent calls a tool that the offer declared; the client has ``seconds`` to answer."""

    type: ClassVar[str] = "client_tool"
    id: str
    name: str
    args: Any
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought(ServerMessage):
    """A piece of what the model thinks, where the operator shows it."""

    type: ClassVar[str] = "thought"
    text: str
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding(ServerMessage):
    """What an answer rests on: searches made, and the sources found."""

    type: ClassVar[str] = "grounding"
    turn: int
    queries: Sequence[str]
    sources: Sequence[Mapping[str, str]]
    """Each with ``uri`` and ``title`` where they are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code(ServerMessage):
    """Code that the model wrote and had executed, or what came of it."""

    type: ClassVar[str] = "code"
    turn: int
    phase: Literal["call", "result"]
    language: str | None = None
    code: str | None = None
    outcome: str | None = None
    output: str | None = None
    truncated: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture(ServerMessage):
    """A picture in the agent's answer; ``data`` is base64."""

    type: ClassVar[str] = "image"
    turn: int
    mime_type: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLink(ServerMessage):
    """A file in the agent's answer that lies elsewhere."""

    type: ClassVar[str] = "file"
    turn: int
    uri: str
    mime_type: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(ServerMessage):
    """The agent saved a version of an artifact."""

    type: ClassVar[str] = "artifact"
    name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(ServerMessage):
    """The agent's model cannot be reached, and the call waits for it; or it is back."""

    type: ClassVar[str] = "model"
    state: Literal["away", "back"]
    name: str | None = None
    """The model that is back, where it is another one than before."""


def beginning(text: str, max_bytes: int) -> str:
    """``text`` itself, or as much of it as fits into ``max_bytes`` of UTF-8."""
    raw = text.encode(errors="replace")
    return text if len(raw) <= max_bytes else raw[:max_bytes].decode(errors="ignore")
