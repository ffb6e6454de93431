"""What comes from the caller: sound, pictures and messages, on their way to the agent.

Sound and pictures go to the live session; what is said in the conversation goes through the
:class:`~rtc_server.conversation.Conversation`, which decides what is done about it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from .actions import Action
from .agent.live_session import LiveSession
from .caller_messages import NO_SUCH_TOOL_CALL, NOBODY_ASKED
from .checked_pictures import CheckedPictures
from .conversation import Conversation
from .media.piece_joiner import JOINED_PIECES
from .message_microphone import MessageMicrophone
from .messages import (
    Activity,
    ClientMessage,
    ClientText,
    ClientToolResult,
    Confirmation,
    Error,
    Image,
    Interrupt,
    MicrophoneAudio,
    Mute,
    Ping,
    Pong,
    ServerMessage,
    SessionState,
)
from .metrics import Metrics
from .peer.uplink import UplinkAudio

__all__ = ["CallerSide"]

_PIECE_MS = 20
_EARLY_MESSAGES = 16

_NOT_READY = Error(
    code="not_ready",
    message="The agent is not ready yet; this message was not taken.",
    retryable=True,
)
_ACTIVITY_REFUSED = Error(
    code="activity_refused",
    message="The agent's model listens for speech itself; push-to-talk is off.",
    retryable=False,
)
_HAS_A_MICROPHONE = Error(
    code="unknown_type",
    message="This call has a microphone track; audio messages are not taken.",
    retryable=False,
)
_NOT_SEEN = Error(
    code="pictures_refused",
    message="The agent's model does not look at pictures; it has not seen this one.",
    retryable=False,
)
_STATE_REFUSED = Error(
    code="state_refused",
    message="The server does not let a caller change this session state.",
    retryable=False,
)


class CallerSide:
    """Of one call; it acts between :meth:`open` and :meth:`close`.

    Args:
        conversation: is told what the caller says.
        perform: does what the conversation decides.
        send: sends the caller a message.
        allow_state: keys of the session state that the caller may change.
        has_audio_section: the microphone is a track, and no messages.
        picture_px: the longest side of a picture for the agent.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        perform: Callable[[Sequence[Action]], None],
        send: Callable[[ServerMessage], None],
        allow_state: frozenset[str],
        has_audio_section: bool,
        picture_px: int,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.uplink_ms: float | None = None
        """How long the last uplink packet took to the agent."""

        self._conversation = conversation
        self._perform = perform
        self._send = send
        self._allow_state = allow_state
        self._metrics = metrics
        self._clock = clock
        self._live: LiveSession | None = None
        self._is_over = False
        self._muted = False
        self._early: deque[ClientMessage] = deque(maxlen=_EARLY_MESSAGES)
        # When the packets arrived whose samples the live session keeps to join them.
        self._waiting: deque[float] = deque(maxlen=JOINED_PIECES)
        self._microphone = None if has_audio_section else MessageMicrophone(metrics)
        self._pictures = CheckedPictures(
            on_picture=self._send_picture,
            on_message=self._act_on,
            on_refused=send,
            longest_px=picture_px,
        )

    def open(self, live: LiveSession) -> None:
        """The agent is there: what came too early is taken now."""
        self._live = live
        while self._early:
            self.on_message(self._early.popleft())

    def close(self) -> None:
        """The call ends: nothing more is taken, and nothing is missed; may be called twice."""
        self._is_over = True
        self._pictures.close()
        self._live = None

    # ------------------------------------------------------------------
    # Sound and pictures
    # ------------------------------------------------------------------

    def on_audio(self, audio: UplinkAudio) -> None:
        """20 ms of the caller's microphone."""
        if self._muted or self._is_over:
            return
        if audio.speech and audio.arrived_at is not None:
            self._conversation.on_user_speech(audio.arrived_at, _PIECE_MS)
        if self._live is None:
            self._metrics.audio_dropped.labels("uplink", "not_ready").inc(_PIECE_MS / 1000)
            return
        is_handed_over = self._live.send_audio(audio.pcm, quiet=audio.quiet)
        if audio.arrived_at is not None:
            self._waiting.append(audio.arrived_at)
        if is_handed_over and self._waiting:
            now = self._clock()
            for arrived_at in self._waiting:
                self._metrics.uplink.observe(now - arrived_at)
            self.uplink_ms = (now - self._waiting[-1]) * 1000
            self._waiting.clear()

    def on_stream_end(self) -> None:
        """The caller's stream has paused for good: the model need not wait for more."""
        if self._live is not None and not self._muted:
            self._live.end_audio_stream()

    def takes_pictures(self) -> bool:
        """Whether a frame of the caller's video would reach the agent now."""
        return self._live is not None and self._live.takes_frames

    def on_picture(self, jpeg: bytes) -> None:
        """A frame of the caller's video."""
        if self._live is not None:
            self._live.send_frame(jpeg)

    def _send_picture(self, jpeg: bytes) -> None:
        if self._live is not None:
            self._live.send_image("image/jpeg", jpeg)

    # ------------------------------------------------------------------
    # Messages
    # ------------------------------------------------------------------

    def on_message(self, message: ClientMessage) -> None:
        """The caller sent a message."""
        if isinstance(message, Ping):
            self._send(Pong(t=message.t))
        elif self._is_over:
            return
        elif self._live is None:
            self._keep(message)
        elif isinstance(message, Image) and not self._live.takes_pictures:
            self._send(_NOT_SEEN)
        elif not self._pictures.take(message):
            self._act_on(message)

    def _keep(self, message: ClientMessage) -> None:
        """The live session is not open yet: a few messages wait for it, audio does not."""
        if isinstance(message, MicrophoneAudio):
            return
        if len(self._early) == self._early.maxlen:
            self._send(_NOT_READY)
            return
        self._early.append(message)

    def _act_on(self, message: ClientMessage) -> None:
        if self._live is None:
            return
        now = self._clock()
        match message:
            case ClientText(text):
                self._perform(self._conversation.on_user_text(text, now))
            case Interrupt():
                self._perform(self._conversation.on_user_interrupt(now))
            case Mute(muted):
                self._mute(self._live, muted)
            case MicrophoneAudio(pcm):
                self._take_microphone_audio(pcm, now)
            case Activity(state):
                self._take_activity(self._live, state)
            case SessionState(delta):
                self._change_state(self._live, delta)
            case Confirmation(id, confirmed, payload):
                if not self._live.questions.answer_confirmation(id, confirmed, payload):
                    self._send(NOBODY_ASKED)
            case ClientToolResult(id, result, error):
                if not self._live.questions.answer_tool(id, result, error):
                    self._send(NO_SUCH_TOOL_CALL)

    def _mute(self, live: LiveSession, muted: bool) -> None:
        if muted and not self._muted:
            live.end_audio_stream()
        self._waiting.clear()
        self._muted = muted

    def _take_microphone_audio(self, pcm: bytes, now: float) -> None:
        if self._microphone is None:
            self._send(_HAS_A_MICROPHONE)
            return
        for audio in self._microphone.push(pcm, now):
            self.on_audio(audio)

    def _take_activity(self, live: LiveSession, state: Literal["start", "end"]) -> None:
        if live.send_activity(state):
            self._perform(self._conversation.on_user_activity(state, self._clock()))
        else:
            self._send(_ACTIVITY_REFUSED)

    def _change_state(self, live: LiveSession, delta: Mapping[str, Any]) -> None:
        if all(key in self._allow_state for key in delta):
            live.send_state(dict(delta))
        else:
            self._send(_STATE_REFUSED)
