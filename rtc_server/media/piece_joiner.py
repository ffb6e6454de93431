"""Joins the uplink's pieces while the caller is silent, to spare the agent work; pure.

Each piece costs ADK the same, however long it is: a request, hand-overs between tasks, a message to
the model.  While the caller speaks nothing is held back; once he has been silent for long a few
pieces become one, and the first one that could begin a word lets go at once of those that wait.
"""

from __future__ import annotations

__all__ = ["HANGOVER_PIECES", "JOINED_PIECES", "PieceJoiner"]

JOINED_PIECES = 5
"""Quiet pieces that become one: 100 ms."""

HANGOVER_PIECES = 100
"""After the last sound so many pieces still go one by one: 2 s, longer than models wait for the
end of a turn, so that none comes later."""


class PieceJoiner:
    """Joins up to ``joined_pieces`` quiet pieces into one.

    Args:
        joined_pieces: 1 joins nothing.
        hangover_pieces: these go one by one after a piece that was not quiet, and at first: the
            beginning of a call is not known to be silent.
    """

    def __init__(
        self, *, joined_pieces: int = JOINED_PIECES, hangover_pieces: int = HANGOVER_PIECES
    ) -> None:
        self._joined_pieces = joined_pieces
        self._hangover_pieces = hangover_pieces
        self._hangover = hangover_pieces
        self._waiting: list[bytes] = []

    @property
    def is_waiting(self) -> bool:
        """Whether any piece waits."""
        return bool(self._waiting)

    def push(self, piece: bytes, *, quiet: bool) -> list[bytes]:
        """Take a piece; returns what is to be sent now, in order, or nothing while it waits.

        A piece that is not quiet goes by itself, right behind the silence that waited.
        """
        if not quiet:
            self._hangover = self._hangover_pieces
            return [*self.flush(), piece] if self._waiting else [piece]
        if self._hangover > 0:
            self._hangover -= 1
            return [piece]
        self._waiting.append(piece)
        return self.flush() if len(self._waiting) >= self._joined_pieces else []

    def flush(self) -> list[bytes]:
        """What waits, as one piece, before anything that must not overtake it."""
        if not self._waiting:
            return []
        joined = b"".join(self._waiting)
        self._waiting.clear()
        return [joined]
