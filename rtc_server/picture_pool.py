"""The threads in which pictures are made, shared by all calls.

Decoding, scaling and writing a picture takes some ten milliseconds, in which the event loop
would send nobody's audio.  So it is done in one thread (a few on a large machine), of lower
priority.  The threads are there while somebody holds on to the pool: a server in whose calls
nobody shows anything has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, ParamSpec, TypeVar

__all__ = ["PicturePool"]

P = ParamSpec("P")
T = TypeVar("T")

_NICENESS = 5
_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))


class PicturePool:
    """A share in the threads; :meth:`close` lets go of it, and the last one ends them.

    To be made and closed on the event loop.  Whoever has a share gives them one task after
    another, never two at once: so all calls take turns.
    """

    _shares: ClassVar[set[PicturePool]] = set()
    _executor: ClassVar[ThreadPoolExecutor | None] = None

    def __init__(self) -> None:
        if PicturePool._executor is None:
            PicturePool._executor = ThreadPoolExecutor(
                _THREADS, thread_name_prefix="pictures", initializer=_be_nice
            )
        self._shares.add(self)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Call ``function`` in one of the threads; its result comes as a future of this loop."""
        executor = PicturePool._executor
        assert executor is not None, "the pool is closed"
        return asyncio.wrap_future(executor.submit(function, *args, **kwargs))

    def close(self) -> None:
        """Let go; what is being made is finished and thrown away.  May be called twice."""
        self._shares.discard(self)
        executor = PicturePool._executor
        if executor is not None and not self._shares:
            PicturePool._executor = None
            executor.shutdown(wait=False, cancel_futures=True)


def _be_nice() -> None:
    """Audio goes first.  On Linux a thread has a priority of its own; elsewhere it has none."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
