"""A call's way to its model: which one is asked, whether it may connect, whether it is away."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Hashable
from enum import Enum, auto

from google.adk.models.base_llm import BaseLlm

from ...metrics import Metrics
from ..failures import ModelChanged, blames_the_request, is_of_this_process
from ..live_events import LiveEvent, ModelAway, ModelBack
from .agent_models import AgentModels
from .model_choice import ModelChoice
from .model_gate import ModelGate, ModelGates

__all__ = ["LinkState", "ModelLink"]


class LinkState(Enum):
    """Of a live session, as what the caller sends finds it."""

    NEW = auto()
    CONNECTING = auto()  # for the first time: audio waits
    CONNECTED = auto()
    RECONNECTING = auto()  # audio is dropped
    CLOSED = auto()


class ModelLink:
    """Of one live session.

    Args:
        own: the models of the agent.
        fallback: the one that stands for them all while they are away.
        gates: of all calls.
        call: who waits at them.
        emit: is given the events ``ModelAway`` and ``ModelBack``.
        now: monotonic seconds.
    """

    def __init__(
        self,
        own: AgentModels,
        fallback: AgentModels | None,
        gates: ModelGates,
        *,
        call: Hashable,
        emit: Callable[[LiveEvent], Awaitable[None]],
        now: Callable[[], float],
        metrics: Metrics,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self.models = own
        """Those that the run asks: the agent's own, or the fallback."""
        self.state = LinkState.NEW
        """As the session and its runs have set it."""
        self._connections = 0
        self._own, self._fallback = own, fallback
        self._gates = gates
        self._gate: ModelGate | None = None  # of a connection that has not proved to be good
        self._call = call
        self._choice = ModelChoice(has_fallback=fallback is not None)
        self._told_name = _name_of(own)
        self._is_away = False
        self._emit = emit
        self._now = now
        self._metrics = metrics
        self._log = log

    @property
    def is_down(self) -> bool:
        """Whether the agent's own model counts as down for everybody."""
        return self._own_gate.is_open

    @property
    def _own_gate(self) -> ModelGate:
        return self._gates.of(_name_of(self._own))

    @property
    def is_connected(self) -> bool:
        """Whether the run has a connection."""
        return self._connections > 0

    @property
    def takes_realtime(self) -> bool:
        """Whether sound and frames of now are of use: they reach the model, or soon will."""
        return self.state in (LinkState.CONNECTING, LinkState.CONNECTED)

    # The choice -----------------------------------------------------------------

    def failed(self) -> bool:
        """A run failed; whether the next one asks another model, and need not wait."""
        return self._choice.failed(self._now(), is_down=self.is_down)

    def showed_no_life(self) -> None:
        """The model owed an answer."""
        if not self._choice.on_fallback:
            self._choice.failed(self._now())

    def progressed(self) -> None:
        """The model gave an answer to its end."""
        self._choice.progressed()

    def returns(self) -> bool:
        """Between two answers: whether the agent's own model is asked again from now on."""
        gate = self._own_gate
        return self._choice.returns(
            self._now(),
            is_down=gate.turns_away(),
            well_at=gate.succeeded_at,
            is_due=gate.may_probe(),
        )

    def choose(self) -> bool:
        """Before a run: settles which model it asks; whether that is another one than before."""
        models = self._own
        if self._choice.on_fallback and self._fallback is not None:
            models = self._fallback
        if models is self.models:
            return False
        self.models = models
        self._log.warning("the call goes on with the model %s", _name_of(models))
        if models.is_fallback:
            self._metrics.agent_fallbacks.inc()
        return True

    # The connection ---------------------------------------------------------------

    async def admit(self, model: BaseLlm, patience_s: float) -> BaseLlm:
        """Wait until the run may connect.

        Args:
            model: that of the agent that wants to.
            patience_s: waits so long, and no longer.

        Returns:
            The model to connect to: ``model``, or the fallback.

        Raises:
            ModelChanged: it may not now, and the other model may be asked instead.
            HeldTooLong: the model has been down for too long.
        """
        chosen = self.models.first if self.models.is_fallback else model
        assert chosen is not None
        gate = self._gates.of(chosen.model)
        if gate.turns_away() and self._choice.turned_away(
            self._now(), is_own_there=not self._own_gate.turns_away()
        ):
            raise ModelChanged
        self._gate = gate
        await gate.admit(self._call, patience_s)
        return chosen

    def connected(self) -> None:
        """The model took the connection."""
        if self._gate is not None:
            self._gate.connected(self._call)
        self._connections += 1
        if self.state is not LinkState.CLOSED:
            self.state = LinkState.CONNECTED

    def disconnected(self) -> None:
        """A connection that was taken is gone."""
        self._connections -= 1
        if self._connections == 0 and self.state is LinkState.CONNECTED:
            self.state = LinkState.RECONNECTING

    def run_is_over(self) -> None:
        """None of the run's connections is left."""
        self._connections = 0

    def proved(self) -> None:
        """The model said something."""
        if self._gate is not None:
            self._gate.proved(self._call)
            self._gate = None

    def over(self, error: BaseException | None, *, is_ours: bool) -> None:
        """The connection is gone, or was not taken; not told twice of one.

        Args:
            error: what ended it, if anything did.
            is_ours: this end wanted it.
        """
        gate, self._gate = self._gate, None
        if gate is None:
            return
        # One call's request must not be able to make the model count as down for all.
        if is_ours or blames_the_request(error) or is_of_this_process(error):
            gate.withdrew(self._call)
        else:
            gate.failed(self._call)

    # What the caller is told --------------------------------------------------------

    async def tell_away(self, patience_s: float = ModelAway().patience_s) -> None:
        """There is no connection."""
        if not self._is_away:
            self._is_away = True
            await self._emit(ModelAway(patience_s))

    async def tell_back(self) -> None:
        """There is one."""
        name = _name_of(self.models)
        changed = name != self._told_name
        if self._is_away or changed:
            self._is_away, self._told_name = False, name
            await self._emit(ModelBack(name if changed else None))


def _name_of(models: AgentModels) -> str:
    return models.first.model if models.first is not None else ""
