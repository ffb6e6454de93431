"""The data channel: order, limits, and what a client may do to it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from aiortc import RTCDataChannel
from pyee.asyncio import AsyncIOEventEmitter

from rtc_server.errors import CallEnded, Outcome
from rtc_server.messages import ClientMessage, ClientText, Pong
from rtc_server.peer.data_channel import MAX_EARLY_MESSAGES, DataChannel
from rtc_server.settings import Limits, Settings

from .support import RecordingSink, call, until


class FakeChannel(AsyncIOEventEmitter):
    """What the data channel uses of aiortc's."""

    def __init__(self, *, ordered: bool = True, max_retransmits: int | None = None) -> None:
        super().__init__()
        self.ordered = ordered
        self.maxRetransmits = max_retransmits
        self.maxPacketLifeTime = None
        self.readyState = "open"
        self.bufferedAmount = 0
        self.sent: list[dict[str, Any]] = []

    def send(self, data: str) -> None:
        self.sent.append(json.loads(data))
        self.bufferedAmount += len(data)

    def close(self) -> None:
        self.readyState = "closed"


class Bench:
    """A data channel on a manual clock."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.now = 100.0
        self.sink = RecordingSink()
        self.overflows = 0
        self.channel = DataChannel(
            self.sink,
            limits=limits or Limits(),
            on_overflow=self._overflow,
            message_bytes=65536,
            clock=lambda: self.now,
        )
        self.wire = FakeChannel()

    def _overflow(self) -> None:
        self.overflows += 1

    def open(self) -> None:
        self.adopt(self.wire)

    def adopt(self, wire: FakeChannel) -> None:
        self.channel.adopt(cast(RTCDataChannel, wire))


async def test_the_greeting_comes_before_what_waited() -> None:
    bench = Bench()
    bench.channel.send(Pong(t=1))
    bench.channel.send(Pong(t=2))
    bench.open()
    assert [one["type"] for one in bench.wire.sent] == ["ready", "pong", "pong"]
    assert bench.channel.opened.is_set()


async def test_messages_before_the_opening_are_bounded() -> None:
    """The oldest are dropped and counted."""
    bench = Bench()
    for t in range(MAX_EARLY_MESSAGES + 5):
        bench.channel.send(Pong(t=t))
    bench.open()
    assert bench.channel.dropped == 5
    assert [one.get("t") for one in bench.wire.sent[:2]] == [None, 5]


async def test_only_the_first_ordered_and_reliable_channel_is_taken() -> None:
    bench = Bench()
    others = [FakeChannel(ordered=False), FakeChannel(max_retransmits=0), FakeChannel()]
    for one in others[:2]:
        bench.adopt(one)
    bench.open()
    bench.adopt(others[2])
    assert [one.readyState for one in others] == ["closed"] * 3
    assert bench.wire.readyState == "open"
    assert all(one.sent == [] for one in others)


async def test_a_bad_message_is_answered_by_one_error() -> None:
    bench = Bench()
    bench.open()
    for raw, code in [
        ("nonsense", "bad_message"),
        ("[1]", "bad_message"),
        (b"\xff", "bad_message"),
        ('{"type":"x"}', "unknown_type"),
        ('{"mime_type":"video/mp4"}', "unknown_type"),
        ("x" * 300_000, "too_large"),
    ]:
        count = len(bench.wire.sent)
        bench.wire.emit("message", raw)
        assert [one["code"] for one in bench.wire.sent[count:]] == [code]
    bench.wire.emit("message", b'{"type":"text","data":"hello"}')
    assert bench.sink.messages == [ClientText("hello")]


async def test_a_sink_that_raises_does_not_end_the_call(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.open()

    def broken(message: ClientMessage) -> None:
        raise RuntimeError

    bench.sink.on_message = broken  # type: ignore[method-assign]
    bench.wire.emit("message", '{"type":"interrupt"}')
    assert "could not be handled" in caplog.text


async def test_a_message_too_large_for_the_client_is_dropped_and_told_of() -> None:
    bench = Bench()
    bench.open()
    bench.channel.send(Pong(t=cast(float, "x" * 70_000)))
    assert bench.channel.dropped == 1
    assert bench.wire.sent[-1]["code"] == "message_too_large"
    bench.channel.send(Pong(t=1))
    assert bench.wire.sent[-1] == {"type": "pong", "t": 1}


async def test_a_client_that_does_not_read_is_reported_once() -> None:
    bench = Bench(Limits(channel_backlog_bytes=1000))
    bench.open()
    for t in range(100):
        bench.channel.send(Pong(t=t))
    assert bench.overflows == 1


async def test_a_burst_of_ten_thousand_gets_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fifty are taken; when the burst is over one error counts the others."""
    monkeypatch.setattr("rtc_server.peer.data_channel._QUIET_S", 0.05)
    bench = Bench()
    bench.open()
    for _ in range(10_000):
        bench.wire.emit("message", '{"type":"interrupt"}')
    assert len(bench.sink.messages) == 50
    assert len(bench.wire.sent) == 1
    bench.now += 0.5
    await until(lambda: len(bench.wire.sent) == 2)
    assert bench.wire.sent[1]["code"] == "rate_limited"
    assert bench.wire.sent[1]["dropped"] == 9_950
    bench.now += 1.0
    bench.wire.emit("message", '{"type":"interrupt"}')
    assert len(bench.sink.messages) == 51


async def test_sound_that_was_held_up_for_two_seconds_is_taken() -> None:
    """A microphone that comes in messages has fifty a second as it is."""
    bench = Bench()
    bench.open()
    for _ in range(101):
        bench.wire.emit("message", '{"mime_type":"audio/pcm","data":"AAA="}')
    assert len(bench.sink.messages) == 100
    bench.now += 1.0
    bench.wire.emit("message", '{"type":"interrupt"}')
    assert len(bench.sink.messages) == 101


async def test_closing_in_a_burst_leaves_no_timer() -> None:
    bench = Bench()
    bench.open()
    for _ in range(200):
        bench.wire.emit("message", '{"type":"interrupt"}')
    assert bench.channel._report is not None
    bench.channel.close()
    assert bench.channel._report is None


async def test_nothing_is_sent_after_the_client_closed_the_channel() -> None:
    bench = Bench()
    bench.open()
    bench.wire.emit("close")
    assert bench.channel.closed.is_set()
    bench.channel.send(Pong(t=1))
    assert bench.channel.dropped == 1
    assert len(bench.wire.sent) == 1


# Over real UDP


async def test_a_burst_is_held_up_by_nothing_and_holds_nothing_up() -> None:
    """While thousands arrive the loop breathes; all are taken or counted in an error."""
    async with call(audio=None) as (peer, client):
        turns = 0
        done = False

        async def breathe() -> None:
            nonlocal turns
            while not done:
                await asyncio.sleep(0)
                turns += 1

        def reported() -> int:
            return sum(one["dropped"] for one in client.messages if one["type"] == "error")

        async with asyncio.TaskGroup() as group:
            group.create_task(breathe())
            for n in range(2500):
                client.send('{"type":"interrupt"}')
                if n % 100 == 99:
                    await asyncio.sleep(0)
            await until(lambda: len(peer.sink.messages) + reported() == 2500, timeout_s=30)
            done = True
        assert len(peer.sink.messages) >= 100
        assert turns > 250
        client.send({"type": "ping", "t": 1})
        await client.next_message("pong")


@pytest.mark.parametrize("size", [300_000, 3_000_000])
async def test_a_message_over_the_limit_is_refused_and_the_channel_goes_on(size: int) -> None:
    """Even one that is larger than the receiver window, from a client that does not care."""
    async with call(audio=None) as (_, client):
        assert client.pc.sctp is not None
        client.pc.sctp._remote_max_message_size = 0
        client.send("x" * size)
        assert (await client.next_message("error"))["code"] == "too_large"
        client.send({"type": "ping", "t": 1})
        await client.next_message("pong")


async def test_no_message_ends_the_reading_of_those_behind_it() -> None:
    """Whatever stands in it; aiortc's receive loop would end with an exception of ours."""
    worst: list[str | bytes] = [
        '{"type":"ping","t":1' + "0" * 400 + "}",
        "[" * 50_000,
        '{"type":"text","data":"\\ud800"}',
        '{"type":"session_state","delta":{"a":' + "9" * 9000 + "}}",
        "",
        b"",
        b"\xff",
    ]
    async with call(audio=None) as (_, client):
        for raw in worst:
            client.send(raw)
            client.send({"type": "ping", "t": 1})
            await client.next_message("pong")


async def test_further_channels_are_closed() -> None:
    async with call(audio=None) as (_, client):
        second = client.pc.createDataChannel("second")
        unordered = client.pc.createDataChannel("third", ordered=False)
        await until(lambda: second.readyState == unordered.readyState == "closed")
        client.send({"type": "ping", "t": 1})
        await client.next_message("pong")


async def test_draining_waits_until_the_client_has_it() -> None:
    """What is said before hanging up arrives."""
    async with call(audio=None) as (peer, client):
        for t in range(200):
            peer.connection.data_channel.send(Pong(t=t))
        await peer.connection.data_channel.drain(timeout_s=20)
        await peer.close()
        await until(lambda: len(client.messages) == 201)


async def test_a_client_that_lets_messages_pile_up_loses_the_call() -> None:
    limits = Limits(channel_backlog_bytes=10_000)
    async with call(Settings(limits=limits), audio=None) as (peer, client):
        client.vanish()
        for t in range(2000):
            peer.connection.data_channel.send(Pong(t=t))
        with pytest.raises(CallEnded) as ended:
            await peer.connection.wait_closed()
        assert ended.value.outcome is Outcome.LOST
