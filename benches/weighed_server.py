"""Our server, which can be weighed: what it holds when all garbage is gone.

Run as ``python -m benches.weighed_server FILE serve …``.  At SIGUSR1 it collects what is in
circles, gives freed memory back to the system, and writes its weight to the file.  What a process
has resident otherwise is for the most part what it has freed and kept for the next call, and goes
up and down by ten megabytes.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

from google.adk.events.event import Event
from google.adk.sessions.session import Session

from rtc_server.cli import main

from .process_usage import usage_of

__all__ = ["Weight", "held", "weigh"]

_TIMEOUT_S = 30.0

_GRAIN_BYTES = 16  # Python's allocator rounds up to it
_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType)


@dataclass(frozen=True, slots=True)
class Weight:
    """The server at a moment in which it has no call."""

    at: float
    resident_mb: float
    events: int
    """Of ADK, in the histories of all sessions."""
    events_mb: float
    """What the sessions and these hold, by the sizes of all objects that hang on them."""
    objects: int
    """That hang on no session and can hold others: memory has noise, these have none."""


def weigh(pid: int, file: Path) -> Weight:
    """Ask the server for its weight and wait for it."""
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + _TIMEOUT_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the server does not say what it weighs")
        time.sleep(0.1)
    return Weight(**json.loads(file.read_text()))


def _weigh_this(file: Path) -> None:
    for _ in range(2):
        gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    mb = usage_of(os.getpid()).resident_bytes / 2**20
    objects = gc.get_objects()
    events = [one for one in objects if type(one) is Event]
    history = held([*events, *(one for one in objects if type(one) is Session)])
    weight = Weight(
        time.monotonic(),
        mb,
        len(events),
        sum(history.values()) / 2**20,
        sum(id(one) not in history for one in objects),
    )
    written = file.with_suffix(".new")
    written.write_text(json.dumps(asdict(weight)))
    written.rename(file)


def held(roots: Iterable[object]) -> dict[int, int]:
    """The bytes of these objects and of all that hangs on them, by id; no code, no classes."""
    found: dict[int, int] = {}
    todo = list(roots)
    while todo:
        one = todo.pop()
        if id(one) in found or isinstance(one, _CODE):
            continue
        found[id(one)] = -(-sys.getsizeof(one) // _GRAIN_BYTES) * _GRAIN_BYTES
        todo.extend(gc.get_referents(one))
    return found


if __name__ == "__main__":
    place = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR1, lambda *_: _weigh_this(place))
    sys.exit(main())
