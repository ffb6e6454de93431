"""``CascadeLive`` for the embedded agent: text calls, coughs, and timers that speak up.

This module alone knows private attributes of ``google.adk.live`` (read in 2.13.0:
``_state``, ``_contents``, ``_emit``, ``_input_ready``, ``_start_reasoning``,
``_on_speech_started``, ``_on_user_turn_finished``, ``_turn``, ``_turn_loop``,
``_ingress_task``, ``_playback_start``, ``_turn_audio_ms``); a test fails when one of them goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from google.adk.live import (
    CascadeLive,
    LiveEgress,
    LiveIngress,
    UserSpeechStarted,
    UserTurnFinished,
)
from google.adk.live._cascade_live_connection import CascadeLiveConnection, _State
from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection, RealtimeInput
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types
from pydantic import Field
from typing_extensions import override

from .language_model import GO_ON_NOTE, timer_note
from .text_to_speech import TextOnly
from .timers import STATE_KEY, Timer, read_instruction, read_timers

__all__ = ["LocalCascade", "LocalConnection", "TimerWatch"]

_CLOSE_TIMEOUT_S = 1.0
_SPOKEN_S = 2.0  # an answer is left alone for so long before a timer breaks it off
_LEFT_S = 4.0  # and is let finish if it takes no longer than this
_LONGEST_WAIT_S = 1.0  # the wall clock may be set while a timer runs


class LocalCascade(CascadeLive):
    """A ``CascadeLive`` that stays silent in text calls and answers after a false alarm."""

    clock: Callable[[], float] = Field(default=time.time, exclude=True)
    """Seconds since the epoch, for timers."""

    def __init__(self, model: str | BaseLlm, **data: Any) -> None:
        super().__init__(model, **data)

    @contextlib.asynccontextmanager
    @override
    async def connect(self, llm_request: LlmRequest) -> AsyncGenerator[BaseLlmConnection, None]:
        """Open one call's connection; it is closed, with all its tasks, on leaving."""
        tts = TextOnly() if _wants_text(llm_request) else self.tts
        connection = LocalConnection(
            llm_request, self._resolve_llm(), self.stt, tts, clock=self.clock
        )
        watch = asyncio.create_task(connection.watch_timers(), name="local-agent-timers")
        try:
            yield connection
        finally:
            watch.cancel()
            await asyncio.wait([watch], timeout=_CLOSE_TIMEOUT_S)
            await connection.close()


class TimerWatch:
    """The timers of one connection; each is announced once."""

    def __init__(self, timers: Sequence[Timer]) -> None:
        self._announced: set[str] = set()
        self._timers: list[Timer] = []
        self.update(timers)

    def update(self, timers: Sequence[Timer]) -> None:
        """Take the timers that are pending now; one that was announced stays announced."""
        self._timers = [timer for timer in timers if timer.id not in self._announced]

    def is_due(self, now: float) -> bool:
        """Whether there is a timer to be announced."""
        return any(timer.due <= now for timer in self._timers)

    def take_due(self, now: float) -> Timer | None:
        """Return the timer longest due, at most once, or None."""
        due = min(self._timers, key=lambda timer: timer.due, default=None)
        if due is None or due.due > now:
            return None
        self._announced.add(due.id)
        self.update(self._timers)
        return due

    def seconds_left(self, now: float) -> float | None:
        """Return the time to the next one, 0 if it is due already; None without timers."""
        dues = [timer.due for timer in self._timers]
        return max(0.0, min(dues) - now) if dues else None


class LocalConnection(CascadeLiveConnection):
    """One call's connection.

    * A false alarm (speech that proves to be none) is followed by the answer it cut off.
    * A timer that is due becomes a turn as soon as neither side speaks; a long answer is
      broken off for it, and taken up again behind the announcement.
    """

    def __init__(
        self,
        llm_request: LlmRequest,
        llm: BaseLlm,
        stt: LiveIngress,
        tts: LiveEgress,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._timers = TimerWatch(read_instruction(_instruction(llm_request)))
        self._changed = asyncio.Event()
        self._user_speaks = False
        self._tools_run = False
        self._cut_off = False  # the speech that goes on now interrupted an answer
        super().__init__(llm_request, llm, stt, tts)

    # ----- what comes in ---------------------------------------------------------------

    @override
    async def send_content(self, content: types.Content) -> None:
        """Take a user's text or a tool's result; the results of timer tools set the watch."""
        for part in content.parts or []:
            if part.function_response is not None:
                self._tools_run = False
                response = part.function_response.response or {}
                if STATE_KEY in response:
                    self._timers.update(read_timers(response[STATE_KEY]))
        self._changed.set()
        await super().send_content(content)

    @override
    async def send_realtime(self, blob: RealtimeInput) -> None:
        """Take audio or a signal; ``ActivityStart`` from outside interrupts and is no alarm."""
        await super().send_realtime(blob)
        if isinstance(blob, types.ActivityStart):
            self._user_speaks = self._cut_off = False
            self._changed.set()

    @override
    async def _on_speech_started(self, event: UserSpeechStarted) -> None:
        self._user_speaks = True
        self._cut_off = self._state is not _State.LISTENING
        await super()._on_speech_started(event)

    @override
    async def _on_user_turn_finished(self, event: UserTurnFinished) -> None:
        self._user_speaks = False
        cut_off, self._cut_off = self._cut_off, False
        self._changed.set()
        if event.text:
            await super()._on_user_turn_finished(event)
        elif cut_off:
            await self._take_up_answer()

    async def _take_up_answer(self) -> None:
        """Answer the last user turn again, or go on where the answer was broken off."""
        if self._contents and self._contents[-1].role == "user":
            self._start_reasoning()
        else:
            await self.send_content(_user_turn(GO_ON_NOTE))

    # ----- timers ----------------------------------------------------------------------

    async def watch_timers(self) -> None:
        """Speak up when a timer is due; runs until it is cancelled."""
        while True:
            self._changed.clear()
            broken_off = self._timers.is_due(self._clock()) and await self._break_off()
            if self._is_idle and (due := self._timers.take_due(self._clock())):
                await self.send_content(_user_turn(timer_note(due.id, go_on=broken_off)))
                continue
            left = self._timers.seconds_left(self._clock())
            # Due but not idle: whatever ends that sets the event.
            timeout = None if left is None else min(left or _LONGEST_WAIT_S, _LONGEST_WAIT_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout)

    async def _break_off(self) -> bool:
        """Stop the answer that is being spoken, if it will be long and was not just begun."""
        start = self._playback_start
        if self._state is not _State.AGENT_SPEAKING or self._user_speaks or start is None:
            return False
        spoken = time.perf_counter() - start
        if spoken < _SPOKEN_S or self._turn_audio_ms / 1000 - spoken < _LEFT_S:
            return False
        await super()._on_speech_started(UserSpeechStarted())
        return True

    @property
    def _is_idle(self) -> bool:
        return (
            self._state is _State.LISTENING
            and not self._input_ready.is_set()
            and not self._user_speaks
            and not self._tools_run
        )

    @override
    def _emit(self, response: LlmResponse) -> None:
        content = response.content
        if content is not None and any(part.function_call for part in content.parts or []):
            self._tools_run = True
        self._changed.set()
        super()._emit(response)

    # ----- the end ---------------------------------------------------------------------

    @override
    async def close(self) -> None:
        """Close and wait for the tasks, at most a second; may be called again."""
        await super().close()
        tasks: set[asyncio.Task[Any]] = {
            task
            for task in (self._turn, self._turn_loop, self._ingress_task)
            if task is not None and task is not asyncio.current_task()
        }
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_TIMEOUT_S)


def _user_turn(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


def _wants_text(request: LlmRequest) -> bool:
    modalities = request.live_connect_config.response_modalities or []
    return [str(getattr(modality, "value", modality)).upper() for modality in modalities] == [
        "TEXT"
    ]


def _instruction(request: LlmRequest) -> str:
    instruction = request.config.system_instruction
    return instruction if isinstance(instruction, str) else ""
