"""Which worker gets a call, which has one, which holds a conversation: plain tables.

A worker is a number from 0 on; the one that takes the place of a crashed one has its number.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from ..errors import ServerBusy
from ..headroom import CALL_LOAD

__all__ = ["Placement", "SessionKey", "WorkerState"]

SessionKey = tuple[str, str, str]
"""Agent, user and session."""

MAX_SESSIONS = 65_536
"""Conversations whose worker is remembered; above it the one that was longest without a call
is forgotten.  Its next call may meet another worker, and begins anew there."""

RETRY_AFTER_S = 2

_IDLE_LOAD = 0.1
"""Load up to this tells no worker from another: it is what else a process does."""


class WorkerState(Enum):
    """What a worker can be asked for."""

    AWAY = "away"  # starting, or crashed and not yet replaced
    OPEN = "open"
    BUSY = "busy"  # refused a call, or answers late: gets one only where no other can
    CLOSING = "closing"  # its calls go on, new ones are not for it


@dataclass(slots=True)
class _Worker:
    state: WorkerState = WorkerState.AWAY
    calls: int = 0
    load: float = 0.0
    chosen: int = 0
    """When it was last given a call, counted in calls: of equals the one that waited longest."""

    @property
    def weight(self) -> float:
        """What its calls cost now, and what as many calls may come to when they all speak.

        The number counts at once, the load with the next pulse.
        """
        return self.calls * CALL_LOAD + max(0.0, self.load - _IDLE_LOAD)


@dataclass(slots=True)
class _Conversation:
    worker: int
    is_held: bool = False
    """Whether a call of it was answered; until then there may be nothing to hold."""


@dataclass(frozen=True, slots=True)
class _Call:
    worker: int
    session: SessionKey | None


class Placement:
    """The tables of the front; bounded by the calls there are and by ``max_sessions``.

    A call is in them from the moment it is sent to a worker until the worker says that it ended
    (or came to nothing), or is lost itself.
    """

    def __init__(self, workers: int, *, max_sessions: int = MAX_SESSIONS) -> None:
        self._workers = [_Worker() for _ in range(workers)]
        self._calls: dict[str, _Call] = {}
        self._sessions: OrderedDict[SessionKey, _Conversation] = OrderedDict()
        self._live: Counter[SessionKey] = Counter()
        self._max_sessions = max_sessions
        self._chosen = 0

    @property
    def active(self) -> int:
        """Calls going on or being placed."""
        return len(self._calls)

    @property
    def takes_calls(self) -> bool:
        """Whether some worker would take a call of a new conversation."""
        return any(worker.state is WorkerState.OPEN for worker in self._workers)

    def state_of(self, worker: int) -> WorkerState:
        """What the worker can be asked for."""
        return self._workers[worker].state

    def calls_of(self, worker: int) -> int:
        """Calls of one worker."""
        return self._workers[worker].calls

    def set_state(self, worker: int, state: WorkerState) -> None:
        """Say what the worker can be asked for from now on."""
        self._workers[worker].state = state

    def set_load(self, worker: int, load: float) -> None:
        """Say how much of its time the worker needs, 0 to 1."""
        self._workers[worker].load = load

    def holder(self, session: SessionKey | None) -> int | None:
        """The worker that holds the conversation; None: none does, or it is a new one."""
        conversation = None if session is None else self._sessions.get(session)
        return None if conversation is None else conversation.worker

    def choose(self, session: SessionKey | None, *, without: Collection[int] = ()) -> int:
        """The worker for a call: the conversation's own, else the least loaded.

        Args:
            without: workers that have refused the call.

        Raises:
            ServerBusy: there is none, or the conversation's own takes no calls now.
        """
        holder = self.holder(session)
        if holder is not None:
            if self._workers[holder].state in (WorkerState.OPEN, WorkerState.BUSY):
                return holder
            raise ServerBusy("This conversation cannot be gone on with yet.", RETRY_AFTER_S)
        able = [
            (worker.state is WorkerState.BUSY, worker.weight, worker.chosen, number)
            for number, worker in enumerate(self._workers)
            if worker.state in (WorkerState.OPEN, WorkerState.BUSY) and number not in without
        ]
        if not able:
            raise ServerBusy("The server takes no calls now.", RETRY_AFTER_S)
        return min(able)[-1]

    def place(self, call_id: str, worker: int, session: SessionKey | None) -> None:
        """The call is sent to the worker; the conversation, if it is named, is held there."""
        self._chosen += 1
        self._workers[worker].chosen = self._chosen
        self._workers[worker].calls += 1
        self._calls[call_id] = _Call(worker, session)
        if session is not None:
            self._live[session] += 1
            self._keep(session, worker)

    def hold(self, call_id: str, worker: int, session: SessionKey) -> None:
        """The worker has answered: the call is of this conversation, which it now holds.

        The call itself may have ended meanwhile.
        """
        call = self._calls.get(call_id)
        if call is not None and call.session is None:
            self._calls[call_id] = _Call(worker, session)
            self._live[session] += 1
        if self._workers[worker].state is not WorkerState.AWAY:
            self._keep(session, worker).is_held = True

    def end(self, call_id: str) -> None:
        """The call has ended; what it was said in is still held by its worker."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        self._workers[call.worker].calls -= 1
        self._release(call)

    def refuse(self, call_id: str) -> None:
        """The call came to nothing: the worker holds no conversation because of it."""
        call = self._calls.get(call_id)
        self.end(call_id)
        session = None if call is None else call.session
        if session is None or self._live[session]:
            return
        conversation = self._sessions.get(session)
        if conversation is not None and not conversation.is_held:
            del self._sessions[session]

    def worker_of(self, call_id: str) -> int | None:
        """The worker that has the call; None: there is no such call."""
        call = self._calls.get(call_id)
        return None if call is None else call.worker

    def lose(self, worker: int) -> int:
        """The worker is gone with its calls and conversations; returns how many calls."""
        lost = [call_id for call_id, call in self._calls.items() if call.worker == worker]
        for call_id in lost:
            self._release(self._calls.pop(call_id))
        for session in [one for one, held in self._sessions.items() if held.worker == worker]:
            del self._sessions[session]
        self._workers[worker] = _Worker(chosen=self._workers[worker].chosen)
        return len(lost)

    def _keep(self, session: SessionKey, worker: int) -> _Conversation:
        kept = self._sessions.setdefault(session, _Conversation(worker))
        kept.worker = worker
        self._sessions.move_to_end(session)
        for _ in range(len(self._live) + 1):
            if len(self._sessions) <= self._max_sessions:
                break
            oldest, conversation = self._sessions.popitem(last=False)
            if self._live[oldest]:  # two runs of it at once would write the same history
                self._sessions[oldest] = conversation
        return kept

    def _release(self, call: _Call) -> None:
        if call.session is not None:
            self._live[call.session] -= 1
            if self._live[call.session] <= 0:
                del self._live[call.session]
