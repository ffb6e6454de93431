"""The conversation of one connection, as plain code: messages in, messages and moments out.

Nothing here awaits, sends or looks at a clock: ``now`` is an argument, in seconds, and what is
to be sent later is in a schedule (:meth:`LiveModel.poll`, :attr:`LiveModel.next_at`).

As the Live API does, it sends an answer's sound much faster than it is heard and says
``turnComplete`` when it has been heard; an answer that is spoken over, or typed over, is
``interrupted`` and complete, and a tool that was asked for is cancelled.  Models of 2.x end
the turn of a tool call; those of 3.x wait for the tool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from .mind import Memory, Mind, Reply, spoken
from .speech import RATE, VOICED, WORD_S, Ears, say_word
from .wire import (
    Activity,
    Audio,
    AudioStreamEnd,
    ClientMessage,
    Content,
    Dialect,
    RealtimeText,
    Refused,
    Setup,
    ToolResult,
    Video,
    audio_out,
    handle_update,
    server_content,
    text_out,
    tool_call,
    tool_cancellation,
    usage,
)

__all__ = ["LiveModel", "Moment", "Output", "Pace"]

_TRIGGER = "."
"""What ADK sends a model of 3.x so that it answers the history."""


class Moment(Enum):
    """Where in a connection something can go wrong."""

    CONNECT = auto()
    """The client asks for the upgrade to WebSocket."""
    SETUP = auto()
    """The setup came, and was not answered yet."""
    READY = auto()
    """``setupComplete`` and the first handle were sent."""
    QUESTION = auto()
    """The user's turn has ended, and nothing of the answer was sent."""
    MID_ANSWER = auto()
    """The first piece of an answer was sent."""
    TOOL = auto()
    """A tool was asked for."""
    ANSWERED = auto()
    """An answer is complete."""


Output = Mapping[str, Any] | Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the model is."""

    think_s: float = 0.0
    """From the end of the user's turn to the answer's first piece."""
    piece_s: float = 0.0
    """From piece to piece; each is a word."""
    word_s: float = WORD_S
    """How long a word is."""
    voiced: float = VOICED
    """What share of it is sound."""
    playback: float = 1.0
    """``turnComplete`` comes after so much of the answer's length; 0: with its last piece."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing to be sent, and what is true once it was."""

    at: float
    output: Output | Callable[[], Output]
    then: Callable[[], None] | None = None


@dataclass(slots=True)
class LiveModel:
    """See the module.

    Args:
        setup: of the connection.
        mind: decides what is said.
        memory: of the session that is resumed.
        keep: is given the memory and returns the handle to come back to it with.
        pace: how fast it is.
    """

    setup: Setup
    mind: Mind
    keep: Callable[[Memory], str]
    memory: Memory = ()
    pace: Pace = field(default_factory=Pace)
    pictures: int = 0

    open_tools: dict[str, str] = field(default_factory=dict)
    """Names of the tools that have not returned, by the id of their call."""

    _ears: Ears = field(init=False)
    _schedule: deque[_Step] = field(default_factory=deque)
    _words: list[str] = field(default_factory=list)
    """Of the answer that is being given."""
    _began_at: float | None = None
    _has_heard: bool = False
    _is_open: bool = False
    """The client said that the user speaks."""
    _tools: int = 0

    def __post_init__(self) -> None:
        self._ears = Ears(silence_ms=self.setup.silence_ms)

    # What is to be sent -------------------------------------------------------

    def poll(self, now: float) -> list[Output]:
        """What is due, in order."""
        due: list[Output] = []
        while self._schedule and self._schedule[0].at <= now:
            step = self._schedule.popleft()
            due.append(step.output() if callable(step.output) else step.output)
            if step.then is not None:
                step.then()
        return due

    @property
    def next_at(self) -> float | None:
        """When something is due next; None: only after the client has said something."""
        return self._schedule[0].at if self._schedule else None

    # What the client says -----------------------------------------------------

    def open(self, now: float) -> None:
        """The setup came.

        Raises:
            Refused: the model does not do what is asked for.
        """
        if "native-audio" in self.setup.model and self.setup.modality == "TEXT":
            raise Refused(1007, "Cannot extract voices from a non-audio request.")
        self._send(now, Moment.SETUP)
        self._send(now, {"setupComplete": {}})
        self._offer_handle(now)
        self._send(now, Moment.READY)

    def receive(self, message: ClientMessage, now: float) -> None:
        """The client said this.

        Raises:
            Refused: the API closes the connection of a client who says it.
        """
        match message:
            case Audio():
                self._on_audio(message, now)
            case AudioStreamEnd():
                if self.setup.hears and self._ears.stream_ended():
                    self._on_spoken(now)
            case Activity():
                self._on_activity(message, now)
            case RealtimeText():
                self._has_heard = True
                self._on_text(message.text, now)
            case Content():
                self._on_content(message, now)
            case ToolResult():
                self._on_tool_result(message, now)
            case Video():
                self.pictures += 1

    def cancel_tools(self) -> list[str]:
        """The ids of the tools that are not wanted any more."""
        ids, self.open_tools = list(self.open_tools), {}
        return ids

    # The user -----------------------------------------------------------------

    def _on_audio(self, audio: Audio, now: float) -> None:
        self._has_heard = True
        if not self.setup.hears:
            if self._is_open:
                self._ears.speech_ms += 1000 * len(audio.pcm) / 2 / audio.rate
            return
        for event in self._ears.hear(audio.pcm, audio.rate):
            if event == "start":
                if self.setup.yields:
                    self._interrupt(now)
            else:
                self._on_spoken(now)

    def _on_activity(self, activity: Activity, now: float) -> None:
        if self.setup.hears:
            raise Refused(
                1007,
                "Explicit activity control is not supported when automatic activity detection "
                "is enabled.",
            )
        self._has_heard = True
        was, self._is_open = self._is_open, activity.state == "start"
        if self._is_open:
            self._ears.speech_ms = 0.0
            if self.setup.yields:
                self._interrupt(now)
        elif was and self._ears.speech_ms:
            self._on_spoken(now)

    def _on_spoken(self, now: float) -> None:
        words = spoken(self._ears.speech_ms)
        if self.setup.transcribes_input:
            for piece in self._transcript(words):
                self._send(now, server_content(inputTranscription={"text": piece}))
        self._ask(words, now)

    def _transcript(self, words: str) -> list[str]:
        """2.x transcribes word by word, 3.x at once."""
        if self.setup.dialect is Dialect.THREE:
            return [words]
        head, *rest = words.split()
        return [head, *(f" {one}" for one in rest)]

    def _on_text(self, text: str, now: float) -> None:
        self._interrupt(now)
        if text == _TRIGGER and self.memory and self.memory[-1][0] == "user":
            self._answer(now)
        else:
            self._ask(text, now)

    def _on_content(self, content: Content, now: float) -> None:
        if self.setup.dialect is Dialect.THREE:
            if self._has_heard:
                raise Refused(1007, "Request contains an invalid argument.")
            self.memory += content.turns  # it waits for the user's first input
            return
        self.memory += content.turns
        if content.is_complete:
            self._interrupt(now)
            self._answer(now)

    def _on_tool_result(self, result: ToolResult, now: float) -> None:
        name = self.open_tools.pop(result.id, None)
        if name is not None and not self.open_tools:
            self._say(self.mind.after_tool(self.memory, name, result.response), now)

    # The answer ---------------------------------------------------------------

    def _ask(self, text: str, now: float) -> None:
        self.memory += (("user", text),)
        self._answer(now)

    def _answer(self, now: float) -> None:
        self._send(now, Moment.QUESTION)
        reply = self.mind.reply(self.memory, self.setup.tools)
        if reply.tool is not None:
            self._use(reply.tool, reply.args or {}, now + self.pace.think_s)
        else:
            self._say(reply, now)

    def _use(self, name: str, args: Mapping[str, Any], at: float) -> None:
        self._tools += 1
        id = f"function-call-{self._tools}"
        self.open_tools[id] = name
        self._send(at, tool_call(id, name, args))
        if self.setup.dialect is Dialect.TWO:
            self._send(at, server_content(turnComplete=True))
        self._send(at, Moment.TOOL)

    def _say(self, reply: Reply, now: float) -> None:
        at = now + self.pace.think_s
        self._words = reply.words.split()
        if reply.thought:
            self._send(at, text_out(reply.thought, thought=True))
        for place, word in enumerate(self._words):
            delta = word if place == 0 else f" {word}"
            self._say_word(place, delta, at)
            if place == 0:
                self._send(at, Moment.MID_ANSWER, self._begin(at))
            at += self.pace.piece_s
        self._end_answer(reply, now + self.pace.think_s, at)

    def _begin(self, at: float) -> Callable[[], None]:
        def begin() -> None:
            self._began_at = at

        return begin

    def _say_word(self, place: int, delta: str, at: float) -> None:
        if self.setup.modality == "TEXT":
            self._send(at, text_out(delta))
            return
        pcm = say_word(place, self.pace.word_s, self.pace.voiced, self.setup.voice)
        self._send(at, audio_out(pcm, RATE))
        if self.setup.transcribes_output:
            self._send(at, server_content(outputTranscription={"text": delta}))

    def _end_answer(self, reply: Reply, began_at: float, at: float) -> None:
        if self.setup.modality == "AUDIO" and self.setup.transcribes_output:
            self._send(at, server_content(outputTranscription={"finished": True}))
        self._send(at, server_content(generationComplete=True))
        if self.setup.modality == "AUDIO":
            at = max(at, began_at + self.pace.playback * self.pace.word_s * len(self._words))
        if reply.grounding:
            self._send(at, server_content(groundingMetadata=dict(reply.grounding)))
        self._send(at, usage(10 * len(self.memory), len(self._words)))
        self._send(at, server_content(turnComplete=True), lambda: self._finish(len(self._words)))
        self._offer_handle(at)
        self._send(at, Moment.ANSWERED)

    def _finish(self, words: int) -> None:
        """The answer was heard that far."""
        if words:
            self.memory += (("model", " ".join(self._words[:words])),)
        self._words = []
        self._began_at = None

    def _interrupt(self, now: float) -> None:
        """The user speaks or types: what is being said, or waits for a tool, is over."""
        ids = self.cancel_tools()
        is_speaking = bool(self._words)
        self._schedule = deque(step for step in self._schedule if step.at <= now)
        if ids:
            self._send(now, tool_cancellation(ids))
        if is_speaking:
            if self._began_at is None:
                self._finish(0)
            else:
                self._finish(
                    min(len(self._words), int((now - self._began_at) / self.pace.word_s) + 1)
                )
            self._send(now, server_content(interrupted=True))
            self._send(now, server_content(turnComplete=True))
            self._offer_handle(now)

    def _offer_handle(self, at: float) -> None:
        if self.setup.resumable:
            self._send(at, lambda: handle_update(self.keep(self.memory)))

    def _send(
        self,
        at: float,
        output: Output | Callable[[], Output],
        then: Callable[[], None] | None = None,
    ) -> None:
        self._schedule.append(_Step(at, output, then))
