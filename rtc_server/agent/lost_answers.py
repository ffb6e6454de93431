"""What a lost connection loses of a live session, what is asked again, what the caller is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..metrics import Metrics
from .failures import ASK_AGAIN, ASKED_AGAIN, GAVE_UP, Failure
from .live_events import AgentFailed, LiveEvent
from .live_input import LiveInput
from .lost_turn import OpenTurn
from .retry_rules import RetryCount

__all__ = ["LostAnswers"]


class LostAnswers:
    """Of one live session.

    Args:
        live_input: takes what is put to the model once more.
        count: of the failures in a row, of which one is told.
        asks_again: a question whose answer is lost is put once more.
        emit: is given what the caller is told.
        now: monotonic seconds.
    """

    def __init__(
        self,
        live_input: LiveInput,
        count: RetryCount,
        *,
        asks_again: bool,
        emit: Callable[[LiveEvent], Awaitable[None]],
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        self.turn = OpenTurn()
        """What may be lost."""
        self._input = live_input
        self._count = count
        self._asks_again = asks_again
        self._emit = emit
        self._metrics = metrics
        self._now = now

    def forget(self) -> None:
        """Nothing is owed any more."""
        self.turn = OpenTurn()

    def is_anything(self, *, is_answering: bool) -> bool:
        """Whether an answer is lost with the connection; what waits for the next one is not.

        Args:
            is_answering: the model was in the middle of one.
        """
        is_owed = self.turn.is_open(self._now()) and not self._input.queue.has_text
        return is_answering or is_owed

    async def settle(
        self,
        failure: Failure,
        *,
        is_answering: bool,
        is_first: bool,
        nothing_lost: Failure | None = None,
    ) -> None:
        """A connection is gone: the caller is told, if he loses anything, or of the first in a row.

        Args:
            is_first: the next connection may be a good one, and then nobody need know.
            nothing_lost: what is told where nothing is lost, if not ``failure``.
        """
        if self.is_anything(is_answering=is_answering):
            await self._tell(failure, is_answering=is_answering)
        elif not self._count.is_told and not is_first:
            await self._tell(nothing_lost or failure, is_answering=False)
        else:
            self.prompt_again()

    async def give_up(self, code: str) -> None:
        """No further run is started."""
        await self._emit(AgentFailed(code, GAVE_UP, retryable=False))

    def prompt_again(self) -> bool:
        """Put a prompt that was lost with the connection once more; whether there is one."""
        if self._input.queue.has_text:
            return False  # it has not been lost, or the user has said something since
        return self.put_prompt(self.turn.lose_prompt())

    def put_prompt(self, prompt: str | None) -> bool:
        """Put a text that is nobody's, if there is one, and not again."""
        if prompt is None:
            return False
        self._input.ask_again(prompt)
        self.turn.prompted(prompt, again=False)
        return True

    async def _tell(self, failure: Failure, *, is_answering: bool) -> None:
        """The failure, and what becomes of the user's turn."""
        now = self._now()
        is_answering_user = is_answering and not self.turn.is_prompted
        is_asked = is_answering_user or self.turn.is_open(now)
        self._count.is_told = True
        if self._input.queue.has_text:
            await self._emit(
                AgentFailed(failure.code, failure.told(), retryable=True, keeps_question=True)
            )
            return
        prompts_again = not is_asked and self.prompt_again()
        words = self.turn.lose(now) if self._asks_again and is_asked else None
        if words is not None:
            self._metrics.asked_again.inc()
            self._input.ask_again(words)
        elif not prompts_again:
            self.forget()
        advice = ASKED_AGAIN if words is not None else ASK_AGAIN if is_asked else ""
        await self._emit(
            AgentFailed(
                failure.code,
                failure.told(advice),
                retryable=True,
                asks_again=words is not None,
                prompts_again=prompts_again,
                at=now,
            )
        )
