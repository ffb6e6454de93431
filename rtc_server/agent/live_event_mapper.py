"""ADK's live events as typed events; plain code: no clock, no I/O.

Read in google-adk 2.13 (``live/_live_llm_flow.py``, ``models/gemini_llm_connection.py``,
``live/_cascade_live_connection.py``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .answer_parts import FoundSources, code_in, file_in, picture_in, usage_of
from .live_events import (
    AgentAudio,
    AgentChanged,
    AgentFailed,
    AgentText,
    AgentThought,
    AgentTranscript,
    ArtifactSaved,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
    PartRefused,
    StateChanged,
    UserActivity,
    UserTranscript,
)
from .tools.tool_calls import ToolCalls
from .transcripts import AgentSpeech, AnswerText, UserSpeech

if TYPE_CHECKING:
    from google.adk.events.event import Event
    from google.genai import types

__all__ = ["DEFAULT_RATE", "TASK_ENDS", "LiveEventMapper", "rate_of"]

DEFAULT_RATE = 24_000
"""Sample rate in Hz of agent audio whose MIME type names none."""

TASK_ENDS = frozenset({"task_completed", "finish_task"})
"""ADK's own tools, by which an agent of a workflow says that it is done."""

_RATE = re.compile(r";\s*rate\s*=\s*\"?(\d{4,6})\"?\s*(?:;|$)", re.IGNORECASE)

_BLOCKED = {"SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_SAFETY"}

_NO_FAILURE = {"TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT"}
"""Reasons for the end of a turn with which nothing went wrong."""

_MAX_REFUSED_KINDS = 16


class LiveEventMapper:
    """Turns each event of one ``run_live`` into typed events, each thing once.

    Within one ADK event the order is: another agent, content (in the order of its parts),
    transcripts, sources, usage, session state, artifacts, failure, interruption, end of turn.

    Args:
        first_agent: name of the agent that speaks first; no :class:`AgentChanged` for it.
            None: the author of the first event.
        cumulative_input: see :class:`~rtc_server.agent.transcripts.UserSpeech`.
        calls: knows what becomes of each tool call.
    """

    def __init__(
        self,
        *,
        first_agent: str | None = None,
        cumulative_input: bool | None = None,
        calls: ToolCalls | None = None,
    ) -> None:
        self.agent = first_agent
        """Who spoke last."""
        self._calls = calls if calls is not None else ToolCalls()
        self._text = AnswerText()
        self._thoughts = AnswerText()
        self._sources = FoundSources()
        self._refused: set[str] = set()
        self._agent_speech = AgentSpeech()
        self._user_speech = UserSpeech(cumulative_input)
        self._tools_running: set[str] = set()
        self._after_tool = False
        self._has_sounded = False
        """The answer has sound, of which there may be more than has been heard."""
        self._failed_node: AgentFailed | None = None
        """What a workflow said last of an agent: its run ends by that, unless it tries again."""
        self.is_answering = False
        """Whether the model has begun an answer and has not ended it."""

    def reset(self) -> None:
        """A new run begins: what the old one left unfinished is forgotten."""
        self._text.reset()
        self._thoughts.reset()
        self._sources.reset()
        self._agent_speech.reset()
        self._user_speech.reset()
        self._tools_running.clear()
        self._after_tool = self._has_sounded = False
        self._failed_node = None
        self.is_answering = False

    def asked(self) -> None:
        """The user has typed, and what he asks is put to the model.

        The same words, or sources, are another answer from here on, whether or not the model
        has said that the last one is over.
        """
        self._text.asked()
        self._thoughts.asked()
        self._sources.reset()
        if self._agent_speech.is_open:
            self._agent_speech.finish("")

    def map(self, event: Event) -> list[LiveEvent]:
        """What ``event`` says that was not said before; often nothing."""
        if self._is_audio_alone(event):
            assert event.content is not None
            assert event.content.parts is not None
            blob = event.content.parts[0].inline_data
            return [] if blob is None else list(self._audio(blob))
        return list(self._map(event))

    def _is_audio_alone(self, event: Event) -> bool:
        """Whether it is one piece of the speaking agent's audio, as nearly every event is."""
        content = event.content
        return (
            content is not None
            and content.parts is not None
            and len(content.parts) == 1
            and content.parts[0].inline_data is not None
            and (content.parts[0].inline_data.mime_type or "").startswith("audio/pcm")
            and not content.parts[0].thought
            and event.author == self.agent
            and event.author != "user"
            and self._failed_node is None
            and not (
                event.turn_complete
                or event.interrupted
                or event.output_transcription
                or event.input_transcription
                or event.usage_metadata
                or event.grounding_metadata
                or event.citation_metadata
                or event.error_code
                or event.error_message
                or event.actions.state_delta
                or event.actions.artifact_delta
            )
        )

    def _map(self, event: Event) -> Iterator[LiveEvent]:
        of_node, self._failed_node = self._failed_node, None
        if of_node is not None:
            yield of_node
        yield from self._author(event)
        if event.voice_activity is not None:
            yield from _activity(event.voice_activity)
        if self._has_sounded and _is_of_callback(event):
            yield from self._interrupted()
        yield from self._content(event)
        yield from self._transcripts(event)
        yield from self._found(event)
        if event.usage_metadata is not None:
            yield usage_of(event.usage_metadata)
        yield from _changes(event)
        if event.error_code or event.error_message:
            if _is_of_node(event):
                self._failed_node = _failure_of(event.error_code)
            else:
                yield _failure_of(event.error_code)
        if event.interrupted:
            yield from self._interrupted()
        if event.turn_complete:
            failure = _failure_of_end(event)
            if failure is not None:
                yield failure
            yield from self._finish_transcripts()
            self._user_speech.end_of_exchange()
            if not self._in_tool_round:
                self._end_answer()
            yield ModelTurnComplete()

    def _interrupted(self) -> Iterator[LiveEvent]:
        yield from self._finish_transcripts()
        self._user_speech.interrupted()
        self._end_answer()
        yield ModelInterrupted()

    # ------------------------------------------------------------------

    @property
    def _in_tool_round(self) -> bool:
        """Whether the model still owes words about a tool's result in this answer."""
        return bool(self._tools_running) or self._after_tool

    def _author(self, event: Event) -> Iterator[LiveEvent]:
        author = event.author
        if not author or author in ("user", "model", self.agent):
            return
        if self.agent is not None:
            yield AgentChanged(author)
        self.agent = author

    def _content(self, event: Event) -> Iterator[LiveEvent]:
        content = event.content
        if content is None or not content.parts:
            return
        long_running = event.long_running_tool_ids or set()
        whole_told: set[bool] = set()
        for part in content.parts:
            if part.function_call is not None:
                if not event.partial:  # its arguments may still be arriving
                    yield from self._tool_called(part.function_call, long_running)
            elif part.function_response is not None:
                yield from self._tool_returned(part.function_response)
            elif event.author == "user":
                continue
            elif part.text and content.role == "user":
                # A streaming tool's message to the user, beside the model's answer.
                self._answering()
                yield AgentText(part.text)
            elif part.text:
                is_thought = bool(part.thought)
                if event.partial:
                    yield from self._words(part.text, is_thought, partial=True)
                elif is_thought not in whole_told:
                    whole_told.add(is_thought)
                    whole = _text_of(content.parts, thought=is_thought)
                    yield from self._words(whole, is_thought, partial=False)
            elif not part.thought:
                yield from self._other_part(part)

    def _words(self, text: str, is_thought: bool, *, partial: bool) -> Iterator[LiveEvent]:
        """Text or a thought: each has pieces, and the whole of them again."""
        so_far = self._thoughts if is_thought else self._text
        new = so_far.piece(text) if partial else so_far.whole(text)
        if new:
            self._answering()
            yield AgentThought(new) if is_thought else AgentText(new)

    def _other_part(self, part: types.Part) -> Iterator[LiveEvent]:
        """Sound, a picture, a file, code."""
        if part.inline_data is not None:
            if (part.inline_data.mime_type or "").lower().startswith("audio/pcm"):
                yield from self._audio(part.inline_data)
                return
            found: LiveEvent | None = picture_in(part.inline_data)
        elif part.file_data is not None:
            found = file_in(part.file_data)
        else:
            found = code_in(part)
        if isinstance(found, PartRefused):
            if found.mime_type in self._refused or len(self._refused) >= _MAX_REFUSED_KINDS:
                return
            self._refused.add(found.mime_type)
            yield found
        elif found is not None:
            self._answering()
            yield found

    def _found(self, event: Event) -> Iterator[LiveEvent]:
        """Sources of the answer that were not told yet."""
        if event.grounding_metadata is not None:
            found = self._sources.of_grounding(event.grounding_metadata)
            if found is not None:
                yield found
        if event.citation_metadata is not None:
            found = self._sources.of_citations(event.citation_metadata)
            if found is not None:
                yield found

    def urls_read(self, metadata: types.UrlContextMetadata) -> list[LiveEvent]:
        """The model has read pages of the web, which ADK's events do not say."""
        found = self._sources.of_urls(metadata)
        return [] if found is None else [found]

    def _audio(self, blob: types.Blob) -> Iterator[LiveEvent]:
        mime_type = (blob.mime_type or "").lower()
        if mime_type.startswith("audio/pcm") and blob.data:
            self._has_sounded = True
            self._answering()
            yield AgentAudio(blob.data, rate_of(mime_type))

    def _tool_called(self, call: types.FunctionCall, long_running: set[str]) -> Iterator[LiveEvent]:
        self._text.called()
        called = self._calls.called(call, long_running=(call.id or "") in long_running)
        if called is None:
            return
        self.is_answering = True
        if not called.long_running:
            self._tools_running.add(called.id)
        yield called

    def _tool_returned(self, response: types.FunctionResponse) -> Iterator[LiveEvent]:
        call_id = response.id or ""
        if call_id in self._tools_running:
            self._tools_running.discard(call_id)
            self._after_tool = not self._calls.is_cancelled(call_id)
        self._text.returned()
        told = self._calls.returned(response)
        if told is not None:
            yield told
        if response.name in TASK_ENDS and "error" not in (response.response or {}):
            yield ModelTurnComplete()  # the next agent may have nothing to say to this

    def _transcripts(self, event: Event) -> Iterator[LiveEvent]:
        heard = event.input_transcription
        if heard is not None:
            if heard.finished:
                final = self._user_speech.finish(heard.text or "")
                if final is not None:
                    yield UserTranscript(final, True, heard.language_code)
            else:
                so_far = self._user_speech.hypothesis(heard.text or "")
                if so_far:
                    yield UserTranscript(so_far, False, heard.language_code)
        said = event.output_transcription
        if said is None:
            return
        if not said.finished:
            if said.text:
                self._answering()
                delta = self._agent_speech.delta(said.text)
                whole = self._agent_speech.text
                yield self._said(whole, delta, final=False, language=said.language_code)
        elif not self.is_answering and self._agent_speech.is_copy(said.text or ""):
            return  # it came after the end of its answer
        elif said.text or self._agent_speech.is_open:
            delta = self._agent_speech.finish(said.text or "")
            whole = self._agent_speech.text
            yield self._said(whole, delta, final=True, language=said.language_code)

    def _said(
        self, text: str, delta: str, *, final: bool, language: str | None = None
    ) -> AgentTranscript:
        return AgentTranscript(text, delta, final, language, answer=self._agent_speech.answer)

    def _finish_transcripts(self) -> Iterator[LiveEvent]:
        """The turn is over: a transcript that the model left open ends here."""
        final = self._user_speech.finish("")
        if final is not None:
            yield UserTranscript(final, final=True)
        if self._agent_speech.is_open:
            self._agent_speech.finish("")
            yield self._said(self._agent_speech.text, "", final=True)

    def _answering(self) -> None:
        self.is_answering = True
        self._after_tool = False
        self._user_speech.answered()

    def _end_answer(self) -> None:
        self.is_answering = False
        self._text.reset()
        self._thoughts.reset()
        self._sources.reset()
        self._agent_speech.reset()
        self._tools_running.clear()
        self._after_tool = self._has_sounded = False


@functools.lru_cache(maxsize=64)
def rate_of(mime_type: str) -> int:
    """The sample rate in Hz that an ``audio/pcm`` MIME type names; 24000 if none or nonsense."""
    found = _RATE.search(mime_type)
    rate = int(found.group(1)) if found else DEFAULT_RATE
    return rate if 4_000 <= rate <= 192_000 else DEFAULT_RATE


def _text_of(parts: list[types.Part], *, thought: bool) -> str:
    return "".join(part.text for part in parts if part.text and bool(part.thought) is thought)


def _changes(event: Event) -> Iterator[LiveEvent]:
    """What the event does to the session's state and artifacts."""
    delta = event.actions.state_delta or {}
    kept = {key: value for key, value in delta.items() if not key.startswith("temp:")}
    if kept:
        yield StateChanged(kept)
    for name, version in (event.actions.artifact_delta or {}).items():
        yield ArtifactSaved(name, version)


def _failure_of_end(event: Event) -> AgentFailed | None:
    """Why the model ended its turn, where it is one of the reasons to say nothing more."""
    reason = event.turn_complete_reason
    if reason is None or event.interrupted or str(reason.value) in _NO_FAILURE:
        return None
    blocked = str(reason.value) != "MALFORMED_FUNCTION_CALL"
    return _failure_of("SAFETY" if blocked else None)


def _activity(said: types.VoiceActivity) -> Iterator[LiveEvent]:
    """Where ``explicit_vad_signal`` asks for it."""
    kind = getattr(said.voice_activity_type, "value", None)
    if kind == "ACTIVITY_START":
        yield UserActivity("start")
    elif kind == "ACTIVITY_END":
        yield UserActivity("end")


def _is_of_node(event: Event) -> bool:
    """Whether a workflow says so that a node of it has raised, and no model that it failed."""
    return bool(event.node_info.path) and event.content is None and not event.turn_complete


def _is_of_callback(event: Event) -> bool:
    """Whether a callback of the agent's, or a plugin, says this in place of the model.

    ADK has it end the turn, also where it takes it for a piece (``partial``); of a model the end
    is an event of its own.
    """
    parts = event.content.parts if event.content is not None else None
    is_said = any(one.text and not one.thought for one in parts or ())
    return is_said and bool(event.turn_complete) and event.author != "user"


def _failure_of(error_code: str | None) -> AgentFailed:
    code = str(getattr(error_code, "value", error_code) or "").upper()
    if code in _BLOCKED:
        return AgentFailed("answer_blocked", "The agent may not answer this.", retryable=True)
    return AgentFailed(
        "answer_failed", "The agent could not finish its answer. Please ask again.", retryable=True
    )
