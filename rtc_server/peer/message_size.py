"""How large a message the caller takes over the data channel, by his offer (RFC 8841 section 6)."""

from __future__ import annotations

from ..messages import MAX_MESSAGE_BYTES
from .sdp import Section

__all__ = ["message_bytes"]

_NOT_SAID = 65_536


def message_bytes(application: Section | None) -> int:
    """The largest message to send him, in bytes: his limit or ours; 0 without a data channel.

    Args:
        application: the section of the data channel; its ``max-message-size`` is a number.
    """
    if application is None:
        return 0
    said = application.first("max-message-size")
    size = _NOT_SAID if said is None else int(said[:12])
    return min(size or MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES)  # 0: as large as you like
