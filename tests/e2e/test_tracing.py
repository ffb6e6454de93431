"""The trace of a call, as a collector gets it by OTLP over HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from rtc_server.errors import ConfigurationError
from rtc_server.settings import Limits, Settings
from rtc_server.tracing import exporting
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    fail_after,
    never_answer,
    talker,
    text_piece,
    tone,
    tool_call,
    turn_complete,
    uses_tool,
)
from tests.e2e.server import Caller, Server
from tests.waiting import until


class Collector:
    """Takes what an exporter sends."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.url = ""
        self.raw = b""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw += body
        message = ExportTraceServiceRequest.FromString(body)
        for of_resource in message.resource_spans:
            self.resources.append(
                {one.key: one.value.string_value for one in of_resource.resource.attributes}
            )
            for scope in of_resource.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response()

    def named(self, name: str) -> list[Span]:
        return [one for one in self.spans if one.name == name]

    def only(self, name: str) -> Span:
        (span,) = self.named(name)
        return span


def attributes(span: Span) -> dict[str, Any]:
    """By name, as Python values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def length_ms(span: Span) -> float:
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """On a free port of loopback."""
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@asynccontextmanager
async def traced(
    collector: Collector, llm: ScriptedLlm, *, limits: Limits | None = None, **agent: Any
) -> AsyncIterator[Server]:
    """A server that sends its spans to the collector; when it is left they are all there."""
    settings = Settings(port=0, otlp_endpoint=collector.url, limits=limits or Limits())
    async with Server.running(llm, settings, **agent) as server:
        yield server


def look_up(word: str) -> dict[str, str]:
    """Looks a word up."""
    return {"meaning": f"what {word} means"}


async def test_a_call_is_one_trace_with_its_set_up_turns_and_tools(collector: Collector) -> None:
    llm = ScriptedLlm(scripts=[uses_tool("look_up", word="SENTINEL")])
    async with (
        traced(collector, llm, tools=[look_up]) as server,
        server.call(audio=None) as caller,
    ):
        for n in (1, 2):
            caller.client.send({"type": "text", "data": "SENTINEL"})
            await caller.client.wait_for(partial(_has_turns, caller, n))
    call = collector.only("call")
    assert {one.trace_id for one in collector.spans} == {call.trace_id}
    assert len(collector.named("model.connect")) == 1
    assert attributes(call)["rtc.call_id"] == caller.placed["call_id"]
    assert attributes(call)["gen_ai.conversation.id"] == caller.placed["session_id"]
    assert attributes(call)["rtc.outcome"] == "hangup"
    set_up = collector.only("call.set_up")
    assert set_up.parent_span_id == call.span_id
    assert [one.name for one in set_up.events] == ["connected"]
    turns = sorted(collector.named("turn"), key=lambda one: one.start_time_unix_nano)
    assert [attributes(one)["rtc.turn"] for one in turns] == [1, 2]
    assert {one.parent_span_id for one in turns} == {call.span_id}
    tools = collector.named("tool look_up")
    assert sorted(one.parent_span_id for one in tools) == sorted(one.span_id for one in turns)
    # ADK's own spans hang below.
    by_id = {one.span_id: one for one in collector.spans}
    adks = collector.named("execute_tool look_up")
    assert len(adks) == 2
    assert all(_root_of(one, by_id).span_id == call.span_id for one in adks)
    assert collector.resources[0]["service.name"] == "rtc-server"
    assert b"SENTINEL" not in collector.raw


def _has_turns(caller: Caller, count: int) -> bool:
    return [one["type"] for one in caller.client.messages].count("turn") == count


def _root_of(span: Span, by_id: dict[bytes, Span]) -> Span:
    while span.parent_span_id:
        span = by_id[span.parent_span_id]
    return span


async def test_what_was_said_is_in_no_span(collector: Collector) -> None:
    """Neither in ours nor in ADK's, which has all that a model is told of the history in one."""
    llm = ScriptedLlm(scripts=[uses_tool("look_up", word="SENTINEL")])
    async with traced(collector, llm, tools=[look_up]) as server:
        session_id = None
        for _ in range(2):
            async with server.call(audio=None, session_id=session_id) as caller:
                session_id = caller.placed["session_id"]
                caller.client.send({"type": "text", "data": "SENTINEL"})
                await caller.client.next_message("turn")
    assert len(collector.named("call")) == 2
    assert collector.named("send_data")
    assert b"SENTINEL" not in collector.raw


async def test_the_latency_of_a_turn_is_split_into_its_parts(collector: Collector) -> None:
    async with (
        traced(collector, ScriptedLlm(scripts=[talker(seconds=0.2)])) as server,
        server.call() as caller,
    ):
        await caller.ask_aloud()
        latency = await caller.client.next_message("latency", 15)
        await caller.client.next_message("turn", 15)
    turn = collector.only("turn")
    told = attributes(turn)
    assert told["rtc.response_ms"] == latency["response_ms"]
    parts = [collector.only(f"turn.{name}") for name in ("endpoint", "agent", "playout")]
    assert {one.parent_span_id for one in parts} == {turn.span_id}
    assert parts[0].start_time_unix_nano == turn.start_time_unix_nano
    for one, after in itertools.pairwise(parts):
        assert one.end_time_unix_nano == after.start_time_unix_nano
    assert length_ms(parts[0]) == pytest.approx(latency["endpoint_ms"], abs=0.2)
    assert length_ms(parts[1]) == pytest.approx(latency["agent_ms"], abs=0.2)
    assert length_ms(parts[2]) == pytest.approx(latency["playout_ms"], abs=0.2)
    assert length_ms(turn) >= latency["response_ms"]


async def test_an_interrupted_turn_says_how_much_was_heard(collector: Collector) -> None:
    async with (
        traced(collector, ScriptedLlm(scripts=[talker(seconds=20.0)])) as server,
        server.call() as caller,
    ):
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.wait_for(lambda: len(caller.client.packets) > 20)
        caller.client.send({"type": "interrupt"})
        turn = await caller.client.next_message("turn")
    told = attributes(collector.only("turn"))
    assert told["rtc.interrupted"] is True
    assert told["rtc.heard_ms"] == turn["heard_ms"]


async def test_a_turn_that_was_given_up_is_an_interrupted_one(collector: Collector) -> None:
    """Half an answer, after which nothing came, and then none."""

    async def half(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        await connection.speak("Once upon a time", tone(0.4), complete=False)
        await connection.receive_text()

    llm = ScriptedLlm(scripts=[half, never_answer, talker(seconds=0.1)])
    limits = Limits(answer_s=2.0)
    async with traced(collector, llm, limits=limits) as server, server.call() as caller:
        for n in range(2):
            caller.client.send({"type": "text", "data": "hello"})
            await caller.client.next_message("error")
            await until(lambda n=n: llm.connects == 2 + n)  # type: ignore[misc]
    turns = [attributes(one) for one in collector.named("turn")]
    assert [(one["rtc.interrupted"], one["rtc.heard_ms"]) for one in turns] == [
        (True, 400),
        (True, 0),
    ]
    call = collector.only("call")
    errors = [one for one in call.events if one.name == "error"]
    assert [attributes_of_event(one)["error.type"] for one in errors] == ["agent_timeout"] * 2


async def test_a_reconnect_has_a_span_and_the_failure_is_an_event(collector: Collector) -> None:
    llm = ScriptedLlm(scripts=[fail_after(ValueError("why"), "half"), talker(seconds=0.1)])
    async with traced(collector, llm) as server, server.call() as caller:
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.next_message("error")
        await until(lambda: llm.connects == 2)
    assert len(collector.named("model.connect")) == 1
    again = collector.only("model.reconnect")
    assert attributes(again)["rtc.attempt"] == 2
    call = collector.only("call")
    errors = [one for one in call.events if one.name == "error"]
    assert [attributes_of_event(one)["error.type"] for one in errors] == ["agent_failed"]


async def test_a_span_of_an_attempt_that_failed_names_the_kind_of_error_alone(
    collector: Collector,
) -> None:
    """What an exception of a client's library says may hold a key."""
    llm = ScriptedLlm(scripts=[talker(seconds=0.1)], connect_errors=[OSError("the key")])
    async with traced(collector, llm) as server, server.call(audio=None) as caller:
        await until(lambda: llm.connects == 2)
        assert caller.placed["call_id"]
    failed = collector.only("model.connect")
    assert attributes(failed)["error.type"] == "OSError"
    assert list(failed.events) == []


def attributes_of_event(event: Span.Event) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in event.attributes}


async def test_spans_that_are_open_when_the_call_ends_end_with_it(collector: Collector) -> None:
    entered = asyncio.Event()

    async def wait_for_ever() -> dict[str, str]:
        """Never returns."""
        entered.set()
        await asyncio.Event().wait()
        return {}

    async def ask(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("wait_for_ever"))

    llm = ScriptedLlm(scripts=[ask])
    async with (
        traced(collector, llm, tools=[wait_for_ever]) as server,
        server.call(audio=None) as caller,
    ):
        caller.client.send({"type": "text", "data": "hello"})
        await asyncio.wait_for(entered.wait(), 10)
        assert await caller.hang_up() == 200
    tool = collector.only("tool wait_for_ever")
    assert tool.end_time_unix_nano >= tool.start_time_unix_nano
    assert collector.only("turn").span_id == tool.parent_span_id


async def test_a_collector_that_is_away_hinders_neither_calls_nor_the_end() -> None:
    settings = Settings(port=0, otlp_endpoint="http://127.0.0.1:9")
    llm = ScriptedLlm(scripts=[_answer])
    async with Server.running(llm, settings) as server, server.call(audio=None) as caller:
        caller.client.send({"type": "text", "data": "hello"})
        turn = await caller.client.next_message("turn")
        assert turn["turn_complete"]


async def _answer(connection: ScriptedConnection) -> None:
    while True:
        await connection.receive_text()
        connection.emit(text_piece("yes"), text_piece("yes", partial=False), turn_complete())


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://collector", "http://"])
async def test_an_endpoint_that_is_no_http_address_is_refused_at_start(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="--otlp-endpoint"):
        async with exporting(endpoint):
            pass


async def test_without_an_endpoint_nothing_is_exported(collector: Collector) -> None:
    async with (
        Server.running(ScriptedLlm(scripts=[_answer])) as server,
        server.call(audio=None) as caller,
    ):
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.next_message("turn")
    assert collector.spans == []
