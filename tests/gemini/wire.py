"""The JSON of the Live API: what the client sends, what the server sends, in both dialects.

The client's messages are read as Google's client 2.34 writes them: the outer name and the
fields of some are in snake case, of others in camel case.  Models of 2.x are sent media as
``mediaChunks`` and typed text as ``clientContent``; models of 3.x ``audio``, ``video`` and
``text``.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

__all__ = [
    "Activity",
    "Audio",
    "AudioStreamEnd",
    "ClientMessage",
    "Content",
    "Dialect",
    "Refused",
    "RealtimeText",
    "Setup",
    "ToolResult",
    "Video",
    "audio_out",
    "go_away",
    "handle_update",
    "read_client_message",
    "server_content",
    "text_out",
    "tool_call",
    "tool_cancellation",
    "usage",
]


class Dialect(Enum):
    """How a family of models speaks."""

    TWO = "2.x"
    THREE = "3.x"

    @classmethod
    def of(cls, model: str) -> Dialect:
        """By the model's name, as ADK tells them apart."""
        name = model.rpartition("/")[2]
        return cls.THREE if re.match(r"gemini-3\..*-live", name) else cls.TWO


class Refused(Exception):
    """What the API closes the connection for."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message of a connection."""

    raw: Mapping[str, Any]
    model: str
    dialect: Dialect
    modality: Literal["AUDIO", "TEXT"]
    resumable: bool
    handle: str | None
    hears: bool
    """Whether the model detects speech itself; else it waits for activity messages."""
    silence_ms: int
    yields: bool
    """Whether speech interrupts an answer."""
    transcribes_input: bool
    transcribes_output: bool
    tools: tuple[str, ...]
    voice: str = ""
    """Its name, where one was asked for."""

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Setup:
        """Out of the message's JSON."""
        model = str(raw["model"])
        realtime = _field(raw, "realtimeInputConfig") or {}
        detection = _field(realtime, "automaticActivityDetection") or {}
        modalities = (raw.get("generationConfig") or {}).get("responseModalities") or ["AUDIO"]
        resumption = raw.get("sessionResumption")
        return cls(
            raw=raw,
            model=model,
            dialect=Dialect.of(model),
            modality="TEXT" if modalities == ["TEXT"] else "AUDIO",
            resumable=resumption is not None,
            handle=(resumption or {}).get("handle"),
            hears=not detection.get("disabled", False),
            silence_ms=int(_field(detection, "silenceDurationMs") or 300),
            yields=_field(realtime, "activityHandling") != "NO_INTERRUPTION",
            transcribes_input="inputAudioTranscription" in raw,
            transcribes_output="outputAudioTranscription" in raw,
            tools=tuple(
                one["name"]
                for tool in raw.get("tools") or ()
                for one in _field(tool, "functionDeclarations") or ()
            ),
            voice=_voice(raw.get("generationConfig") or {}),
        )


@dataclass(frozen=True, slots=True)
class Audio:
    """Samples of the microphone, s16 mono."""

    pcm: bytes = field(repr=False)
    rate: int


@dataclass(frozen=True, slots=True)
class Video:
    """A frame of the camera, or a picture."""

    mime_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RealtimeText:
    """Typed text to a model of 3.x."""

    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """Turns of the conversation: its history, or typed text to a model of 2.x."""

    turns: tuple[tuple[str, str], ...]
    """Role and text of each."""
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned."""

    id: str
    name: str
    response: Any


@dataclass(frozen=True, slots=True)
class Activity:
    """The client says that the user speaks, or has spoken."""

    state: Literal["start", "end"]


@dataclass(frozen=True, slots=True)
class AudioStreamEnd:
    """The microphone is off."""


ClientMessage = Audio | Video | RealtimeText | Content | ToolResult | Activity | AudioStreamEnd


# What the client sends


def read_client_message(message: Mapping[str, Any], dialect: Dialect) -> list[ClientMessage]:
    """What one message of the client says.

    Raises:
        Refused: the API closes the connection of a client who says this.
    """
    found: list[ClientMessage] = []
    for name, body in message.items():
        match _camel(name):
            case "realtimeInput":
                found += _realtime(body, dialect)
            case "clientContent":
                found.append(_content(body))
            case "toolResponse":
                found += [
                    ToolResult(str(one["id"]), str(one["name"]), one.get("response"))
                    for one in _field(body, "functionResponses")
                ]
            case other:
                raise Refused(1007, f"Unknown name {other!r}: Cannot find field.")
    return found


def _realtime(body: Mapping[str, Any], dialect: Dialect) -> list[ClientMessage]:
    found: list[ClientMessage] = []
    for name, value in body.items():
        match _camel(name):
            case "mediaChunks":
                if dialect is Dialect.THREE:
                    raise Refused(1007, "realtime_input.media_chunks is deprecated.")
                found += [_media(one) for one in value]
            case "audio" | "video":
                found.append(_media(value))
            case "text":
                found.append(RealtimeText(str(value)))
            case "activityStart":
                found.append(Activity("start"))
            case "activityEnd":
                found.append(Activity("end"))
            case "audioStreamEnd":
                found.append(AudioStreamEnd())
            case other:
                raise Refused(1007, f"Unknown name {other!r} at 'realtime_input'.")
    return found


def _media(blob: Mapping[str, Any]) -> Audio | Video:
    mime_type = str(_field(blob, "mimeType"))
    data = str(blob["data"])
    raw = base64.b64decode(data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4))
    if mime_type.startswith("audio/"):
        rate = re.search(r"rate=(\d+)", mime_type)
        return Audio(raw, int(rate[1]) if rate else 16_000)
    return Video(mime_type, raw)


def _content(body: Mapping[str, Any]) -> Content:
    turns = tuple((str(one.get("role") or "user"), _words(one)) for one in body.get("turns") or ())
    return Content(turns, bool(_field(body, "turnComplete", False)))


def _voice(generation: Mapping[str, Any]) -> str:
    speech = _field(generation, "speechConfig") or {}
    prebuilt = _field(_field(speech, "voiceConfig") or {}, "prebuiltVoiceConfig") or {}
    return str(_field(prebuilt, "voiceName") or "")


def _words(content: Mapping[str, Any]) -> str:
    said = []
    for part in content.get("parts") or ():
        if "text" in part:
            said.append(str(part["text"]))
        else:
            said += [f"({_camel(name)})" for name in part]
    return " ".join(said)


def _field(body: Mapping[str, Any], name: str, default: Any = None) -> Any:
    snake = re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)
    return body.get(name, body.get(snake, default))


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(one.capitalize() for one in rest)


# What the server sends


def server_content(**fields: Any) -> dict[str, Any]:
    """``serverContent`` with these fields."""
    return {"serverContent": fields}


def audio_out(pcm: bytes, rate: int) -> dict[str, Any]:
    """A piece of the answer's sound."""
    blob = {"mimeType": f"audio/pcm;rate={rate}", "data": base64.b64encode(pcm).decode()}
    return server_content(modelTurn={"role": "model", "parts": [{"inlineData": blob}]})


def text_out(text: str, *, thought: bool = False) -> dict[str, Any]:
    """A piece of the answer's text, or of a thought."""
    part: dict[str, Any] = {"text": text}
    if thought:
        part["thought"] = True
    return server_content(modelTurn={"role": "model", "parts": [part]})


def tool_call(id: str, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The model asks for a tool."""
    return {"toolCall": {"functionCalls": [{"id": id, "name": name, "args": dict(args)}]}}


def tool_cancellation(ids: Sequence[str]) -> dict[str, Any]:
    """What these tools return is not wanted any more."""
    return {"toolCallCancellation": {"ids": list(ids)}}


def go_away(time_left_s: float) -> dict[str, Any]:
    """The server will close the connection."""
    return {"goAway": {"timeLeft": f"{time_left_s:g}s"}}


def handle_update(handle: str | None) -> dict[str, Any]:
    """A handle of the session; None: it cannot be resumed now."""
    update: dict[str, Any] = {"resumable": False}
    if handle:
        update = {"newHandle": handle, "resumable": True}
    return {"sessionResumptionUpdate": update}


def usage(prompt: int, response: int) -> dict[str, Any]:
    """Token counts."""
    counts = {
        "promptTokenCount": prompt,
        "responseTokenCount": response,
        "totalTokenCount": prompt + response,
    }
    return {"usageMetadata": counts}


def encode(message: Mapping[str, Any]) -> bytes:
    """As the API sends it: JSON in a binary frame."""
    return json.dumps(message).encode()
