"""The live runs of one call, one after the other: each is watched, and a failed one followed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.adk.models.base_llm import BaseLlm
from google.genai import types

from ..call_service import Modality
from ..metrics import Metrics
from .adk_internals import sync_tools_on
from .event_queue import EventQueue
from .failure_log import log_failure
from .failures import (
    ENDED,
    LOST,
    POLICY_VIOLATION,
    RECONNECTED,
    REFUSED,
    SESSION_UNAVAILABLE,
    UNREACHABLE,
    UNSUPPORTED_DATA,
    Failure,
    HandleRefused,
    HeldTooLong,
    ModelChanged,
    NoLiveConnection,
    RedialLimit,
    Renewed,
    SessionUnavailable,
    Superseded,
    close_code_of,
)
from .live_events import AgentFailed
from .live_input import LiveInput
from .live_run_config import LiveOptions
from .lost_answers import LostAnswers
from .models.model_connections import observing
from .models.model_link import LinkState, ModelLink
from .retry_rules import RetryCount, RetryRules
from .run_events import RunEvents
from .run_watch import RunWatch
from .session_wait import SessionWait
from .sessions.resumption import Resumption
from .sessions.session_store import SessionStore, close_history
from .text_answers import TextAnswers
from .tools.caller_questions import CallerQuestions, asking
from .tools.client_tools import equip
from .tools.tool_calls import ToolCalls
from .tools.tool_watch import ToolWatch

if TYPE_CHECKING:
    from google.adk.agents.run_config import RunConfig
    from google.adk.events.event import Event
    from google.adk.models.llm_request import LlmRequest
    from google.adk.runners import Runner

__all__ = ["LiveRuns", "RunTerms"]

_FIRST_PATIENCE_S = 2.5
"""The first connection of a call may take this long before the model counts as away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """What all runs of a call have in common."""

    user_id: str
    session_id: str
    modality: Modality
    options: LiveOptions
    offered: Mapping[str, Any]
    """Fields of ``RunConfig`` from the offer, already found to be allowed."""
    ask_again: bool
    """Whether a question whose answer was lost is put again."""
    message_bytes: int
    """The largest message that reaches the caller; 0: none does."""


class LiveRuns:
    """Runs the agent, and again when it fails, until closed or given up.

    A run that fails, or ends unasked, is started again after a jittered, growing delay; what
    the user types meanwhile waits for it, what he says is dropped and counted.

    It is the :class:`~.models.model_connections.ConnectionObserver` of its runs.

    Args:
        link: the way to the model.
        live_input: what the caller sends.
        events: what the caller is told; the last run ends it.
        speaks_only: this is a text call of a model that only speaks.
        on_speaks_only: is told when that is found out.
        now: monotonic seconds.
    """

    def __init__(
        self,
        runner: Runner,
        sessions: SessionStore,
        terms: RunTerms,
        *,
        link: ModelLink,
        live_input: LiveInput,
        events: EventQueue,
        questions: CallerQuestions,
        calls: ToolCalls,
        tools: ToolWatch,
        resumption: Resumption,
        speaks_only: bool,
        on_speaks_only: Callable[[], None],
        executor: Executor,
        metrics: Metrics,
        retry: RetryRules,
        now: Callable[[], float],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._runner = runner
        self._sessions = sessions
        self._terms = terms
        self._link = link
        self._input = live_input
        self._events = events
        self._questions = questions
        self._tools = tools
        self._resumption = resumption
        self._answers = TextAnswers(terms.modality, own_speaks_only=speaks_only)
        self._on_speaks_only = on_speaks_only
        self._executor = executor
        self._metrics = metrics
        self._now = now
        self._log = log

        self.closing = asyncio.Event()
        """Set to end the runs; nothing is told any more."""
        self._watch = RunWatch(
            live_input.queue,
            retry,
            is_connected=lambda: link.is_connected,
            closing=self.closing,
            log=log,
        )
        self._retry = retry
        self._count = RetryCount(retry)
        self._session_wait = SessionWait(retry)
        self._lost = LostAnswers(
            live_input,
            self._count,
            asks_again=terms.ask_again,
            emit=events.put,
            metrics=metrics,
            now=now,
        )
        self._said = RunEvents(
            link,
            self._lost,
            self._count,
            self._answers,
            told=events,
            questions=questions,
            calls=calls,
            modality=terms.modality,
            message_bytes=terms.message_bytes,
            metrics=metrics,
            now=now,
        )
        self._is_proved = False
        """The model has been there in this call."""
        self._requests: deque[LlmRequest] = deque(maxlen=8)
        """Of the latest connections of this run: a reconnect has the one of the first connect."""

        self.connects = 0  # as an observer has it, and the next
        self.connect_s = retry.connect_s

    @property
    def speaks_only(self) -> bool:
        """Whether the transcript of what the model says is the text of this call."""
        return self._answers.speaks_only(self._link.models)

    def typed(self, text: str) -> None:
        """The user has typed a turn."""
        self._said.asked()
        self._lost.turn.typed(text, self._now())

    def withdrawn(self) -> None:
        """The user wants no answer to what was asked so far."""
        self._lost.forget()

    def prompted(self, text: str, *, again: bool) -> None:
        """A turn that is nobody's was put; ``again``: it is put once more if it is lost."""
        self._lost.turn.prompted(text, again=again)

    def renew(self, prompt: str | None = None) -> None:
        """End the run that goes on; the next one starts at once, and is given ``prompt``.

        What was asked so far is told to be lost, and is not answered later.
        """
        self._lost.forget()
        self._input.queue.withdraw_texts()
        self._watch.end(Renewed(prompt))

    # The task -----------------------------------------------------------------

    async def serve(self) -> None:
        """Runs the agent again and again, until closed or given up."""
        try:
            while not self.closing.is_set():
                error = await self._watch.run(self._run)
                await self._said.run_is_over()
                self._link.run_is_over()
                self._requests.clear()
                self._connection_is_over(error)
                if self.closing.is_set() or not await self._goes_on_after(error):
                    return
        finally:
            self._events.end()

    async def _goes_on_after(self, error: BaseException | None) -> bool:
        """Does what lies between the run that is over and the next; False if there is to be none.

        Args:
            error: what ended the run, if it did not just end.
        """
        is_ours = isinstance(error, ModelChanged | Renewed | SessionUnavailable)
        if not is_ours and self._resumption.was_refused(is_unknown=_is_policy(error)):
            error = HandleRefused()
            if self._tells_history_instead():
                return True
        self._link.state = LinkState.RECONNECTING
        self._input.start_over()
        if self._falls_back_to_speech(error):
            if self._loses_something:
                await self._settle(REFUSED)
            return True
        await self._link.tell_away()
        if error is None and self._said.task_ended:
            await self._begin_anew()
            return True
        if isinstance(error, ModelChanged | Renewed):
            self._start_over(error)
            return True
        if isinstance(error, SessionUnavailable):
            return await self._wait_for_session()
        return await self._fail(error)

    async def _begin_anew(self) -> None:
        """The agents of a workflow are done: it begins again with what the user says next."""
        self._said.begin_anew()
        self._resumption.begin_anew()  # of the last agent; the first begins
        self._count.nothing_came()
        await self._pause(self._retry.delay_s(1))

    def _tells_history_instead(self) -> bool:
        """Whether nothing is lost by a handle that the model did not take; then nobody is told."""
        self._log.info("the model does not go on with its session; it is told the history")
        if self._loses_something:
            return False
        self._link.state = LinkState.CONNECTING
        self._input.queue.start_over()
        self._lost.prompt_again()
        return True

    @property
    def _loses_something(self) -> bool:
        return self._lost.is_anything(is_answering=self._said.is_answering)

    def _start_over(self, why: ModelChanged | Renewed) -> None:
        """The run was ended on purpose; nobody is told, and the next one starts at once."""
        self._said.reset()
        self._count.nothing_came()
        if isinstance(why, Renewed):
            self._link.showed_no_life()
            self._lost.put_prompt(why.prompt)
        self._choose_model()
        self._metrics.agent_reconnects.inc()

    async def _fail(self, error: BaseException | None) -> bool:
        """Tells of the failure and waits; False if no further run is to be started."""
        failure = ENDED if error is None else Failure.of(error)
        if error is None:
            self._log.warning("the agent ended its run unasked")
        else:
            log_failure(self._log, failure.code, error)
        is_down = self._link.is_down and failure is not REFUSED
        if not isinstance(error, RedialLimit):
            # Down for everybody: this call waits, as the others do.
            self._count.failed(self._now(), waits=failure.waits or is_down)
        if self._count.failures > 1 or failure is REFUSED:
            self._resumption.drop()  # it did not help; the history is told anew instead
        self._metrics.agent_errors.labels(failure.code).inc()
        changes = self._link.failed()
        is_final = self._count.is_exhausted or isinstance(error, NoLiveConnection)
        is_too_long = isinstance(error, HeldTooLong) or self._count.patience_s(self._now()) <= 0
        if is_too_long or is_final:
            self._said.reset()
            await self._lost.give_up(UNREACHABLE.code if is_too_long else failure.code)
            return False
        await self._settle(failure)
        self._said.reset()
        self._choose_model()
        if not changes:
            await self._pause(self._retry.delay_s(self._count.failures))
        self._metrics.agent_reconnects.inc()
        return True

    @property
    def _is_first(self) -> bool:
        """The model was there, and has failed once: the next connection may be a good one."""
        return self._is_proved and self._count.failures == 1

    async def _settle(self, failure: Failure, *, nothing_lost: Failure | None = None) -> None:
        await self._lost.settle(
            failure,
            is_answering=self._said.is_answering,
            is_first=self._is_first,
            nothing_lost=nothing_lost,
        )

    async def _wait_for_session(self) -> bool:
        """Tells once that the session cannot be read, and waits; False if for too long."""
        code, message = SESSION_UNAVAILABLE.code, SESSION_UNAVAILABLE.told()
        goes_on = self._session_wait.failed(self._now())
        self._log.warning("the session of the call cannot be read")
        self._metrics.agent_errors.labels(code).inc()
        if not goes_on:
            await self._lost.give_up(code)
        elif not self._session_wait.has_failed_before:
            await self._events.put(AgentFailed(code, message, retryable=True, keeps_question=True))
        self._lost.prompt_again()
        if goes_on:
            await self._pause(self._session_wait.delay_s())
        return goes_on

    async def _run(self) -> None:
        await self._begin_with_session()
        if not self._link.models.observed:
            await self.connected()
        with (
            observing(self),
            asking(self._questions),
            self._tools.watching(),
            sync_tools_on(self._executor),
        ):
            run = self._runner.run_live(
                user_id=self._terms.user_id,
                session_id=self._terms.session_id,
                live_request_queue=self._input.queue,
                run_config=self._run_config(),
            )
            async with contextlib.aclosing(run) as adk_events:
                async for adk_event in adk_events:
                    await self._on_adk_event(adk_event)

    async def _begin_with_session(self) -> None:
        """Settles what the run goes on with: a handle of the model's, or the history."""
        user_id, session_id = self._terms.user_id, self._terms.session_id
        if self._sessions.others_wrote(user_id, session_id):
            self._resumption.drop()  # what was said elsewhere the model does not know
        if self._resumption.handle:
            return
        session = await self._sessions.read(user_id, session_id)
        self._session_wait.over()
        if self._link.models.is_gemini and not self._link.models.is_fallback:
            self._resumption.take_up(session)
        if session is not None and not self._resumption.handle:
            await self._sessions.close_open_turn(session, self._link.models.first_agent)

    def _run_config(self) -> RunConfig:
        return self._terms.options.run_config(
            self._terms.modality,
            speaks_only=self.speaks_only,
            resumable=self._link.models.is_gemini,
            handle=None if self._link.models.is_fallback else self._resumption.handle,
            offered=self._terms.offered,
        )

    async def _on_adk_event(self, adk_event: Event) -> None:
        if self.closing.is_set() or self._watch.is_ending:
            return
        self._link.proved()
        self._is_proved = True
        if not adk_event.partial and not adk_event.get_function_calls():
            self._tools.received()
        if not self._link.models.is_fallback:  # a handle is good for its own model only
            self._resumption.take(adk_event)
        is_over = await self._said.take(adk_event)
        if is_over and self._returns_to_own_model():
            self._watch.end(ModelChanged())

    def _falls_back_to_speech(self, error: BaseException | None) -> bool:
        """Whether the model refused to answer in text and is now asked to speak."""
        refused = error is not None and close_code_of(error) == UNSUPPORTED_DATA
        return refused and self._answers.refused(self._link.models, self._count.failures)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.closing.wait()

    def _choose_model(self) -> None:
        """Lets the next run ask the model that was chosen; what is of the old one goes."""
        if self._link.choose():
            self._resumption.drop()
            self._said.choose()
            self._answers.chosen(self._count.failures)

    def _returns_to_own_model(self) -> bool:
        """Whether now, between two answers, the agent's own model is asked again."""
        is_between = not self._said.is_answering and not self._input.queue.has_text
        return is_between and self._link.returns()

    def _connection_is_over(self, error: BaseException | None) -> None:
        is_ours = self.closing.is_set() or self._watch.is_ending
        # A handle that the model no longer knows says nothing about the model.
        is_forgotten = bool(self._resumption.handle) and _is_policy(error)
        self._link.over(error, is_ours=is_ours or is_forgotten)

    # ConnectionObserver -------------------------------------------------------

    async def connecting(self, request: LlmRequest, model: BaseLlm) -> BaseLlm:
        """ADK opens a connection; one that it reopens by itself is told of and paced."""
        if self._watch.is_cancelled:
            # ADK forgets that it was cancelled where its sender has died of the connection (2.13,
            # ``_live_llm_flow``): it would go on, and take what is meant for the next run.
            raise asyncio.CancelledError
        self.connects += 1
        equip(request, self._questions)
        if not any(request is one for one in self._requests):
            if self._requests:  # of another agent, or what a callback has begun anew
                self._input.connects_again()
                self._resumption.drop()
                if _are_of_one_agent(request, self._requests[-1]):
                    close_history(request)  # or the model would answer once more
            self._requests.append(request)
            await self._said.end_interruption()  # of an agent that has handed over to this one
        elif request is not self._requests[-1]:
            raise Superseded
        else:
            self._resumption.connects_again()
            await self._reconnecting()
        self._resumption.connects()
        self._count.connects(self._now())
        if self._link.state is not LinkState.CONNECTED:
            await self._link.tell_away(_FIRST_PATIENCE_S)
        return await self._link.admit(model, self._count.patience_s(self._now()))

    async def _reconnecting(self) -> None:
        self._link.state = LinkState.RECONNECTING
        self._input.connects_again()
        await self._said.end_interruption()
        self._metrics.agent_reconnects.inc()
        self._count.failed(self._now(), waits=True)
        await self._link.tell_away()
        await self._settle(RECONNECTED, nothing_lost=LOST)  # the rest never comes
        self._said.connects_again()
        if self._count.is_long:
            raise RedialLimit
        if self._count.failures > 1:
            await self._pause(self._retry.delay_s(self._count.failures))

    async def connected(self) -> None:
        """A connection is open."""
        self._resumption.connected()
        self._link.connected()
        self._count.connected(self._now())
        if self.speaks_only and not self._link.models.is_fallback:
            self._on_speaks_only()
        await self._link.tell_back()

    def refused(self, error: BaseException) -> None:
        """A connection was not taken."""
        self._connection_is_over(error)

    def disconnected(self, error: BaseException | None) -> None:
        """A connection is gone."""
        self._connection_is_over(error)
        self._link.disconnected()

    # ModelListener --------------------------------------------------------------

    def tool_calls_cancelled(self, ids: Sequence[str]) -> None:
        """The model takes calls back: they are stopped, told of, and not answered."""
        self._tools.cancel(ids)
        self._questions.take_back(ids)

    def interrupted_ahead(self) -> None:
        """The user has interrupted the model, while ADK waits for a tool."""
        self._said.interrupted_ahead()
        self._tools.let_go()

    def spoke_ahead(self) -> None:
        """The model does not wait for the tool that ADK waits for."""
        self._tools.let_go()

    def urls_read(self, metadata: types.UrlContextMetadata) -> None:
        """The model has read pages of the web."""
        self._said.urls_read(metadata)


def _is_policy(error: BaseException | None) -> bool:
    return close_code_of(error) == POLICY_VIOLATION


def _are_of_one_agent(request: LlmRequest, other: LlmRequest) -> bool:
    """ADK tells each agent its name."""
    return request.config.system_instruction == other.config.system_instruction
