"""The live models of an agent tree: one instance a name, every connection observed.

ADK makes a model, and the first call on each event loop a client (0.2 s on the loop), for
each agent that names one.  Here the agents that name the same model share an instance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.llm_agent import LlmAgent
from google.adk.live import CascadeLive
from google.adk.models.base_llm import BaseLlm
from google.adk.models.google_llm import Gemini
from google.adk.models.registry import LLMRegistry

from ..adk_internals import has_live_run, notice_dead_network
from ..agent_tree import agents_under
from ..tools.background_tools import background_tools
from .model_connections import observe

__all__ = [
    "AgentModels",
    "fallback_models",
    "has_live_connection",
    "prepare_models",
    "without_live_connection",
]

PING = {"ping_interval": 1.5, "ping_timeout": 2, "close_timeout": 0.5, "write_limit": 8 << 20}
"""A dead network is noticed within 4 s instead of 50 (arguments of ``websockets.connect``).

At the worst a ping is due after the whole interval, is not answered for all of its time, and the
closing handshake is waited for.  More bytes than the limit of the write buffer let the ping wait
for room in it, for which there is no time limit: it holds what a call with a camera says meanwhile.
"""


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
    def takes_pictures(self) -> bool:
        """Whether any of them may look at a picture; a ``CascadeLive`` drops it unsaid."""
        return not self.models or not all(isinstance(one, CascadeLive) for one in self.models)

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
        observe(model)
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


def has_live_connection(model: BaseLlm) -> bool:
    """Whether the class of ``model`` opens live connections."""
    return type(model).connect is not BaseLlm.connect


def without_live_connection(root: Any) -> Iterator[LlmAgent]:
    """The agents under ``root`` to which a call may come, and whose model has no connection."""
    for agent in agents_under(root):
        if not isinstance(agent, LlmAgent) or not _comes_live(agent):
            continue
        if not has_live_connection(agent.canonical_live_model):
            yield agent


def _comes_live(agent: BaseAgent | None) -> bool:
    """Whether ADK runs it live; what is below an agent that it does not run so it does not."""
    while agent is not None:
        if not has_live_run(agent):
            return False
        if isinstance(agent, LlmAgent) and agent.mode == "single_turn":
            return False
        agent = agent.parent_agent
    return True


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
