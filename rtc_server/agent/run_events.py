"""What the runs of one call say: each event of ADK mapped, kept account of, told to the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from google.genai import types

from ..call_service import Modality
from ..metrics import Metrics
from .answer_picture import fit_for_message
from .event_queue import EventQueue
from .live_event_mapper import TASK_ENDS, LiveEventMapper
from .live_events import (
    AgentAudio,
    AgentFailed,
    AgentPicture,
    AgentText,
    AgentTranscript,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
    SpeechStored,
    ToolCalled,
    ToolReturned,
    UserTranscript,
)
from .lost_answers import LostAnswers
from .models.model_link import ModelLink
from .retry_rules import RetryCount
from .sessions.heard_history import is_speech
from .text_answers import TextAnswers
from .tools.caller_questions import CallerQuestions
from .tools.tool_calls import ToolCalls

if TYPE_CHECKING:
    from google.adk.events.event import Event

__all__ = ["RunEvents"]

_OUTPUT = (AgentAudio, AgentText, AgentTranscript, ToolCalled)
_END_OF_ANSWER = (ModelInterrupted, ModelTurnComplete)


class RunEvents:
    """Of one live session, over all its runs.

    Args:
        link: says which models are asked, and is told of their progress.
        lost: learns what was asked and what was answered.
        count: learns what is progress.
        answers: learns who has answered in the call's modality.
        told: to the caller.
        questions: to the caller; an interruption takes them back.
        calls: of tools.
        message_bytes: the largest message that reaches the caller; 0: none does.
        now: monotonic seconds.
    """

    def __init__(
        self,
        link: ModelLink,
        lost: LostAnswers,
        count: RetryCount,
        answers: TextAnswers,
        *,
        told: EventQueue,
        questions: CallerQuestions,
        calls: ToolCalls,
        modality: Modality,
        message_bytes: int,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        self._link = link
        self._lost = lost
        self._count = count
        self._answers = answers
        self._told = told
        self._questions = questions
        self._calls = calls
        self._modality = modality
        self._message_bytes = message_bytes
        self._metrics = metrics
        self._now = now

        self.task_ended = False
        """An agent of a workflow said last that it is done."""
        self._mapper = self._new_mapper(link.models.first_agent)
        self._reconnected_at = 0.0
        """When ADK connected again within a run, as its events tell the time."""
        self._is_interrupted_ahead = False

    @property
    def is_answering(self) -> bool:
        """Whether the model is in the middle of an answer."""
        return self._mapper.is_answering

    async def take(self, adk_event: Event) -> bool:
        """What ADK yields; whether an answer is over with it.

        Waits while there is no room for what the caller is to be told.
        """
        # A workflow passes pieces on through a queue, later than their connection is over.
        if adk_event.partial and adk_event.timestamp < self._reconnected_at <= time.time():
            return False
        is_over = False
        for event in self._mapper.map(adk_event):
            self._note(event)
            if isinstance(event, AgentPicture):
                event = await fit_for_message(event, message_bytes=self._message_bytes)
            await self._tell(event)
            is_over = is_over or isinstance(event, ModelTurnComplete)
        if is_speech(adk_event, self._modality):
            await self._tell(SpeechStored(adk_event.id))
        return is_over

    def urls_read(self, metadata: types.UrlContextMetadata) -> None:
        """The model has read pages of the web."""
        for event in self._mapper.urls_read(metadata):
            self._told.tell(event)

    def asked(self) -> None:
        """The user has typed a turn."""
        self._mapper.asked()

    # Interruptions that ADK does not tell in time -------------------------------

    def interrupted_ahead(self) -> None:
        """The user has interrupted the model, while ADK waits for a tool."""
        self._is_interrupted_ahead = True
        self._questions.withdraw()
        self._told.tell(ModelInterrupted(ahead=True))

    async def end_interruption(self) -> None:
        """What was interrupted is over, although ADK will not say so any more."""
        if self._is_interrupted_ahead:
            self._is_interrupted_ahead = False
            await self._tell(ModelInterrupted())

    # From run to run ------------------------------------------------------------

    async def run_is_over(self) -> None:
        """Nothing more comes of the run: its calls are cancelled."""
        for event in self._calls.run_over():
            await self._tell(event)
        await self.end_interruption()

    def reset(self) -> None:
        """What the model had begun to say has no end."""
        self._mapper.reset()

    def connects_again(self) -> None:
        """ADK connects once more within the run; what comes late of before is left out."""
        self._mapper.reset()
        self._reconnected_at = time.time()

    def begin_anew(self) -> None:
        """A workflow begins again with its first agent."""
        self._mapper.reset()
        self.task_ended = False

    def choose(self) -> None:
        """The next run asks the models that the link has chosen."""
        self._mapper = self._new_mapper(self._mapper.agent)

    def _new_mapper(self, agent: str | None) -> LiveEventMapper:
        return LiveEventMapper(
            first_agent=agent,
            cumulative_input=self._link.models.cumulative_input,
            calls=self._calls,
        )

    # An event -------------------------------------------------------------------

    def _note(self, event: LiveEvent) -> None:
        """Keeps account of what was asked, what was answered and what failed."""
        if isinstance(event, ToolReturned):
            self.task_ended = event.name in TASK_ENDS and "error" not in event.result
        elif isinstance(event, _OUTPUT):
            self.task_ended = False
            self._answers.answered(self._link.models)
            self._count.output()
            self._lost.turn.output(self._now(), tool=isinstance(event, ToolCalled))
        elif isinstance(event, _END_OF_ANSWER):
            if self._count.answer_is_over():
                self._link.progressed()
            if isinstance(event, ModelInterrupted):
                self._is_interrupted_ahead = False
                self._lost.turn.interrupted(self._now())
            elif not self._mapper.is_answering:
                self._lost.turn.completed()
        elif isinstance(event, UserTranscript):
            self._lost.turn.heard(event.text, self._now())
        elif isinstance(event, AgentFailed):
            self._count.nothing_came()
            self._metrics.agent_errors.labels(event.code).inc()

    async def _tell(self, event: LiveEvent) -> None:
        if isinstance(event, ModelInterrupted):
            self._questions.withdraw()
        await self._told.put(event)
