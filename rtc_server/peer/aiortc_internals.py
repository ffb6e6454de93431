"""Everything that reaches into the private parts of aiortc and aioice, in one place.

Read in **aiortc 1.16.0** and **aioice 0.13.0**; ``tests/peer/test_aiortc_internals.py``
fails loudly when one of these is gone or behaves otherwise:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``rtcsctptransport.USERDATA_MAX_LENGTH``              data-channel datagrams under the MTU
``rtcsctptransport.InboundStream``                    endless data-channel messages
``RTCSctpTransport._get_inbound_stream``,             the same
``._advertised_rwnd``
``RTCSctpTransport._outbound_queue, ._sent_queue``    is anything still on its way
``RTCRtpReceiver.__jitter_buffer``                    packets in order at once
``RTCRtpReceiver.receive, .__started, .__codecs,      no decoder thread
.__rtcp_task, ._run_rtcp, .__stop_decoder``,
``RTCDtlsTransport._register_rtp_receiver``
``RTCRtpReceiver._send_rtcp``                         reports of a jitter that fits
``RTCRtpReceiver.__remote_streams, __active_ssrc,     a bounded number of sources
__lsr, __lsr_time``, ``RTCDtlsTransport._rtp_router``
``RTCRtpReceiver.__rtcp_task, __rtcp_exited``,        ``close()`` that does not hang
``RTCRtpSender.__rtp_task, __rtp_exited,
__rtcp_task, __rtcp_exited``
``RTCPeerConnection.__connect``                       the task that connects has an owner
``RTCPeerConnection.__certificates``,                 one SSL context for all calls, which
``RTCCertificate._create_ssl_context, ._cert,         takes peers with an RSA certificate
._key``, ``RTCDtlsTransport._ssl``,
``rtcdtlstransport.SSL``
``RTCIceGatherer._connection``                        the aioice connection
``Connection.get_component_candidates``,              127.0.0.1 as a last resort; a range
``._protocols``, ``StunProtocol.local_candidate``     of UDP ports
``StunProtocol.datagram_received``,                   datagrams that would end the call;
``Connection._queue``                                 the fast path's place
``TransportSocket._sock`` (of asyncio)                several datagrams at each turn
``Connection._nominated``, ``._closing``              selected pair; peer lost or hung up
``Connection._check_periodic, ._check_list``          DTLS begins when ICE is through
``Connection._query_consent_task``                    no task is left of a quick hang-up
``RTCRtpSender._handle_rtcp_packet``, ``._ssrc``      what the peer says that it lost
``ice.get_host_addresses``                            asked of the kernel: four times cheaper
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
from dataclasses import dataclass
from typing import Any

import aiortc.rtcdtlstransport as dtls_module
import aiortc.rtcsctptransport as sctp_module
from aioice import Candidate, Connection, ice
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, RTCSctpTransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, SRTPProtectionProfile
from aiortc.rtp import AnyRtcpPacket, RtcpRrPacket, RtcpSrPacket, RtpPacket

from .host_addresses import host_addresses

__all__ = [
    "AIOICE_VERSION",
    "AIORTC_VERSION",
    "PortsExhausted",
    "abort",
    "bound_reassembly",
    "configure_process",
    "end_checks_at_once",
    "gather_host_candidates",
    "has_unsent_data",
    "ice_was_lost",
    "own_connect_task",
    "release_dead_tasks",
    "selected_pair",
    "share_ssl_context",
    "stop_late_starters",
    "take_over_receiver",
    "transports",
    "watch_loss",
]

logger = logging.getLogger(__name__)

AIORTC_VERSION = "1.16.0"
AIOICE_VERSION = "0.13.0"

SCTP_USER_DATA_BYTES = 1100
"""User data of an SCTP chunk: with DTLS, UDP and IPv6, and a TURN relay on the way, the
datagram stays under 1280 bytes."""

CHECK_INTERVAL_S = 0.02
"""The pace of ICE's checks: aioice's own (RFC 8445 section 14.2 says 50 ms or less)."""

MAX_SOURCES = 16
"""SSRCs of which statistics are kept; a receiver report has room for 31 (RFC 3550, 6.4.2)."""

_MAX_JITTER = 0xFFFFFFFF  # its field in a report has 32 bits (RFC 3550, 6.4.1)

MAX_REASSEMBLY_BYTES = 768 * 1024
MAX_REASSEMBLY_CHUNKS = 8192
MAX_INBOUND_STREAMS = 1024
"""What is kept of the incomplete messages of one peer, all its streams together."""

INITIAL_WINDOW_BYTES = 1024 * 1024
"""aiortc's receiver window; the difference to it is what is held."""

UDP_RECEIVE_BUFFER_BYTES = 256 * 1024

MORE_DATAGRAMS_AT_ONCE = 15
MAX_DATAGRAM_BYTES = 65536

MAX_SRTP_BYTES = 1500
"""A longer packet of SRTP raises another exception than aiortc expects, and ends the call."""

MAX_WAITING_DATAGRAMS = 512
"""What may wait for aiortc to read it; nothing reads before ICE is through."""

TakeDatagram = Callable[[bytes], bool]
"""Is offered each datagram first; says whether it dealt with it."""

_RSA_SUITES = b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-SHA"
_ECDSA_SUITES = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
)


_aioice_host_addresses = ice.get_host_addresses


class PortsExhausted(OSError):
    """No UDP port of the range is free."""


def configure_process() -> None:
    """Set what aiortc and aioice keep as module constants; may be called again."""
    if ice.get_host_addresses is _aioice_host_addresses:  # and nobody else's, in a test
        ice.get_host_addresses = host_addresses
    sctp_module.USERDATA_MAX_LENGTH = SCTP_USER_DATA_BYTES


# --------------------------------------------------------------------------
# Transports
# --------------------------------------------------------------------------


def transports(pc: RTCPeerConnection) -> list[RTCDtlsTransport]:
    """The DTLS transports in use, each once: one when all is bundled."""
    found = [one.receiver.transport for one in pc.getTransceivers()]
    if pc.sctp is not None:
        found.append(pc.sctp.transport)
    return list(dict.fromkeys(found))


def _ice_connection(transport: RTCDtlsTransport) -> Connection:
    return transport.transport.iceGatherer._connection


def ice_was_lost(transport: RTCDtlsTransport) -> bool:
    """Whether the transport closed because consent expired, not because the peer said so.

    To be asked when the DTLS transport changes to ``closed``, before our own ``close()``.
    """
    return _ice_connection(transport)._closing


def selected_pair(transport: RTCDtlsTransport) -> tuple[Candidate, Candidate] | None:
    """The nominated pair, as (local, remote) candidates; None before there is one."""
    pair = _ice_connection(transport)._nominated.get(1)
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
    connection = _ice_connection(transport)
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
    connection = _ice_connection(transport)
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


def share_ssl_context(pc: RTCPeerConnection) -> None:
    """Have DTLS done with one OpenSSL context for all calls; call when there are transports.

    aiortc makes a context for each call and puts the certificate into it.  Here the call's
    certificate and key, which are its own as before, are put into its connection alone.

    aiortc offers ECDSA suites only, so that the handshake with a peer whose certificate is
    RSA (GStreamer 1.22) fails whenever aiortc is the DTLS client: the context offers both.
    """
    [certificate] = pc._RTCPeerConnection__certificates  # type: ignore[attr-defined]
    fingerprints = certificate.getFingerprints()
    certificate.getFingerprints = lambda: fingerprints  # is asked for them four times
    certificate._create_ssl_context = _ssl_context
    for transport in transports(pc):
        transport.on("statechange", functools.partial(_certify, transport, certificate))


def _certify(transport: RTCDtlsTransport, certificate: RTCCertificate) -> None:
    """Set the certificate: the connection is there, and has said nothing yet."""
    if transport.state == "connecting":
        connection = transport._ssl
        assert connection is not None
        connection.use_certificate(certificate._cert)
        connection.use_privatekey(certificate._key)


def _ssl_context(srtp_profiles: list[SRTPProtectionProfile]) -> Any:
    return _shared_ssl_context(b":".join(one.openssl_profile for one in srtp_profiles))


@functools.cache
def _shared_ssl_context(srtp_profiles: bytes) -> Any:
    ssl: Any = dtls_module.SSL  # type: ignore[attr-defined]
    context = ssl.Context(ssl.DTLS_METHOD)
    # No session of one call is ever taken up by another.
    context.set_options(ssl.OP_NO_TICKET)
    context.set_session_cache_mode(ssl.SESS_CACHE_OFF)
    # Any certificate: aiortc compares it with the fingerprint in the SDP.
    context.set_verify(ssl.VERIFY_PEER | ssl.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: True)
    context.set_cipher_list(_ECDSA_SUITES + b":" + _RSA_SUITES)
    context.set_tlsext_use_srtp(srtp_profiles)
    return context


# --------------------------------------------------------------------------
# Audio
# --------------------------------------------------------------------------


class _PacketTap:
    """Stands where aiortc's jitter buffer stood and completes no frame, ever.

    aiortc's own buffer holds packets back, and after one loss 200 ms for good.  In its
    place the packets are given on, after RTCP has counted them, and nothing is decoded.
    """

    def __init__(self, receiver: RTCRtpReceiver, on_packet: Callable[[RtpPacket], None]) -> None:
        self._receiver = receiver
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        _forget_old_sources(self._receiver)
        self._on_packet(packet)
        return False, None


def take_over_receiver(receiver: RTCRtpReceiver, on_packet: Callable[[RtpPacket], None]) -> None:
    """Hand every RTP packet to ``on_packet`` as it arrives; call before it starts.

    ``on_packet`` runs inside aiortc's receive loop and must not raise.  RTCP statistics
    and reports go on as before; what aiortc's ``receive()`` does is done without the thread
    that would decode.
    """
    receiver._RTCRtpReceiver__jitter_buffer = _PacketTap(  # type: ignore[attr-defined]
        receiver, on_packet
    )
    private: Any = receiver

    async def receive(parameters: Any) -> None:
        if private._RTCRtpReceiver__started:
            return
        for codec in parameters.codecs:
            private._RTCRtpReceiver__codecs[codec.payloadType] = codec
        receiver.transport._register_rtp_receiver(receiver, parameters)
        private._RTCRtpReceiver__rtcp_task = asyncio.ensure_future(receiver._run_rtcp())
        private._RTCRtpReceiver__started = True

    receiver.receive = receive  # type: ignore[method-assign]
    _keep_reports_alive(receiver)


def _keep_reports_alive(receiver: RTCRtpReceiver) -> None:
    """Shorten what does not fit.

    Of timestamps that jump to and fro aiortc makes more jitter than can be packed, and its
    RTCP task dies.
    """
    send_rtcp = receiver._send_rtcp

    async def send_packed(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpRrPacket):
            for report in packet.reports:
                report.jitter = min(report.jitter, _MAX_JITTER)
        await send_rtcp(packet)

    receiver._send_rtcp = send_packed  # type: ignore[method-assign]


def _forget_old_sources(receiver: RTCRtpReceiver) -> None:
    """Forget the oldest SSRCs.

    With more than 31 the receiver report cannot be packed, aiortc's RTCP task dies and its
    ``close()`` waits for it for ever.
    """
    streams = receiver._RTCRtpReceiver__remote_streams  # type: ignore[attr-defined]
    while len(streams) > MAX_SOURCES:
        ssrc = next(iter(streams))
        for table in (
            streams,
            receiver._RTCRtpReceiver__active_ssrc,  # type: ignore[attr-defined]
            receiver._RTCRtpReceiver__lsr,  # type: ignore[attr-defined]
            receiver._RTCRtpReceiver__lsr_time,  # type: ignore[attr-defined]
            receiver.transport._rtp_router.ssrc_table,
        ):
            table.pop(ssrc, None)


def watch_loss(sender: RTCRtpSender, on_loss: Callable[[float], None]) -> None:
    """Say what share of our packets the peer lost, 0 to 1, at each of its reports."""
    handle = sender._handle_rtcp_packet

    async def watched(packet: AnyRtcpPacket) -> None:
        await handle(packet)
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:
                    on_loss(report.fraction_lost / 256)

    sender._handle_rtcp_packet = watched  # type: ignore[method-assign]


# --------------------------------------------------------------------------
# Data channel
# --------------------------------------------------------------------------


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


# --------------------------------------------------------------------------
# Tasks
# --------------------------------------------------------------------------


def own_connect_task(
    pc: RTCPeerConnection, on_failure: Callable[[BaseException], None]
) -> set[asyncio.Task[Any]]:
    """Keep hold of the tasks aiortc starts to connect, which it does not keep itself.

    ``on_failure`` hears of what went wrong in one of them.  The set that is returned
    holds those that run, for the owner to await after ``close()``.
    """
    running: set[asyncio.Task[Any]] = set()
    original = pc._RTCPeerConnection__connect  # type: ignore[attr-defined]

    async def connect() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await original()
        except Exception as problem:
            # The boundary of a task nobody else awaits: aiortc's assertions end here.
            on_failure(problem)
        finally:
            running.discard(task)
            for transport in transports(pc):
                _end_consent_of_closed(_ice_connection(transport))

    pc._RTCPeerConnection__connect = connect  # type: ignore[attr-defined]
    return running


def _end_consent_of_closed(connection: Connection) -> None:
    """aioice's ``connect()`` goes on when it is closed in its last 20 ms, and then asks a
    closed connection for consent for ever."""
    task = connection._query_consent_task
    if connection._closing and task is not None:
        task.cancel()


def release_dead_tasks(pc: RTCPeerConnection) -> None:
    """Let ``close()`` not wait for RTP and RTCP tasks that have died of an exception."""
    for receiver in pc.getReceivers():
        _release(receiver, "RTCRtpReceiver", "rtcp")
    for sender in pc.getSenders():
        _release(sender, "RTCRtpSender", "rtcp")
        _release(sender, "RTCRtpSender", "rtp")


def _release(owner: object, owner_class: str, what: str) -> None:
    task = getattr(owner, f"_{owner_class}__{what}_task")
    if task is not None and task.done():
        getattr(owner, f"_{owner_class}__{what}_exited").set()


async def stop_late_starters(pc: RTCPeerConnection) -> None:
    """Stop senders and receivers that were started after ``close()`` had gone past them.

    aiortc's connect task starts them as soon as DTLS is through, even if the connection was
    closed in that moment: nobody else would ever stop them.
    """
    for receiver in pc.getReceivers():
        if _is_running(receiver, "RTCRtpReceiver"):
            await receiver.stop()
    for sender in pc.getSenders():
        if _is_running(sender, "RTCRtpSender"):
            await sender.stop()


def _is_running(owner: object, owner_class: str) -> bool:
    task = getattr(owner, f"_{owner_class}__rtcp_task")
    return task is not None and not task.done()


async def abort(pc: RTCPeerConnection, timeout_s: float) -> None:
    """Close tasks and sockets without asking anybody, after ``close()`` hung."""
    for receiver in pc.getReceivers():
        receiver._RTCRtpReceiver__stop_decoder()  # type: ignore[attr-defined]
        _cancel(receiver, "RTCRtpReceiver", "rtcp")
    for sender in pc.getSenders():
        _cancel(sender, "RTCRtpSender", "rtcp")
        _cancel(sender, "RTCRtpSender", "rtp")
    for transport in transports(pc):
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(timeout_s):
                await transport.stop()
                await transport.transport.stop()
        for protocol in _ice_connection(transport)._protocols:
            protocol.transport.abort()


def _cancel(owner: object, owner_class: str, what: str) -> None:
    task = getattr(owner, f"_{owner_class}__{what}_task")
    if task is not None:
        task.cancel()
