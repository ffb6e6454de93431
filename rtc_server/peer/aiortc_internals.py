"""What reaches into the private parts of aiortc and aioice stands in these modules, and no other:

=========================  ================================================================
module                     what of
=========================  ================================================================
``aiortc_ice``             sockets, candidates, checks
``aiortc_liveness``        consent; the association of the data channel
``aiortc_dtls``            the OpenSSL context
``aiortc_sctp``            the data channel's datagrams and messages
``aiortc_audio``           the receiver of audio; RTCP
``aiortc_fast_path``       audio past aiortc
``aiortc_video``           video past aiortc
``aiortc_tasks``           connecting and closing
this one                   ``RTCIceGatherer._connection``: the connection of aioice
=========================  ================================================================

Each lists its private names, and has tests that fail loudly when upstream changes one.
"""

from __future__ import annotations

from aioice import Connection
from aiortc import RTCPeerConnection
from aiortc.rtcdtlstransport import RTCDtlsTransport

__all__ = ["AIOICE_VERSION", "AIORTC_VERSION", "ice_connection", "transports"]

AIORTC_VERSION = "1.16.0"
AIOICE_VERSION = "0.13.0"


def transports(pc: RTCPeerConnection) -> list[RTCDtlsTransport]:
    """The DTLS transports in use, each once: one when all is bundled."""
    found = [one.receiver.transport for one in pc.getTransceivers()]
    if pc.sctp is not None:
        found.append(pc.sctp.transport)
    return list(dict.fromkeys(found))


def ice_connection(transport: RTCDtlsTransport) -> Connection:
    """What does ICE for the transport."""
    return transport.transport.iceGatherer._connection
