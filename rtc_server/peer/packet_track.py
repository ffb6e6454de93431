"""The downlink's packets through aiortc's public face, where they cannot go past it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet

from .pacer import CLOCK_RATE

__all__ = ["PacketTrack"]

_TIME_BASE = Fraction(1, CLOCK_RATE)
_MAX_WAITING = 50


class PacketTrack(MediaStreamTrack):
    """A track of packets that are already encoded; aiortc sends them as they are.

    It waits for packets and does not pace them.  Should aiortc not read, the oldest give
    way after a second's worth.

    Args:
        begin: is given :meth:`send` when aiortc reads for the first time, which it does
            once the connection is up.
    """

    kind = "audio"

    def __init__(self, begin: Callable[[Callable[[bytes, int, bool], None]], None]) -> None:
        super().__init__()
        self._begin: Callable[[Callable[[bytes, int, bool], None]], None] | None = begin
        self._packets: asyncio.Queue[Packet[Any] | None] = asyncio.Queue(_MAX_WAITING)

    def send(self, payload: bytes, ticks: int, marker: bool) -> None:
        """Send one packet; aiortc sets the marker bit of every one, whatever is asked for."""
        packet = Packet(payload)
        packet.pts = ticks
        packet.time_base = _TIME_BASE
        self._put(packet)

    def stop(self) -> None:
        """End the track; a waiting :meth:`recv` ends too.  May be called twice."""
        super().stop()
        self._put(None)

    async def recv(self) -> Packet[Any]:
        """The next packet.

        Raises:
            MediaStreamError: the track was stopped.
        """
        if self._begin is not None:
            begin, self._begin = self._begin, None
            begin(self.send)
        packet = await self._packets.get() if self.readyState == "live" else None
        if packet is None:
            raise MediaStreamError
        return packet

    def _put(self, packet: Packet[Any] | None) -> None:
        if self._packets.full():
            self._packets.get_nowait()
        self._packets.put_nowait(packet)
