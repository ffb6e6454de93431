"""A picture of the agent that no message can hold is made smaller."""

from __future__ import annotations

import asyncio

from ..media.picture import PictureError, decode_picture, fit_jpeg
from ..messages import MAX_MESSAGE_BYTES
from ..picture_pool import PicturePool
from .live_events import AgentPicture

__all__ = ["fit_for_message"]

_MAX_BYTES = 190_000
"""In base64, with the rest of its message, it has less than 256 KiB."""

_FRAME_BYTES = 512
"""What a picture's message has beside its data."""

_LONGEST_PX = 2048

_WAIT_S = 2.0
"""Events wait behind it; where the pictures of other calls take longer it goes as it is."""


async def fit_for_message(
    picture: AgentPicture, *, message_bytes: int = MAX_MESSAGE_BYTES
) -> AgentPicture:
    """``picture`` itself if it is small enough, else a JPEG of it.

    One that cannot be decoded, or not in time, is returned as it is: the caller is told that it
    is too large.
    """
    max_bytes = min(_MAX_BYTES, (message_bytes - _FRAME_BYTES) * 3 // 4)
    if len(picture.data) <= max_bytes or max_bytes <= 0:
        return picture
    pool = PicturePool()
    try:
        async with asyncio.timeout(_WAIT_S):
            data = await pool.run(_fit, picture, max_bytes)
    except (PictureError, TimeoutError):
        return picture
    finally:
        pool.close()
    return AgentPicture("image/jpeg", data)


def _fit(picture: AgentPicture, max_bytes: int) -> bytes:
    frame = decode_picture(picture.mime_type, picture.data)
    return fit_jpeg(frame, longest_px=_LONGEST_PX, max_bytes=max_bytes).jpeg
