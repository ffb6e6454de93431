"""The handle by which a model goes on with its own session, kept with ours.

With it a call after a reload, a restart or on another server takes up the very session of
the model; without one, or with one that the model does not take, the history is told anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from google.adk.agents.llm_agent import LlmAgent
from google.adk.events.event import Event
from google.adk.sessions.session import Session

from ..agent_tree import agents_under
from ..failures import HandleRefused
from .stored_events import has_words

__all__ = ["STATE_KEY", "Resumption", "ResumptionHandle"]

STATE_KEY = "rtc:live_session"
"""Where the handle lies in the session state; no caller reads or writes it."""

GOOD_S = 7200.0
"""How long Gemini keeps a session that nobody is connected to, in seconds."""

_SKEW_S = 60.0
"""The clock of another server may be ahead of ours by so much."""


@dataclass(frozen=True, slots=True)
class ResumptionHandle:
    """A handle, whose session it is of, and when the model gave it (seconds since 1970)."""

    handle: str
    agent: str
    model: str
    at: float
    covers: tuple[str, ...] = ()
    """The ids of the newest events that the model knew then, of those with words."""

    def to_state(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "covers": list(self.covers)}

    @classmethod
    def from_state(cls, value: object) -> Self | None:
        """What :meth:`to_state` gave; None if it is anything else."""
        if not isinstance(value, dict):
            return None
        handle, agent, model = (value.get(name) for name in ("handle", "agent", "model"))
        at = value.get("at")
        if isinstance(at, bool) or not isinstance(at, int | float):
            return None
        if not (isinstance(handle, str) and isinstance(agent, str) and isinstance(model, str)):
            return None
        covers = value.get("covers")
        listed = covers if isinstance(covers, list) else []
        ids = tuple(one for one in listed if isinstance(one, str))
        return cls(handle, agent, model, float(at), ids) if handle else None


class Resumption:
    """What a call's next connection goes on with.

    Args:
        root: of the agents.
        first_agent: who speaks in a session in which nobody has.
        keep: is given a key and a value of the session state, to be stored some time soon.
        covered: the ids of the newest events that the model knows now.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        root: Any,
        *,
        first_agent: str,
        keep: Callable[[str, Any], None],
        covered: Callable[[], tuple[str, ...]] = tuple,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.handle: str | None = None
        """The newest one; None: the history is told."""
        self._root = root
        self._first_agent = first_agent
        self._keep = keep
        self._covered = covered
        self._clock = clock
        self._agent: str | None = None
        self._was_taken_up = False
        self._is_untried = False
        self._is_connected = True
        """False: what still comes is late, of the connection before."""
        self._is_in_use = False
        """The connection was made with a handle, and nothing has come on it yet."""

    def take_up(self, session: Session | None) -> None:
        """Go on with the handle that was kept with ``session``, once, and if it is good.

        It is not where it is too old, of another agent than the one that spoke last, of a
        model that this agent had once, or where more was said since: on another server, or
        before this one gave another handle.
        """
        if self._was_taken_up or session is None:
            return
        self._was_taken_up = True
        kept = ResumptionHandle.from_state(session.state.get(STATE_KEY))
        if kept is None or not -_SKEW_S <= self._clock() - kept.at <= GOOD_S:
            return
        said = next((event for event in reversed(session.events) if has_words(event)), None)
        if said is not None and said.id not in kept.covers:
            return
        authors = (event.author for event in reversed(session.events) if event.author != "user")
        if kept.agent != next(authors, self._first_agent):
            return
        if kept.model == self._model_of(kept.agent) and self._begins_with(kept.agent):
            self.handle, self._agent, self._is_untried = kept.handle, kept.agent, True

    def take(self, event: Event) -> None:
        """Keep the newest handle of the agent that speaks; never an empty one."""
        if self._is_connected:
            self._is_untried = self._is_in_use = False
        if event.author not in ("user", self._agent):
            # Another agent has a live session of its own.
            self.handle, self._agent = None, event.author
        update = event.live_session_resumption_update
        if update is None or not update.new_handle or self._agent is None:
            return
        self.handle = update.new_handle
        model = self._model_of(self._agent)
        kept = ResumptionHandle(
            update.new_handle, self._agent, model, self._clock(), self._covered()
        )
        self._keep(STATE_KEY, kept.to_state())

    def drop(self) -> None:
        """Tell the history instead."""
        self.handle = None

    def begin_anew(self) -> None:
        """The agents of a workflow begin again with the first."""
        self.handle = self._agent = None

    def connects(self) -> None:
        """A connection is made, with the handle if there is one."""
        self._is_in_use = self.handle is not None
        self._is_connected = False

    def connected(self) -> None:
        """It is there, and what comes from now on comes of it."""
        self._is_connected = True

    def connects_again(self) -> None:
        """ADK connects once more within a run.

        Raises:
            HandleRefused: nothing has come of the handle that was kept.
        """
        if self._is_untried:
            raise HandleRefused

    def was_refused(self, *, is_unknown: bool) -> bool:
        """Whether the run that is over came to nothing by its handle, which is dropped then.

        Args:
            is_unknown: the model closed as it does for a handle that it does not know.
        """
        was_refused = self._is_untried or (self._is_in_use and is_unknown)
        self._is_untried = self._is_in_use = False
        if was_refused:
            self.drop()
        return was_refused

    def _begins_with(self, agent_name: str) -> bool:
        """Whether ADK begins a run with the agent that spoke last: up to the root all may go on."""
        agent = next((one for one in agents_under(self._root) if one.name == agent_name), None)
        while isinstance(agent, LlmAgent):
            if agent.parent_agent is None:
                return True
            if agent.disallow_transfer_to_parent:
                return False
            agent = agent.parent_agent
        return False

    def _model_of(self, agent_name: str) -> str:
        """Name of the model that this agent of the tree speaks by; empty if it has none."""
        for agent in agents_under(self._root):
            if agent.name == agent_name and isinstance(agent, LlmAgent):
                return str(agent.canonical_live_model.model)
        return ""
