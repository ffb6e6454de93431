"""What is to be written of one session, in order; plain code.

An event has its place from the moment ADK hands it over.  A place may be held until it is
known what became of the event; what comes after it waits, so that the order is kept.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.adk.events.event import Event
from google.adk.sessions.session import Session

from .stored_events import has_words

__all__ = ["Place", "SessionJournal"]

_COVERED = 8
"""How many events a handle of the model's is said to cover: the newest ones."""


@dataclass(slots=True, eq=False)
class Place:
    """One event in the order of its session."""

    event: Event
    is_held: bool = False
    is_dropped: bool = False


@dataclass(slots=True, eq=False)
class SessionJournal:
    """The events of one session that are not stored yet.

    Args:
        capacity: places at most; an event that finds none is lost.
        on_ready: is called when there may be something to write.
        on_lost: is called for each event that is lost.
    """

    capacity: int
    on_ready: Callable[[], None]
    on_lost: Callable[[], None]

    calls: int = 0
    """Live calls of the session."""
    agent: str = "agent"
    """Who is said to speak where no agent has spoken yet."""
    session: Session | None = None
    """The session as the newest live run of a call knows it."""
    last_event: Event | None = None
    """The newest one of an agent."""
    holds: Callable[[Place], bool] = field(default=lambda place: False)
    """Asked of each new place: whether it is to be held."""

    _places: deque[Place] = field(default_factory=deque)
    _state: dict[str, Any] = field(default_factory=dict)

    def add(self, event: Event, *, is_known: bool = False) -> None:
        """The next event; where it ``is_known`` what became of it, it is not held."""
        if event.author != "user":
            self.last_event = event
        if len(self._places) >= self.capacity:
            self.on_lost()
            return
        place = Place(event)
        self._places.append(place)
        place.is_held = not is_known and self.holds(place)
        if not place.is_held:
            self.on_ready()

    def settle(self, place: Place, *, keep: bool) -> None:
        """A held event is to be written as it is now, or not at all."""
        place.is_held = False
        place.is_dropped = not keep
        if not keep and self.session is not None:
            # Identity, not equality: an event is not compared field by field.
            self.session.events[:] = [e for e in self.session.events if e is not place.event]
        self.on_ready()

    # State ----------------------------------------------------------------------

    def keep_state(self, key: str, value: Any) -> None:
        """A key of the session state, stored with the next event or, if none comes, alone."""
        self._state[key] = value
        if self.session is not None:
            self.session.state[key] = value
        self.on_ready()

    @property
    def state(self) -> dict[str, Any]:
        """What :meth:`keep_state` was given and is not stored."""
        return dict(self._state)

    def state_written(self, state: Mapping[str, Any]) -> None:
        """This is stored; what was kept meanwhile under the same keys is not."""
        for key, value in state.items():
            if self._state.get(key) is value:
                del self._state[key]

    def add_state_event(self) -> None:
        """A place for the state alone."""
        last = self.last_event
        event = Event(
            author=self.agent if last is None else last.author,
            invocation_id="" if last is None else last.invocation_id,
            branch=None if last is None else last.branch,
        )
        self.add(event, is_known=True)

    def covered(self) -> tuple[str, ...]:
        """The ids of the newest events up to the agent's last, the newest first.

        What the user said after it the model need not have known when it gave a handle.
        """
        if self.session is None:
            return ()
        told = (event for event in reversed(self.session.events) if has_words(event))
        known = itertools.dropwhile(lambda event: event.author == "user", told)
        return tuple(event.id for event in itertools.islice(known, _COVERED))

    # Writing --------------------------------------------------------------------

    def head(self) -> Place | None:
        """The place to be written next; None if there is none, or if it is held."""
        while self._places and self._places[0].is_dropped:
            self._places.popleft()
        if not self._places or self._places[0].is_held:
            return None
        return self._places[0]

    def written(self, place: Place) -> None:
        """The head is stored."""
        if self._places and self._places[0] is place:
            self._places.popleft()

    def pending(self) -> list[Event]:
        """The events that are not stored, in order; of held ones what is known of them now."""
        return [place.event for place in self._places if not place.is_dropped]

    def owes_state(self) -> bool:
        """Whether there is a state to be stored, and no event that will take it along."""
        return bool(self._state) and not self.pending()

    def is_empty(self) -> bool:
        """Whether all is stored."""
        return not self._state and not self.pending()

    def clear(self) -> int:
        """Forget what was to be written; returns how many events that were."""
        count = len(self.pending())
        self._places.clear()
        self._state.clear()
        return count
