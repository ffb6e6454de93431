"""The agent's side of one call, put together: what is said to the agent and what comes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from ..call_service import Modality
from ..messages import MAX_MESSAGE_BYTES
from ..metrics import Metrics
from .event_queue import EventQueue
from .live_events import LiveEvent
from .live_input import LiveInput
from .live_run_config import LiveOptions, vad_is_off
from .live_runs import LiveRuns, RunTerms
from .models.agent_models import AgentModels
from .models.model_gate import ModelGates
from .models.model_link import LinkState, ModelLink
from .retry_rules import RetryRules
from .sessions.heard_history import HeardHistory
from .sessions.resumption import Resumption
from .sessions.session_store import SessionStore
from .tools.caller_questions import CallerQuestions
from .tools.tool_calls import ToolCalls
from .tools.tool_watch import ToolWatch

if TYPE_CHECKING:
    from google.adk.runners import Runner

__all__ = ["LiveSession"]

logger = logging.getLogger(__name__)


class LiveSession:
    """Entered with ``async with``; made by :meth:`AgentRuntime.open_live_session`.

    A task runs the agent (:class:`~.live_runs.LiveRuns`) and puts typed events into a bounded
    queue, which the caller drains at once with :meth:`events`.  What the caller sends goes
    through :class:`~.live_input.LiveInput`.

    Leaving closes the request queue, waits at most ``RetryRules.close_s`` for the run to
    end, of which ``hang_up_s`` once the model's connection was closed, then cancels it.
    :meth:`close` may be called twice.
    """

    def __init__(
        self,
        runner: Runner,
        sessions: SessionStore,
        *,
        models: AgentModels,
        fallback: AgentModels | None = None,
        gates: ModelGates,
        ask_again: bool = False,
        user_id: str,
        session_id: str,
        call_id: str,
        modality: Modality,
        options: LiveOptions,
        offered: Mapping[str, Any],
        speaks_only: bool,
        on_speaks_only: Callable[[], None],
        uplink_backlog_s: float,
        executor: Executor,
        metrics: Metrics,
        retry: RetryRules,
        questions: CallerQuestions | None = None,
        message_bytes: int = MAX_MESSAGE_BYTES,
        history: HeardHistory | None = None,
    ) -> None:
        self._retry = retry
        self._log = logging.LoggerAdapter(logger, {"call_id": call_id})
        self._task: asyncio.Task[None] | None = None
        self._events = EventQueue(on_dropped=metrics.events_dropped.inc)
        self._link = ModelLink(
            models,
            fallback,
            gates,
            call=object(),  # the gates remember failures, and are not to keep the session
            emit=self._events.put,
            now=_now,
            metrics=metrics,
            log=self._log,
        )
        calls = ToolCalls(models.background_tools)
        tools = ToolWatch(calls, self._events.tell, executor)

        self.questions = questions if questions is not None else CallerQuestions()
        """What tools wait for the caller to say."""
        self.questions.open(self._events.put, tools.abandoned)

        self._input = LiveInput(
            self._link,
            vad_is_off=vad_is_off(options.run_config(modality, offered=offered)),
            audio_s=uplink_backlog_s,
            is_unwanted=calls.is_cancelled,
            tell=self._events.tell,
            metrics=metrics,
            log=self._log,
        )
        self._runs = LiveRuns(
            runner,
            sessions,
            RunTerms(
                user_id=user_id,
                session_id=session_id,
                modality=modality,
                options=options,
                offered=offered,
                ask_again=ask_again,
                message_bytes=message_bytes,
            ),
            link=self._link,
            live_input=self._input,
            events=self._events,
            questions=self.questions,
            calls=calls,
            tools=tools,
            resumption=Resumption(
                runner.agent,
                first_agent=models.first_agent,
                keep=_kept_nowhere if history is None else history.keep_state,
                covered=tuple if history is None else history.covered,
            ),
            speaks_only=modality == "text" and speaks_only,
            on_speaks_only=on_speaks_only,
            executor=executor,
            metrics=metrics,
            retry=retry,
            now=_now,
            log=self._log,
        )

    # Opening and closing ------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._link.state = LinkState.CONNECTING
        self._task = asyncio.create_task(self._runs.serve(), name="live-session")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the run; bounded in time, may be called twice, also while it is running."""
        self._link.state = LinkState.CLOSED
        self._runs.closing.set()
        self._input.queue.close()
        self._events.close()
        task = self._task
        if task is None:
            return
        try:
            if self._link.is_connected:
                await self._hang_up(task)
        finally:
            if not task.done():
                task.cancel()
                # As long as the task needs to cancel the run, which is bounded too.
                await asyncio.wait({task}, timeout=self._retry.close_s + 1.0)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("the live session failed", exc_info=error)
        self._events.end()

    async def _hang_up(self, run: asyncio.Task[None]) -> None:
        """Wait for the run to end by itself, and not for a model that was told and goes on."""
        left, first = self._input.queue.left(), asyncio.FIRST_COMPLETED
        ends_at = _now() + self._retry.close_s
        await asyncio.wait({run, left}, timeout=self._retry.close_s, return_when=first)
        if left.done():
            ends_at = min(ends_at, _now() + self._retry.hang_up_s)
        await asyncio.wait({run}, timeout=max(0.0, ends_at - _now()))

    # What the agent says and does ----------------------------------------------

    def events(self) -> AsyncIterator[LiveEvent]:
        """What the agent says and does, until the session is closed or given up.

        To be drained at once: an interruption waits behind what was not read.  A failure is
        an ``AgentFailed``; one that is not retryable is the last event.
        """
        return self._events.read()

    @property
    def speaks_only(self) -> bool:
        """Whether this is a text call of a model that only speaks: its transcript is its text."""
        return self._runs.speaks_only

    # What the caller sends: see LiveInput --------------------------------------

    def send_audio(self, pcm: bytes, *, quiet: bool = False) -> bool:
        """20 ms of the microphone; whether nothing of it waits for more of its kind."""
        return self._input.send_audio(pcm, quiet=quiet)

    def end_audio_stream(self) -> None:
        """The microphone is off."""
        self._input.end_audio_stream()

    def send_text(self, text: str) -> None:
        """A user's text turn."""
        if text:
            self._runs.typed(text)
            self._input.send_text(text)

    def send_prompt(self, text: str, *, again: bool) -> None:
        """A text turn that is nobody's; ``again``: it is put once more if it is lost."""
        self._runs.prompted(text, again=again)
        self._input.send_text(text)

    def send_image(self, mime_type: str, data: bytes) -> None:
        """A picture for the agent."""
        self._input.send_image(mime_type, data)

    @property
    def takes_pictures(self) -> bool:
        """Whether the model looks at pictures."""
        return self._link.models.takes_pictures

    @property
    def takes_frames(self) -> bool:
        """Whether a frame of the caller's video would reach the model now."""
        return self._link.takes_realtime and self.takes_pictures

    def send_frame(self, jpeg: bytes) -> None:
        """What the caller's video shows now."""
        self._input.send_frame(jpeg)

    def send_activity(self, state: Literal["start", "end"]) -> bool:
        """Push-to-talk; False where the model's own voice detection is on."""
        return self._input.send_activity(state)

    def send_state(self, delta: Mapping[str, Any]) -> None:
        """A change to the session state."""
        self._input.send_state(delta)

    # What the caller wants ------------------------------------------------------

    def interrupt(self) -> bool:
        """Make the model stop speaking; False if it cannot be told to."""
        self.questions.withdraw()
        self._runs.withdrawn()
        return self._input.interrupt()

    def renew(self, prompt: str | None = None) -> None:
        """The answer is overdue: connect anew, and let nothing come of the old connection.

        The caller has been told.  While there is no connection nothing happens.

        Args:
            prompt: a text turn that is nobody's, for the new connection.
        """
        if self._link.state is LinkState.CONNECTED:
            self._log.warning("the agent's model shows no life: its connection is renewed")
            self._runs.renew(prompt)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _kept_nowhere(key: str, value: object) -> None:
    """For runs without a history."""
