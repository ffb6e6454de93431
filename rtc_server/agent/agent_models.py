"""The live models of an agent tree: one instance a name, every connection observed.

ADK makes a model, and the first call on each event loop a client (0.2 s on the loop), for
each agent that names one.  Here the agents that name the same model share an instance.

``BaseLlm.connect`` is where ADK opens, and on its own accord reopens, a live connection.
Each instance's ``connect`` is wrapped, so that a :class:`ConnectionObserver` learns of it:
ADK reconnects within ``run_live`` without a word and without a limit (2.13).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.llm_agent import LlmAgent
from google.adk.live import CascadeLive
from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_request import LlmRequest
from google.adk.models.registry import LLMRegistry
from google.adk.workflow import Workflow

from ..tracing import connecting_span
from .adk_internals import notice_dead_network
from .model_tap import ModelListener, tapped
from .tool_watch import background_tools

__all__ = [
    "AgentModels",
    "ConnectionObserver",
    "agents_under",
    "fallback_models",
    "observing",
    "prepare_models",
]

PING = {"ping_interval": 2, "ping_timeout": 2, "close_timeout": 1}
"""A dead network is noticed within 4 s instead of 46 (seconds, of ``websockets.connect``)."""

_OBSERVED = "_rtc_server_observed"


class ConnectionObserver(ModelListener, Protocol):
    """Is told of the connections that a run opens, and what the model says on them."""

    connects: int
    """How often a connection has been attempted for it, this time included."""

    connect_s: float
    """A connection that is not taken after this long is given up."""

    async def connecting(self, request: LlmRequest, model: BaseLlm) -> BaseLlm:
        """Before each attempt; a reconnect has the request of the first connection.

        Returns:
            The model to connect to, ``model`` itself or another one.

        What it raises ends the run.
        """

    async def connected(self) -> None:
        """The model took the connection."""

    def refused(self, error: BaseException) -> None:
        """The model did not take the connection, in time."""

    def disconnected(self, error: BaseException | None) -> None:
        """The connection is gone; ``error`` is what ended its use, if anything did."""


_observer: ContextVar[ConnectionObserver | None] = ContextVar("observer", default=None)


@dataclass(frozen=True, slots=True)
class AgentModels:
    """What the models of an agent tree are."""

    models: tuple[BaseLlm, ...]
    """Every live model, that of the first agent first."""
    first_agent: str
    """Name of the agent that speaks first."""
    observed: bool
    """Whether every connection will be told to the observer."""
    background_tools: frozenset[str] = frozenset()
    """Names of the tools whose results the models do not wait for."""
    is_fallback: bool = False
    """Whether this is the fallback, which stands for every model of the tree."""

    @property
    def first(self) -> BaseLlm | None:
        """The model of the agent that speaks first."""
        return self.models[0] if self.models else None

    @property
    def is_gemini(self) -> bool:
        """Whether sessions can be resumed by a handle."""
        return isinstance(self.first, Gemini)

    @property
    def is_cascade(self) -> bool:
        """Whether an activity start interrupts the model at any time."""
        return isinstance(self.first, CascadeLive)

    @property
    def cumulative_input(self) -> bool | None:
        """Whether input transcripts are whole each time; None: not known."""
        if self.is_cascade:
            return True
        return False if self.is_gemini else None

    @property
    def speaks_only(self) -> bool:
        """Whether the model is known to refuse the text modality, by its name."""
        return self.is_gemini and "native-audio" in (self.first.model if self.first else "")


@contextlib.contextmanager
def observing(observer: ConnectionObserver) -> Iterator[None]:
    """The runs started in this context, and in tasks started from it, tell ``observer``."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def fallback_models(name: str, first_agent: str) -> AgentModels:
    """The model that stands for all of a tree while they are away.

    Raises:
        ValueError: the name is not known to ADK, or its package is missing.
    """
    return AgentModels((_new_model(name),), first_agent, observed=True, is_fallback=True)


def prepare_models(root: Any) -> AgentModels:
    """Share and observe the models of the tree under ``root``.

    Args:
        root: an agent, or a workflow of agents.

    Raises:
        ValueError: a model's name is not known to ADK, or its package is missing.
    """
    shared: dict[str, BaseLlm] = {}
    models: list[BaseLlm] = []
    background: set[str] = set()
    first: str | None = None
    for agent in agents_under(root):
        if not isinstance(agent, LlmAgent) or agent.mode == "single_turn":
            continue  # that is not run live
        model = _shared_model(agent, shared)
        _observe(model)
        background.update(background_tools(agent))
        first = first or agent.name
        if not any(model is one for one in models):
            models.append(model)
    return AgentModels(
        tuple(models),
        first or str(root.name),
        observed=bool(models),
        background_tools=frozenset(background),
    )


def agents_under(root: Any) -> Iterator[BaseAgent]:
    """``root`` and its sub-agents, or the agents of a workflow, depth first."""
    if isinstance(root, BaseAgent):
        yield root
        for agent in root.sub_agents:
            yield from agents_under(agent)
    elif isinstance(root, Workflow) and root.graph is not None:
        for node in root.graph.nodes:
            yield from agents_under(node)


def _shared_model(agent: LlmAgent, shared: dict[str, BaseLlm]) -> BaseLlm:
    if isinstance(agent.model, BaseLlm):
        if isinstance(agent.model, Gemini):
            notice_dead_network(agent.model, PING)
        return agent.model
    if not agent.model:  # that of an ancestor, which has been shared already, or ADK's default
        model = agent.canonical_live_model
        if agent.parent_agent is None:
            agent.model = model
        return model
    name = agent.model
    if name not in shared:
        shared[name] = _new_model(name)
    agent.model = shared[name]
    return shared[name]


def _new_model(name: str) -> BaseLlm:
    model = LLMRegistry.new_llm(name)
    if isinstance(model, Gemini):
        notice_dead_network(model, PING)
    return model


def _observe(model: BaseLlm) -> None:
    """Wraps ``connect`` of this one instance; a second time changes nothing."""
    if _OBSERVED in model.__dict__:
        return
    connect: Callable[[LlmRequest], contextlib.AbstractAsyncContextManager[BaseLlmConnection]]
    connect = model.connect

    @contextlib.asynccontextmanager
    async def observed(llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
        observer = _observer.get()
        if observer is None:
            async with connect(llm_request) as connection:
                yield connection
            return
        chosen = await observer.connecting(llm_request, model)
        opened = connect(llm_request) if chosen is model else _connect_to(chosen, llm_request)
        async with (
            _told(observer, chosen.model, opened) as connection,
            tapped(connection, observer),
        ):
            yield connection

    # Past pydantic, which takes no attribute that is not a field.
    object.__setattr__(model, "connect", observed)
    object.__setattr__(model, _OBSERVED, True)


def _connect_to(
    chosen: BaseLlm, request: LlmRequest
) -> contextlib.AbstractAsyncContextManager[BaseLlmConnection]:
    """A connection to another model than the agent's, for the same request."""
    opened: contextlib.AbstractAsyncContextManager[BaseLlmConnection]
    opened = chosen.connect(request.model_copy(update={"model": chosen.model}))
    return opened


@contextlib.asynccontextmanager
async def _told(
    observer: ConnectionObserver,
    name: str,
    opened: contextlib.AbstractAsyncContextManager[BaseLlmConnection],
) -> AsyncIterator[BaseLlmConnection]:
    """``opened``, in bounded time, with all that comes of it told to ``observer``."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            with connecting_span(name, observer.connects):
                async with asyncio.timeout(observer.connect_s):
                    connection = await stack.enter_async_context(opened)
        except BaseException as error:
            observer.refused(error)
            raise
        await observer.connected()
        try:
            yield connection
        except BaseException as error:
            observer.disconnected(error)
            raise
        observer.disconnected(None)
