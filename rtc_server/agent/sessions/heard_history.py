"""The agent's words in the history of a session: those that were heard; plain code.

ADK stores what the model says it has said, which after an interruption is a guess or
everything.  Here the agent's words keep their place in the history but are not written
before their answer is over and the call knows what was heard of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.adk.events.event import Event
from google.genai import types

from ...call_service import Modality
from ...messages import ServerMessage, Text, Transcript, Turn
from .session_journal import Place, SessionJournal

__all__ = ["HeardHistory", "is_speech", "spread"]


def is_speech(event: Event, modality: Modality) -> bool:
    """Whether ``event`` holds words of an answer whose end decides what was heard of them."""
    if event.partial or event.author == "user":
        return False
    if event.output_transcription is not None:
        return bool(event.output_transcription.text)
    content = event.content
    if modality == "audio" or content is None or content.role == "user":
        return False
    parts = content.parts or []
    if any(part.function_call or part.function_response for part in parts):
        return False
    return bool(_text_of(event))


def spread(texts: Sequence[str], heard: str) -> list[str]:
    """What was heard of each of the pieces of an answer; ``heard`` is of all together."""
    heard_of = []
    left = heard.strip()
    for number, text in enumerate(texts):
        whole = text.strip()
        if number == len(texts) - 1 or not left.startswith(whole):
            heard_of.append(left)
            left = ""
        else:
            heard_of.append(text)
            left = left[len(whole) :].lstrip()
    return heard_of


@dataclass(slots=True, eq=False)
class _Words:
    """An event with words, and the answer they are of."""

    place: Place
    turn: int | None = None
    is_seen: bool = False
    """Whether the conversation has been through them."""


@dataclass(slots=True, eq=False)
class HeardHistory:
    """One call's part in the history of its session; to be closed at the end of the call.

    Args:
        journal: of the session.
        modality: of the call.
        agent: who is said to speak where no agent has spoken yet.
        on_closed: is called once, by :meth:`close`.
    """

    journal: SessionJournal
    modality: Modality
    agent: str
    on_closed: Callable[[], None] = lambda: None

    _words: dict[str, _Words] = field(default_factory=dict)
    """Events that are held, by their ids, in order."""
    _said: dict[int, str] = field(default_factory=dict)
    """What the caller was told so far of answers that go on."""
    _ended: int = 0
    _last_said: str = ""
    _is_closed: bool = False

    def __post_init__(self) -> None:
        self.journal.holds = self._hold
        self.journal.agent = self.agent

    def _hold(self, place: Place) -> bool:
        if self._is_closed or not is_speech(place.event, self.modality):
            return False
        self._words[place.event.id] = _Words(place)
        return True

    def belongs(self, event_id: str, turn: int | None) -> None:
        """The words of an event are of this answer; None: of none that has begun, as far as known.

        Words of an answer that is over are not written: what was heard of it was, at its end.
        """
        words = self._words.get(event_id)
        if words is None:
            return
        words.is_seen = True
        words.turn = turn
        is_late = turn is not None and turn <= self._ended
        is_copy = turn is None and _words_of(words.place.event) in self._last_said
        if is_late or is_copy:
            self._settle(words, keep=False)

    def told(self, message: ServerMessage) -> None:
        """What the caller is told of the agent's answers, in order."""
        match message:
            case Transcript(role="agent", text=text, turn=turn):
                self._said[turn] = text
            case Text(data=text, turn=turn) if self.modality == "text":
                self._said[turn] = self._said.get(turn, "") + text
            case Turn(turn=turn, interrupted=interrupted, heard_text=heard_text):
                said = self._said.pop(turn, "")
                self._end(turn, said, (heard_text or "") if interrupted else None)

    def keep_state(self, key: str, value: Any) -> None:
        """A key of the session state, to be stored soon."""
        self.journal.keep_state(key, value)

    def covered(self) -> tuple[str, ...]:
        """The ids of the events that a handle of the model's covers now, the newest first."""
        return self.journal.covered()

    def close(self) -> None:
        """The call is over: of answers that go on nothing was heard. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        for words in list(self._words.values()):
            self._settle(words, keep=False)
        self.on_closed()

    def _end(self, turn: int, said: str, heard: str | None) -> None:
        """An answer is over; ``heard`` is what was heard of an interrupted one."""
        self._ended = max(self._ended, turn)
        self._last_said = said
        own = [
            words
            for words in self._words.values()
            if words.turn == turn or (words.is_seen and words.turn is None)
        ]
        if not own:
            text = said if heard is None else heard
            if text.strip():
                self.journal.add(self._event(text, interrupted=heard is not None), is_known=True)
        elif heard is None:
            for words in own:
                self._settle(words, keep=True)
        else:
            texts = [_text_of(words.place.event) for words in own]
            for words, text in zip(own, spread(texts, heard), strict=True):
                if text:
                    _set_text(words.place.event, text)
                    words.place.event.interrupted = True
                self._settle(words, keep=bool(text))

    def _settle(self, words: _Words, *, keep: bool) -> None:
        self._words.pop(words.place.event.id, None)
        self.journal.settle(words.place, keep=keep)

    def _event(self, text: str, *, interrupted: bool) -> Event:
        """An event of the agent's that ADK has none of."""
        last = self.journal.last_event
        event = Event(
            author=self.agent if last is None else last.author,
            invocation_id="" if last is None else last.invocation_id,
            branch=None if last is None else last.branch,
            interrupted=interrupted or None,
        )
        if self.modality == "text":
            event.content = types.Content(role="model", parts=[types.Part(text=text)])
        else:
            event.output_transcription = types.Transcription(text=text, finished=True)
        if self.journal.session is not None:
            self.journal.session.events.append(event)
        return event


def _text_of(event: Event) -> str:
    if event.output_transcription is not None:
        return event.output_transcription.text or ""
    parts = event.content.parts if event.content is not None else None
    return "".join(part.text for part in parts or [] if part.text and not part.thought)


def _words_of(event: Event) -> str:
    return _text_of(event).strip()


def _set_text(event: Event, text: str) -> None:
    if event.output_transcription is not None:
        event.output_transcription = types.Transcription(text=text, finished=True)
        return
    assert event.content is not None
    kept = [part for part in event.content.parts or [] if part.thought or not part.text]
    event.content = types.Content(role=event.content.role, parts=[*kept, types.Part(text=text)])
