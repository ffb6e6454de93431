"""Which packets of a stream are missing and to be asked for again (NACK, RFC 4585 6.2.1); pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SequenceGaps"]

REORDER_S = 0.01
"""A packet that comes so much later was not lost, but overtaken."""

ASK_AGAIN_S = 0.06
MAX_REQUESTS = 5
"""A packet is asked for so often; then it is no longer waited for."""

MAX_MISSING = 64
"""More at once are not asked for: a new key frame is cheaper."""


@dataclass(slots=True)
class _Missing:
    due_at: float
    requests: int = 0


class SequenceGaps:
    """Notes gaps, with bounded memory.  Numbers are counted on past 65535."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._missing: dict[int, _Missing] = {}

    def push(self, number: int, now: float) -> None:
        """A packet arrived."""
        highest = self._highest
        if highest is None or number > highest:
            self._highest = number
            if highest is None or number == highest + 1:
                return
            if number - highest - 1 + len(self._missing) > MAX_MISSING:
                self._missing.clear()
                return
            for one in range(highest + 1, number):
                self._missing[one] = _Missing(now + REORDER_S)
        else:
            self._missing.pop(number, None)

    def due(self, now: float) -> list[int]:
        """Those to be asked for now, in order; they count as asked for."""
        if not self._missing:
            return []
        asked = []
        for number, missing in list(self._missing.items()):
            if now < missing.due_at:
                continue
            if missing.requests == MAX_REQUESTS:
                del self._missing[number]
                continue
            missing.requests += 1
            missing.due_at = now + ASK_AGAIN_S
            asked.append(number)
        return sorted(asked)

    def forget(self) -> None:
        """Nothing is missing; the next packet is the first."""
        self._missing.clear()
        self._highest = None
