"""All calls of the server: admits, owns, finds, takes over, counts and drains them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .agent.agent_runtime import AgentRuntime
from .agent.sessions.session_store import StoredSession
from .call_service import CallOffer, PlacedCall, make_call_id
from .errors import BadRequest, CallError, CallNotFound, Outcome, ServerBusy
from .headroom import Headroom
from .heap import HeapSweeper
from .logs import call_id as log_call_id
from .media_bridge import CallIdentity, MediaBridge
from .metrics import Metrics
from .peer.offer import Offer, parse_offer
from .settings import Settings

__all__ = ["Calls"]

logger = logging.getLogger(__name__)

_RETRY_AFTER_S = 5
_FAILED = {
    Outcome.AGENT_FAILED,
    Outcome.INTERNAL_ERROR,
    Outcome.LOST,
    Outcome.NEVER_CONNECTED,
    Outcome.REFUSED,
}
"""Outcomes that are an error in a trace."""

_HANG_UP_WAIT_S = 1.0
"""Most calls have ended by then; of one whose model does not close nobody waits for that."""


@dataclass(eq=False, slots=True)
class _Call:
    bridge: MediaBridge
    predecessor: _Call | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def identity(self) -> CallIdentity:
        return self.bridge.identity

    @property
    def session_key(self) -> tuple[str, str, str]:
        identity = self.identity
        return identity.agent, identity.user_id, identity.session_id

    async def predecessor_ended(self) -> None:
        if self.predecessor is not None:
            await self.predecessor.ended.wait()
            self.predecessor = None


class Calls:
    """Owns every call; an async context manager that leaves no call behind.

    Args:
        runtimes: the agents served, by name; the first is the default.
        headroom: says whether there is room for a call, and what those there are must save;
            None: nothing is measured.
        on_ended: is given the id of each call that has ended and is closed.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        runtimes: Mapping[str, AgentRuntime],
        *,
        settings: Settings,
        metrics: Metrics,
        headroom: Headroom | None = None,
        on_ended: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtimes = dict(runtimes)
        self._on_ended = on_ended
        self._sweeper = HeapSweeper()
        self._settings = settings
        self._metrics = metrics
        self._headroom = headroom or Headroom(refuses=False)
        self._clock = clock
        self._calls: dict[str, _Call] = {}
        self._by_session: dict[tuple[str, str, str], _Call] = {}
        # Sessions made for calls of which none has connected yet.
        self._unused: set[tuple[str, str, str]] = set()
        self._placing = 0
        # An answer takes milliseconds of the event loop: they are made one after another, and
        # the frames of the calls that go on leave in between.
        self._negotiating = asyncio.Lock()
        self._draining = False
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Calls:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._draining = True
        for call in list(self._calls.values()):
            call.bridge.end(Outcome.DRAIN, "drain")
        # Not told of the exception: it would cancel the calls, which end by themselves now.
        await self._group.__aexit__(None, None, None)

    @property
    def agent_name(self) -> str:
        """The agent that answers where an offer names none."""
        return next(iter(self._runtimes))

    @property
    def modalities(self) -> list[str]:
        """What a call may be."""
        return ["audio", "text"]

    @property
    def active(self) -> int:
        """Calls going on or being placed."""
        return len(self._calls) + self._placing

    @property
    def is_ready(self) -> bool:
        """Whether another call would be taken."""
        return not self._draining and not self._is_full and self._headroom.takes(self.active)

    @property
    def load(self) -> float:
        """The load that these calls come to, those that were just placed among them; 1 is all."""
        return self._headroom.load_of(self.active)

    @property
    def _is_full(self) -> bool:
        limit = self._settings.limits.max_calls
        return limit is not None and self.active >= limit

    def _takes_over(self, offer: CallOffer) -> bool:
        """Whether the call takes the place of one that goes on: then it adds no load."""
        if offer.session_id is None:
            return False
        key = (offer.agent or self.agent_name, offer.user_id, offer.session_id)
        return key in self._by_session

    async def place(self, offer: CallOffer) -> PlacedCall:
        """Place a call and give its answer SDP as soon as there is one.

        Raises:
            BadRequest: the offer cannot be taken.
            AgentUnreachable: the session could not be opened.
            ServerBusy: the server is full or draining.
        """
        self._check_draining()
        if self._is_full:
            raise ServerBusy("The server is full.", _RETRY_AFTER_S)
        if not self._headroom.takes(self.active) and not self._takes_over(offer):
            raise ServerBusy("The server has no room for another call.", _RETRY_AFTER_S)
        self._placing += 1
        try:
            identity, parsed = await self._admit(offer)
            await self._negotiating.acquire()
        finally:
            self._placing -= 1
        try:
            answer_sdp = await self._negotiate(identity, parsed)
        finally:
            self._negotiating.release()
        return PlacedCall(
            call_id=identity.call_id,
            session_id=identity.session_id,
            user_id=identity.user_id,
            answer_sdp=answer_sdp,
        )

    def _check_draining(self) -> None:
        if self._draining:
            raise ServerBusy("The server is shutting down.", _RETRY_AFTER_S)

    async def _admit(self, offer: CallOffer) -> tuple[CallIdentity, Offer]:
        name = offer.agent or self.agent_name
        runtime = self._runtimes.get(name)
        if runtime is None:
            raise BadRequest("There is no agent of this name.")
        parsed = parse_offer(offer.sdp, max_candidates=self._settings.limits.candidates_per_call)
        if offer.client_tools and not parsed.has_data_channel:
            raise BadRequest("client_tools need a data channel, and the offer has none.")
        runtime.check_run_config(offer.run_config, offer.modality)
        modality = offer.modality or runtime.modality(offer.run_config)
        stored = await runtime.sessions.open(offer.user_id, offer.session_id)
        is_unused = (name, stored.user_id, stored.session_id) in self._unused
        identity = CallIdentity(
            call_id=offer.call_id or make_call_id(),
            session_id=stored.session_id,
            user_id=stored.user_id,
            agent=name,
            modality=modality if parsed.caller_hears else "text",
            resumed=stored.resumed and not is_unused,
            peer_is_loopback=offer.peer_is_loopback,
            run_config=offer.run_config,
            client_tools=offer.client_tools,
        )
        return identity, parsed

    async def _negotiate(self, identity: CallIdentity, offer: Offer) -> str:
        """Start the call's task and wait for the answer, which waits for no network."""
        self._check_draining()
        bridge = MediaBridge(
            identity,
            offer,
            self._runtimes[identity.agent],
            settings=self._settings,
            metrics=self._metrics,
            headroom=self._headroom,
            clock=self._clock,
        )
        call = _Call(bridge)
        self._calls[identity.call_id] = call
        if not identity.resumed:
            self._unused.add(call.session_key)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._group.create_task(self._run(call, answer), name=f"call {identity.call_id}")
        # The call outlives a caller who gives up waiting for the answer; its own deadline ends it.
        return await asyncio.shield(answer)

    async def _run(self, call: _Call, answer: asyncio.Future[str]) -> None:
        """The task of one call; nothing that goes wrong in it reaches another."""
        log_call_id.set(call.identity.call_id)
        self._metrics.calls_active.inc()
        begun_at = self._clock()
        outcome = Outcome.INTERNAL_ERROR
        logger.info("call starts: agent=%s %s", call.identity.agent, call.identity.modality)

        def answered(sdp: str) -> None:
            # Only now: an offer that fails in the negotiation must not end a live call.
            call.predecessor = self._by_session.get(call.session_key)
            self._by_session[call.session_key] = call
            if call.predecessor is not None:
                call.predecessor.bridge.end(Outcome.REPLACED, "replaced")
            if not answer.done():
                answer.set_result(sdp)

        async def may_start() -> None:
            self._unused.discard(call.session_key)  # it has connected
            await call.predecessor_ended()

        try:
            with call.bridge.trace.current():
                outcome = await call.bridge.run(answered, may_start)
        except CallError as error:
            outcome = Outcome.REFUSED
            if not answer.done():
                answer.set_exception(error)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except Exception as error:
            # A call's task boundary: other calls go on whatever went wrong in this one.
            logger.exception("call failed")
            if not answer.done():
                answer.set_exception(error)
        finally:
            await self._forget(call)
            call.bridge.trace.end(outcome.value, failed=outcome in _FAILED)
            duration_s = self._clock() - begun_at
            self._metrics.calls_active.dec()
            self._metrics.calls.labels(outcome.value).inc()
            self._metrics.call_duration.observe(duration_s)
            logger.info("call ended: %s after %.1f s", outcome.value, duration_s)
            if self._on_ended is not None:
                self._on_ended(call.identity.call_id)
            self._sweeper.call_ended()

    async def _forget(self, call: _Call) -> None:
        identity = call.identity
        self._calls.pop(identity.call_id, None)
        try:
            # A call that was replaced while it waited for its own predecessor hands on the wait.
            await call.predecessor_ended()
            if self._is_last_of_unused(call):
                # Offers that come to nothing must not fill the session store.
                self._unused.discard(call.session_key)
                await self._runtimes[identity.agent].sessions.discard(
                    StoredSession(identity.session_id, identity.user_id, identity.resumed)
                )
        finally:
            call.ended.set()
            if self._by_session.get(call.session_key) is call:
                del self._by_session[call.session_key]

    def _is_last_of_unused(self, call: _Call) -> bool:
        """No call of its session has ever connected, and there is no other that may."""
        key = call.session_key
        others = (one for one in self._calls.values() if one.session_key == key)
        return key in self._unused and not any(others)

    def _find(self, call_id: str, user_id: str | None) -> _Call:
        call = self._calls.get(call_id)
        if call is None or (user_id is not None and call.identity.user_id != user_id):
            raise CallNotFound("There is no such call.")
        return call

    async def add_candidates(
        self,
        call_id: str,
        user_id: str | None,
        candidates: Sequence[Mapping[str, Any] | None],
    ) -> None:
        """Pass on trickled ICE candidates; None ends them.

        Raises:
            CallNotFound: there is no such call of this user.
            CandidateError: a candidate is malformed or one too many.
        """
        await self._find(call_id, user_id).bridge.peer.add_candidates(candidates)

    async def describe(self, call_id: str, user_id: str | None) -> dict[str, Any]:
        """State, timings and media statistics of a call.

        Raises:
            CallNotFound: there is no such call of this user.
        """
        return await self._find(call_id, user_id).bridge.describe()

    async def hang_up(self, call_id: str, user_id: str | None) -> None:
        """End a call and wait, for a bounded time, until it is closed.

        Raises:
            CallNotFound: there is no such call of this user.
        """
        call = self._find(call_id, user_id)
        del self._calls[call_id]
        call.bridge.end(Outcome.HANGUP)
        try:
            await asyncio.wait_for(call.ended.wait(), _HANG_UP_WAIT_S)
        except TimeoutError:
            logger.info("call %s takes long to close", call_id)

    async def drain(self) -> None:
        """Take no more calls and wait until those there are have ended, for a bounded time."""
        self._draining = True
        drain_s = self._settings.limits.drain_s
        for runtime in self._runtimes.values():
            runtime.drains(drain_s)
        calls = list(self._calls.values())
        for call in calls:
            call.bridge.announce_end("drain", drain_s)
        waits = [call.ended.wait() for call in calls]
        try:
            await asyncio.wait_for(asyncio.gather(*waits), drain_s)
        except TimeoutError:
            logger.info("%d calls did not end by themselves", len(self._calls))
