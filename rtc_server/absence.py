"""What the caller is told and hears while the agent's model is away, as plain code.

The notice goes through the playout buffer and is no answer: it has a turn number of its own, is
no speech of the agent, and gives way at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .actions import Action, Spoken
from .media.away_notice import AwayNotice
from .media.playout_buffer import PlayoutBuffer
from .messages import Model

__all__ = ["NOTICE_TURN", "Absence"]

NOTICE_TURN = 0
"""Stands in the playout buffer for the notice; answers count from 1."""

_PERIOD_S = 4.0
"""From the end of a notice to the next."""


@dataclass(slots=True)
class Absence:
    """Of one call's model; ``now`` is in monotonic seconds.

    Args:
        playout: where the notice goes.
        notice: None: nothing is heard.
    """

    playout: PlayoutBuffer
    notice: AwayNotice | None = None

    is_away: bool = False
    back_at: float = float("-inf")
    """When the model was there again, after an absence of which the caller knew."""

    _tell_at: float = 0.0
    _is_told: bool = False
    _is_known: bool = False
    _sound_at: float = 0.0
    _is_sounding: bool = False

    def away(self, patience_s: float, now: float) -> None:
        """There is no model; the caller is told if that lasts for ``patience_s``."""
        if not self.is_away:
            self.is_away = True
            self._tell_at = self._sound_at = now + patience_s

    def known(self) -> None:
        """The caller was told of what the absence comes from."""
        self._is_known = self.is_away

    def back(self, name: str | None, now: float) -> list[Action]:
        """The model is there, ``name`` where it is another than before."""
        was_told, self._is_told = self._is_told, False
        if was_told or self._is_known:
            self.back_at = now  # or else the caller would wait in silence for both
        self.is_away = self._is_known = False
        self.hush()
        out: list[Action] = []
        if was_told or name is not None:
            out.append(Model(state="back", name=name))
        return out

    def tick(self, now: float, *, is_silent: bool) -> list[Action]:
        """Time went by.

        Args:
            is_silent: nothing of the agent is playing, so that the notice may.
        """
        out: list[Action] = []
        if not self.is_away or now < self._tell_at:
            return out
        if not self._is_told:
            self._is_told = True
            out.append(Model(state="away"))
        if self.notice is not None and is_silent and now >= self._sound_at:
            self.hush()
            self._is_sounding = True
            self._sound_at = now + self.notice.seconds + _PERIOD_S
            self.playout.write(NOTICE_TURN, self.notice.pcm, self.notice.rate, now)
            self.playout.finish(NOTICE_TURN)
            out.append(Spoken(0.0))
        return out

    def hush(self) -> None:
        """Not one more frame of the notice is played."""
        if self._is_sounding:
            self._is_sounding = False
            self.playout.forget(NOTICE_TURN)
