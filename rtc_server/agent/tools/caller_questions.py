"""What the agent's tools wait for the caller to say: a yes or no, or a client tool's result.

A tool runs in a task of ADK's, far from the call it serves.  The live session's run has a
context of its own, which every task started from it inherits: :func:`questions` finds the
call's :class:`CallerQuestions` there, and None outside of our calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ...messages import MAX_MESSAGE_BYTES
from ..live_events import ClientToolCalled, ConfirmationAsked, LiveEvent

__all__ = ["CallerQuestions", "Decision", "NoAnswer", "TakenBack", "asking", "questions"]

MAX_OPEN = 16
"""Questions that wait for one caller at once; a model that asks more is told so."""

MAX_ARGS_BYTES = 128 * 1024
"""Arguments of a client tool as JSON; fewer where the caller takes smaller messages."""

_FRAME_BYTES = 1024
"""What else a question's message has; who takes no more than that cannot be asked."""


class NoAnswer(Enum):
    """Why a question has no answer; the value is what the model is told."""

    LATE = "The caller did not answer in time"
    INTERRUPTED = "The caller interrupted and gave no answer"
    TOO_MANY = "Too many questions wait for the caller already"
    UNREACHABLE = "The caller cannot be asked: this call has no data channel that reaches him"


class TakenBack(Exception):
    """The model took the tool call back: nobody waits for its result."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The caller's yes or no; ``payload`` is what he gave with it, if anything."""

    confirmed: bool
    payload: Any = None


_Answer = Decision | Mapping[str, Any] | NoAnswer


class CallerQuestions:
    """The questions of one call; they outlive a run of the agent, their waits do not.

    A wait ends by the answer, after its time, by :meth:`take_back`, by :meth:`withdraw`, or
    with the task that waits.  An id has at most one open question.

    Args:
        client_tools: declarations of the caller's tools, already checked.
        confirm_s, client_tool_s: how long a caller, and a client's tool, may take.
        message_bytes: the largest message that reaches the caller; 0: none does.
    """

    def __init__(
        self,
        client_tools: Sequence[Mapping[str, Any]] = (),
        *,
        confirm_s: float = 60.0,
        client_tool_s: float = 30.0,
        message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self.client_tools = tuple(client_tools)
        self._confirm_s = confirm_s
        self._client_tool_s = client_tool_s
        self._args_bytes = min(MAX_ARGS_BYTES, message_bytes - _FRAME_BYTES)
        self._open: dict[str, asyncio.Future[_Answer]] = {}
        self._confirmations: set[str] = set()
        self._tell: Callable[[LiveEvent], Awaitable[None]] | None = None
        self._abandon: Callable[[str], None] = lambda id: None

    def open(
        self,
        tell: Callable[[LiveEvent], Awaitable[None]],
        abandon: Callable[[str], None],
    ) -> None:
        """From now on ``tell`` brings events to the caller.

        Args:
            abandon: is given the id of a call whose task was cancelled while it waited.
        """
        self._tell, self._abandon = tell, abandon

    @property
    def waiting(self) -> int:
        """How many questions have no answer yet."""
        return len(self._open)

    # What a tool does -----------------------------------------------------------

    async def confirm(
        self,
        call_id: str,
        name: str,
        args: Mapping[str, Any],
        *,
        hint: str | None = None,
        payload: Any = None,
    ) -> Decision | NoAnswer:
        """Ask the caller whether the tool ``name`` may run with ``args``.

        Raises:
            TakenBack: the model took the call back.
        """
        asked = ConfirmationAsked(call_id, name, args, self._confirm_s, hint, payload)
        answer = await self._ask(call_id, asked, self._confirm_s)
        assert isinstance(answer, Decision | NoAnswer)
        return answer

    async def run_on_client(self, call_id: str, name: str, args: Mapping[str, Any]) -> Any:
        """Have the client run its tool ``name``; the result, or what to tell the model.

        Raises:
            TakenBack: the model took the call back.
        """
        if 0 < self._args_bytes < len(json.dumps(args, default=str)):
            return {"error": "The arguments are too large."}
        called = ClientToolCalled(call_id, name, args, self._client_tool_s)
        answer = await self._ask(call_id, called, self._client_tool_s)
        if answer is NoAnswer.LATE:
            return {"error": f"The tool {name} took too long on the caller's side."}
        return {"error": f"{answer.value}."} if isinstance(answer, NoAnswer) else answer

    async def _ask(self, call_id: str, event: LiveEvent, seconds: float) -> _Answer:
        if self._args_bytes <= 0:
            return NoAnswer.UNREACHABLE
        if call_id in self._open or len(self._open) >= MAX_OPEN or self._tell is None:
            return NoAnswer.TOO_MANY
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._open[call_id] = future
        if isinstance(event, ConfirmationAsked):
            self._confirmations.add(call_id)
        try:
            await self._tell(event)
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return NoAnswer.LATE
        except asyncio.CancelledError:
            # The agent's run has ended, or another agent took over: nobody need answer any more.
            self._abandon(call_id)
            raise
        finally:
            del self._open[call_id]
            self._confirmations.discard(call_id)

    # What ends a wait -----------------------------------------------------------

    def answer_confirmation(self, call_id: str, confirmed: bool, payload: Any = None) -> bool:
        """The caller's yes or no; False if nobody waits for it."""
        if call_id not in self._confirmations:
            return False
        return self._answer(call_id, Decision(confirmed, payload))

    def answer_tool(
        self, call_id: str, result: Mapping[str, Any] | None, error: str | None = None
    ) -> bool:
        """The result of a client's tool, or why there is none; False if nobody waits for it."""
        if call_id in self._confirmations:
            return False
        return self._answer(call_id, {"error": error} if result is None else result)

    def take_back(self, call_ids: Sequence[str]) -> None:
        """The model took these calls back."""
        for call_id in call_ids:
            future = self._open.get(call_id)
            if future is not None and not future.done():
                future.set_exception(TakenBack)

    def withdraw(self) -> None:
        """The caller interrupted the answer: what he was asked for it counts as not agreed to.

        What runs on the client goes on, as every tool does unless the model takes it back.
        """
        for call_id in self._confirmations:
            self._answer(call_id, NoAnswer.INTERRUPTED)

    def nobody_there(self) -> None:
        """The data channel is gone: nobody will answer any more."""
        for call_id in self._open:
            self._answer(call_id, NoAnswer.UNREACHABLE)

    def _answer(self, call_id: str, answer: _Answer) -> bool:
        future = self._open.get(call_id)
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True


_questions: ContextVar[CallerQuestions | None] = ContextVar("caller_questions", default=None)


def questions() -> CallerQuestions | None:
    """The questions of the call in whose run this is called; None outside of our calls."""
    return _questions.get()


@contextlib.contextmanager
def asking(caller: CallerQuestions) -> Iterator[None]:
    """Tools of the runs started in this context, and in tasks started from it, ask ``caller``."""
    token = _questions.set(caller)
    try:
        yield
    finally:
        _questions.reset(token)
