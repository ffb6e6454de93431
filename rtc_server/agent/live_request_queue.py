"""ADK's live request queue with bounds: audio never grows stale, nothing else is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from google.adk.agents.live_request_queue import LiveRequest, LiveRequestQueue
from google.genai import types

from .live_event_mapper import rate_of
from .model_stamp import ModelStamp
from .tools.tool_results import carry_responses

__all__ = ["BoundedLiveRequestQueue", "LiveRequestQueueFull"]

logger = logging.getLogger(__name__)

_REALTIME = ModelStamp(LiveRequest(), "blob")

_HANDOVERS = ("transfer_to_agent", "task_completed")
"""ADK's own tools by which an agent hands over to another."""

_LEAVING_S = 5.0
"""An agent that has handed over and is still there after this long goes on itself."""

_ROUNDING_S = 1e-6
"""What adding up the seconds of many pieces may be off by."""


class _Waiting(NamedTuple):
    """A request, and what the bounds need to know of it."""

    request: LiveRequest
    audio_s: float
    is_image: bool
    is_frame: bool = False


class LiveRequestQueueFull(Exception):
    """The agent has not taken anything for so long that no more is kept."""


class BoundedLiveRequestQueue(LiveRequestQueue):
    """What the caller sends, in order, until ADK's sender takes it.

    Overflow: the oldest audio beyond ``audio_s`` seconds is dropped and reported, of
    pictures the oldest beyond ``max_images``, and of a video every frame but the newest; of
    the rest nothing is, and one more than
    ``max_requests`` raises :exc:`LiveRequestQueueFull`.

    A content without parts or with a function call ends ADK's sender without a word
    (``live/_live_llm_flow.py``, 2.13): it is refused with :exc:`ValueError`.

    Every public method of the base class is overridden; its own queue stays empty.

    Args:
        on_audio_dropped: is told the seconds of audio that were dropped.
        is_unwanted: says of the id of a tool's call whether its result is not for the model.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        audio_s: float = 2.0,
        max_requests: int = 1000,
        max_images: int = 8,
        on_audio_dropped: Callable[[float], None] = lambda _: None,
        is_unwanted: Callable[[str | None], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._audio_limit_s = audio_s
        self._max_requests = max_requests
        self._max_images = max_images
        self._on_audio_dropped = on_audio_dropped
        self._is_unwanted = is_unwanted
        self._clock = clock
        self._requests: deque[_Waiting] = deque()
        self._available = asyncio.Event()
        self._audio_s = 0.0
        self._images = 0
        self._waiting_since: float | None = None
        self._taker: asyncio.Task[object] | None = None
        self._leaving: asyncio.Task[object] | None = None
        """A taker that has been given its last request, as far as is known."""
        self._last_taker: asyncio.Task[object] | None = None
        """The one that has been given the end."""
        self._left: asyncio.Future[None] | None = None
        self._is_held = False

    # What is put in ---------------------------------------------------------

    def close(self) -> None:
        """End the run that takes from this queue; may be called twice."""
        if not self.closed:
            self.send(LiveRequest(close=True))

    def send_content(self, content: types.Content, partial: bool = False) -> None:
        wanted = self._wanted(content)
        if wanted is not None:
            self.send(LiveRequest(content=wanted, partial=partial))

    def _wanted(self, content: types.Content) -> types.Content | None:
        """``content`` without the results of tools that the model has taken back."""
        carry_responses(content)
        parts = content.parts or []
        kept = [
            part
            for part in parts
            if part.function_response is None or not self._is_unwanted(part.function_response.id)
        ]
        if len(kept) == len(parts):
            return content
        return content.model_copy(update={"parts": kept}) if kept else None

    def send_realtime(self, blob: types.Blob) -> None:
        self.send(_REALTIME.make(blob))

    def send_audio(self, blob: types.Blob, seconds: float) -> None:
        """Append a piece of audio of known length: as :meth:`send_realtime`, for less."""
        self._append(_Waiting(_REALTIME.make(blob), seconds, False))

    def send_frame(self, blob: types.Blob) -> None:
        """Append a frame of the caller's video, in the place of one that still waits."""
        if self._has_frame:
            self._drop_first(lambda one: one.is_frame)
        elif self._is_full:
            return
        self._append(_Waiting(_REALTIME.make(blob), 0.0, True, True))

    def send_activity_start(self) -> None:
        self.send(LiveRequest(activity_start=types.ActivityStart()))

    def send_activity_end(self) -> None:
        self.send(LiveRequest(activity_end=types.ActivityEnd()))

    def send_audio_stream_end(self) -> None:
        self.send(LiveRequest(audio_stream_end=True))

    def send(self, req: LiveRequest) -> None:
        """Append ``req``.

        Raises:
            ValueError: its content would end ADK's sender.
            LiveRequestQueueFull: there is no room for it.
        """
        if req.content is not None:
            _check(req.content)
        waiting = _Waiting(req, _seconds(req), _is_image(req))
        if req.close:
            self._closed = True
        elif not _is_audio(req) and self._is_full and not self._drop_image():
            raise LiveRequestQueueFull
        self._append(waiting)

    @property
    def _has_frame(self) -> bool:
        return self._images > 0 and any(one.is_frame for one in self._requests)

    @property
    def _is_full(self) -> bool:
        return len(self._requests) >= self._max_requests

    def _append(self, waiting: _Waiting) -> None:
        if not self._requests:
            self._waiting_since = self._clock()
        self._requests.append(waiting)
        self._audio_s += waiting.audio_s
        self._images += waiting.is_image
        while self._audio_s > self._audio_limit_s + _ROUNDING_S:
            self._on_audio_dropped(self._drop_audio())
        while self._images > self._max_images:
            self._drop_image()
        self._available.set()

    # What is taken out ------------------------------------------------------

    async def get(self) -> LiveRequest:
        """The oldest request; waits for one.  A cancellation loses none.

        ADK's sender lives for another second after an agent has handed over to the next
        (``DEFAULT_TRANSFER_AGENT_DELAY``, 2.13).  What comes meanwhile is for the next one's.
        """
        self._taker = asyncio.current_task()
        if self._taker is self._leaving:
            await asyncio.sleep(_LEAVING_S)  # to be cancelled; if not, it stays
        self._leaving = None
        while self._is_held or not self._requests:
            self._available.clear()
            await self._available.wait()
        taken = self._requests.popleft()
        self._waiting_since = self._clock() if self._requests else None
        self._forget(taken)
        if _hands_over(taken.request):
            self._leaving = self._taker
        if taken.request.close:
            self._last_taker = self._taker
            self._await_last_taker()
        return taken.request

    def hold(self) -> None:
        """Give nothing out before :meth:`start_over`: the run is ending, and would lose it."""
        self._is_held = True

    def start_over(self) -> None:
        """Prepare for a new run: what only the old one could use goes, text is kept."""
        self._is_held = False
        kept = [one for one in self._requests if not one.is_frame and _outlives_run(one.request)]
        dropped_s = self._audio_s
        self._requests = deque(kept)
        self._audio_s = 0.0
        self._images = sum(one.is_image for one in kept)
        self._waiting_since = self._clock() if kept else None
        self._taker = self._leaving = None
        if kept:
            self._available.set()
        if dropped_s:
            self._on_audio_dropped(dropped_s)

    def begin_activity(self, *, is_open: bool) -> None:
        """Another connection takes from here, of the same run: it knows of no activity.

        One whose sound, or end, is still to come begins anew before all that waits.  The end of
        one that is lost goes.

        Args:
            is_open: the user is talking now.
        """
        signals = (n for n, one in enumerate(self._requests) if _is_signal(one.request))
        at = next(signals, None)
        if at is not None:
            if self._requests[at].request.activity_start is not None:
                return  # what is before it was said outside of any
            is_open = any(one.audio_s > 0.0 for one in list(self._requests)[:at])
            if not is_open:
                del self._requests[at]
        if is_open:
            start = LiveRequest(activity_start=types.ActivityStart())
            self._requests.appendleft(_Waiting(start, 0.0, False))
            self._available.set()
        if not self._requests:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = self._clock()

    def withdraw_texts(self) -> None:
        """Drop what the user has typed and the run has not taken."""
        kept = [one for one in self._requests if not _is_text(one.request)]
        self._requests = deque(kept)
        if not kept:
            self._waiting_since = None

    @property
    def has_text(self) -> bool:
        """Whether a text of the user waits."""
        return any(_is_text(one.request) for one in self._requests)

    def waited_s(self) -> float:
        """How long nothing has been taken although something is there; 0 if nothing is."""
        if self._leaving is not None:
            return 0.0
        return 0.0 if self._waiting_since is None else self._clock() - self._waiting_since

    def left(self) -> asyncio.Future[None]:
        """Is done when the end was taken, and the task that took it has ended.

        That task is ADK's sender: by then the model's connection has been told to close.
        """
        if self._left is None:
            self._left = asyncio.get_running_loop().create_future()
            self._await_last_taker()
        return self._left

    def _await_last_taker(self) -> None:
        if self._last_taker is not None and self._left is not None:
            self._last_taker.add_done_callback(self._has_left)

    def _has_left(self, taker: asyncio.Task[object]) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(None)

    @property
    def taker_error(self) -> BaseException | None:
        """What ended the task that took last, ADK's sender; ADK itself tells nobody."""
        taker = self._taker
        if taker is None or not taker.done() or taker.cancelled():
            return None
        return taker.exception()

    def __bool__(self) -> bool:
        """True, also while it is empty: ADK asks a queue that way whether there is one."""
        return True

    def __len__(self) -> int:
        return len(self._requests)

    # ------------------------------------------------------------------------

    def _drop_audio(self) -> float:
        return self._drop_first(lambda one: one.audio_s > 0.0)

    def _drop_image(self) -> bool:
        if not self._images:
            return False
        self._drop_first(lambda one: one.is_image)
        logger.warning("a picture was dropped: the agent does not take any")
        return True

    def _drop_first(self, kind: Callable[[_Waiting], bool]) -> float:
        """Removes the oldest request of a kind, which there is; returns its seconds of audio."""
        at = next(n for n, one in enumerate(self._requests) if kind(one))
        dropped = self._requests[at]
        del self._requests[at]
        self._forget(dropped)
        return dropped.audio_s

    def _forget(self, gone: _Waiting) -> None:
        self._audio_s = max(0.0, self._audio_s - gone.audio_s)
        self._images -= gone.is_image


def _check(content: types.Content) -> None:
    if not content.parts:
        raise ValueError("a content needs parts")
    if any(part.function_call is not None for part in content.parts):
        raise ValueError("a user's content cannot hold a function call")


def _is_audio(req: LiveRequest) -> bool:
    return req.blob is not None and (req.blob.mime_type or "").startswith("audio/")


def _is_image(req: LiveRequest) -> bool:
    return req.blob is not None and not (req.blob.mime_type or "").startswith("audio/")


def _seconds(req: LiveRequest) -> float:
    blob = req.blob
    if blob is None or blob.data is None or not _is_audio(req):
        return 0.0
    return len(blob.data) / 2 / rate_of(blob.mime_type or "")


def _outlives_run(req: LiveRequest) -> bool:
    """Whether another run can use it: text, pictures and state, but no tool's result."""
    if req.state_delta or _is_image(req):
        return True
    parts = req.content.parts if req.content is not None else None
    return bool(parts) and all(part.function_response is None for part in parts or [])


def _is_signal(req: LiveRequest) -> bool:
    return req.activity_start is not None or req.activity_end is not None


def _is_text(req: LiveRequest) -> bool:
    return req.content is not None and _outlives_run(req)


def _hands_over(req: LiveRequest) -> bool:
    """Whether it is the last that an agent's model is sent."""
    parts = req.content.parts if req.content is not None else None
    return any(
        part.function_response is not None
        and part.function_response.name in _HANDOVERS
        and "error" not in (part.function_response.response or {})
        for part in parts or []
    )
