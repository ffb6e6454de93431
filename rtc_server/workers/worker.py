"""One worker process: the agent and its share of the calls, asked for by the front.

It lives as long as its line to the front does.  When the front ends, however that was, its
calls are told and ended, in bounded time.  Signals that are sent to it alone mean for its calls
what they mean for all when the front gets them; then the front replaces it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import event_loop, logs
from ..errors import CallError, ConfigurationError
from ..heap import settle_heap
from ..metrics import Metrics
from .summed_metrics import snapshot_of
from .wire import (
    MAX_LINE_BYTES,
    Configuration,
    error_to_wire,
    offer_from_wire,
    read_line,
    to_line,
)

if TYPE_CHECKING:
    from ..calls import Calls

__all__ = ["main"]

logger = logging.getLogger(__name__)


def main(descriptor: int) -> int:
    """Serve the front at the other end of an inherited socket; returns the exit status."""
    os.set_inheritable(descriptor, False)
    return event_loop.run(_run(socket.socket(fileno=descriptor)))


async def _run(sock: socket.socket) -> int:
    reader, writer = await asyncio.open_connection(sock=sock, limit=MAX_LINE_BYTES)
    try:
        message = await read_line(reader)
        if message is None:
            return 1
        configuration = Configuration.from_wire(message)
        sys.path[:] = configuration.path
        logs.configure(configuration.log_format, configuration.log_level)
        logs.hush_adk()
        worker = _Worker(reader, writer)
        status = 0
        try:
            await worker.run(configuration)
        except* ConfigurationError as group:
            worker.notify("failed", message=str(_first(group)))
            status = 2
        return status
    finally:
        writer.close()
        # What was said last is written out; a front that is gone reads nothing more.
        await asyncio.wait([asyncio.ensure_future(_closed(writer))], timeout=1.0)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _closed(writer: asyncio.StreamWriter) -> None:
    try:
        await writer.wait_closed()
    except OSError:
        logger.debug("the front had hung up")


class _Worker:
    """The calls of this process behind their end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._draining: asyncio.Task[None] | None = None

    async def run(self, configuration: Configuration) -> None:
        """Load the agent, take calls until told to stop or the front is gone, end them."""
        from ..app import run_calls  # ADK and aiortc; not before the path and the logs are set

        loop = asyncio.get_running_loop()
        try:
            async with run_calls(
                configuration.settings, self._metrics, on_ended=self._ended
            ) as calls:
                settle_heap()
                loop.add_signal_handler(signal.SIGTERM, self._drain_alone, calls)
                loop.add_signal_handler(signal.SIGINT, self._stop.set)
                self.notify("open", agent=calls.agent_name, modalities=list(calls.modalities))
                await self._serve(calls)
                self.notify("closing")
        finally:
            for one in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(one)
        self.notify("metrics", snapshot=snapshot_of(self._metrics))

    def notify(self, notice: str, **facts: Any) -> None:
        """Tell the front what it did not ask for."""
        self._writer.write(to_line({"notice": notice, "with": facts}))

    def _ended(self, call_id: str) -> None:
        self.notify("ended", call_id=call_id)

    async def _serve(self, calls: Calls) -> None:
        async with self._group:
            tasks = [self._group.create_task(self._read(calls), name="front")]
            await self._stop.wait()
            if self._draining is not None:
                tasks.append(self._draining)
            for task in tasks:
                task.cancel()

    async def _read(self, calls: Calls) -> None:
        try:
            while (message := await read_line(self._reader)) is not None:
                # As many as the front lets wait.
                self._group.create_task(self._answer(calls, message), name="request")
        finally:
            self._stop.set()

    def _drain_alone(self, calls: Calls) -> None:
        """SIGTERM: end with the calls there are."""
        self.notify("closing")
        self._drain(calls).add_done_callback(lambda _: self._stop.set())

    def _drain(self, calls: Calls) -> asyncio.Task[None]:
        if self._draining is None:
            self._draining = self._group.create_task(calls.drain(), name="drain")
        return self._draining

    async def _answer(self, calls: Calls, message: Mapping[str, Any]) -> None:
        number = message["id"]
        try:
            result = await self._do(calls, message["do"], message["with"])
            line = to_line({"id": number, "result": result})
        except Exception as error:
            # The boundary of one request: the front learns what a caller may, the log everything.
            if not isinstance(error, CallError):
                logger.exception("%s failed", message["do"])
            line = to_line({"id": number, "error": error_to_wire(error)})
        self._writer.write(line)

    async def _do(self, calls: Calls, do: str, arguments: Mapping[str, Any]) -> Any:
        match do:
            case "place":
                return await self._place(calls, arguments)
            case "add_candidates":
                return await calls.add_candidates(**arguments)
            case "describe":
                return await calls.describe(**arguments)
            case "hang_up":
                return await calls.hang_up(**arguments)
            case "metrics":
                return snapshot_of(self._metrics)
            case "pulse":
                return {"is_ready": calls.is_ready, "load": calls.load}
            case "drain":
                return await asyncio.shield(self._drain(calls))
            case "stop":
                return self._stop.set()
            case _:
                raise ValueError(do)

    async def _place(self, calls: Calls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        offer = offer_from_wire(arguments["offer"])
        try:
            placed = await calls.place(offer)
        except BaseException:
            # The front takes back what it has noted, also where nobody waits for the answer.
            self.notify("refused", call_id=offer.call_id)
            raise
        return {
            "call_id": placed.call_id,
            "session_id": placed.session_id,
            "user_id": placed.user_id,
            "answer_sdp": placed.answer_sdp,
        }
