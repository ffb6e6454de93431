"""A yes or no that a person types while a call goes on."""

from __future__ import annotations

import asyncio
import sys

__all__ = ["typed_yes"]


async def typed_yes() -> bool:
    """Whether the next line of standard input is a yes; no, where nothing can be typed."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not line.done():
            line.set_result(sys.stdin.readline())

    try:
        loop.add_reader(sys.stdin, read)
    except (OSError, ValueError, NotImplementedError):  # a file, closed, or Windows
        return False
    try:
        return (await line).strip().lower() in ("y", "yes")
    finally:
        loop.remove_reader(sys.stdin)
