"""A peer is there as long as it answers, however late; a call without its messages is over."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from typing import Any

import pytest
from aioice import Connection, stun
from aioice.ice import StunProtocol
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSctpTransport

from rtc_server.errors import CallEnded, Outcome
from rtc_server.messages import Pong
from rtc_server.peer import aiortc_liveness, connection
from rtc_server.peer.aiortc_internals import transports
from rtc_server.peer.aiortc_liveness import CONSENT_CHECKS, CONSENT_INTERVAL_S, Consent

from .rtc_client import RtcClient
from .support import Peer, call, until


@pytest.fixture
def quick_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of production take 15 s."""
    monkeypatch.setattr(aiortc_liveness, "CONSENT_INTERVAL_S", 0.25)


def ice_of(peer: Peer | RtcClient) -> Connection:
    pc = peer.connection._pc if isinstance(peer, Peer) else peer.pc
    [transport] = transports(pc)
    return transport.transport.iceGatherer._connection


async def test_every_private_name_is_still_there() -> None:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.createDataChannel("x")
    assert pc.sctp is not None
    ice = pc.sctp.transport.transport.iceGatherer._connection
    for name in ("query_consent", "_nominated", "_query_consent_task", "build_request"):
        assert hasattr(ice, name), name
    for name in ("_send_chunk", "_set_state", "_association_state"):
        assert hasattr(pc.sctp, name), name
    assert "transactions" in inspect.getsource(StunProtocol.datagram_received)
    await pc.close()


def test_what_is_done_in_the_place_of_aioice_is_what_it_does() -> None:
    """Read the new text and do the same, then write down its digest."""
    text = inspect.getsource(Connection.query_consent)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "fe49173a650a378a"
    assert "asyncio.create_task(self.query_consent())" in inspect.getsource(Connection.connect)
    assert "await self._send_chunk(chunk)" in inspect.getsource(RTCSctpTransport._transmit)


# Consent


def test_an_answer_to_any_check_counts() -> None:
    """Three checks without an answer, a late one, and all four are to be unanswered again."""
    consent = Consent(checks=4)
    for _ in range(3):
        consent.asked()
    consent.answered()
    for _ in range(3):
        consent.asked()
        assert not consent.is_lost
    consent.asked()
    assert consent.is_lost


def test_a_vanished_peer_is_given_up_between_10_and_15_seconds() -> None:
    """The quickest and the slowest course of intervals: those of all checks, and one more."""
    intervals = (CONSENT_CHECKS + 1) * CONSENT_INTERVAL_S
    assert 0.8 * intervals >= 10
    assert 1.2 * intervals <= 15


@pytest.mark.usefixtures("quick_consent")
async def test_a_peer_that_vanishes_is_lost() -> None:
    """A peer that answers no more is given up, as lost."""
    async with call() as (peer, client):
        client.vanish()
        with pytest.raises(CallEnded) as ended:
            await peer.connection.wait_closed()
        assert ended.value.outcome is Outcome.LOST


@pytest.mark.usefixtures("quick_consent")
async def test_a_peer_that_answers_late_is_there() -> None:
    """Each answer takes 0.6 s, which is more than aioice waits, and two intervals long."""
    async with call() as (_peer, client):
        loop = asyncio.get_running_loop()
        late: list[None] = []

        def slow(protocol: Any) -> None:
            send = protocol.send_stun

            def send_late(message: Any, address: Any) -> None:
                loop.call_later(0.6, send, message, address)
                if message.message_class == stun.Class.RESPONSE:
                    late.append(None)

            protocol.send_stun = send_late

        for protocol in ice_of(client)._protocols:
            slow(protocol)
        await until(lambda: len(late) >= 8)
        client.send({"type": "ping", "t": 1})
        assert await client.next_message("pong") == {"type": "pong", "t": 1}


@pytest.mark.usefixtures("quick_consent")
async def test_an_answer_with_another_key_is_none() -> None:
    """Whoever sees the checks on the way cannot keep a call alive without the password."""
    async with call() as (peer, client):
        ice_of(client)._local_password = "another"
        with pytest.raises(CallEnded) as ended:
            await peer.connection.wait_closed()
        assert ended.value.outcome is Outcome.LOST


@pytest.mark.usefixtures("quick_consent")
async def test_checks_that_nobody_answers_are_not_kept() -> None:
    """Of a peer that answers one check in three, the others are forgotten."""
    async with call() as (peer, client):
        answered: list[None] = []
        protocol: Any
        [protocol] = [pair.protocol for pair in ice_of(client)._nominated.values()]
        send = protocol.send_stun

        def send_some(message: Any, address: Any) -> None:
            answered.append(None)
            if len(answered) % 3 == 0:
                send(message, address)

        protocol.send_stun = send_some
        await until(lambda: len(answered) >= 12)
        kept = [len(one.transactions) for one in ice_of(peer)._protocols]
        assert max(kept) <= 2 * CONSENT_CHECKS


# The association


async def test_messages_into_a_connection_that_closes_are_lost_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Between the end of ICE and that of DTLS everything that is sent fails."""
    async with call() as (peer, _client):
        ice_of(peer)._nominated.clear()
        for n in range(5):
            peer.connection.data_channel.send(Pong(t=n))
        sctp = peer.connection._pc.sctp
        assert sctp is not None
        await until(lambda: not sctp._data_channel_queue)
        peer.connection.data_channel.send(Pong(t=6))
        await ice_of(peer).close()
        with pytest.raises(CallEnded):
            await peer.connection.wait_closed()
    assert "never retrieved" not in caplog.text


async def test_a_call_whose_association_ended_alone_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The peer aborts the association, and ICE and DTLS live on: nothing could be told any more."""
    monkeypatch.setattr(connection, "LONE_END_S", 0.05)
    async with call() as (peer, client):
        assert client.pc.sctp is not None
        await client.pc.sctp._abort()
        with pytest.raises(CallEnded) as ended:
            await peer.connection.wait_closed()
        assert ended.value.outcome is Outcome.LOST


async def test_a_call_goes_on_without_the_channel_that_the_client_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closing the channel is the client's own will, and leaves the association up."""
    monkeypatch.setattr(connection, "LONE_END_S", 0.05)
    async with call() as (peer, client):
        assert client.channel is not None
        client.channel.close()
        await peer.connection.data_channel.closed.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await peer.connection.wait_closed()
