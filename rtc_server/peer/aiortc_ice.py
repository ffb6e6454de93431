"""ICE as we have it: our own sockets, which candidates there are, when the checks are over.

Read in **aiortc 1.16.0** and **aioice 0.13.0**; ``tests/peer/test_aiortc_internals.py`` fails
loudly when one of these is gone or behaves otherwise:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``ice.get_host_addresses``                            asked of the kernel: four times cheaper
``Connection.get_component_candidates``,              127.0.0.1 as a last resort; a range
``._protocols``, ``StunProtocol.local_candidate``     of UDP ports
``StunProtocol.datagram_received``,                   datagrams that would end the call;
``Connection._queue``                                 the fast path's place
``TransportSocket._sock`` (of asyncio)                several datagrams at each turn
``Connection._check_periodic, ._check_list``          DTLS begins when ICE is through
``Connection._nominated``, ``._closing``              selected pair; peer lost or hung up
====================================================  =====================================
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from aioice import Candidate, Connection, ice
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc.rtcdtlstransport import RTCDtlsTransport

from .aiortc_internals import ice_connection
from .host_addresses import host_addresses

__all__ = [
    "MAX_SRTP_BYTES",
    "PortsExhausted",
    "TakeDatagram",
    "configure_process",
    "end_checks_at_once",
    "gather_host_candidates",
    "ice_was_lost",
    "selected_pair",
]

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.02
"""The pace of ICE's checks: aioice's own (RFC 8445 section 14.2 says 50 ms or less)."""

UDP_RECEIVE_BUFFER_BYTES = 256 * 1024

MORE_DATAGRAMS_AT_ONCE = 15
MAX_DATAGRAM_BYTES = 65536

MAX_SRTP_BYTES = 1500
"""A longer packet of SRTP raises another exception than aiortc expects, and ends the call."""

MAX_WAITING_DATAGRAMS = 512
"""What may wait for aiortc to read it; nothing reads before ICE is through."""

TakeDatagram = Callable[[bytes], bool]
"""Is offered each datagram first; says whether it dealt with it."""

_aioice_host_addresses = ice.get_host_addresses


class PortsExhausted(OSError):
    """No UDP port of the range is free."""


def configure_process() -> None:
    """Set what aioice keeps for the whole process; may be called again."""
    if ice.get_host_addresses is _aioice_host_addresses:  # and nobody else's, in a test
        ice.get_host_addresses = host_addresses


def ice_was_lost(transport: RTCDtlsTransport) -> bool:
    """Whether the transport closed because consent expired, not because the peer said so.

    To be asked when the DTLS transport changes to ``closed``, before our own ``close()``.
    """
    return ice_connection(transport)._closing


def selected_pair(transport: RTCDtlsTransport) -> tuple[Candidate, Candidate] | None:
    """The nominated pair, as (local, remote) candidates; None before there is one."""
    pair = ice_connection(transport)._nominated.get(1)
    return None if pair is None else (pair.local_candidate, pair.remote_candidate)


class _GuardedProtocol(ice.StunProtocol):
    """A socket of ours: what would end the call goes no further, whoever sent it.

    aioice gives on what comes from any address.  An empty datagram, or one longer than
    pylibsrtp takes, raises what aiortc does not expect, and its receive loop ends.
    """

    def __init__(self, connection: Connection, take: TakeDatagram | None) -> None:
        super().__init__(connection)
        self._take = take
        self._socket: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._socket = getattr(transport.get_extra_info("socket"), "_sock", None)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """One datagram, which asyncio has read, and those that wait behind it.

        asyncio reads one at each turn of the loop.  A loop whose turns take longer than 20 ms
        would never catch up with a caller who speaks: what he says, his messages and his answers
        to our checks would come ever later, by many seconds.
        """
        assert isinstance(data, bytes)
        self._on_datagram(data, addr)
        for _ in range(MORE_DATAGRAMS_AT_ONCE):
            if self._socket is None or self.transport.is_closing():
                return
            try:
                data, addr = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except OSError:  # there is none, or the peer's port is closed
                return
            self._on_datagram(data, addr)

    def _on_datagram(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._take is not None and self._take(data):
            return
        if not data or (len(data) > MAX_SRTP_BYTES and 127 < data[0] < 192):
            return
        if self.receiver._queue.qsize() < MAX_WAITING_DATAGRAMS:
            # A malformed STUN attribute: the loop would log it, for each datagram of a flood.
            with contextlib.suppress(struct.error):
                super().datagram_received(data, addr)


def gather_host_candidates(
    transport: RTCDtlsTransport,
    udp_ports: tuple[int, int] | None,
    take: TakeDatagram | None = None,
) -> None:
    """Make the transport gather host candidates our way; call before the answer is set.

    aioice never offers 127.0.0.1 and takes any port.  Here 127.0.0.1 is offered when the
    machine has no other address, and with ``udp_ports`` (lowest, highest) a port of that
    range is bound.  The override belongs to this one connection, so that calls with
    other settings can run beside it.  ``take`` is offered every datagram that arrives.

    Setting the answer then raises :exc:`PortsExhausted` when the range is full.
    """
    connection = ice_connection(transport)
    connection.get_component_candidates = functools.partial(  # type: ignore[method-assign]
        _host_candidates, connection, udp_ports, take
    )


async def _host_candidates(
    connection: Connection,
    udp_ports: tuple[int, int] | None,
    take: TakeDatagram | None,
    component: int,
    addresses: list[str],
    timeout: int = 5,
) -> list[Candidate]:
    candidates = []
    exhausted: PortsExhausted | None = None
    for address in addresses or ["127.0.0.1"]:
        try:
            protocol = await _bind(connection, address, udp_ports, take)
        except PortsExhausted as problem:
            exhausted = problem
            continue
        except OSError as problem:
            # An address that is going or coming (IPv6 before its detection of duplicates).
            logger.debug("cannot bind to %s: %s", address, problem)
            continue
        connection._protocols.append(protocol)
        host, port = protocol.transport.get_extra_info("sockname")[:2]
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=host,
            port=port,
            type="host",
        )
        candidates.append(protocol.local_candidate)
    if not candidates and exhausted is not None:
        raise exhausted
    return candidates


async def _bind(
    connection: Connection,
    address: str,
    udp_ports: tuple[int, int] | None,
    take: TakeDatagram | None,
) -> ice.StunProtocol:
    loop = asyncio.get_running_loop()
    for port in _ports(udp_ports):
        try:
            transport, protocol = await loop.create_datagram_endpoint(
                lambda: _GuardedProtocol(connection, take), local_addr=(address, port)
            )
        except OSError:
            # Whether the port or the address is at fault shows at the next port.
            if udp_ports is None or not _can_bind(address):
                raise
            continue
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER_BYTES)
        return protocol
    raise PortsExhausted(f"no free UDP port in {udp_ports}")


def _ports(udp_ports: tuple[int, int] | None) -> Iterator[int]:
    """The ports to try: all of the range once, from a random one on."""
    if udp_ports is None:
        yield 0
        return
    low, high = udp_ports
    size = high - low + 1
    start = random.randrange(size)
    for offset in range(size):
        yield low + (start + offset) % size


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def end_checks_at_once(transport: RTCDtlsTransport) -> None:
    """Let ICE be over as soon as a pair is nominated; call before the answer is set.

    aioice starts a check every 20 ms and looks only then whether it is done: DTLS begins 10
    ms later than it could.  Here the checks are started by timers, at the same pace, and
    ``connect()`` goes straight to waiting for their end.
    """
    connection = ice_connection(transport)
    loop = asyncio.get_running_loop()
    start_next = connection._check_periodic

    def go_on() -> None:
        if start_next():
            loop.call_later(CHECK_INTERVAL_S, go_on)

    def begin() -> bool:
        has_more = start_next()
        if not connection._check_list:
            # No candidate yet; an end of connect()'s loop would be taken for failure.
            return has_more
        if has_more:
            loop.call_later(CHECK_INTERVAL_S, go_on)
        return False

    connection._check_periodic = begin  # type: ignore[method-assign]
