"""What the caller sends to the agent: sound, text, pictures, frames, push-to-talk, state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from google.adk.agents.live_request_queue import LiveRequest
from google.genai import types

from ..media.piece_joiner import PieceJoiner
from ..metrics import Metrics
from .live_events import InputRefused, LiveEvent
from .live_request_queue import BoundedLiveRequestQueue, LiveRequestQueueFull
from .model_stamp import ModelStamp
from .models.model_link import LinkState, ModelLink

__all__ = ["LiveInput"]

_MICROPHONE = ModelStamp(types.Blob(data=b"", mime_type="audio/pcm;rate=16000"), "data")
_BYTES_PER_S = 32_000


class LiveInput:
    """Of one live session: puts it in order into the queue that the run takes from.

    While there is no connection, sound is dropped and counted; text, pictures and state wait.
    Where the queue is full, what came is dropped, counted and told.

    Args:
        link: says whether the model is there, and which one.
        vad_is_off: the model's own voice detection is: the caller says when he talks.
        audio_s: so much sound waits for the agent; of more the oldest is dropped.
        is_unwanted: says of the id of a tool's call whether its result is not for the model.
        tell: takes an event for the caller.
    """

    def __init__(
        self,
        link: ModelLink,
        *,
        vad_is_off: bool,
        audio_s: float,
        is_unwanted: Callable[[str | None], bool],
        tell: Callable[[LiveEvent], None],
        metrics: Metrics,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self.queue = BoundedLiveRequestQueue(
            audio_s=audio_s, on_audio_dropped=self._count_dropped, is_unwanted=is_unwanted
        )
        """What a run takes from."""
        self._link = link
        self._vad_is_off = vad_is_off
        self._tell = tell
        self._metrics = metrics
        self._log = log
        self._joiner = PieceJoiner()
        self._is_activity_open = False  # push-to-talk
        self._is_interrupting = False  # an activity is open that interrupts, and no more

    # Sound ----------------------------------------------------------------------

    def send_audio(self, pcm: bytes, *, quiet: bool = False) -> bool:
        """A piece of the microphone: 16 kHz mono s16 little-endian PCM, 20 ms of it.

        Args:
            quiet: there is not even the beginning of a word in it, so that it may wait for more
                of its kind; see :class:`~rtc_server.media.piece_joiner.PieceJoiner`.

        Returns:
            Whether it and all before it were handed over (or dropped); False: it waits.
        """
        if self._is_interrupting:  # nobody has pressed the button
            self._count_dropped(len(pcm) / _BYTES_PER_S)
            return True
        if self._link.takes_realtime:
            for piece in self._joiner.push(pcm, quiet=quiet and not self._is_activity_open):
                self._send_piece(piece)
            return not self._joiner.is_waiting
        if self._link.state is LinkState.RECONNECTING:
            self._count_dropped(len(pcm) / _BYTES_PER_S)
        return True

    def end_audio_stream(self) -> None:
        """The microphone is off: the model need not wait for more of the sentence."""
        if not self._link.takes_realtime:
            return
        self._send_waiting_audio()
        if not self._vad_is_off:
            self._put(self.queue.send_audio_stream_end)

    def _send_waiting_audio(self) -> None:
        """Nothing overtakes the silence that waits."""
        for piece in self._joiner.flush():
            self._send_piece(piece)

    def _send_piece(self, pcm: bytes) -> None:
        self.queue.send_audio(_MICROPHONE.make(pcm), len(pcm) / _BYTES_PER_S)

    def _count_dropped(self, seconds: float) -> None:
        reason = "stalled"
        if self._link.state is LinkState.RECONNECTING:
            reason = "reconnecting"
        elif self._is_interrupting:
            reason = "interrupting"
        self._metrics.audio_dropped.labels("uplink", reason).inc(seconds)

    # Text, pictures, state --------------------------------------------------------

    def send_text(self, text: str) -> None:
        """A user's text turn."""
        if self._is_interrupting:
            self.send_activity("end")
        self.ask_again(text)

    def ask_again(self, text: str) -> None:
        """A turn that was lost, in words; an activity that is open stays open."""
        content = types.Content(role="user", parts=[types.Part(text=text)])
        self._put(lambda: self.queue.send_content(content))

    def send_image(self, mime_type: str, data: bytes) -> None:
        """A picture for the agent."""
        self._put(lambda: self.queue.send_realtime(types.Blob(data=data, mime_type=mime_type)))

    def send_frame(self, jpeg: bytes) -> None:
        """What the caller's video shows now; only the newest waits for a model that stalls."""
        if self._link.takes_realtime:
            self._send_waiting_audio()
            self.queue.send_frame(types.Blob(data=jpeg, mime_type="image/jpeg"))

    def send_state(self, delta: Mapping[str, Any]) -> None:
        """A change to the session state."""
        self._put(lambda: self.queue.send(LiveRequest(state_delta=dict(delta))))

    def _put(self, send: Callable[[], None]) -> None:
        if self._link.state is LinkState.CLOSED:
            return
        self._send_waiting_audio()
        try:
            send()
        except LiveRequestQueueFull:
            self._log.warning("what the caller sent was dropped: the agent takes nothing")
            self._metrics.agent_errors.labels("backlog_full").inc()
            self._tell(InputRefused())

    # Push-to-talk -----------------------------------------------------------------

    def send_activity(self, state: Literal["start", "end"]) -> bool:
        """Push-to-talk; False where the model's own voice detection is on.

        While there is no connection it waits for the next one.
        Gemini closes the connection of a caller who signals what it listens for itself.
        """
        is_gemini = self._link.models.is_gemini
        if is_gemini and not self._vad_is_off:
            return False
        if self._link.state not in (LinkState.NEW, LinkState.CLOSED):
            start, was_open = state == "start", self._is_activity_open
            self._is_activity_open, self._is_interrupting = start, False
            queue = self.queue
            if not (start and was_open and is_gemini):
                self._put(queue.send_activity_start if start else queue.send_activity_end)
        return True

    def interrupt(self) -> bool:
        """Make the model stop speaking; False if it cannot be told to.

        Text that waits for a model is withdrawn.  Gemini is told of an activity, which stays open,
        and without audio, until the user talks or types: one with audio in it, be it silence,
        would be answered.
        """
        self.queue.withdraw_texts()
        can = self._link.models.is_cascade or self._vad_is_off
        if not can or self._link.state is not LinkState.CONNECTED:
            return False
        if not self._link.models.is_gemini:
            self._put(self.queue.send_activity_start)
        elif not self._is_activity_open:
            self.send_activity("start")
            self._is_interrupting = True
        return True

    # From run to run --------------------------------------------------------------

    def start_over(self) -> None:
        """The run is over: what only it could use is dropped and counted, the rest waits."""
        self._send_waiting_audio()  # to be dropped and counted with the rest
        self.queue.start_over()
        self.connects_again()

    def connects_again(self) -> None:
        """The next connection knows of no activity: one with which the user talks begins anew."""
        is_talking = self._is_activity_open and not self._is_interrupting
        self._is_activity_open, self._is_interrupting = is_talking, False
        if self._link.state is not LinkState.CLOSED:
            self._send_waiting_audio()
            self.queue.begin_activity(is_open=is_talking)
