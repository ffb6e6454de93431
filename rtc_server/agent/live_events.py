"""What an ADK live run says, as typed events: each character and each sample once.

:class:`~rtc_server.agent.live_event_mapper.LiveEventMapper` turns the events of
``Runner.run_live`` into these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "AgentAudio",
    "AgentChanged",
    "AgentFailed",
    "AgentPicture",
    "AgentText",
    "AgentThought",
    "AgentTranscript",
    "ArtifactSaved",
    "CallsTakenBack",
    "ClientToolCalled",
    "CodeExecuted",
    "CodeWritten",
    "ConfirmationAsked",
    "FileLinked",
    "LiveEvent",
    "ModelAway",
    "ModelBack",
    "ModelInterrupted",
    "ModelTurnComplete",
    "PartRefused",
    "SourcesFound",
    "InputRefused",
    "SpeechStored",
    "StateChanged",
    "ToolCalled",
    "ToolCancelled",
    "ToolProgressed",
    "ToolReturned",
    "UsageReported",
    "UserActivity",
    "UserTranscript",
]


@dataclass(frozen=True, slots=True)
class AgentAudio:
    """A piece of the agent's speech: s16 little-endian mono PCM (any length) at ``rate`` Hz."""

    pcm: bytes = field(repr=False)
    rate: int


@dataclass(frozen=True, slots=True)
class AgentText:
    """New characters of the agent's text answer."""

    text: str


@dataclass(frozen=True, slots=True)
class AgentTranscript:
    """The whole of what the agent says in this answer so far."""

    text: str
    delta: str
    final: bool
    language: str | None = None
    """BCP 47, where the model says it."""

    answer: object | None = field(default=None, compare=False, repr=False)
    """The same for all that the model itself has not put an end between."""

    def text_after(self, before: AgentTranscript | None) -> str:
        """Its text without what was said ``before``, in an answer that the model has not ended."""
        if before is None or self.answer is None or self.answer is not before.answer:
            return self.text
        if not self.text.startswith(before.text):
            return self.text  # it has begun anew
        return self.text[len(before.text) :].lstrip()


@dataclass(frozen=True, slots=True)
class UserTranscript:
    """The whole of the user's utterance so far."""

    text: str
    final: bool
    language: str | None = None
    """BCP 47, where the model says it."""


@dataclass(frozen=True, slots=True)
class UserActivity:
    """The model heard the user begin or end to speak, where it says so itself."""

    state: Literal["start", "end"]


@dataclass(frozen=True, slots=True)
class ModelTurnComplete:
    """The model says that its answer is complete."""


@dataclass(frozen=True, slots=True)
class ModelInterrupted:
    """The model says that the user interrupted it.

    ``ahead``: it was read while ADK waits for a tool, and there is more of that answer to
    come, which nobody is to hear; a second one, not ``ahead``, follows where it ends.
    """

    ahead: bool = False


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The agent calls a tool.

    ``long_running``: the model need not wait for its result, and goes on without it.
    """

    id: str
    name: str
    args: Mapping[str, Any]
    long_running: bool = False


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool's result goes back to the model; that of a streaming tool's end is empty."""

    id: str
    name: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCancelled:
    """The model takes a tool call back."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallsTakenBack:
    """The model wants no more of these tool calls; of those that were open it has been told."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolProgressed:
    """A streaming or long-running tool said something, and is not at its end."""

    id: str
    name: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConfirmationAsked:
    """A tool waits for the caller's yes or no, for ``seconds``."""

    id: str
    name: str
    args: Mapping[str, Any]
    seconds: float
    hint: str | None = None
    payload: Any = None


@dataclass(frozen=True, slots=True)
class ClientToolCalled:
    """The agent calls a tool that runs on the client, which has ``seconds`` for it."""

    id: str
    name: str
    args: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class AgentThought:
    """New characters of what the model thinks."""

    text: str


@dataclass(frozen=True, slots=True)
class AgentPicture:
    """A picture in the answer."""

    mime_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileLinked:
    """A file in the answer that lies elsewhere; ``uri`` is http(s)."""

    uri: str
    mime_type: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class PartRefused:
    """A part of the answer that a call cannot carry; told once for each kind."""

    mime_type: str


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """What the answer rests on, and was not told yet; each source has ``uri`` or ``title``."""

    queries: tuple[str, ...]
    sources: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class CodeWritten:
    """Code that the model has executed."""

    language: str | None
    code: str


@dataclass(frozen=True, slots=True)
class CodeExecuted:
    """What came of the model's code."""

    outcome: str
    output: str


@dataclass(frozen=True, slots=True)
class ArtifactSaved:
    """The agent saved a version of an artifact."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class UsageReported:
    """Token counts."""

    prompt_tokens: int | None
    response_tokens: int | None
    total_tokens: int | None
    thoughts_tokens: int | None = None
    cached_tokens: int | None = None
    tool_tokens: int | None = None
    """Of tools' results, in the prompt."""
    prompt_details: Mapping[str, int] | None = None
    """By modality: ``text``, ``audio``, ``image`` …"""
    response_details: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ModelAway:
    """There is no connection to the model; the session tries again by itself.

    A caller need not be told before it has been away for ``patience_s``.
    """

    patience_s: float = 0.7


@dataclass(frozen=True, slots=True)
class ModelBack:
    """The model is there again; ``name`` where it is another than before."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class AgentChanged:
    """Another agent of the tree speaks now."""

    name: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent changed the session state."""

    delta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InputRefused:
    """A text, a picture or a state of the caller found no room: the agent takes nothing."""


@dataclass(frozen=True, slots=True)
class SpeechStored:
    """The history has an event with the words that came last; they may not have been heard."""

    event_id: str


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """The live run failed or ended unasked.

    ``retryable`` says that another run follows; otherwise the call has lost its agent.
    What was being answered is lost either way.
    """

    code: str
    message: str
    retryable: bool
    asks_again: bool = False
    """The turn whose answer is lost is put to the model again."""
    prompts_again: bool = False
    """What was lost is the answer to a prompt, which is put to the model again."""
    keeps_question: bool = False
    """What the user typed has not reached the model yet, and will."""
    at: float | None = None
    """When, in monotonic seconds: what was typed since has not reached the model either."""


LiveEvent = (
    AgentAudio
    | AgentText
    | AgentTranscript
    | UserTranscript
    | UserActivity
    | ModelTurnComplete
    | ModelInterrupted
    | ToolCalled
    | ToolReturned
    | ToolProgressed
    | ToolCancelled
    | CallsTakenBack
    | ConfirmationAsked
    | ClientToolCalled
    | AgentThought
    | AgentPicture
    | FileLinked
    | PartRefused
    | SourcesFound
    | CodeWritten
    | CodeExecuted
    | ArtifactSaved
    | UsageReported
    | ModelAway
    | ModelBack
    | AgentChanged
    | StateChanged
    | InputRefused
    | SpeechStored
    | AgentFailed
)
