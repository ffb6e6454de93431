"""The spans of a call, by the messages that its caller is sent."""

from __future__ import annotations

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rtc_server.answer import Answer, Question
from rtc_server.call_trace import CallTrace
from rtc_server.messages import Agent, Turn, Usage
from rtc_server.tracing import exporting


async def test_token_counts_that_come_after_their_turn_open_no_second_span_of_it() -> None:
    """As Gemini counts an answer that was interrupted, whose turn has been told to be over."""
    spans = InMemorySpanExporter()
    answer = Answer(1, Question(text_at=1.0), 1.1, 1.2)
    async with exporting(None, exporter=spans):
        call = CallTrace({}, clock=lambda: 2.0)
        call.told(Usage(turn=1, prompt_tokens=3), answer)
        call.told(Turn(turn=1, turn_complete=True, interrupted=True), answer)
        call.told(Usage(turn=1, response_tokens=7), answer)
        call.end("hangup")
    turns = [one for one in spans.get_finished_spans() if one.name == "turn"]
    assert [dict(one.attributes or {}) for one in turns] == [
        {"rtc.turn": 1, "gen_ai.usage.input_tokens": 3, "rtc.interrupted": True}
    ]
    (whole,) = (one for one in spans.get_finished_spans() if one.name == "call")
    assert [(one.name, dict(one.attributes or {})) for one in whole.events] == [
        ("usage", {"rtc.turn": 1, "gen_ai.usage.output_tokens": 7})
    ]


async def test_agents_that_take_over_are_events_of_the_call() -> None:
    """By name, in order."""
    spans = InMemorySpanExporter()
    async with exporting(None, exporter=spans):
        call = CallTrace({}, clock=lambda: 2.0)
        for name in ("expert", "root"):
            call.told(Agent(name=name), None)
        call.end("hangup")
    (whole,) = (one for one in spans.get_finished_spans() if one.name == "call")
    assert [(one.name, dict(one.attributes or {})) for one in whole.events] == [
        ("agent", {"gen_ai.agent.name": name}) for name in ("expert", "root")
    ]
