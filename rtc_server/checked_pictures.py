"""Pictures that the caller sends as messages: checked and made small before the agent has them.

That takes milliseconds of a CPU, and is not done on the event loop.  What the caller sends
after a picture is mostly about it, and must not overtake it: it waits, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from .media.picture import Picture, PictureError, decode_picture, fit_jpeg
from .messages import Activity, ClientMessage, ClientText, Error, Image, SessionState
from .picture_pool import PicturePool

__all__ = ["CheckedPictures"]

logger = logging.getLogger(__name__)

_MAX_WAITING = 32

_MAX_PIXELS = 8 * 1024 * 1024
"""A 4K screen has less.  Twice as many take 0.2 s of a CPU, in which pictures of others wait."""

_IN_ORDER = (Image, ClientText, Activity, SessionState)
"""What has its place in the conversation; the rest is about the moment and never waits."""


class CheckedPictures:
    """The pictures of one call, and the messages behind them.

    It holds a share of the threads while there is a picture to check.  :meth:`close` throws
    away what waits.

    Args:
        on_picture: is given each picture as a JPEG.
        on_message: is given each message that waited, in its turn.
        on_refused: is told of a picture that is none, and of what found no room.
        longest_px: the longest side of a picture.
    """

    def __init__(
        self,
        *,
        on_picture: Callable[[bytes], None],
        on_message: Callable[[ClientMessage], None],
        on_refused: Callable[[Error], None],
        longest_px: int,
    ) -> None:
        self._on_picture = on_picture
        self._on_message = on_message
        self._on_refused = on_refused
        self._longest_px = longest_px
        self._waiting: deque[ClientMessage] = deque()
        self._pool: PicturePool | None = None
        self._work: asyncio.Future[Picture] | None = None
        self._is_closed = False

    def take(self, message: ClientMessage) -> bool:
        """Whether a message is taken over: a picture, or one that has to wait for one."""
        if self._is_closed or not isinstance(message, _IN_ORDER):
            return False
        if self._work is None and not isinstance(message, Image):
            return False
        if len(self._waiting) >= _MAX_WAITING:
            self._on_refused(
                Error(
                    code="too_many_pictures",
                    message="The pictures before this message are still being looked at.",
                    retryable=True,
                )
            )
            return True
        self._waiting.append(message)
        if self._work is None:
            self._go_on()
        return True

    def close(self) -> None:
        """Take nothing more; may be called twice."""
        self._is_closed = True
        self._waiting.clear()
        if self._work is not None:
            self._work.cancel()
            self._work = None
        self._let_go()

    def _go_on(self) -> None:
        """Deliver what waits, up to the next picture."""
        while self._waiting:
            message = self._waiting.popleft()
            if isinstance(message, Image):
                if self._pool is None:
                    self._pool = PicturePool()
                self._work = self._pool.run(
                    _check, message.mime_type, message.data, self._longest_px
                )
                self._work.add_done_callback(self._on_checked)
                return
            self._on_message(message)
        self._let_go()

    def _on_checked(self, work: asyncio.Future[Picture]) -> None:
        if self._is_closed or work.cancelled():
            return
        self._work = None
        problem = work.exception()
        if problem is None:
            self._on_picture(work.result().jpeg)
        else:
            if not isinstance(problem, PictureError):
                logger.error("a picture could not be checked", exc_info=problem)
            self._on_refused(
                Error(
                    code="bad_image",
                    message="The picture could not be read; the agent has not seen it.",
                    retryable=False,
                )
            )
        self._go_on()

    def _let_go(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _check(mime_type: str, data: bytes, longest_px: int) -> Picture:
    frame = decode_picture(mime_type, data, max_pixels=_MAX_PIXELS)
    return fit_jpeg(frame, longest_px=longest_px)
