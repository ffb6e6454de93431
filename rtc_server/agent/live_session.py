"""The agent's side of one call: a live run, and the next one when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from google.adk.agents.live_request_queue import LiveRequest
from google.adk.models.base_llm import BaseLlm
from google.genai import types

from ..media.piece_joiner import PieceJoiner
from ..metrics import Metrics
from .adk_internals import sync_tools_on
from .agent_models import AgentModels, observing
from .answer_picture import fit_for_message
from .caller_questions import CallerQuestions, asking
from .client_tools import equip
from .failures import (
    ASK_AGAIN,
    ASKED_AGAIN,
    ENDED,
    GAVE_UP,
    POLICY_VIOLATION,
    RECONNECTED,
    REFUSED,
    UNSUPPORTED_DATA,
    Failure,
    ModelChanged,
    RedialLimit,
    Renewed,
    close_code_of,
)
from .heard_history import HeardHistory, is_speech
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
from .live_request_queue import BoundedLiveRequestQueue, LiveRequestQueueFull
from .live_run_config import LiveOptions, vad_is_off
from .lost_turn import OpenTurn
from .model_gate import HeldTooLong, ModelGates
from .model_link import ModelLink
from .model_stamp import ModelStamp
from .resumption import Resumption
from .retry_rules import RetryRules
from .run_watch import RunWatch
from .session_store import SessionStore
from .tool_calls import ToolCalls
from .tool_watch import ToolWatch

if TYPE_CHECKING:
    from google.adk.agents.run_config import RunConfig
    from google.adk.events.event import Event
    from google.adk.models.llm_request import LlmRequest
    from google.adk.runners import Runner

__all__ = ["LiveSession"]

logger = logging.getLogger(__name__)

_OUTPUT = (AgentAudio, AgentText, AgentTranscript, ToolCalled)
_END_OF_ANSWER = (ModelInterrupted, ModelTurnComplete)

_MICROPHONE = ModelStamp(types.Blob(data=b"", mime_type="audio/pcm;rate=16000"), "data")
_BYTES_PER_S = 32_000

_FIRST_PATIENCE_S = 2.5
"""The first connection of a call may take this long before the model counts as away."""

_MAX_EVENTS = 1000
"""Events that wait for the caller; then the reading of the run waits."""


class _State(Enum):
    NEW = auto()
    CONNECTING = auto()  # for the first time: audio waits
    CONNECTED = auto()
    RECONNECTING = auto()  # audio is dropped
    CLOSED = auto()


class LiveSession:
    """Entered with ``async with``; made by :meth:`AgentRuntime.open_live_session`.

    A task runs the agent and puts typed events into a bounded queue, which the caller
    drains at once with :meth:`events`.  A run that fails, or ends unasked, is started
    again after a jittered, growing delay; what the user types meanwhile waits for it,
    what he says is dropped and counted.

    Leaving closes the request queue, waits at most ``RetryRules.close_s`` for the run to
    end, then cancels it.  :meth:`close` may be called twice.
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
        modality: Literal["audio", "text"],
        options: LiveOptions,
        offered: Mapping[str, Any],
        speaks_only: bool,
        on_speaks_only: Callable[[], None],
        uplink_backlog_s: float,
        executor: ThreadPoolExecutor,
        metrics: Metrics,
        retry: RetryRules,
        questions: CallerQuestions | None = None,
        history: HeardHistory | None = None,
    ) -> None:
        self._runner = runner
        self._sessions = sessions
        self._turn = OpenTurn()
        self._asks_again = ask_again
        self._user_id = user_id
        self._session_id = session_id
        self._log = logging.LoggerAdapter(logger, {"call_id": call_id})
        self._modality = modality
        self._options = options
        self._offered = offered
        self._on_speaks_only = on_speaks_only
        self._executor = executor
        self._metrics = metrics
        self._retry = retry
        self._link = ModelLink(
            models,
            fallback,
            gates,
            call=self,
            patience_s=retry.patience_s,
            emit=self._emit,
            now=self._now,
            metrics=metrics,
            log=self._log,
        )
        self._vad_is_off = vad_is_off(options.run_config(modality, offered=offered))

        self.questions = questions if questions is not None else CallerQuestions()
        """What tools wait for the caller to say."""
        self.questions.open(self._emit, self._tool_call_abandoned)

        self.speaks_only = modality == "text" and speaks_only
        """Whether this is a text call of a model that only speaks: its transcript is its text."""

        self._calls = ToolCalls(models.background_tools)
        self._tools = ToolWatch(self._calls, self._tell)
        self._queue = BoundedLiveRequestQueue(
            audio_s=uplink_backlog_s,
            on_audio_dropped=self._count_dropped,
            is_unwanted=self._calls.is_cancelled,
        )
        self._joiner = PieceJoiner()
        self._is_activity_open = False  # push-to-talk
        self._is_interrupting = False  # an activity is open that interrupts, and no more
        self._mapper = self._new_mapper(models)
        self._is_interrupted_ahead = False
        self._task_ended = False
        """An agent of a workflow said last that it is done."""
        self._events: asyncio.Queue[LiveEvent | None] = asyncio.Queue(_MAX_EVENTS)
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._state = _State.NEW
        self._watch = RunWatch(
            self._queue,
            retry,
            is_connected=lambda: bool(self._connections),
            closing=self._closing,
            log=self._log,
        )
        self.connect_s = retry.connect_s

        self.connects = 0
        self._failures = 0
        self._is_told = False  # that there is no connection
        self._connections = 0
        self._connected_at = 0.0
        self._has_output = False
        self._requests: deque[LlmRequest] = deque(maxlen=8)
        """Of the latest connections of this run: a reconnect has the one of the first connect."""
        self._resumption = Resumption(
            runner.agent,
            first_agent=models.first_agent,
            keep=_kept_nowhere if history is None else history.keep_state,
        )

    # Opening and closing ------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._state = _State.CONNECTING
        self._task = asyncio.create_task(self._serve(), name="live-session")
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
        self._state = _State.CLOSED
        self._closing.set()
        self._queue.close()
        self._discard_events()
        task = self._task
        if task is None:
            return
        try:
            if self._connections:
                await asyncio.wait({task}, timeout=self._retry.close_s)
        finally:
            if not task.done():
                task.cancel()
                # As long as the task needs to cancel the run, which is bounded too.
                await asyncio.wait({task}, timeout=self._retry.close_s + 1.0)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("the live session failed", exc_info=error)
        self._end_events()

    async def events(self) -> AsyncIterator[LiveEvent]:
        """What the agent says and does, until the session is closed or given up.

        To be drained at once: an interruption waits behind what was not read.  A failure is
        an ``AgentFailed``; one that is not retryable is the last event.
        """
        while True:
            event = await self._events.get()
            if event is None:
                return
            yield event

    # What the caller sends ----------------------------------------------------

    def send_audio(self, pcm: bytes, *, quiet: bool = False) -> bool:
        """A piece of the microphone: 16 kHz mono s16 little-endian PCM, 20 ms of it.

        Args:
            quiet: there is not even the beginning of a word in it, so that it may wait for more
                of its kind; see :class:`~rtc_server.media.piece_joiner.PieceJoiner`.

        Returns:
            Whether it and all before it were handed over (or dropped); False: it waits.
        """
        if self._is_interrupting:
            return True  # nobody has pressed the button
        if self._state in (_State.CONNECTING, _State.CONNECTED):
            for piece in self._joiner.push(pcm, quiet=quiet and not self._is_activity_open):
                self._send_piece(piece)
            return not self._joiner.is_waiting
        if self._state is _State.RECONNECTING:
            seconds = len(pcm) / _BYTES_PER_S
            self._metrics.audio_dropped.labels("uplink", "reconnecting").inc(seconds)
        return True

    def _send_waiting_audio(self) -> None:
        """Nothing overtakes the silence that waits."""
        for piece in self._joiner.flush():
            self._send_piece(piece)

    def _send_piece(self, pcm: bytes) -> None:
        self._queue.send_audio(_MICROPHONE.make(pcm), len(pcm) / _BYTES_PER_S)

    def end_audio_stream(self) -> None:
        """The microphone is off: the model need not wait for more of the sentence."""
        if self._state not in (_State.CONNECTING, _State.CONNECTED):
            return
        self._send_waiting_audio()
        if not self._vad_is_off:
            self._put(self._queue.send_audio_stream_end)

    def send_text(self, text: str) -> None:
        """A user's text turn."""
        if text:
            if self._is_interrupting:
                self.send_activity("end")
            self._turn.typed(text, self._now())
            self._put_text(text)

    def _put_text(self, text: str) -> None:
        content = types.Content(role="user", parts=[types.Part(text=text)])
        self._put(lambda: self._queue.send_content(content))

    def send_image(self, mime_type: str, data: bytes) -> None:
        """A picture for the agent."""
        self._put(lambda: self._queue.send_realtime(types.Blob(data=data, mime_type=mime_type)))

    @property
    def takes_frames(self) -> bool:
        """Whether a frame of the caller's video would reach the model now."""
        return self._state in (_State.CONNECTING, _State.CONNECTED)

    def send_frame(self, jpeg: bytes) -> None:
        """What the caller's video shows now; only the newest waits for a model that stalls."""
        if self.takes_frames:
            self._send_waiting_audio()
            self._queue.send_frame(types.Blob(data=jpeg, mime_type="image/jpeg"))

    def send_activity(self, state: Literal["start", "end"]) -> bool:
        """Push-to-talk; False where the model's own voice detection is on.

        Gemini closes the connection of a caller who signals what it listens for itself.
        """
        if self._link.models.is_gemini and not self._vad_is_off:
            return False
        if self._state in (_State.CONNECTING, _State.CONNECTED):
            start, was_open = state == "start", self._is_activity_open
            self._is_activity_open, self._is_interrupting = start, False
            queue = self._queue
            if not (start and was_open and self._link.models.is_gemini):
                self._put(queue.send_activity_start if start else queue.send_activity_end)
        return True

    def send_state(self, delta: Mapping[str, Any]) -> None:
        """A change to the session state."""
        self._put(lambda: self._queue.send(LiveRequest(state_delta=dict(delta))))

    def interrupt(self) -> bool:
        """Make the model stop speaking; False if it cannot be told to.

        Gemini is told of an activity, which stays open, and without audio, until the user talks or
        types: one with audio in it, be it silence, would be answered.
        """
        self.questions.withdraw()
        can = self._link.models.is_cascade or self._vad_is_off
        if not can or self._state is not _State.CONNECTED:
            return False
        if self._link.models.is_gemini:
            if not self._is_activity_open:
                self.send_activity("start")
                self._is_interrupting = True
        else:
            self._put(self._queue.send_activity_start)
        return True

    def renew(self) -> None:
        """The answer is overdue: connect anew, and let nothing come of the old connection.

        The caller has been told.  While there is no connection nothing happens.
        """
        if self._state is _State.CONNECTED:
            self._log.warning("the agent's model shows no life: its connection is renewed")
            self._turn = OpenTurn()
            self._watch.end(Renewed())

    def _put(self, send: Callable[[], None]) -> None:
        if self._state is _State.CLOSED:
            return
        self._send_waiting_audio()
        try:
            send()
        except LiveRequestQueueFull:
            self._log.warning("what the caller sent was dropped: the agent takes nothing")
            self._metrics.agent_errors.labels("backlog_full").inc()

    # The task -----------------------------------------------------------------

    async def _serve(self) -> None:
        """Runs the agent again and again, until closed or given up."""
        try:
            while not self._closing.is_set():
                error = await self._watch.run(self._run)
                for told in self._calls.run_over():
                    await self._emit(told)
                await self._end_interruption()
                self._connections = 0
                self._requests.clear()
                self._connection_is_over(error)
                if self._closing.is_set():
                    return
                if self._tells_history_instead():
                    continue
                self._state = _State.RECONNECTING
                self._is_activity_open = self._is_interrupting = False
                self._send_waiting_audio()  # to be dropped and counted with the rest
                self._queue.start_over()
                if self._falls_back_to_speech(error):
                    continue
                await self._link.tell_away()
                if error is None and self._task_ended:
                    await self._begin_anew()
                elif isinstance(error, ModelChanged | Renewed):
                    self._start_over(error)
                elif not await self._fail(error):
                    return
        finally:
            self._end_events()

    async def _begin_anew(self) -> None:
        """The agents of a workflow are done: it begins again with what the user says next."""
        self._mapper.reset()
        self._resumption.begin_anew()  # of the last agent; the first begins
        self._has_output = self._task_ended = False
        await self._pause(self._retry.delay_s(1))

    def _tells_history_instead(self) -> bool:
        """Whether the model did not take the handle kept from another call; nobody is told."""
        if not self._resumption.was_refused() or self._turn.is_open(self._now()):
            return False
        self._log.info("the model does not go on with its session; it is told the history")
        self._state = _State.CONNECTING
        self._queue.start_over()
        return True

    def _start_over(self, why: ModelChanged | Renewed) -> None:
        """The run was ended on purpose; nobody is told, and the next one starts at once."""
        self._mapper.reset()
        self._has_output = False
        if isinstance(why, Renewed):
            self._link.showed_no_life()
        self._choose_model()
        self._metrics.agent_reconnects.inc()

    async def _fail(self, error: BaseException | None) -> bool:
        """Tells of the failure and waits; False if no further run is to be started."""
        failure = ENDED if error is None else Failure.of(error)
        if error is None:
            self._log.warning("the agent ended its run unasked")
        else:
            self._log.error("the agent's run failed: %s", failure.code, exc_info=error)
        if not isinstance(error, RedialLimit):
            self._count_failure()
        if self._failures > 1 or failure is REFUSED:
            self._resumption.drop()  # it did not help; the history is told anew instead
        self._metrics.agent_errors.labels(failure.code).inc()
        is_down = self._link.is_down and failure is not REFUSED
        if is_down:  # for everybody: this call waits, as the others do, and has no say in it
            self._failures = min(self._failures, self._retry.attempts - 1)
        changes = self._link.failed()
        if isinstance(error, HeldTooLong) or self._failures >= self._retry.attempts:
            self._mapper.reset()
            await self._emit(AgentFailed(failure.code, GAVE_UP, retryable=False))
            return False
        is_lost = self._mapper.is_answering
        if is_lost or not (is_down and self._is_told):
            await self._tell_lost(failure, is_lost=is_lost)
        self._is_told = True
        self._mapper.reset()
        self._choose_model()
        if not changes:
            await self._pause(self._retry.delay_s(self._failures))
        self._metrics.agent_reconnects.inc()
        return True

    async def _tell_lost(self, failure: Failure, *, is_lost: bool) -> None:
        """What became of the user's turn, beside the failure itself."""
        now = self._now()
        is_lost = is_lost or self._turn.is_open(now)
        if self._queue.has_text:
            await self._emit(
                AgentFailed(failure.code, failure.message, retryable=True, keeps_question=True)
            )
            return
        words = self._turn.lose(now) if self._asks_again else None
        message, asks_again = failure.message, words is not None
        if words is not None:
            self._metrics.asked_again.inc()
            self._put_text(words)
            message = message.removesuffix("; please ask again.").removesuffix(".") + "."
            message += ASKED_AGAIN
        elif is_lost and failure is not RECONNECTED:
            message += ASK_AGAIN
        if not asks_again:
            self._turn = OpenTurn()
        await self._emit(
            AgentFailed(failure.code, message, retryable=True, asks_again=asks_again, at=now)
        )

    async def _run(self) -> None:
        if not self._resumption.handle:
            agent_name = self._link.models.first_agent
            session = await self._sessions.close_open_turn(
                self._user_id, self._session_id, agent_name
            )
            if self._link.models.is_gemini and not self._link.models.is_fallback:
                self._resumption.take_up(session)
        if not self._link.models.observed:
            await self.connected()
        with (
            observing(self),
            asking(self.questions),
            self._tools.watching(),
            sync_tools_on(self._executor),
        ):
            run = self._runner.run_live(
                user_id=self._user_id,
                session_id=self._session_id,
                live_request_queue=self._queue,
                run_config=self._run_config(),
            )
            async with contextlib.aclosing(run) as adk_events:
                async for adk_event in adk_events:
                    await self._on_adk_event(adk_event)

    def _run_config(self) -> RunConfig:
        return self._options.run_config(
            self._modality,
            speaks_only=self.speaks_only,
            resumable=self._link.models.is_gemini,
            handle=None if self._link.models.is_fallback else self._resumption.handle,
            offered=self._offered,
        )

    async def _on_adk_event(self, adk_event: Event) -> None:
        if self._closing.is_set() or self._watch.is_ending:
            return
        self._link.proved()
        if not self._link.models.is_fallback:  # a handle is good for its own model only
            self._resumption.take(adk_event)
        for event in self._mapper.map(adk_event):
            self._note(event)
            if isinstance(event, AgentPicture):
                event = await fit_for_message(event, self._executor)
            await self._emit(event)
            if isinstance(event, ModelTurnComplete) and self._returns_to_own_model():
                self._watch.end(ModelChanged())
        if is_speech(adk_event, self._modality):
            await self._emit(SpeechStored(adk_event.id))

    def _note(self, event: LiveEvent) -> None:
        """Keeps account of what was asked, what was answered and what failed."""
        if isinstance(event, ToolReturned):
            self._task_ended = event.name in TASK_ENDS and "error" not in event.result
        elif isinstance(event, _OUTPUT):
            self._task_ended = False
            self._has_output = True
            self._turn.output(self._now(), tool=isinstance(event, ToolCalled))
        elif isinstance(event, _END_OF_ANSWER):
            if self._has_output:
                self._failures = 0
                self._link.progressed()
            self._has_output = False
            if isinstance(event, ModelInterrupted):
                self._is_interrupted_ahead = False
                self._turn.interrupted(self._now())
            elif not self._mapper.is_answering:
                self._turn.completed()
        elif isinstance(event, UserTranscript):
            self._turn.heard(event.text, self._now())
        elif isinstance(event, AgentFailed):
            self._has_output = False
            self._metrics.agent_errors.labels(event.code).inc()

    def _falls_back_to_speech(self, error: BaseException | None) -> bool:
        """Whether the model refused to answer in text and is now asked to speak."""
        refused = error is not None and close_code_of(error) == UNSUPPORTED_DATA
        if not refused or self._modality != "text" or self.speaks_only or self._failures:
            return False
        self.speaks_only = True
        return True

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _count_failure(self) -> None:
        now = self._now()
        if self._connected_at and now - self._connected_at > self._retry.stable_s:
            self._failures = 0
        self._connected_at = 0.0
        self._has_output = False
        self._failures += 1

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    def _choose_model(self) -> None:
        """Lets the next run ask the model that was chosen; what is of the old one goes."""
        if self._link.choose():
            self._resumption.drop()
            self._mapper = self._new_mapper(self._link.models)

    def _returns_to_own_model(self) -> bool:
        """Whether now, between two answers, the agent's own model is asked again."""
        is_between = not self._mapper.is_answering and not self._queue.has_text
        return is_between and self._link.returns()

    def _connection_is_over(self, error: BaseException | None) -> None:
        is_ours = self._closing.is_set() or self._watch.is_ending
        # A handle that the model no longer knows says nothing about the model.
        is_forgotten = bool(self._resumption.handle) and close_code_of(error) == POLICY_VIOLATION
        self._link.over(error, is_ours=is_ours or is_forgotten)

    # ConnectionObserver -------------------------------------------------------

    async def connecting(self, request: LlmRequest, model: BaseLlm) -> BaseLlm:
        """ADK opens a connection; one that it reopens by itself is told of and paced."""
        self.connects += 1
        equip(request, self.questions)
        if not any(request is one for one in self._requests):
            self._requests.append(request)
        else:
            self._resumption.connects_again()
            await self._reconnecting()
        if self._state is _State.CONNECTING:
            await self._link.tell_away(_FIRST_PATIENCE_S)
        return await self._link.admit(model)

    async def _reconnecting(self) -> None:
        self._state = _State.RECONNECTING
        await self._end_interruption()
        self._metrics.agent_reconnects.inc()
        self._count_failure()
        await self._link.tell_away()
        is_kept = self._queue.has_text and not self._mapper.is_answering
        if not is_kept and (self._mapper.is_answering or self._turn.is_open(self._now())):
            await self._tell_lost(RECONNECTED, is_lost=True)  # the rest never comes
        self._mapper.reset()
        if self._failures >= self._retry.attempts:
            raise RedialLimit
        if self._failures > 1:
            await self._pause(self._retry.delay_s(self._failures))

    async def connected(self) -> None:
        """A connection is open."""
        self._link.connected()
        self._is_told = False
        self._connections += 1
        self._connected_at = self._now()
        if self._state is not _State.CLOSED:
            self._state = _State.CONNECTED
        if self.speaks_only:
            self._on_speaks_only()
        await self._link.tell_back()

    def refused(self, error: BaseException) -> None:
        """A connection was not taken."""
        self._connection_is_over(error)

    def disconnected(self, error: BaseException | None) -> None:
        """A connection is gone."""
        self._connection_is_over(error)
        self._connections -= 1
        if self._connections == 0 and self._state is _State.CONNECTED:
            self._state = _State.RECONNECTING

    # ModelListener --------------------------------------------------------------

    def tool_calls_cancelled(self, ids: Sequence[str]) -> None:
        """The model takes calls back: they are stopped, told of, and not answered."""
        self._tools.cancel(ids)
        self.questions.take_back(ids)

    def _tool_call_abandoned(self, id: str) -> None:
        told = self._calls.abandoned(id)
        if told is not None:
            self._tell(told)

    def interrupted_ahead(self) -> None:
        """The user has interrupted the model, while ADK waits for a tool."""
        self._is_interrupted_ahead = True
        self.questions.withdraw()
        self._tell(ModelInterrupted(ahead=True))

    def urls_read(self, metadata: types.UrlContextMetadata) -> None:
        """The model has read pages of the web."""
        for told in self._mapper.urls_read(metadata):
            self._tell(told)

    async def _end_interruption(self) -> None:
        """What was interrupted is over, although ADK will not say so any more."""
        if self._is_interrupted_ahead:
            self._is_interrupted_ahead = False
            await self._emit(ModelInterrupted())

    # Events -------------------------------------------------------------------

    def _new_mapper(self, models: AgentModels) -> LiveEventMapper:
        return LiveEventMapper(cumulative_input=models.cumulative_input, calls=self._calls)

    def _tell(self, event: LiveEvent) -> None:
        """As :meth:`_emit`, where nothing can wait; lost on a caller who reads nothing."""
        if not self._closing.is_set():
            with contextlib.suppress(asyncio.QueueFull):
                self._events.put_nowait(event)

    async def _emit(self, event: LiveEvent) -> None:
        if isinstance(event, ModelInterrupted):
            self.questions.withdraw()
        if not self._closing.is_set():
            await self._events.put(event)

    def _discard_events(self) -> None:
        while not self._events.empty():
            self._events.get_nowait()

    def _end_events(self) -> None:
        """The end mark always finds room: a full queue is of a caller who has gone."""
        if self._events.full():
            self._discard_events()
        self._events.put_nowait(None)

    def _count_dropped(self, seconds: float) -> None:
        reason = "reconnecting" if self._state is _State.RECONNECTING else "stalled"
        self._metrics.audio_dropped.labels("uplink", reason).inc(seconds)


def _kept_nowhere(key: str, value: object) -> None:
    """For runs without a history."""
