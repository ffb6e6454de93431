"""Whether the peer is still there: consent, and the association that carries the messages.

Read in **aiortc 1.16.0** and **aioice 0.13.0**; ``tests/peer/test_aiortc_liveness.py`` fails
loudly when one of these is gone or behaves otherwise:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``Connection.query_consent``, ``._nominated``,        our own way of asking for consent
``._query_consent_task``, ``.build_request``,
``StunProtocol.transactions``
``RTCSctpTransport._send_chunk``                      what cannot be sent is lost, as in the
                                                      network
``RTCSctpTransport._set_state``,                      the channel is gone, and the
``._association_state``                               connection is not
====================================================  =====================================
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aioice import Connection, stun
from aiortc import RTCSctpTransport
from aiortc.rtcdtlstransport import RTCDtlsTransport

__all__ = [
    "CONSENT_CHECKS",
    "CONSENT_INTERVAL_S",
    "Consent",
    "ask_for_consent",
    "lose_what_cannot_be_sent",
    "watch_association",
]

CONSENT_INTERVAL_S = 2.5
"""On average; each interval is 0.8 to 1.2 times as long (RFC 7675, 5.1)."""

CONSENT_CHECKS = 4
"""So many unanswered checks, and the interval after them: a peer that vanished is given up after
10 to 15 s, a network that was away for less is survived (RFC 7675 allows 30 s)."""


# Consent -------------------------------------------------------------------------


@dataclass(slots=True)
class Consent:
    """Counts the checks that were sent since the last answer, to whichever check it was."""

    checks: int = CONSENT_CHECKS
    unanswered: int = 0

    @property
    def is_lost(self) -> bool:
        """Whether the peer is to be given up instead of being asked again."""
        return self.unanswered >= self.checks

    def asked(self) -> None:
        """A check was sent."""
        self.unanswered += 1

    def answered(self) -> None:
        """An answer came."""
        self.unanswered = 0


@dataclass(slots=True)
class _Check:
    """In the place of aioice's transaction: waits for its answer for as long as it is kept."""

    key: bytes
    on_answer: Callable[[], None]

    def response_received(self, message: stun.Message, address: tuple[str, int]) -> None:
        is_response = message.message_class == stun.Class.RESPONSE
        if is_response and message.check_message_integrity(self.key):
            self.on_answer()


@dataclass(slots=True)
class _Checks:
    """The checks of which the answers still count."""

    connection: Connection
    consent: Consent
    waiting: list[tuple[Any, bytes]] = field(default_factory=list)

    @contextlib.contextmanager
    def at_hand(self) -> Iterator[None]:
        """Forget them all at the end."""
        try:
            yield
        finally:
            self._keep(0)

    def send(self) -> None:
        """Send one on the nominated pair."""
        pair = self.connection._nominated.get(1)
        password = self.connection.remote_password
        self.consent.asked()
        if pair is None or password is None or pair.protocol.transport.is_closing():
            return
        request = self.connection.build_request(pair, nominate=False)
        key = password.encode()
        request.add_message_integrity(key)
        check: Any = _Check(key, self.consent.answered)
        pair.protocol.transactions[request.transaction_id] = check
        self.waiting.append((pair.protocol, request.transaction_id))
        self._keep(2 * self.consent.checks)
        pair.protocol.send_stun(request, pair.remote_addr)

    def _keep(self, most: int) -> None:
        while len(self.waiting) > most:
            protocol, transaction_id = self.waiting.pop(0)
            protocol.transactions.pop(transaction_id, None)


def ask_for_consent(transport: RTCDtlsTransport) -> None:
    """Ask the peer for its consent our way (RFC 7675); call before ICE is through.

    aioice waits for each answer for half a second: on a path on which everything takes longer,
    or with a peer that is that busy, it gives up a call that goes on well.  Here an answer counts
    whenever it comes.
    """
    connection = transport.transport.iceGatherer._connection

    async def query_consent() -> None:
        checks = _Checks(connection, Consent(CONSENT_CHECKS))
        with checks.at_hand():
            while True:
                await asyncio.sleep(CONSENT_INTERVAL_S * random.uniform(0.8, 1.2))
                if checks.consent.is_lost:
                    break
                checks.send()
        # close() would wait for this task.
        connection._query_consent_task = None
        await connection.close()

    connection.query_consent = query_consent  # type: ignore[method-assign]


# The association -------------------------------------------------------------------


def lose_what_cannot_be_sent(sctp: RTCSctpTransport) -> None:
    """Let what is sent over a connection that is closing be lost, as the network would lose it.

    aiortc sends from tasks that nobody awaits, whose :exc:`ConnectionError` is then logged with
    a traceback, one for each message.  That the connection is gone is said by its own state.
    """
    send_chunk = sctp._send_chunk

    async def send(chunk: Any) -> None:
        with contextlib.suppress(ConnectionError):
            await send_chunk(chunk)

    sctp._send_chunk = send  # type: ignore[method-assign]


def watch_association(sctp: RTCSctpTransport, on_end: Callable[[], None]) -> None:
    """Say when an association that was up is over, whoever ended it.

    The peer aborts it when it hangs up, and then DTLS is closed too; but it can also end alone,
    and then no message goes either way any more while ICE is alive.
    """
    set_state = sctp._set_state
    established, closed = sctp.State.ESTABLISHED, sctp.State.CLOSED

    def watched(state: Any) -> None:
        was_up = sctp._association_state == established
        set_state(state)
        if was_up and state == closed:
            on_end()

    sctp._set_state = watched  # type: ignore[method-assign]
