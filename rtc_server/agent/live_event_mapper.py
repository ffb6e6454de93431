"""ADK's live events as typed events; plain code: no clock, no I/O.

Read in google-adk 2.13 (``live/_live_llm_flow.py``, ``models/gemini_llm_connection.py``,
``live/_cascade_live_connection.py``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .live_events import (
    AgentAudio,
    AgentChanged,
    AgentFailed,
    AgentText,
    AgentTranscript,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
    StateChanged,
    ToolCalled,
    ToolReturned,
    UsageReported,
    UserTranscript,
)
from .transcripts import AgentSpeech, AnswerText, UserSpeech

if TYPE_CHECKING:
    from google.adk.events.event import Event
    from google.genai import types

__all__ = ["DEFAULT_RATE", "LiveEventMapper", "rate_of"]

DEFAULT_RATE = 24_000
"""Sample rate in Hz of agent audio whose MIME type names none."""

_RATE = re.compile(r";\s*rate\s*=\s*\"?(\d{4,6})\"?\s*(?:;|$)", re.IGNORECASE)

_BLOCKED = {"SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_SAFETY"}


class LiveEventMapper:
    """Turns each event of one ``run_live`` into typed events, each thing once.

    Within one ADK event the order is: another agent, content (in the order of its parts),
    transcripts, usage, session state, failure, interruption, end of turn.

    Args:
        first_agent: name of the agent that speaks first; no :class:`AgentChanged` for it.
            None: the author of the first event.
        cumulative_input: see :class:`~rtc_server.agent.transcripts.UserSpeech`.
    """

    def __init__(
        self, *, first_agent: str | None = None, cumulative_input: bool | None = None
    ) -> None:
        self._agent = first_agent
        self._text = AnswerText()
        self._agent_speech = AgentSpeech()
        self._user_speech = UserSpeech(cumulative_input)
        self._tools_running: set[str] = set()
        self._after_tool = False
        self.is_answering = False
        """Whether the model has begun an answer and has not ended it."""

    def reset(self) -> None:
        """A new run begins: what the old one left unfinished is forgotten."""
        self._text.reset()
        self._agent_speech.reset()
        self._user_speech.reset()
        self._tools_running.clear()
        self._after_tool = False
        self.is_answering = False

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
            and not content.parts[0].thought
            and event.author == self._agent
            and event.author != "user"
            and not (
                event.turn_complete
                or event.interrupted
                or event.output_transcription
                or event.input_transcription
                or event.usage_metadata
                or event.error_code
                or event.error_message
                or event.actions.state_delta
            )
        )

    def _map(self, event: Event) -> Iterator[LiveEvent]:
        yield from self._author(event)
        yield from self._content(event)
        yield from self._transcripts(event)
        usage = event.usage_metadata
        if usage is not None:
            yield UsageReported(
                prompt_tokens=usage.prompt_token_count,
                response_tokens=usage.candidates_token_count,
                total_tokens=usage.total_token_count,
            )
        if event.actions is not None:
            delta = event.actions.state_delta or {}
            kept = {key: value for key, value in delta.items() if not key.startswith("temp:")}
            if kept:
                yield StateChanged(kept)
        if event.error_code or event.error_message:
            yield _failure_of(event.error_code)
        if event.interrupted:
            yield from self._finish_transcripts()
            self._user_speech.interrupted()
            self._end_answer()
            yield ModelInterrupted()
        if event.turn_complete:
            yield from self._finish_transcripts()
            self._user_speech.end_of_exchange()
            if not self._in_tool_round:
                self._end_answer()
            yield ModelTurnComplete()

    # ------------------------------------------------------------------

    @property
    def _in_tool_round(self) -> bool:
        """Whether the model still owes words about a tool's result in this answer."""
        return bool(self._tools_running) or self._after_tool

    def _author(self, event: Event) -> Iterator[LiveEvent]:
        author = event.author
        if not author or author in ("user", "model", self._agent):
            return
        if self._agent is not None:
            yield AgentChanged(author)
        self._agent = author

    def _content(self, event: Event) -> Iterator[LiveEvent]:
        content = event.content
        if content is None or not content.parts:
            return
        long_running = event.long_running_tool_ids or set()
        told_whole = False
        for part in content.parts:
            if part.function_call is not None:
                if not event.partial:  # its arguments may still be arriving
                    yield self._tool_called(part.function_call, long_running)
            elif part.function_response is not None:
                yield self._tool_returned(part.function_response)
            elif event.author == "user" or part.thought:
                continue
            elif part.inline_data is not None:
                yield from self._audio(part.inline_data)
            elif part.text and content.role == "user":
                # A streaming tool's message to the user, beside the model's answer.
                self._answering()
                yield AgentText(part.text)
            elif part.text and event.partial:
                self._answering()
                yield AgentText(self._text.piece(part.text))
            elif part.text and not told_whole:
                told_whole = True
                new = self._text.whole(_text_of(content.parts))
                if new:
                    self._answering()
                    yield AgentText(new)

    def _audio(self, blob: types.Blob) -> Iterator[LiveEvent]:
        mime_type = (blob.mime_type or "").lower()
        if mime_type.startswith("audio/pcm") and blob.data:
            self._answering()
            yield AgentAudio(blob.data, rate_of(mime_type))

    def _tool_called(self, call: types.FunctionCall, long_running: set[str]) -> ToolCalled:
        call_id = call.id or ""
        is_long = call_id in long_running
        self.is_answering = True
        self._text.reset()
        if not is_long:
            self._tools_running.add(call_id)
        return ToolCalled(call_id, call.name or "", call.args or {}, long_running=is_long)

    def _tool_returned(self, response: types.FunctionResponse) -> ToolReturned:
        call_id = response.id or ""
        if call_id in self._tools_running:
            self._tools_running.discard(call_id)
            self._after_tool = True
        self._text.reset()
        return ToolReturned(call_id, response.name or "", response.response or {})

    def _transcripts(self, event: Event) -> Iterator[LiveEvent]:
        heard = event.input_transcription
        if heard is not None:
            if heard.finished:
                final = self._user_speech.finish(heard.text or "")
                if final is not None:
                    yield UserTranscript(final, final=True)
            else:
                so_far = self._user_speech.hypothesis(heard.text or "")
                if so_far:
                    yield UserTranscript(so_far, final=False)
        said = event.output_transcription
        if said is None:
            return
        if not said.finished:
            if said.text:
                self._answering()
                delta = self._agent_speech.delta(said.text)
                yield AgentTranscript(self._agent_speech.text, delta, final=False)
        elif not self.is_answering and self._agent_speech.is_copy(said.text or ""):
            return  # it came after the end of its answer
        elif said.text or self._agent_speech.is_open:
            delta = self._agent_speech.finish(said.text or "")
            yield AgentTranscript(self._agent_speech.text, delta, final=True)

    def _finish_transcripts(self) -> Iterator[LiveEvent]:
        """The turn is over: a transcript that the model left open ends here."""
        final = self._user_speech.finish("")
        if final is not None:
            yield UserTranscript(final, final=True)
        if self._agent_speech.is_open:
            self._agent_speech.finish("")
            yield AgentTranscript(self._agent_speech.text, "", final=True)

    def _answering(self) -> None:
        self.is_answering = True
        self._after_tool = False
        self._user_speech.answered()

    def _end_answer(self) -> None:
        self.is_answering = False
        self._text.reset()
        self._agent_speech.reset()
        self._tools_running.clear()
        self._after_tool = False


@functools.lru_cache(maxsize=64)
def rate_of(mime_type: str) -> int:
    """The sample rate in Hz that an ``audio/pcm`` MIME type names; 24000 if none or nonsense."""
    found = _RATE.search(mime_type)
    rate = int(found.group(1)) if found else DEFAULT_RATE
    return rate if 4_000 <= rate <= 192_000 else DEFAULT_RATE


def _text_of(parts: list[types.Part]) -> str:
    return "".join(part.text for part in parts if part.text and not part.thought)


def _failure_of(error_code: str | None) -> AgentFailed:
    code = str(getattr(error_code, "value", error_code) or "").upper()
    if code in _BLOCKED:
        return AgentFailed("answer_blocked", "The agent may not answer this.", retryable=True)
    return AgentFailed(
        "answer_failed", "The agent could not finish its answer. Please ask again.", retryable=True
    )
