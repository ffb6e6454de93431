"""Who said what and when, seen from the caller's side, and whether a turn was answered.

Pure: it is fed the data channel's messages and the audible spans of received packets, each
with its time (seconds of one monotonic clock), and never waits.

What belongs to which answer follows from the contract alone: exactly one ``turn`` message
ends each answer after its last audio, and answers follow one another.  So what is heard
between two ``turn`` messages belongs to the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["PARTS", "Answer", "Conversation", "Question", "Sound"]

_SAME_SOUND_S = 0.2
"""A silence shorter than this is inside of speech."""

_ALREADY_SPEAKING_S = 0.1
"""An answer of which this much was heard before a turn ended was not asked for by that turn.
Less is a last packet that was overtaken by the ``turn`` message before it."""

_OVERTAKEN_S = 0.05
"""A packet that arrives this soon after the ``turn`` message of an interrupted answer is the
last of that answer: messages and packets do not travel in one queue."""

_MAX_VIOLATIONS = 100

PARTS = ("thought", "image", "file", "code", "grounding")
"""Types of messages that an answer holds beside words and sound."""

_OF_A_TURN = ("text", "transcript", "latency", "usage", "turn")


@dataclass(slots=True)
class Sound:
    """A stretch of audible speech; its samples span ``began_at`` to ``ended_at``."""

    arrived_at: float
    """Arrival of the packet with its first audible sample."""

    began_at: float
    ended_at: float


@dataclass(slots=True, eq=False)
class Question:
    """A turn of the caller; times in seconds."""

    kind: Literal["audio", "text"]
    input: str
    began_at: float
    ended_at: float
    """When the packet with the last of its speech left, or the text."""

    last_sample_at: float | None = None
    """When the last sample of its speech was spoken; None for a text."""

    answer: Answer | None = None


@dataclass(slots=True, eq=False)
class Answer:
    """An answer of the agent as it was received; it is over once ``ended_at`` is set."""

    turn: int
    text: str = ""
    """What came as ``text`` messages."""

    transcript: str = ""
    """What the agent said, as the ``transcript`` messages have it."""

    user_text: str | None = None
    """What the server understood of the turn that led here."""

    first_message_at: float | None = None
    first_text_at: float | None = None
    latency: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None

    sounds: list[Sound] = field(default_factory=list)
    audio_ms: float = 0.0
    """Milliseconds of audio received, audible or not."""

    tools: list[dict[str, Any]] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    """What it holds beside words and sound: messages of the types in ``PARTS``."""
    ended_at: float | None = None
    interrupted: bool = False
    turn_complete: bool = False
    heard_ms: float | None = None
    heard_text: str | None = None
    question: Question | None = None

    @property
    def said(self) -> str:
        """What the agent answered, in words."""
        return self.text or self.transcript

    @property
    def is_unasked(self) -> bool:
        """The server says itself that nobody asked for it: timings without a response time."""
        return self.latency is not None and self.latency.get("response_ms") is None

    def sound_after(self, at: float) -> Sound | None:
        """The first speech of it that began to arrive after ``at``."""
        return next((one for one in self.sounds if one.arrived_at > at), None)

    def had_begun(self, at: float) -> bool:
        """It was already being given at ``at``."""
        if self.first_message_at is not None and self.first_message_at < at:
            return True
        heard = sum(max(0.0, min(one.ended_at, at) - one.began_at) for one in self.sounds)
        return heard >= _ALREADY_SPEAKING_S

    def answers(self, question: Question, *, text_call: bool) -> bool:
        """It is over and was given, all of it, after the end of ``question``."""
        at = question.ended_at
        if self.ended_at is None or self.is_unasked or self.had_begun(at):
            return False
        if text_call:
            return self.first_text_at is not None and self.first_text_at > at
        return self.sound_after(at) is not None


class Conversation:
    """One call's messages and sounds, put in order."""

    def __init__(self) -> None:
        self.ready: dict[str, Any] | None = None
        self.state: str | None = None
        self.goaway: dict[str, Any] | None = None
        self.errors: list[dict[str, Any]] = []
        self.violations: list[str] = []
        """Where the server broke the contract, in words; the first hundred."""

        self.ended: list[Answer] = []
        """All answers that are over, in the order in which they ended."""

        self.last_sound_at: float | None = None
        self._answers: dict[int, Answer] = {}
        self._open = Answer(turn=0)  # collects sounds and tools until a `turn` names its number

    @property
    def text_call(self) -> bool:
        """The server answers in text."""
        return self.ready is not None and self.ready.get("modality") == "text"

    # ---------------------------------------------------------------- input

    def on_message(self, message: Mapping[str, Any], now: float) -> None:
        """Take one message of the server; types it does not know are ignored."""
        kind = message.get("type")
        if not isinstance(kind, str):
            self._violation("a message has no type")
            return
        if self.ready is None and kind != "ready":
            self._violation(f"the first message is {kind!r}, not 'ready'")
        match kind:
            case "ready":
                self.ready = dict(message)
            case "state":
                self.state = str(message.get("state"))
            case "error":
                self.errors.append(dict(message))
            case "goaway":
                self.goaway = dict(message)
            case "tool":
                self._open.tools.append(dict(message))
            case "artifact":
                self._open.parts.append(dict(message))
            case _ if kind in _OF_A_TURN or kind in PARTS:
                number = message.get("turn")
                if not isinstance(number, int) or number < 1:
                    self._violation(f"a {kind!r} has no turn number")
                    return
                answer = self._answers.setdefault(number, Answer(number))
                self._on_turn_message(kind, answer, message, now)

    def on_sound(self, arrived_at: float, began_at: float, ended_at: float) -> None:
        """Hear a packet that is audible from ``began_at`` to ``ended_at``."""
        sounds = self._answer_heard_at(arrived_at).sounds
        if sounds and began_at - sounds[-1].ended_at < _SAME_SOUND_S:
            sounds[-1].ended_at = max(sounds[-1].ended_at, ended_at)
        else:
            sounds.append(Sound(arrived_at, began_at, ended_at))
        self.last_sound_at = ended_at

    def on_audio(self, arrived_at: float, duration_s: float) -> None:
        """Count a packet of audio, audible or not."""
        self._answer_heard_at(arrived_at).audio_ms += duration_s * 1000

    # -------------------------------------------------------------- verdicts

    def answer_to(self, question: Question) -> Answer | None:
        """The answer to ``question``, once it is over; no answer serves two questions."""
        if question.answer is None:
            for answer in self.ended:
                if answer.question is None and answer.answers(question, text_call=self.text_call):
                    question.answer = answer
                    answer.question = question
                    break
        return question.answer

    def has_begun_to_answer(self, question: Question) -> bool:
        """Something new is being said or written since the end of ``question``.

        What the server says nobody asked for is none of it, as soon as it says so.
        """
        at = question.ended_at
        if self.text_call:
            begun = (one for one in self._answers.values() if not one.is_unasked)
            return any((one.first_text_at or 0.0) > at for one in begun)
        heard = [one for one in self.ended if not one.is_unasked]
        given = next((one for one in self._answers.values() if one.ended_at is None), None)
        if given is None or not given.is_unasked:
            heard.append(self._open)
        return any(one.sound_after(at) is not None for one in heard)

    def why_unanswered(self, question: Question) -> str:
        """What came instead of an answer, as the end of a sentence."""
        at = question.ended_at
        late = [one for one in self.ended if one.ended_at is not None and one.ended_at > at]
        if any(one.is_unasked for one in late):
            return "it only said what nobody had asked for"
        if any(one.had_begun(at) for one in late) and not self.has_begun_to_answer(question):
            return "it only finished what it had begun to say before"
        if self.has_begun_to_answer(question) and not late:
            return "it began, but no turn message ended its answer"
        if late:
            return "its turn ended without any speech" if not self.text_call else "without any text"
        if self.errors:
            return f"it reported: {self.errors[-1].get('message')}"
        return "it wrote nothing" if self.text_call else "it stayed silent"

    def is_quiet(self, now: float, quiet_s: float) -> bool:
        """Nothing audible has been heard for ``quiet_s``."""
        return self.last_sound_at is None or now - self.last_sound_at >= quiet_s

    def is_idle(self, now: float, quiet_s: float) -> bool:
        """The agent neither speaks nor is about to."""
        return self.state in (None, "listening") and self.is_quiet(now, quiet_s)

    # ---------------------------------------------------------------- inside

    def _answer_heard_at(self, arrived_at: float) -> Answer:
        """The answer that a packet belongs to."""
        last = self.ended[-1] if self.ended else None
        if (
            last is not None
            and last.interrupted
            and last.ended_at is not None
            and arrived_at - last.ended_at < _OVERTAKEN_S
        ):
            return last
        return self._open

    def _on_turn_message(
        self, kind: str, answer: Answer, message: Mapping[str, Any], now: float
    ) -> None:
        match kind:
            case "text":
                answer.text += str(message.get("data", ""))
                if answer.first_text_at is None:
                    answer.first_text_at = now
                self._begun(answer, kind, now)
            case "transcript" if message.get("role") == "user":
                answer.user_text = str(message.get("text", ""))
            case "transcript":
                answer.transcript = str(message.get("text", ""))
                self._begun(answer, kind, now)
            case _ if kind in PARTS:
                answer.parts.append(dict(message))
            case "latency":
                answer.latency = _rest(message)
            case "usage":
                answer.usage = _rest(message)
            case "turn":
                self._end(answer, message, now)

    def _begun(self, answer: Answer, kind: str, now: float) -> None:
        if answer.first_message_at is None:
            answer.first_message_at = now
        if answer.ended_at is not None and kind == "text":
            self._violation(f"text of turn {answer.turn} came after its end")

    def _end(self, answer: Answer, message: Mapping[str, Any], now: float) -> None:
        if answer.ended_at is not None:
            self._violation(f"turn {answer.turn} ended twice")
            return
        answer.ended_at = now
        answer.turn_complete = message.get("turn_complete") is True
        answer.interrupted = message.get("interrupted") is True
        answer.heard_ms = message.get("heard_ms")
        answer.heard_text = message.get("heard_text")
        heard, self._open = self._open, Answer(turn=0)
        answer.sounds, answer.audio_ms, answer.tools = heard.sounds, heard.audio_ms, heard.tools
        answer.parts += heard.parts
        self.ended.append(answer)

    def _violation(self, what: str) -> None:
        if len(self.violations) < _MAX_VIOLATIONS:
            self.violations.append(what)


def _rest(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in ("type", "turn")}
