"""The media bridge: one call, from its offer to its end.

It owns a peer connection and a live session, opens and closes both, and joins them:

* the peer's uplink audio and messages go to the live session,
* the live session's events go through the :class:`~rtc_server.conversation.Conversation`
  to the playout buffer and the data channel,
* each frame that leaves goes back into the conversation, which thus knows what was heard.

All its tasks live in one TaskGroup, and whatever ends the call raises
:exc:`~rtc_server.errors.CallEnded` in it, so there is one way out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .actions import Action, InterruptModel, RenewModel, SendPrompt, SendText, Spoken
from .agent.agent_runtime import AgentRuntime
from .agent.live_events import AgentFailed, SpeechStored
from .agent.live_session import LiveSession
from .agent.sessions.heard_history import HeardHistory
from .call_limits import CallLimits
from .call_service import Modality
from .call_trace import CallTrace
from .caller_side import CallerSide
from .conversation import Conversation, ConversationRules
from .errors import CallEnded, Outcome
from .headroom import Headroom
from .idle_prompt import IdlePrompt
from .media.away_notice import load_notice
from .media.playout_buffer import PlayoutBuffer, PlayoutFrame
from .messages import (
    ClientMessage,
    Error,
    GoAway,
    Latency,
    Ready,
    ServerMessage,
    State,
    Turn,
)
from .metrics import Metrics
from .peer.connection import PeerConnection
from .peer.offer import Offer
from .peer.uplink import UplinkAudio
from .settings import Limits, Settings

__all__ = ["CallIdentity", "MediaBridge"]

logger = logging.getLogger(__name__)

_TICK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIdentity:
    """Who is in the call, with which agent, in which conversation."""

    call_id: str
    session_id: str
    user_id: str
    agent: str
    modality: Modality
    resumed: bool
    peer_is_loopback: bool
    run_config: Mapping[str, Any]
    client_tools: Sequence[Mapping[str, Any]] = ()


class MediaBridge:
    """Joins one peer and one live session; see the module.

    Args:
        identity: who is in the call.
        offer: the caller's offer, parsed.
        runtime: the agent.
        headroom: says what the downlink must save.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        identity: CallIdentity,
        offer: Offer,
        runtime: AgentRuntime,
        *,
        settings: Settings,
        metrics: Metrics,
        headroom: Headroom | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity
        self.trace = CallTrace(
            {
                "rtc.call_id": identity.call_id,
                "gen_ai.conversation.id": identity.session_id,
                "gen_ai.agent.name": identity.agent,
                "rtc.modality": identity.modality,
                "rtc.resumed": identity.resumed,
            },
            clock=clock,
        )
        self._runtime = runtime
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._begun_at = clock()
        self._connected_at: float | None = None
        self._interrupted_at: float | None = None
        self._at_work_at = float("-inf")
        self._is_draining = False
        self._limits = CallLimits(settings.limits.max_call_s, settings.limits.idle_s)
        self._idle_prompt = IdlePrompt(settings.idle_prompt, settings.limits.idle_prompt_s)
        self._message_bytes = offer.message_bytes
        self._live: LiveSession | None = None
        self._history: HeardHistory | None = None
        self._end: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._is_ending = asyncio.Event()
        has_sound = identity.modality == "audio"
        playout = PlayoutBuffer(capacity_s=settings.limits.playout_s)
        allow_state = frozenset(_changeable(settings.allow_state))
        self._conversation = Conversation(
            playout,
            ConversationRules(
                modality=identity.modality,
                show_tools=settings.show_tools or identity.peer_is_loopback,
                show_thoughts=settings.show_thoughts,
                allow_state=allow_state,
                text_during_speech=settings.text_during_speech,
                answer_timeout_s=settings.limits.answer_s,
                may_stay_silent=runtime.may_stay_silent(identity.run_config),
                owes_signs=runtime.owes_signs(identity.run_config),
                passes_over_voice=runtime.models.is_cascade,
                kept_sound_s=settings.limits.uplink_backlog_s,
                tool_timeout_s=_tool_timeout_s(settings.limits),
                away_notice=load_notice(settings.away_notice) if has_sound else None,
            ),
            uplink_ms=lambda: self._caller.uplink_ms,
        )
        self._caller = CallerSide(
            self._conversation,
            perform=self._perform,
            send=self._send,
            allow_state=allow_state,
            has_audio_section=offer.has_audio,
            picture_px=settings.limits.picture_px,
            metrics=metrics,
            clock=clock,
        )
        self.peer = PeerConnection(
            offer,
            settings=settings,
            metrics=metrics,
            playout=playout,
            sink=self,
            headroom=headroom,
            clock=clock,
        )

    # ------------------------------------------------------------------
    # The life of the call
    # ------------------------------------------------------------------

    async def run(
        self, answered: Callable[[str], None], may_start: Callable[[], Awaitable[None]]
    ) -> Outcome:
        """Live through the whole call and say why it ended.

        Args:
            answered: is given the answer SDP as soon as there is one.
            may_start: awaited before the agent is started; an older call of the same
                session ends first.

        Raises:
            CallError: the negotiation failed; nothing is left open.
        """
        self._send(State(state=self._conversation.state))
        async with self.peer:
            answered(await self.peer.answer())
            async with asyncio.TaskGroup() as beside:
                beside.create_task(self._part_with_peer(), name="call-parting")
                outcome = await self._live_through(may_start)
        return outcome

    async def _live_through(self, may_start: Callable[[], Awaitable[None]]) -> Outcome:
        outcome = Outcome.INTERNAL_ERROR
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_told(), name="call-end")
                group.create_task(self.peer.wait_closed(), name="peer-closed")
                group.create_task(self._serve(may_start), name="call-serve")
        except* CallEnded as ended:
            outcome = _first_outcome(ended)
        except* Exception:
            # The boundary of the call: the caller is told, and the log says what it was.
            logger.exception("the call failed")
            self._send(
                Error(
                    code="internal_error",
                    message="Something went wrong in the server; please call again.",
                    retryable=True,
                )
            )
        finally:
            self._is_ending.set()
            self._end_conversation()
            if self._history is not None:
                self._history.close()
        return outcome

    async def _part_with_peer(self) -> None:
        """Says goodbye as soon as the call is to end, while its agent still does."""
        await self._is_ending.wait()
        self._end_conversation()
        # What was said last, a goaway above all, is to reach the caller.
        await self.peer.data_channel.drain(timeout_s=0.5)
        await self.peer.close()

    def end(
        self,
        outcome: Outcome,
        reason: Literal["drain", "max_duration", "idle", "replaced"] | None = None,
    ) -> None:
        """End the call soon; with a ``reason`` the caller is told by a goaway."""
        if not self._end.done():
            self._end_conversation()
            if reason is not None:
                self._send(GoAway(reason=reason, seconds=0))
            self._end.set_result(outcome)

    def announce_end(
        self, reason: Literal["drain", "max_duration", "idle"], seconds: float
    ) -> None:
        """Tell the caller that the call will end; nothing else changes."""
        self._is_draining |= reason == "drain"
        self._send(GoAway(reason=reason, seconds=round(seconds, 1)))

    def _end_conversation(self) -> None:
        """Answers that were being given end, each with its turn message."""
        for action in self._conversation.end(self._clock()):
            if isinstance(action, ServerMessage):
                self._send(action)

    async def _until_told(self) -> None:
        outcome = await asyncio.shield(self._end)
        self._is_ending.set()
        raise CallEnded(outcome)

    async def _serve(self, may_start: Callable[[], Awaitable[None]]) -> None:
        await self.peer.wait_connected()
        self._connected_at = self._clock()
        self._metrics.call_setup.observe(self._connected_at - self._begun_at)
        self.trace.connected()
        await may_start()
        identity = self.identity
        self._history = self._runtime.open_history(
            identity.user_id, identity.session_id, identity.modality
        )
        greeting = await self._greeting()
        live = self._runtime.open_live_session(
            user_id=identity.user_id,
            session_id=identity.session_id,
            modality=identity.modality,
            run_config=identity.run_config,
            client_tools=identity.client_tools,
            message_bytes=self._message_bytes,
            call_id=identity.call_id,
            history=self._history,
        )
        async with live:
            self._live = live
            try:
                self._start(live, greeting)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read_agent(live), name="agent-events")
                    group.create_task(self._tick(), name="call-tick")
            finally:
                self._caller.close()
                self._live = None

    async def _greeting(self) -> str | None:
        """What makes the agent speak first, where it has not said a word in this session yet."""
        identity = self.identity
        greeting = self._settings.greeting or None
        if greeting is None or not identity.resumed:
            return greeting
        try:
            sessions = self._runtime.sessions
            spoke = await sessions.has_agents_words(identity.user_id, identity.session_id)
        except Exception:  # whatever the session service raises; the run will say so
            logger.exception("the session cannot be read; nobody is greeted")
            return None
        return None if spoke else greeting

    def _start(self, live: LiveSession, greeting: str | None) -> None:
        now = self._clock()
        self._perform(self._conversation.start(now))
        self.trace.ready()
        if greeting is not None:
            self._perform(self._conversation.on_prompt(greeting, now, is_greeting=True))
        self._caller.open(live)

    async def _read_agent(self, live: LiveSession) -> None:
        """Drains the agent's events at once: an interruption must not wait behind audio."""
        async for event in live.events():
            if isinstance(event, SpeechStored) and self._history is not None:
                self._history.belongs(event.event_id, self._conversation.spoken_turn)
            self._perform(self._conversation.on_live_event(event, self._clock()))
            if isinstance(event, AgentFailed) and not event.retryable:
                break
        self.end(Outcome.AGENT_FAILED)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._clock()
            self._perform(self._conversation.tick(now))
            if self._live is not None and self.peer.data_channel.closed.is_set():
                self._live.questions.nobody_there()
            self._watch_limits(now)
            self._prompt_if_idle(now)

    def _prompt_if_idle(self, now: float) -> None:
        talk = self._conversation
        is_ending = self._limits.is_ending or self._is_draining
        prompt = self._idle_prompt.due(
            now,
            quiet_since=talk.last_activity_at,
            user_said_at=talk.user_said_at,
            is_listening=talk.is_idle and not self._is_at_work and not is_ending,
        )
        if prompt is not None:
            self._perform(talk.on_prompt(prompt, now))

    @property
    def _is_at_work(self) -> bool:
        """The caller is asked something, or waits for the agent, whose tools may be at work."""
        is_asked = self._live is not None and self._live.questions.waiting > 0
        return is_asked or self._conversation.is_at_work

    def _watch_limits(self, now: float) -> None:
        started_at = self._begun_at if self._connected_at is None else self._connected_at
        idle_since = self._idle_prompt.idle_since(
            quiet_since=self._conversation.last_activity_at,
            user_said_at=self._conversation.user_said_at,
        )
        if self._is_at_work:
            self._at_work_at = now
        idle_since = max(idle_since, self._at_work_at)
        for ending in self._limits.check(now, started_at=started_at, idle_since=idle_since):
            if ending.seconds > 0:
                self.announce_end(ending.reason, ending.seconds)
            else:
                self.end(Outcome(ending.reason))

    # ------------------------------------------------------------------
    # From the peer (PeerSink)
    # ------------------------------------------------------------------

    def on_audio(self, audio: UplinkAudio) -> None:
        """20 ms of the caller's microphone."""
        self._caller.on_audio(audio)

    def on_stream_end(self) -> None:
        """The caller's stream has paused for good."""
        self._caller.on_stream_end()

    def on_message(self, message: ClientMessage) -> None:
        """The caller sent a message."""
        self._caller.on_message(message)

    def takes_pictures(self) -> bool:
        """Whether a frame of the caller's video would reach the agent now."""
        return self._caller.takes_pictures()

    def on_picture(self, jpeg: bytes) -> None:
        """A frame of the caller's video."""
        self._caller.on_picture(jpeg)

    def on_frame_sent(self, frame: PlayoutFrame, at: float) -> None:
        """20 ms of the agent's audio left."""
        if self._interrupted_at is not None:
            # The flush left no old frame: this one is of silence, or of the next answer.
            self._metrics.barge_in.observe(max(0.0, at - self._interrupted_at))
            self._interrupted_at = None
        self._perform(self._conversation.on_frame_sent(frame, at))

    def greeting(self) -> ServerMessage:
        """The first message on the data channel."""
        identity = self.identity
        return Ready(
            call_id=identity.call_id,
            session_id=identity.session_id,
            agent=identity.agent,
            modality=identity.modality,
            resumed=identity.resumed,
            pictures=self._runtime.models.takes_pictures,
        )

    # ------------------------------------------------------------------
    # What the conversation decided
    # ------------------------------------------------------------------

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Spoken(dropped_s):
                    if self.peer.downlink is not None:
                        self.peer.downlink.wake()
                    if dropped_s:
                        self._metrics.audio_dropped.labels("downlink", "overflow").inc(dropped_s)
                case InterruptModel():
                    if self._live is not None:
                        self._live.interrupt()
                case RenewModel(prompt):
                    if self._live is not None:
                        self._live.renew(prompt)
                case SendPrompt(text, again):
                    if self._live is not None:
                        self._live.send_prompt(text, again=again)
                case SendText(text):
                    if self._live is not None:
                        self._live.send_text(text)
                case _:
                    self._observe(action)
                    self._send(action)

    def _observe(self, message: ServerMessage) -> None:
        match message:
            case Latency(response_ms=float(response_ms)):
                self._metrics.response.observe(response_ms / 1000)
            case Turn(interrupted=True) if self._conversation.state == "speaking":
                self._interrupted_at = self._clock()
                if self.peer.downlink is not None:
                    self.peer.downlink.wake()
            case Error(code="agent_timeout" | "speech_not_heard" as code):
                self._metrics.agent_errors.labels(code).inc()

    def _send(self, message: ServerMessage) -> None:
        if self.trace.is_recording:
            n = getattr(message, "turn", None)
            self.trace.told(message, self._conversation.find_answer(n))
        if self._history is not None:
            self._history.told(message)
        self.peer.data_channel.send(message)

    # ------------------------------------------------------------------
    # For GET /api/calls/<id>
    # ------------------------------------------------------------------

    async def describe(self) -> dict[str, Any]:
        """State, timings and media statistics, as JSON-serialisable values."""
        now = self._clock()
        connected_at = self._connected_at
        uplink_ms = self._caller.uplink_ms
        return {
            "call_id": self.identity.call_id,
            "session_id": self.identity.session_id,
            "agent": self.identity.agent,
            "modality": self.identity.modality,
            "resumed": self.identity.resumed,
            "connected": connected_at is not None,
            "state": self._conversation.state,
            "turns": self._conversation.answers,
            "timings": {
                "age_s": round(now - self._begun_at, 3),
                "setup_ms": None
                if connected_at is None
                else round((connected_at - self._begun_at) * 1000, 1),
                "uplink_ms": None if uplink_ms is None else round(uplink_ms, 1),
            },
            "media": await self.peer.stats(),
        }


def _changeable(keys: Iterable[str]) -> list[str]:
    """Those of the allowed keys that are the call's own; no caller changes what others share."""
    return [key for key in keys if not key.startswith(("app:", "user:", "temp:", "rtc:"))]


def _tool_timeout_s(limits: Limits) -> float:
    """So long a tool may hold up an answer: the caller's consent, the tool, and the answer."""
    return limits.confirm_s + max(limits.tool_s, limits.client_tool_s) + limits.answer_s


def _first_outcome(group: BaseExceptionGroup[CallEnded]) -> Outcome:
    for one in group.exceptions:
        return one.outcome if isinstance(one, CallEnded) else _first_outcome(one)
    return Outcome.INTERNAL_ERROR
