"""The SCTP of the data channel: how large its datagrams are, how much of messages is kept.

Read in **aiortc 1.16.0**; ``tests/peer/test_aiortc_internals.py`` fails loudly
when one of these is gone or behaves otherwise:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``rtcsctptransport.USERDATA_MAX_LENGTH``              data-channel datagrams under the MTU
``rtcsctptransport.InboundStream``,                   endless data-channel messages
``RTCSctpTransport._get_inbound_stream,
._inbound_streams, ._advertised_rwnd``
``RTCSctpTransport._data_channel_queue,               is anything still on its way
._outbound_queue, ._sent_queue``
====================================================  =====================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import aiortc.rtcsctptransport as sctp_module
from aiortc import RTCSctpTransport

__all__ = [
    "INITIAL_WINDOW_BYTES",
    "SCTP_USER_DATA_BYTES",
    "bound_reassembly",
    "configure_process",
    "has_unsent_data",
]

SCTP_USER_DATA_BYTES = 1100
"""User data of an SCTP chunk: with DTLS, UDP and IPv6, and a TURN relay on the way, the
datagram stays under 1280 bytes."""

MAX_REASSEMBLY_BYTES = 768 * 1024
MAX_REASSEMBLY_CHUNKS = 8192
MAX_INBOUND_STREAMS = 1024
"""What is kept of the incomplete messages of one peer, all its streams together."""

INITIAL_WINDOW_BYTES = 1024 * 1024
"""aiortc's receiver window; the difference to it is what is held."""


def configure_process() -> None:
    """Set what aiortc keeps for the whole process; may be called again."""
    sctp_module.USERDATA_MAX_LENGTH = SCTP_USER_DATA_BYTES


@dataclass(slots=True)
class _Reassembly:
    """What all streams of one peer hold of incomplete messages."""

    sctp: RTCSctpTransport
    chunks: int = 0

    @property
    def is_full(self) -> bool:
        return INITIAL_WINDOW_BYTES - self.sctp._advertised_rwnd > MAX_REASSEMBLY_BYTES


class _BoundedInboundStream(sctp_module.InboundStream):
    """An SCTP stream that keeps no more of an incomplete message than it may.

    aiortc keeps whatever a peer sends that ignores the receiver window, and looks through
    all of it at every chunk.  Here the data that is too much is left out, chunk by chunk,
    so that the message still ends and can be refused as too large, and nothing is
    looked through before a message can be complete.
    """

    def __init__(self, shared: _Reassembly) -> None:
        super().__init__()
        self._shared = shared
        self._ends = 0  # last fragments among those held

    def add_chunk(self, chunk: sctp_module.DataChunk) -> None:
        if self._shared.chunks >= MAX_REASSEMBLY_CHUNKS:
            raise ConnectionError("too many incomplete data-channel messages")
        if self._shared.is_full:
            chunk.user_data = b""
        super().add_chunk(chunk)
        self._shared.chunks += 1
        self._ends += bool(chunk.flags & sctp_module.SCTP_DATA_LAST_FRAG)

    def pop_messages(self) -> Iterator[tuple[int, int, bytes]]:
        if not self._ends:
            return
        held = len(self.reassembly)
        for message in super().pop_messages():
            self._ends -= 1
            self._shared.chunks -= held - len(self.reassembly)
            held = len(self.reassembly)
            yield message

    def prune_chunks(self, tsn: int) -> int:
        held = len(self.reassembly)
        size = super().prune_chunks(tsn)
        self._shared.chunks -= held - len(self.reassembly)
        self._ends = sum(
            bool(one.flags & sctp_module.SCTP_DATA_LAST_FRAG) for one in self.reassembly
        )
        return size


def bound_reassembly(sctp: RTCSctpTransport) -> None:
    """Bound what the peer's incomplete messages may take; call before it starts.

    A message of any length arrives, shortened to 768 KiB, to be refused as too large.  A
    peer with thousands of incomplete chunks or streams loses its connection.
    """
    shared = _Reassembly(sctp)

    def get_inbound_stream(stream_id: int) -> sctp_module.InboundStream:
        streams = sctp._inbound_streams
        if stream_id not in streams:
            if len(streams) >= MAX_INBOUND_STREAMS:
                raise ConnectionError("too many data-channel streams")
            streams[stream_id] = _BoundedInboundStream(shared)
        return streams[stream_id]

    sctp._get_inbound_stream = get_inbound_stream  # type: ignore[method-assign]


def has_unsent_data(sctp: RTCSctpTransport) -> bool:
    """Whether data is waiting to be sent or to be acknowledged."""
    return bool(sctp._data_channel_queue or sctp._outbound_queue or sctp._sent_queue)
