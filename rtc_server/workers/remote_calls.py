"""The calls of all workers, as the HTTP interface asks for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..call_service import CallOffer, PlacedCall, make_call_id
from ..errors import CallNotFound, Outcome, ServerBusy
from ..metrics import Metrics
from ..settings import Settings
from .link import WorkerLink, WorkerLost
from .placement import RETRY_AFTER_S, Placement, WorkerState
from .summed_metrics import Snapshot, SummedMetrics
from .wire import offer_to_wire

__all__ = ["RemoteCalls"]

logger = logging.getLogger(__name__)

PLACE_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 10.0
METRICS_TIMEOUT_S = 3.0
_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class _Member:
    process: int
    link: WorkerLink


class RemoteCalls:
    """A :class:`~rtc_server.call_service.CallService` over the workers that there are.

    It admits: what bounds all calls together is checked here; whether it has room, each worker
    knows for itself.
    Workers join and leave it by :meth:`join` and :meth:`leave`.

    Args:
        metrics: the front's own; calls that are lost with their worker are counted there.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._max_calls = settings.limits.max_calls
        self._drain_s = settings.limits.drain_s
        self._own_metrics = metrics
        self._members: dict[int, _Member] = {}
        self._draining = False
        self.placement = Placement(settings.workers)
        self.metrics = SummedMetrics(metrics, self._ask_for_metrics)
        self.agent_name = ""
        self.modalities: Sequence[str] = ()

    # ------------------------------------------------------------------
    # Workers come and go
    # ------------------------------------------------------------------

    def join(self, worker: int, process: int, link: WorkerLink, facts: Mapping[str, Any]) -> None:
        """A worker is open; from now on it gets calls."""
        self.agent_name = facts["agent"]
        self.modalities = facts["modalities"]
        self._members[worker] = _Member(process, link)
        self.metrics.add(process)
        self.placement.set_state(worker, WorkerState.OPEN)

    def take_notice(self, worker: int, notice: str, facts: Mapping[str, Any]) -> None:
        """What a worker that has joined says by itself."""
        match notice:
            case "ended":
                self.placement.end(facts["call_id"])
            case "refused":
                self.placement.refuse(facts["call_id"])
            case "closing":
                self.placement.set_state(worker, WorkerState.CLOSING)
            case "metrics":
                if worker in self._members:
                    self.metrics.put(self._members[worker].process, facts["snapshot"])

    def take_pulse(self, worker: int, *, is_ready: bool, load: float | None = None) -> None:
        """Whether a worker answers in time and would take a call, and its load."""
        if load is not None:
            self.placement.set_load(worker, load)
        if self.placement.state_of(worker) in (WorkerState.OPEN, WorkerState.BUSY):
            state = WorkerState.OPEN if is_ready else WorkerState.BUSY
            self.placement.set_state(worker, state)

    def leave(self, worker: int) -> int:
        """The worker is gone, and its calls with it; returns how many."""
        lost = self.placement.lose(worker)
        self._own_metrics.calls.labels(Outcome.INTERNAL_ERROR.value).inc(lost)
        member = self._members.pop(worker, None)
        if member is not None:
            self.metrics.retire(member.process)
        return lost

    # ------------------------------------------------------------------
    # What the HTTP interface asks
    # ------------------------------------------------------------------

    @property
    def active(self) -> int:
        """Calls going on or being placed."""
        return self.placement.active

    @property
    def is_ready(self) -> bool:
        """Whether another call would be taken."""
        return not self._draining and not self._is_full and self.placement.takes_calls

    @property
    def _is_full(self) -> bool:
        return self._max_calls is not None and self.active >= self._max_calls

    async def place(self, offer: CallOffer) -> PlacedCall:
        """Place a call with the worker that holds its conversation, else the least loaded.

        Raises:
            CallError: the worker's own.
            ServerBusy: the server is full or draining, or the worker was lost meanwhile.
        """
        agent = offer.agent or self.agent_name
        session = None if offer.session_id is None else (agent, offer.user_id, offer.session_id)
        refused: set[int] = set()
        while True:
            if self._draining:
                raise ServerBusy("The server is shutting down.", _RETRY_AFTER_S)
            if self._is_full:
                raise ServerBusy("The server is full.", _RETRY_AFTER_S)
            is_held = self.placement.holder(session) is not None
            worker = self.placement.choose(session, without=refused)
            call_id = make_call_id()
            self.placement.place(call_id, worker, session)
            try:
                answer = await self._ask(
                    worker,
                    "place",
                    timeout_s=PLACE_TIMEOUT_S,
                    offer=offer_to_wire(replace(offer, call_id=call_id)),
                )
            except ServerBusy:
                self.placement.refuse(call_id)
                self.take_pulse(worker, is_ready=False)
                refused.add(worker)
                if is_held or len(refused) == len(self._members):
                    raise
            except WorkerLost:
                # Not tried elsewhere: the offer may be what the worker died of.
                raise ServerBusy("The call was lost; please call again.", RETRY_AFTER_S) from None
            else:
                placed = PlacedCall(**answer)
                self.placement.hold(call_id, worker, (agent, placed.user_id, placed.session_id))
                return placed

    async def add_candidates(
        self, call_id: str, user_id: str | None, candidates: Sequence[Mapping[str, Any] | None]
    ) -> None:
        """Pass on trickled ICE candidates; None ends them.

        Raises:
            CallError: the worker's own; CallNotFound: there is no such call (any more).
        """
        await self._ask_of(call_id, "add_candidates", user_id=user_id, candidates=list(candidates))

    async def describe(self, call_id: str, user_id: str | None) -> dict[str, Any]:
        """State, timings and media statistics of a call.

        Raises:
            CallNotFound: there is no such call of this user.
        """
        described: dict[str, Any] = await self._ask_of(call_id, "describe", user_id=user_id)
        return described

    async def hang_up(self, call_id: str, user_id: str | None) -> None:
        """End a call and wait, for a bounded time, until it is closed.

        Raises:
            CallNotFound: there is no such call of this user.
        """
        await self._ask_of(call_id, "hang_up", user_id=user_id)

    async def drain(self) -> None:
        """Take no more calls and wait until those there are have ended, for a bounded time."""
        self._draining = True
        await asyncio.gather(*(self._drain(worker) for worker in self._members))

    async def _drain(self, worker: int) -> None:
        try:
            await self._ask(worker, "drain", timeout_s=self._drain_s + REQUEST_TIMEOUT_S)
        except WorkerLost:
            logger.info("worker %d ended while it was drained", worker)

    async def _ask_of(self, call_id: str, do: str, **arguments: Any) -> Any:
        worker = self.placement.worker_of(call_id)
        try:
            if worker is None:
                raise WorkerLost(do)
            return await self._ask(
                worker, do, timeout_s=REQUEST_TIMEOUT_S, call_id=call_id, **arguments
            )
        except WorkerLost:
            if worker is not None and self.placement.worker_of(call_id) == worker:
                # The call is still there; its worker did not answer in time.
                raise ServerBusy("The call does not answer now.", RETRY_AFTER_S) from None
            raise CallNotFound("There is no such call.") from None

    async def _ask(self, worker: int, do: str, *, timeout_s: float, **arguments: Any) -> Any:
        member = self._members.get(worker)
        if member is None:
            raise WorkerLost(do)
        return await member.link.request(do, timeout_s=timeout_s, **arguments)

    async def _ask_for_metrics(self) -> dict[int, Snapshot]:
        members = list(self._members.values())
        answers = await asyncio.gather(
            *(one.link.request("metrics", timeout_s=METRICS_TIMEOUT_S) for one in members),
            return_exceptions=True,
        )
        return {
            member.process: answer
            for member, answer in zip(members, answers, strict=True)
            if not isinstance(answer, BaseException)
        }
