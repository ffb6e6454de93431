"""When a model is down for everybody: one call tries it at a time, the others wait.

Plain code with the time as an argument; :mod:`.model_gate` waits and counts around it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["BreakerRules", "BreakerState", "CircuitBreaker"]

_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.5
"""Those who wait ask at least this far apart, and at least so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a model counts as down, and how it is tried again; times in seconds."""

    failures: int = 5
    """So many failed connections without one that succeeded open the breaker, …"""

    calls: int = 2
    """… if they are of so many calls at least: one call alone may have itself to blame."""

    window_s: float = 30.0
    """A failure longer ago does not count."""

    first_pause_s: float = 1.0
    """From the opening to the first probe; doubled by each probe that fails."""

    early_pause_s: float = 5.0
    """No pause is longer while the model has been down for …"""

    early_s: float = 60.0
    """… less than this: most outages are short, and one connection costs nothing."""

    max_pause_s: float = 30.0
    """No pause is longer after that."""

    proof_s: float = 0.5
    """A connection that held this long, or on which the model said something, succeeded."""

    probe_s: float = 30.0
    """A probe that nothing was heard of for this long is forgotten."""

    connects_per_s: float = 10.0
    """No more connections are opened in a second, over all calls, …"""

    burst: int = 40
    """… but so many at once after a quiet time; one only after the model was down."""

    random: Callable[[], float] = random.random
    """From 0 to 1; a pause is shortened by up to half of it."""

    def pause_s(self, probes: int, down_s: float = 0.0) -> float:
        """The pause after so many probes that failed, of a model that is down for that long."""
        most = self.max_pause_s
        if down_s < self.early_s:
            most = min(most, self.early_pause_s)
        longest = min(most, self.first_pause_s * 2.0 ** min(probes, 16))
        return longest * (0.5 + 0.5 * self.random())


class BreakerState(Enum):
    """Who may connect."""

    CLOSED = auto()
    """Everybody, at a bounded rate."""
    OPEN = auto()
    """Nobody, until the pause is over; then one."""
    PROBING = auto()
    """Nobody: one call tries."""


class CircuitBreaker:
    """Decides for all calls of one model who may connect, and when.

    A call asks :meth:`wait_s` until that is 0, and then says how it went: :meth:`connected`,
    and :meth:`proved` or :meth:`failed`; or :meth:`withdrew`.  After :meth:`proved` it has
    nothing more to say of this connection.  ``now`` is in monotonic seconds and never runs
    backwards.
    """

    def __init__(self, rules: BreakerRules | None = None) -> None:
        self.rules = rules if rules is not None else BreakerRules()
        self.state = BreakerState.CLOSED
        self.succeeded_at: float | None = None
        """When a connection was last found to be good."""
        self._failures: deque[tuple[float, Hashable]] = deque(maxlen=64)
        self._connected: dict[Hashable, float] = {}
        """When those connections were opened of which it is not known whether they hold."""
        self._held: set[Hashable] = set()
        """The calls whose connections held, and are not known to be over."""
        self._probe: Hashable | None = None
        self._probe_at = 0.0
        """When the probe began, or the next one may begin."""
        self._failed_probes = 0
        self._opened_at = 0.0
        self._slots: dict[Hashable, float] = {}
        """When the calls that wait for the rate alone may connect."""
        self._due = float("-inf")
        """When the next connection would be due, if all had come at the rate."""

    @property
    def is_open(self) -> bool:
        """Whether the model counts as down."""
        return self.state is not BreakerState.CLOSED

    def wait_s(self, call: Hashable, now: float) -> float:
        """How long ``call`` is to wait before it asks again; 0: it is to connect now."""
        self._find_proofs(now)
        if self.state is BreakerState.CLOSED:
            return self._wait_for_slot(call, now)
        if self.state is BreakerState.PROBING and now - self._probe_at >= self.rules.probe_s:
            self._wait_for_probe(now)
        if self.state is BreakerState.OPEN and now >= self._probe_at:
            self.state = BreakerState.PROBING
            self._probe, self._probe_at = call, now
            return 0.0
        return max(_SHORTEST_WAIT_S, min(_LONGEST_WAIT_S, self._news_at() - now))

    def look(self, now: float) -> None:
        """Time went by: connections that have held are good."""
        self._find_proofs(now)

    def may_probe(self, now: float) -> bool:
        """Whether a call that asks now would connect to a model that counts as down."""
        self._find_proofs(now)
        return self.state is BreakerState.OPEN and now >= self._probe_at

    def connected(self, call: Hashable, now: float) -> None:
        """The model took the connection; whether it keeps it will be seen."""
        self._connected[call] = now
        self._held.discard(call)

    def proved(self, call: Hashable, now: float) -> None:
        """The model said something on the connection."""
        self._connected.pop(call, None)
        self._held.discard(call)
        self._succeed(now)

    def failed(self, call: Hashable, now: float) -> None:
        """The connection was not taken, or is lost; that of one that had held is no failure."""
        self._find_proofs(now)
        self._connected.pop(call, None)
        if call in self._held:
            self._held.discard(call)
            return
        if call == self._probe:
            self._failed_probes += 1
            down_s = now - self._opened_at
            self._wait_for_probe(now + self.rules.pause_s(self._failed_probes, down_s))
            return
        self._failures.append((now, call))
        if self.state is BreakerState.CLOSED and self._is_down(now):
            self._failed_probes = 0
            self._opened_at = now
            self._slots.clear()
            self._wait_for_probe(now + self.rules.pause_s(0))

    def withdrew(self, call: Hashable, now: float) -> None:
        """The call connects no more: it is over, or was refused for what it asked for."""
        self._connected.pop(call, None)
        self._held.discard(call)
        self._slots.pop(call, None)
        if call == self._probe:
            self._wait_for_probe(now)

    # ------------------------------------------------------------------

    def _wait_for_slot(self, call: Hashable, now: float) -> float:
        """The generic cell rate algorithm; a call keeps the slot that it was given."""
        at = self._slots.pop(call, None)
        if at is None:
            interval_s = 1.0 / self.rules.connects_per_s
            at = max(now, self._due - (self.rules.burst - 1) * interval_s)
            self._due = max(now, self._due) + interval_s
        if at <= now:
            return 0.0
        self._slots[call] = at
        return at - now

    def _wait_for_probe(self, at: float) -> None:
        self.state = BreakerState.OPEN
        self._probe = None
        self._probe_at = at

    def _news_at(self) -> float:
        """When there may be something else to say to those who wait."""
        if self.state is BreakerState.OPEN:
            return self._probe_at
        connected_at = self._connected.get(self._probe)
        if connected_at is not None:
            return connected_at + self.rules.proof_s
        return self._probe_at + self.rules.probe_s

    def _find_proofs(self, now: float) -> None:
        """Connections that have held long enough are good."""
        held = [call for call, at in self._connected.items() if now - at >= self.rules.proof_s]
        for call in held:
            del self._connected[call]
            self._held.add(call)
            self._succeed(now)

    def _succeed(self, now: float) -> None:
        self.succeeded_at = now
        self._failures.clear()
        if self.state is BreakerState.CLOSED:
            return
        self.state = BreakerState.CLOSED
        self._probe = None
        self._failed_probes = 0
        # Those who waited come in one by one, not all at once.
        self._due = now + (self.rules.burst - 1) / self.rules.connects_per_s

    def _is_down(self, now: float) -> bool:
        since = now - self.rules.window_s
        recent = [call for at, call in self._failures if at >= since]
        return len(recent) >= self.rules.failures and len(set(recent)) >= self.rules.calls
