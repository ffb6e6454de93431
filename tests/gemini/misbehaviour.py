"""The vocabulary of bad days, as data: a :class:`Day` is what goes wrong in one connection.

A deed is done when its moment comes, the ``nth`` time it comes; deeds of one moment are done in
the order given.  What a deed does to the connection is in ``server``.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from .live_model import Moment

__all__ = [
    "BROKEN_JSON",
    "CLOSE_CODES",
    "NO_CODE",
    "OVERSIZED",
    "UNKNOWN_MESSAGE",
    "Abort",
    "At",
    "CancelTools",
    "Close",
    "Day",
    "Deed",
    "EmptyHandle",
    "GoAway",
    "HttpStatus",
    "Refuse",
    "RefuseHandle",
    "SendRaw",
    "Stall",
    "StopReading",
    "at",
    "random_day",
]

NO_CODE = 1005
"""A close frame without a code."""

CLOSE_CODES = (
    *(1000, 1001, 1002, 1003, NO_CODE, 1007, 1008, 1009),
    *(1010, 1011, 1012, 1013, 1014, 3000, 4000),
)
"""Those that a server can send (RFC 6455, 7.4); 1006 is :class:`Abort`."""


@dataclass(frozen=True, slots=True)
class HttpStatus:
    """The upgrade is refused with this status (at ``CONNECT`` only)."""

    status: int


@dataclass(frozen=True, slots=True)
class Abort:
    """The connection is reset, without a closing handshake."""


@dataclass(frozen=True, slots=True)
class Close:
    """The connection is closed with a code and a reason; :data:`NO_CODE`: without them."""

    code: int
    reason: str = "secret reason"


@dataclass(frozen=True, slots=True)
class Refuse:
    """The connection is reset, and nothing listens on the port for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GoAway:
    """``goAway``; the connection is closed when the time that is left is over."""

    time_left_s: float = 1.0


@dataclass(frozen=True, slots=True)
class EmptyHandle:
    """The session cannot be resumed now."""


@dataclass(frozen=True, slots=True)
class RefuseHandle:
    """The connection is closed if it comes with a handle: the session is not known."""

    code: int = 1008


@dataclass(frozen=True, slots=True)
class SendRaw:
    """One frame that is not of the protocol."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing more is sent for so many seconds; None: never again.  Pings are answered."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StopReading:
    """Nothing is read any more, nor is anything sent: a network that is gone."""

    after_ping_s: float | None = None
    """So long after the next ping was answered; None: at once."""


@dataclass(frozen=True, slots=True)
class CancelTools:
    """The tools that were asked for are not wanted any more."""


Deed = (
    HttpStatus
    | Abort
    | Close
    | Refuse
    | GoAway
    | EmptyHandle
    | RefuseHandle
    | SendRaw
    | Stall
    | StopReading
    | CancelTools
)

BROKEN_JSON = SendRaw(b'{"serverContent": {')
UNKNOWN_MESSAGE = SendRaw(b'{"noSuchMessage": {}}')
OVERSIZED = SendRaw(b'{"serverContent": {"modelTurn": {"parts": [{"text": "' + b"x" * (1 << 21))
"""2 MiB in one frame, of which the client takes 1."""


@dataclass(frozen=True, slots=True)
class At:
    """When what is done."""

    moment: Moment
    deed: Deed
    nth: int = 1


def at(moment: Moment, deed: Deed, nth: int = 1) -> At:
    """``deed`` at the ``nth`` time that ``moment`` comes."""
    return At(moment, deed, nth)


class Day:
    """What goes wrong in one connection; a day without deeds is a good one.

    A day is used by one connection at a time: it counts the moments that have come.
    """

    def __init__(self, *deeds: At) -> None:
        self.deeds = deeds
        self._seen: Counter[Moment] = Counter()

    def begin(self) -> Day:
        """The same day, from its morning."""
        return Day(*self.deeds)

    def at(self, moment: Moment) -> list[Deed]:
        """What is to be done now that the moment has come."""
        self._seen[moment] += 1
        nth = self._seen[moment]
        return [one.deed for one in self.deeds if one.moment is moment and one.nth == nth]

    def __repr__(self) -> str:
        return f"Day({', '.join(f'{one.moment.name}: {one.deed}' for one in self.deeds)})"


def random_day(rng: random.Random, share_bad: float) -> Day:
    """A day that is bad in so many of all cases, in one way of them all, at a fitting moment."""
    if rng.random() >= share_bad:
        return Day()
    nth = rng.choice((1, 1, 2, 3))
    moment = rng.choice((Moment.QUESTION, Moment.MID_ANSWER, Moment.ANSWERED))
    ways = (
        lambda: Day(at(moment, Close(rng.choice(CLOSE_CODES)), nth)),
        lambda: Day(at(moment, Abort(), nth)),
        lambda: Day(at(moment, GoAway(0.5), nth)),
        lambda: Day(at(moment, EmptyHandle(), nth), at(moment, Abort(), nth)),
        lambda: Day(at(moment, SendRaw(rng.choice(_NONSENSE).data), nth)),
        lambda: Day(at(Moment.MID_ANSWER, Stall(), nth)),
        lambda: Day(at(Moment.QUESTION, Stall(rng.uniform(0.2, 2.0)), nth)),
        lambda: Day(at(Moment.READY, Stall())),
        lambda: Day(at(moment, StopReading(), nth)),
        lambda: Day(at(Moment.TOOL, CancelTools())),
        lambda: Day(at(Moment.READY, Abort())),
        lambda: Day(at(Moment.SETUP, RefuseHandle())),
        lambda: Day(at(Moment.CONNECT, HttpStatus(rng.choice((503, 429))))),
        lambda: Day(at(moment, Refuse(rng.uniform(0.2, 1.0)), nth)),
    )
    return rng.choice(ways)()


_NONSENSE = (BROKEN_JSON, UNKNOWN_MESSAGE, OVERSIZED)
