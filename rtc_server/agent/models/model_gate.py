"""Where calls wait before they connect to a model: its circuit breaker, with a clock.

One gate a model, for all calls of the process.  See :mod:`.circuit_breaker` for the rules.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable

from ...metrics import Metrics
from ..failures import HeldTooLong
from .circuit_breaker import BreakerRules, CircuitBreaker

__all__ = ["ModelGate", "ModelGates"]

logger = logging.getLogger(__name__)


class ModelGate:
    """Lets calls connect to one model, and is told what came of it.

    Args:
        model: its name, for logs and metrics.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        model: str,
        metrics: Metrics,
        rules: BreakerRules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._breaker = CircuitBreaker(rules)
        self._clock = clock
        self._taken: set[Hashable] = set()
        """Whose connections are counted, and may still turn out to be bad."""
        self._was_open = False
        metrics.model_down.labels(model).set(0)

    @property
    def is_open(self) -> bool:
        """Whether the model counts as down."""
        return self._breaker.is_open

    def may_probe(self) -> bool:
        """Whether the model counts as down, and a call that asks now would try it."""
        return self._breaker.may_probe(self._clock())

    @property
    def succeeded_at(self) -> float | None:
        """When a connection of any call was last found to be good."""
        return self._breaker.succeeded_at

    def turns_away(self) -> bool:
        """Whether a call that asks now would have to wait for the model to be there again."""
        return self.is_open and not self.may_probe()

    async def admit(self, call: Hashable, patience_s: float) -> None:
        """Wait until ``call`` may connect.

        A cancellation leaves nothing behind.

        Raises:
            HeldTooLong: the model was down for ``patience_s``.
        """
        until = self._clock() + patience_s
        try:
            while (wait_s := self._breaker.wait_s(call, self._clock())) > 0:
                if self._clock() >= until:
                    raise HeldTooLong
                await asyncio.sleep(wait_s)
        except BaseException:
            self._breaker.withdrew(call, self._clock())
            raise
        self._tell()

    def connected(self, call: Hashable) -> None:
        """The model took the connection of ``call``."""
        self._metrics.model_connects.labels(self._model, "taken").inc()
        self._taken.add(call)
        self._breaker.connected(call, self._clock())
        # A model that says nothing unasked is known to be there by then.
        asyncio.get_running_loop().call_later(self._breaker.rules.proof_s, self._look)

    def proved(self, call: Hashable) -> None:
        """The model said something to ``call``."""
        self._taken.discard(call)
        self._breaker.proved(call, self._clock())
        self._tell()

    def failed(self, call: Hashable) -> None:
        """The model did not take the connection, or dropped it at once."""
        if call not in self._taken:  # else it has been counted
            self._metrics.model_connects.labels(self._model, "failed").inc()
        self._taken.discard(call)
        self._breaker.failed(call, self._clock())
        self._tell()

    def withdrew(self, call: Hashable) -> None:
        """``call`` no longer wants to connect, or was refused for what it asked for."""
        self._taken.discard(call)
        self._breaker.withdrew(call, self._clock())
        self._tell()

    def _look(self) -> None:
        self._breaker.look(self._clock())
        self._tell()

    def _tell(self) -> None:
        is_open = self._breaker.is_open
        if is_open == self._was_open:
            return
        self._was_open = is_open
        self._metrics.model_down.labels(self._model).set(is_open)
        if is_open:
            logger.error("the model %s is down: one call tries it at a time", self._model)
        else:
            logger.info("the model %s is there again", self._model)


class ModelGates:
    """The gates of an agent's models, by name."""

    def __init__(self, metrics: Metrics, rules: BreakerRules | None = None) -> None:
        self._metrics = metrics
        self._rules = rules
        self._gates: dict[str, ModelGate] = {}

    def of(self, model: str) -> ModelGate:
        """The gate of the model of that name; the names are those of the agents."""
        gate = self._gates.get(model)
        if gate is None:
            gate = self._gates[model] = ModelGate(model, self._metrics, self._rules)
        return gate
