"""The call's data channel: JSON messages in both directions, bounded in both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from aiortc import RTCDataChannel

from ..messages import (
    MAX_MESSAGE_BYTES,
    ClientMessage,
    Error,
    MessageError,
    MicrophoneAudio,
    ServerMessage,
    fitted,
    parse_client_message,
)
from ..settings import Limits
from . import aiortc_sctp
from .token_bucket import TokenBucket

__all__ = ["DataChannel", "DataChannelSink"]

logger = logging.getLogger(__name__)

MAX_EARLY_MESSAGES = 1000
"""Messages kept for a channel that is not open yet; the oldest are dropped and counted."""

_BURST_S = 2.0
"""A microphone that comes in messages has 50 a second, and what was held up comes at once."""

_QUIET_S = 2.0  # longer than SCTP waits to send again, which interrupts a burst
_REPORT_AFTER_S = 30.0
_DRAIN_LOOK_S = 0.01


class DataChannelSink(Protocol):
    """Takes the caller's messages; called on the loop, must be quick."""

    def greeting(self) -> ServerMessage:
        """The first message, asked for when the channel opens."""

    def on_message(self, message: ClientMessage) -> None:
        """A valid message."""


class DataChannel:
    """The one channel of a call: the first ordered and reliable one that the client opens.

    Others are closed: further ones, and those that may lose or reorder messages.

    * Outgoing messages from before it is open are kept, bounded, and follow the greeting.
      :meth:`send` never waits.  A client that does not read ends its call: above
      ``channel_backlog_bytes`` ``on_overflow`` is called, once.  What is larger than
      ``message_bytes``, as the client said, goes in pieces, shortened, or as an error.
    * Incoming messages above the rate are dropped.  When a burst is over, one
      ``rate_limited`` error says how many (a burst that does not end is reported every 30 s).
      Each other message that cannot be taken is answered by one error.
    """

    def __init__(
        self,
        sink: DataChannelSink,
        *,
        limits: Limits,
        on_overflow: Callable[[], None],
        message_bytes: int = MAX_MESSAGE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.dropped = 0
        """Outgoing messages that were dropped: too early and too many, too late, too large."""

        self._sink = sink
        self._limits = limits
        self._on_overflow = on_overflow
        self._message_bytes = message_bytes
        self._clock = clock
        self._channel: RTCDataChannel | None = None
        self._early: deque[ServerMessage] = deque()
        self._overflowed = False
        rate = limits.channel_messages_per_s
        self._all = TokenBucket(rate, rate * _BURST_S)
        self._but_sound = TokenBucket(rate, rate)
        self._refused = 0
        self._refused_since = self._refused_at = 0.0
        self._report: asyncio.TimerHandle | None = None

    # Outgoing

    def send(self, message: ServerMessage) -> None:
        """Send a message, or keep it until the channel is open; never waits, never raises."""
        if self.closed.is_set():
            self.dropped += 1
        elif self.opened.is_set():
            self._send(message)
        else:
            if len(self._early) == MAX_EARLY_MESSAGES:
                self._early.popleft()
                self.dropped += 1
            self._early.append(message)

    async def drain(self, timeout_s: float) -> None:
        """Wait until the client has acknowledged all that was sent, or for ``timeout_s``."""
        channel = self._channel
        if channel is None:
            return
        deadline = self._clock() + timeout_s
        # aiortc tells of no acknowledgement; this happens once a call, and briefly.
        while (  # noqa: ASYNC110
            not self.closed.is_set()
            and aiortc_sctp.has_unsent_data(channel.transport)
            and self._clock() < deadline
        ):
            await asyncio.sleep(_DRAIN_LOOK_S)

    def close(self) -> None:
        """Take and send nothing more; the peer connection closes the channel itself."""
        self.closed.set()
        self._early.clear()
        if self._report is not None:
            self._report.cancel()
            self._report = None

    def _send(self, message: ServerMessage) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open" or self._overflowed:
            self.dropped += 1
            return
        sent = list(fitted(message, self._message_bytes))
        if not any(type(one) is type(message) for one, _ in sent):
            self.dropped += 1
            logger.warning("a %s message is too large for this client", message.type)
        for _, text in sent:
            channel.send(text)
        if channel.bufferedAmount > self._limits.channel_backlog_bytes:
            self._overflowed = True
            logger.warning("the client does not read its messages")
            self._on_overflow()

    # From aiortc

    def adopt(self, channel: RTCDataChannel) -> None:
        """Take the channel that the client opened, or close it."""
        is_reliable = (
            channel.ordered and channel.maxRetransmits is None and channel.maxPacketLifeTime is None
        )
        if self._channel is not None or self.closed.is_set() or not is_reliable:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._on_message)
        channel.on("close", self.close)
        self._send(self._sink.greeting())
        while self._early:
            self._send(self._early.popleft())
        self.opened.set()

    def _on_message(self, raw: str | bytes) -> None:
        if self.closed.is_set():
            return
        now = self._clock()
        if not self._all.take(now):
            self._refuse(now)
            return
        message = _parsed(raw)
        if not isinstance(message, MicrophoneAudio) and not self._but_sound.take(now):
            self._refuse(now)
            return
        if isinstance(message, Error):
            self._send(message)
            return
        try:
            self._sink.on_message(message)
        except Exception:
            # aiortc's receive loop would end, and with it the call, for one message.
            logger.exception("a message of the client could not be handled")

    # Rate limit

    def _refuse(self, now: float) -> None:
        self._refused_at = now
        if self._refused == 0:
            self._refused_since = now
        self._refused += 1
        if self._report is None:
            self._report = asyncio.get_running_loop().call_later(_QUIET_S, self._report_refused)

    def _report_refused(self) -> None:
        self._report = None
        now = self._clock()
        quiet_s = now - self._refused_at
        if quiet_s < _QUIET_S and now - self._refused_since < _REPORT_AFTER_S:
            self._report = asyncio.get_running_loop().call_later(
                _QUIET_S - quiet_s, self._report_refused
            )
            return
        dropped, self._refused = self._refused, 0
        self._send(
            Error(
                code="rate_limited",
                message=(
                    f"{dropped} messages were dropped: "
                    f"{self._limits.channel_messages_per_s:g} a second are taken."
                ),
                retryable=True,
                dropped=dropped,
            )
        )


def _parsed(raw: str | bytes) -> ClientMessage | Error:
    """The message, or why it cannot be taken."""
    try:
        return parse_client_message(raw)
    except MessageError as problem:
        return problem.error
