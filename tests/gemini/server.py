"""The stand-in's socket: TLS, WebSocket, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from .live_model import LiveModel, Moment, Output, Pace
from .mind import EchoMind, Memory, Mind
from .misbehaviour import (
    NO_CODE,
    Abort,
    CancelTools,
    Close,
    Day,
    Deed,
    EmptyHandle,
    GoAway,
    HttpStatus,
    Refuse,
    RefuseHandle,
    SendRaw,
    Stall,
    StopReading,
)
from .tls import client_environment, make_certificate, server_tls
from .wire import (
    Refused,
    Setup,
    encode,
    go_away,
    handle_update,
    read_client_message,
    tool_cancellation,
)

__all__ = ["Served", "StandIn"]

Days = Sequence[Day] | Callable[[int], Day]


class _ConnectionIsOver(Exception):
    """A deed has ended it."""


class PingedConnection(ServerConnection):
    """Says when it is pinged."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pinged = asyncio.Event()

    def process_event(self, event: Any) -> None:
        """The protocol has answered a ping already."""
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self.pinged.set()
        super().process_event(event)


class Served:
    """One connection: what the client asked for, and what became of it."""

    def __init__(self, stand_in: StandIn, socket: ServerConnection, day: Day) -> None:
        self._stand_in = stand_in
        self._socket = socket
        self.day = day
        self.setup: Setup | None = None
        self.model: LiveModel | None = None
        self.received: list[str] = []
        """Kinds of the client's messages, in order, each run of the same once."""
        self.opened_at = _now()
        self.done_at: list[float] = []
        """When something went wrong with it."""
        self._held_until = 0.0

    def is_of(self, socket: ServerConnection) -> bool:
        """Whether this is the connection's."""
        return self._socket is socket

    def drop(self) -> None:
        """Reset it, whatever it is doing."""
        self._socket.transport.abort()

    async def suffer(self, deed: Deed) -> None:
        """The deed is done now, and not at its moment."""
        with contextlib.suppress(ConnectionClosed, _ConnectionIsOver):
            await self._do(deed)

    async def serve(self) -> None:
        """Until either side has ended it."""
        with contextlib.suppress(ConnectionClosed, _ConnectionIsOver):
            try:
                await self._converse()
            except Refused as error:
                await self._socket.close(error.code, error.reason)

    async def _converse(self) -> None:
        first = json.loads(await self._socket.recv())
        setup = self.setup = Setup.read(first["setup"])
        memory = self._stand_in.resume(setup.handle)
        model = self.model = LiveModel(
            setup, self._stand_in.mind, self._stand_in.keep, memory, self._stand_in.pace
        )
        model.open(_now())
        while True:
            await self._send_what_is_due(model)
            message = await self._receive_until(model.next_at)
            if message is None:
                continue
            for one in read_client_message(message, setup.dialect):
                kind = type(one).__name__
                if self.received[-1:] != [kind]:
                    self.received.append(kind)
                model.receive(one, _now())

    async def _receive_until(self, deadline: float | None) -> dict[str, Any] | None:
        """The client's next message; None: the deadline has come first."""
        if deadline is not None:
            deadline = max(deadline, self._held_until)
        wait_s = None if deadline in (None, _NEVER) else max(0.0, deadline - _now())
        try:
            async with asyncio.timeout(wait_s):
                message: dict[str, Any] = json.loads(await self._socket.recv())
                return message
        except TimeoutError:
            return None

    async def _send_what_is_due(self, model: LiveModel) -> None:
        if _now() < self._held_until:
            return
        due = model.poll(_now())
        for place, output in enumerate(due):
            await self._send(output)
            if _now() < self._held_until:
                await self._hold(due[place + 1 :])
                return

    async def _hold(self, rest: list[Output]) -> None:
        """Nothing is sent; then the rest is.  What the client says meanwhile waits."""
        if self._held_until == _NEVER:
            while True:  # it is read, and leads to nothing
                await self._socket.recv()
        await asyncio.sleep(self._held_until - _now())
        for output in rest:
            await self._send(output)

    async def _send(self, output: Output) -> None:
        if not isinstance(output, Moment):
            await self._socket.send(encode(output))
            return
        for deed in self.day.at(output):
            if _now() < self._held_until < _NEVER:
                await asyncio.sleep(self._held_until - _now())
            if isinstance(deed, Abort | Refuse):
                await self._until_all_is_read()
            await self._do(deed)

    async def _do(self, deed: Deed) -> None:
        assert self.model is not None
        assert self.setup is not None
        self._stand_in.done.append(deed)
        self.done_at.append(_now())
        match deed:
            case Abort():
                self._abort()
            case Close():
                await self._close(deed)
                raise _ConnectionIsOver
            case Refuse():
                await self._stand_in.refuse_for(deed.seconds)
                self._abort()
            case GoAway():
                await self._socket.send(encode(go_away(deed.time_left_s)))
                self._stand_in.later(deed.time_left_s, self._socket)
            case EmptyHandle():
                await self._socket.send(encode(handle_update(None)))
            case RefuseHandle() if self.setup.handle:
                raise Refused(deed.code, "BidiGenerateContent session not found")
            case SendRaw():
                await self._socket.send(deed.data)
            case Stall():
                self._held_until = _NEVER if deed.seconds is None else _now() + deed.seconds
            case StopReading(after_ping_s):
                if after_ping_s is not None:
                    await self._pass_ping(after_ping_s)
                    self.done_at[-1] = _now()
                # Pings are not read, so that they are not answered; nor does the kernel read on.
                self._socket.transport.pause_reading()
                of_kernel = self._socket.transport.get_extra_info("socket")
                of_kernel.setsockopt(SOL_SOCKET, SO_RCVBUF, 65_536)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stand_in.closing.wait(), _DEAF_S)
                self._abort()
            case CancelTools():
                await self._socket.send(encode(tool_cancellation(self.model.cancel_tools())))
            case RefuseHandle() | HttpStatus():
                pass

    async def _until_all_is_read(self) -> None:
        """Until the client has what was sent: it loses the rest if it writes after a reset."""
        async with self._reading_in_vain():
            pong = await self._socket.ping()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pong, _READ_S)

    async def _pass_ping(self, seconds: float) -> None:
        """Until so long after the next ping; what the client says meanwhile leads to nothing."""
        socket = self._socket
        assert isinstance(socket, PingedConnection)
        async with self._reading_in_vain():
            socket.pinged.clear()
            await socket.pinged.wait()
            await asyncio.sleep(seconds)

    @contextlib.asynccontextmanager
    async def _reading_in_vain(self) -> AsyncIterator[None]:
        """Else pings and pongs would wait behind what is not taken."""
        reading = asyncio.create_task(self._read_in_vain(), name="stand-in")
        try:
            yield
        finally:
            reading.cancel()

    async def _read_in_vain(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._socket.recv()

    async def _close(self, deed: Close) -> None:
        if deed.code != NO_CODE:
            await self._socket.close(deed.code, deed.reason)
            return
        self._socket.protocol.send_close()
        self._socket.send_data()
        await self._socket.wait_closed()

    def _abort(self) -> None:
        self.drop()
        raise _ConnectionIsOver


class StandIn:
    """Serves one :class:`Day` a connection; made by :meth:`running`.

    ``days`` is a list, of which the last is that of all further connections, or a function of
    the connection's number, from 0.
    """

    def __init__(
        self,
        folder: Path,
        days: Days,
        mind: Mind,
        pace: Pace,
        keeps: int,
        counts_refused: bool,
    ) -> None:
        self.mind = mind
        self.pace = pace
        self.connections: deque[Served] = deque(maxlen=keeps)
        self.taken = 0
        self.outages: list[tuple[float, float]] = []
        """When nothing listened on the port: from, and for how many seconds."""
        self.attempts = 0
        """Upgrades that were asked for; refused ones are none of ``connections``."""
        self.attempted_at: list[float] = []
        self.refused_at: list[float] = []
        """When a connection was reset since nothing listens, where those are counted."""
        self.is_resetting = False
        self.done: list[Deed] = []
        """What went wrong so far."""
        self.closing = asyncio.Event()
        self._days = days
        self._certificate = make_certificate(folder)
        self._handles: dict[str, Memory] = {}
        self._numbers = itertools.count(1)
        self._servers: list[Server] = []
        """The last one listens, unless it was closed."""
        self._is_listening = False
        self._counts_refused = counts_refused
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls,
        folder: Path,
        *,
        days: Days = (),
        mind: Mind | None = None,
        pace: Pace | None = None,
        keeps: int = 10_000,
        counts_refused: bool = False,
    ) -> AsyncIterator[Self]:
        """Listening on a free port; leaving it closes every connection.

        Args:
            folder: where the certificate goes.
            keeps: of the connections, so many are remembered.
            counts_refused: while nothing listens on the port (see :meth:`refuse_for`), who connects
                is reset by us, and counted, and not refused by the system.
        """
        self = cls(folder, days, mind or EchoMind(), pace or Pace(), keeps, counts_refused)
        await self._listen()
        try:
            yield self
        finally:
            await self._close()

    @property
    def environment(self) -> dict[str, str]:
        """Leads Google's client here."""
        return client_environment(self._port, self._certificate)

    # The memory of sessions ---------------------------------------------------

    def keep(self, memory: Memory) -> str:
        """A handle to come back to it with."""
        handle = f"handle-{next(self._numbers)}"
        self._handles[handle] = memory
        while len(self._handles) > _MOST_HANDLES:
            del self._handles[next(iter(self._handles))]
        return handle

    def resume(self, handle: str | None) -> Memory:
        """What was said when the handle was given.

        Raises:
            Refused: it was never given.
        """
        if not handle:
            return ()
        memory = self._handles.get(handle)
        if memory is None:
            raise Refused(1008, "BidiGenerateContent session not found")
        return memory

    # Listening ----------------------------------------------------------------

    async def refuse_for(self, seconds: float, *, drop: bool = False) -> None:
        """Nothing listens on the port for that long; connections that are there go on.

        Args:
            drop: reset those too: the model is away for everybody.
        """
        if not self._is_listening:
            return
        self._is_listening = False
        self.outages.append((_now(), seconds))
        self._servers[-1].close(close_connections=False)
        if drop:
            for served in self.connections:
                served.drop()
        self._spawn(self._listen_after(seconds))

    def later(self, seconds: float, socket: ServerConnection) -> None:
        """Close the connection, as it was announced to it."""

        async def close() -> None:
            await asyncio.sleep(seconds)
            await socket.close(1001, "going away")

        self._spawn(close())

    async def _listen_after(self, seconds: float) -> None:
        async with self._resetting():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), seconds)
        if not self.closing.is_set():
            await self._listen()

    @contextlib.asynccontextmanager
    async def _resetting(self) -> AsyncIterator[None]:
        """Reset whoever connects, and count him, where that is wanted."""
        if not self._counts_refused:
            yield
            return

        def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.refused_at.append(_now())
            connected: socket.socket = writer.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        self._servers[-1].server.close()  # it would do so in a task of its own, later
        async with await asyncio.start_server(reset, "127.0.0.1", self._port):
            self.is_resetting = True
            yield
        self.is_resetting = False

    async def _listen(self) -> None:
        server = await serve(
            self._serve,
            "127.0.0.1",
            self._port,
            ssl=server_tls(self._certificate),
            process_request=self._on_upgrade,
            ping_interval=None,
            close_timeout=1.0,
            compression=None,
            create_connection=PingedConnection,
        )
        self._servers.append(server)
        self._is_listening = True
        self._port = next(iter(server.sockets)).getsockname()[1]

    async def _on_upgrade(self, socket: ServerConnection, request: Request) -> Response | None:
        day = self._day(self.attempts).begin()
        self.attempts += 1
        self.attempted_at.append(_now())
        for deed in day.at(Moment.CONNECT):
            self.done.append(deed)
            if isinstance(deed, HttpStatus):
                return socket.respond(HTTPStatus(deed.status), "secret reason\n")
            if isinstance(deed, Refuse):
                await self.refuse_for(deed.seconds)
            socket.transport.abort()
        self.connections.append(Served(self, socket, day))
        return None

    def _day(self, number: int) -> Day:
        if callable(self._days):
            return self._days(number)
        return self._days[min(number, len(self._days) - 1)] if self._days else Day()

    async def _serve(self, socket: ServerConnection) -> None:
        self.taken += 1
        served = next(one for one in reversed(self.connections) if one.is_of(socket))
        await served.serve()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work, name="stand-in")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        self.closing.set()
        for served in self.connections:
            served.drop()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for server in self._servers:
            server.close()
            await server.wait_closed()


_NEVER = float("inf")
_MOST_HANDLES = 100_000
_READ_S = 10.0
"""Who has not read by then has stopped reading."""
_DEAF_S = 30.0
"""By then the client has given up a connection that answers no ping."""


def _now() -> float:
    return time.monotonic()
