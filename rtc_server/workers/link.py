"""The front's end of the line to one worker."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any, Self

from ..errors import RtcServerError, ServerBusy
from .wire import MAX_LINE_BYTES, Configuration, error_from_wire, read_line, to_line

__all__ = ["WorkerLink", "WorkerLost"]

logger = logging.getLogger(__name__)

MAX_REQUESTS = 1024
"""Requests that may wait for one worker; one more is refused."""

OnNotice = Callable[[str, Mapping[str, Any]], None]


class WorkerLost(RtcServerError):
    """The worker ended, or did not answer in time; what was asked may or may not have happened."""


class WorkerLink:
    """Asks one worker, and passes on what it notifies.

    Whoever opens it runs :meth:`read` and closes it; then every request that still waits raises
    :exc:`WorkerLost`.

    Args:
        on_notice: is given each notice, in order with the answers.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_notice: OnNotice
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_notice = on_notice
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._is_closed = False

    @classmethod
    async def open(
        cls, sock: socket.socket, configuration: Configuration, on_notice: OnNotice
    ) -> Self:
        """Take over our end of the socket and tell the worker what it is to be."""
        reader, writer = await asyncio.open_connection(sock=sock, limit=MAX_LINE_BYTES)
        writer.write(to_line(configuration.to_wire()))
        return cls(reader, writer, on_notice)

    async def request(self, do: str, *, timeout_s: float, **arguments: Any) -> Any:
        """Ask the worker and wait for its answer.

        Raises:
            CallError: the worker's own.
            ServerBusy: too many requests wait for this worker already.
            WorkerLost: see there.
        """
        if self._is_closed:
            raise WorkerLost(do)
        if len(self._waiting) >= MAX_REQUESTS:
            raise ServerBusy("The server has too much to do.", 1)
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(to_line({"id": number, "do": do, "with": arguments}))
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise WorkerLost(do) from None
        finally:
            del self._waiting[number]

    async def read(self) -> None:
        """Take answers and notices until the worker closes its end."""
        while (message := await read_line(self._reader)) is not None:
            if "notice" in message:
                self._on_notice(message["notice"], message["with"])
            else:
                self._take_answer(message)

    def _take_answer(self, message: Mapping[str, Any]) -> None:
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return  # nobody waits any more
        error = message.get("error")
        if error is None:
            answer.set_result(message["result"])
        else:
            answer.set_exception(error_from_wire(error))

    async def close(self) -> None:
        """Hang up; a worker that still lives ends its calls and itself. May be called twice."""
        self._is_closed = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(WorkerLost("closed"))
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:  # it hung up first
            logger.debug("the line was closed from the other end")
