"""Tools that work until a test lets them go: one is awaited, one blocks its thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Tool", "blocking", "slow"]


@dataclass
class Tool:
    """A tool that works until it is released."""

    look: Callable[..., Any]
    started: Callable[[], Awaitable[Any]]
    release: Callable[[], None]


def slow() -> Tool:
    started, release = asyncio.Event(), asyncio.Event()

    async def look() -> dict[str, str]:
        """Looks."""
        started.set()
        await release.wait()
        return {"seen": "a cat"}

    return Tool(look, started.wait, release.set)


def blocking() -> Tool:
    started, release = threading.Event(), threading.Event()

    def look() -> dict[str, str]:
        """Blocks a thread."""
        started.set()
        assert release.wait(60)
        return {"seen": "a cat"}

    return Tool(look, lambda: asyncio.to_thread(started.wait, 60), release.set)
