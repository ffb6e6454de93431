"""When the agent is prompted because nobody says anything; plain code, time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["IdlePrompt"]


@dataclass(slots=True)
class IdlePrompt:
    """Decides when the idle prompt is due: once in each silence of the user.

    ``quiet_since`` is throughout when either side last spoke or wrote, ``user_said_at`` when
    the user last said something, both in monotonic seconds.
    """

    text: str | None
    """A user turn for the agent; None: there is no such prompt."""

    after_s: float
    """How long neither side has spoken or written when it is due."""

    _put_at: float | None = None
    _silent_since: float = 0.0

    def due(
        self, now: float, *, quiet_since: float, user_said_at: float, is_listening: bool
    ) -> str | None:
        """The prompt to be put to the agent now, which counts as put; None: not now.

        Args:
            is_listening: the agent neither speaks nor thinks, and the call goes on.
        """
        if self.text is None or not is_listening or now - quiet_since < self.after_s:
            return None
        if self._is_unanswered(user_said_at):
            return None
        self._put_at, self._silent_since = now, quiet_since
        return self.text

    def idle_since(self, *, quiet_since: float, user_said_at: float) -> float:
        """Since when the call has been idle: what the prompt led to does not keep it alive."""
        return self._silent_since if self._is_unanswered(user_said_at) else quiet_since

    def _is_unanswered(self, user_said_at: float) -> bool:
        """Whether the user has said nothing since the prompt was put."""
        return self._put_at is not None and user_said_at <= self._put_at
