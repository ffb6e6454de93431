"""Our server with ADK bypassed, one thing done otherwise: to see what that thing is worth.

Run: ``python -m benches.under_test.variant PORT NAME``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock

from rtc_server import event_loop, logs
from rtc_server.peer import aiortc_fast_path, aiortc_ice
from rtc_server.settings import Limits, Settings

from .bypassed import serve_bypassed
from .catalogue import VARIANTS

_MANY_CALLS = Limits(max_calls=1000)


def _patched(
    module: Any, name: str, value: Any
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    return lambda: mock.patch.object(module, name, return_value=value)


_CHANGES: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "timed-checks": _patched(aiortc_ice, "end_checks_at_once", None),
    "through-aiortc": _patched(aiortc_fast_path, "is_usable", False),
}


def main(port: int, name: str) -> None:
    """Serve until killed."""
    logs.configure("text", "warning")
    settings = Settings(
        port=port,
        agent="loopback",
        decoder="libopus" if name == "libopus" else "pyav",
        limits=_MANY_CALLS,
    )
    run: Callable[[Coroutine[Any, Any, None]], None]
    run = asyncio.run if name == "every-wake" else event_loop.run
    with _CHANGES.get(name, contextlib.nullcontext)():
        run(serve_bypassed(settings))


if __name__ == "__main__":
    assert sys.argv[2] in VARIANTS, f"one of {', '.join(VARIANTS)}"
    main(int(sys.argv[1]), sys.argv[2])
