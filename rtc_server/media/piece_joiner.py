"""Joins the uplink's pieces while the caller is silent, to spare the agent work.

Each piece costs ADK the same, however long it is (a request, a task hand-over, a model's
message).  While the caller speaks nothing is held back; while he is silent a few pieces
become one, and the first piece with speech in it lets go at once of those that wait.
"""

from __future__ import annotations

__all__ = ["PieceJoiner"]


class PieceJoiner:
    """Joins up to ``joined_pieces`` silent pieces into one.

    Args:
        joined_pieces: silent pieces that become one; 1 joins nothing.
        hangover_pieces: after the last speech so many pieces still go one by one, so that
            no model's end of turn is delayed.
    """

    def __init__(self, *, joined_pieces: int = 5, hangover_pieces: int = 50) -> None:
        self._joined_pieces = joined_pieces
        self._hangover_pieces = hangover_pieces
        self._hangover = hangover_pieces  # the beginning of a call is not known to be silent
        self._waiting: list[bytes] = []

    def push(self, piece: bytes, *, speech: bool) -> bytes | None:
        """Take a piece; returns what is to be sent now, or None while pieces wait."""
        self._waiting.append(piece)
        at_once = speech or self._hangover > 0
        self._hangover = self._hangover_pieces if speech else max(0, self._hangover - 1)
        if at_once or len(self._waiting) >= self._joined_pieces:
            return self.flush()
        return None

    def flush(self) -> bytes | None:
        """What waits, at the end of the stream or before a message that must not overtake it."""
        if not self._waiting:
            return None
        joined = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        self._waiting.clear()
        return joined
