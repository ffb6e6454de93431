"""The agent's side of one call: a live run, and the next one when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from google.adk.agents.live_request_queue import LiveRequest
from google.genai import types

from ..media.piece_joiner import PieceJoiner
from ..metrics import Metrics
from .adk_internals import sync_tools_on
from .agent_models import AgentModels, observing
from .failures import (
    ENDED,
    GAVE_UP,
    RECONNECTED,
    UNSUPPORTED_DATA,
    AgentStalled,
    Failure,
    RedialLimit,
    close_code_of,
)
from .live_event_mapper import LiveEventMapper
from .live_events import (
    AgentAudio,
    AgentFailed,
    AgentText,
    AgentTranscript,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
    ToolCalled,
)
from .live_request_queue import BoundedLiveRequestQueue, LiveRequestQueueFull
from .live_run_config import LiveOptions, vad_is_off
from .model_stamp import ModelStamp
from .retry_rules import RetryRules
from .session_store import SessionStore

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
    ) -> None:
        self._runner = runner
        self._sessions = sessions
        self._models = models
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
        self._vad_is_off = vad_is_off(options.run_config(modality, offered=offered))

        self.speaks_only = modality == "text" and speaks_only
        """Whether this is a text call of a model that only speaks: its transcript is its text."""

        self._queue = BoundedLiveRequestQueue(
            audio_s=uplink_backlog_s, on_audio_dropped=self._count_dropped
        )
        self._joiner = PieceJoiner()
        self._is_activity_open = False  # push-to-talk
        self._mapper = LiveEventMapper(cumulative_input=models.cumulative_input)
        self._events: asyncio.Queue[LiveEvent | None] = asyncio.Queue(_MAX_EVENTS)
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._state = _State.NEW

        self.connects = 0
        self._failures = 0
        self._connections = 0
        self._connected_at = 0.0
        self._has_output = False
        self._requests: deque[LlmRequest] = deque(maxlen=8)
        """Of the latest connections of this run: a reconnect has the one of the first connect."""
        self._handle: str | None = None
        self._handle_agent: str | None = None

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
            content = types.Content(role="user", parts=[types.Part(text=text)])
            self._put(lambda: self._queue.send_content(content))

    def send_image(self, mime_type: str, data: bytes) -> None:
        """A picture for the agent."""
        self._put(lambda: self._queue.send_realtime(types.Blob(data=data, mime_type=mime_type)))

    def send_activity(self, state: Literal["start", "end"]) -> bool:
        """Push-to-talk; False where the model's own voice detection is on.

        Gemini closes the connection of a caller who signals what it listens for itself.
        """
        if self._models.is_gemini and not self._vad_is_off:
            return False
        if self._state in (_State.CONNECTING, _State.CONNECTED):
            start = self._is_activity_open = state == "start"
            queue = self._queue
            self._put(queue.send_activity_start if start else queue.send_activity_end)
        return True

    def send_state(self, delta: Mapping[str, Any]) -> None:
        """A change to the session state."""
        self._put(lambda: self._queue.send(LiveRequest(state_delta=dict(delta))))

    def interrupt(self) -> bool:
        """Make the model stop speaking; False if it cannot be told to."""
        can = self._models.is_cascade or self._vad_is_off
        if not can or self._state is not _State.CONNECTED:
            return False
        self._put(self._queue.send_activity_start)
        return True

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
                error = await self._run_and_watch()
                if self._closing.is_set():
                    return
                self._state = _State.RECONNECTING
                self._is_activity_open = False
                self._send_waiting_audio()  # to be dropped and counted with the rest
                self._queue.start_over()
                if self._falls_back_to_speech(error):
                    continue
                if not await self._fail(error):
                    return
        finally:
            self._end_events()

    async def _fail(self, error: BaseException | None) -> bool:
        """Tells of the failure and waits; False if no further run is to be started."""
        failure = ENDED if error is None else Failure.of(error)
        if error is None:
            self._log.warning("the agent ended its run unasked")
        else:
            self._log.error("the agent's run failed: %s", failure.code, exc_info=error)
        if not isinstance(error, RedialLimit):
            self._count_failure()
        if self._failures > 1:
            self._handle = None  # it did not help once; the history is told anew instead
        self._metrics.agent_errors.labels(failure.code).inc()
        self._mapper.reset()
        if self._failures >= self._retry.attempts:
            await self._emit(AgentFailed(failure.code, GAVE_UP, retryable=False))
            return False
        await self._emit(AgentFailed(failure.code, failure.message, retryable=True))
        await self._pause(self._retry.delay_s(self._failures))
        self._metrics.agent_reconnects.inc()
        return True

    async def _run_and_watch(self) -> BaseException | None:
        """One run; returns what it raised, None if it just ended.

        The run has a task of its own, because ADK's generators are to be iterated in one
        task, and because a run must be given up that takes nothing, or whose sender has died:
        it would go on speaking, deaf.
        """
        run = asyncio.create_task(self._run(), name="agent-run")
        deaf: BaseException | None = None
        try:
            while not run.done():
                await asyncio.wait({run}, timeout=min(1.0, self._retry.stall_s / 4))
                if run.done() or self._closing.is_set() or not self._connections:
                    continue
                before, deaf = deaf, self._queue.taker_error or self._stall()
                # A dead connection kills the sender a moment before ADK renews both.
                if deaf is not None and type(before) is type(deaf):
                    await self._cancel(run)
                    return deaf
        finally:
            await self._cancel(run)
            self._connections = 0
            self._requests.clear()
        if not run.done():
            return AgentStalled()
        if run.cancelled():
            return asyncio.CancelledError()
        return run.exception()

    def _stall(self) -> AgentStalled | None:
        return AgentStalled() if self._queue.waited_s() > self._retry.stall_s else None

    async def _cancel(self, run: asyncio.Task[None]) -> None:
        """Cancel the run, whose generator then closes itself; bounded in time."""
        if run.done():
            return
        run.cancel()
        await asyncio.wait({run}, timeout=self._retry.close_s)
        if not run.done():
            self._log.error("the agent's run does not end; it is left to itself")

    async def _run(self) -> None:
        if self._state is _State.CONNECTING:
            agent_name = self._models.first_agent
            await self._sessions.close_open_turn(self._user_id, self._session_id, agent_name)
        if not self._models.observed:
            self.connected()
        with observing(self), sync_tools_on(self._executor):
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
            resumable=self._models.is_gemini,
            handle=self._handle,
            offered=self._offered,
        )

    async def _on_adk_event(self, adk_event: Event) -> None:
        if self._closing.is_set():
            return
        self._keep_handle(adk_event)
        for event in self._mapper.map(adk_event):
            if isinstance(event, _OUTPUT):
                self._has_output = True
            elif isinstance(event, _END_OF_ANSWER):
                self._failures = 0 if self._has_output else self._failures
                self._has_output = False
            elif isinstance(event, AgentFailed):
                self._has_output = False
                self._metrics.agent_errors.labels(event.code).inc()
            await self._emit(event)

    def _keep_handle(self, adk_event: Event) -> None:
        """The newest resumption handle of the agent that speaks; never an empty one."""
        author = adk_event.author
        if author not in ("user", self._handle_agent):
            # Another agent has a live session of its own.
            self._handle, self._handle_agent = None, author
        update = adk_event.live_session_resumption_update
        if update is not None and update.new_handle:
            self._handle = update.new_handle

    def _falls_back_to_speech(self, error: BaseException | None) -> bool:
        """Whether the model refused to answer in text and is now asked to speak."""
        refused = error is not None and close_code_of(error) == UNSUPPORTED_DATA
        if not refused or self._modality != "text" or self.speaks_only or self._failures:
            return False
        self.speaks_only = True
        return True

    def _count_failure(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._connected_at and now - self._connected_at > self._retry.stable_s:
            self._failures = 0
        self._connected_at = 0.0
        self._has_output = False
        self._failures += 1

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    # ConnectionObserver -------------------------------------------------------

    async def connecting(self, request: LlmRequest) -> None:
        """ADK opens a connection; one that it reopens by itself is told of and paced."""
        self.connects += 1
        if not any(request is one for one in self._requests):
            self._requests.append(request)
            return
        self._state = _State.RECONNECTING
        self._metrics.agent_reconnects.inc()
        self._count_failure()
        if self._mapper.is_answering:  # the rest of that answer never comes
            await self._emit(AgentFailed(RECONNECTED.code, RECONNECTED.message, retryable=True))
        self._mapper.reset()
        if self._failures >= self._retry.attempts:
            raise RedialLimit
        if self._failures > 1:
            await self._pause(self._retry.delay_s(self._failures))

    def connected(self) -> None:
        """A connection is open."""
        self._connections += 1
        self._connected_at = asyncio.get_running_loop().time()
        if self._state is not _State.CLOSED:
            self._state = _State.CONNECTED
        if self.speaks_only:
            self._on_speaks_only()

    def disconnected(self) -> None:
        """A connection is gone."""
        self._connections -= 1
        if self._connections == 0 and self._state is _State.CONNECTED:
            self._state = _State.RECONNECTING

    # Events -------------------------------------------------------------------

    async def _emit(self, event: LiveEvent) -> None:
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
