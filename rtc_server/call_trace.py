"""The trace of one call: a span for the call, its set-up, each turn and each tool.

It looks at the messages that go to the caller; ADK's own spans nest in the span of the call,
which is current in its tasks.  Nothing that anybody said is put into a span.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from .answer import Answer
from .messages import Agent, Error, Latency, ServerMessage, Tool, Turn, Usage
from .tracing import tracer

__all__ = ["CallTrace"]

Value = str | int | float | bool

_MAX_TOOLS = 256
"""Tools at work at once that get a span."""


class CallTrace:
    """Made with the call; :meth:`end` ends every span that is open.

    Args:
        attributes: of the span of the call.
        clock: monotonic seconds, as of all times given here.
    """

    def __init__(
        self, attributes: Mapping[str, Value], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        # Spans have times of day, calls those of the monotonic clock.
        self._epoch_s = time.time() - clock()
        self._root = tracer.start_span("call", kind=SpanKind.SERVER, attributes=dict(attributes))
        self.is_recording = self._root.is_recording()
        """Whether anybody takes the spans; else :meth:`told` need not be called."""
        self._set_up: Span | None = self._start("call.set_up", clock())
        self._turns: dict[int, Span] = {}
        self._tools: dict[str, Span] = {}
        self._ended_turn = 0
        """The newest turn whose span has ended: what is told of it later has none."""

    @contextmanager
    def current(self) -> Iterator[None]:
        """What is started in this context, tasks included, nests in the span of the call."""
        with trace.use_span(self._root, end_on_exit=False, record_exception=False):
            yield

    def connected(self) -> None:
        """The peer is connected; the agent is being started."""
        if self._set_up is not None:
            self._set_up.add_event("connected")

    def ready(self) -> None:
        """The agent listens: the set-up is over."""
        if self._set_up is not None:
            self._set_up.end()
            self._set_up = None

    def told(self, message: ServerMessage, answer: Answer | None) -> None:
        """The caller is told something.

        Args:
            answer: the one it belongs to, as far as is known.
        """
        if not self.is_recording:
            return
        now = self._clock()
        match message:
            case Latency():
                self._tell_latency(message, answer, now)
            case Turn():
                self._end_turn(message, answer, now)
            case Tool():
                self._follow_tool(message, answer, now)
            case Usage():
                self._count_tokens(message, answer, now)
            case Agent(name=name):
                self._root.add_event("agent", {"gen_ai.agent.name": name})
            case Error(code=code, retryable=retryable):
                self._root.add_event("error", {"error.type": code, "rtc.retryable": retryable})

    def end(self, outcome: str, *, failed: bool = False) -> None:
        """The call is over; may be called twice."""
        if not self.is_recording:
            return
        self.is_recording = False
        for span in (*self._tools.values(), *self._turns.values()):
            span.set_status(Status(StatusCode.ERROR, "the call ended"))
            span.end()
        self._tools.clear()
        self._turns.clear()
        self.ready()
        self._root.set_attribute("rtc.outcome", outcome)
        if failed:
            self._root.set_status(Status(StatusCode.ERROR, outcome))
        self._root.end()

    # ------------------------------------------------------------------

    def _tell_latency(self, told: Latency, answer: Answer | None, now: float) -> None:
        turn = self._turn(told.turn, answer, now)
        parts = {
            "rtc.response_ms": told.response_ms,
            "rtc.endpoint_ms": told.endpoint_ms,
            "rtc.agent_ms": told.agent_ms,
            "rtc.playout_ms": told.playout_ms,
            "rtc.uplink_ms": told.uplink_ms,
        }
        turn.set_attributes({name: ms for name, ms in parts.items() if ms is not None})
        if answer is None or answer.n != told.turn:
            return
        question = answer.question
        marks = [
            (None, question.asked_at),
            ("turn.endpoint", question.endpoint_at if question.kind == "speech" else None),
            ("turn.agent", answer.first_audio_at),
            ("turn.playout", answer.first_packet_at),
        ]
        since = None
        for name, at in marks:
            if at is None:
                continue
            if name is not None and since is not None and at >= since:
                self._start(name, since, parent=turn).end(self._ns(at))
            since = at if since is None else max(since, at)

    def _end_turn(self, told: Turn, answer: Answer | None, now: float) -> None:
        turn = self._turn(told.turn, answer, now)
        turn.set_attribute("rtc.interrupted", told.interrupted)
        if told.heard_ms is not None:
            turn.set_attribute("rtc.heard_ms", told.heard_ms)
        turn.end(self._ns(now))
        self._turns.pop(told.turn, None)
        self._ended_turn = max(self._ended_turn, told.turn)

    def _follow_tool(self, told: Tool, answer: Answer | None, now: float) -> None:
        if told.phase == "call":
            if len(self._tools) < _MAX_TOOLS:
                turn = None if answer is None else self._turn(answer.n, answer, now)
                span = self._start(f"tool {told.name}", now, parent=turn)
                span.set_attributes({"gen_ai.tool.name": told.name, "gen_ai.tool.call.id": told.id})
                self._tools[told.id] = span
            return
        if told.phase not in ("result", "cancelled"):
            return
        ended = self._tools.pop(told.id, None)
        if ended is not None:
            if told.phase == "cancelled":
                ended.set_status(Status(StatusCode.ERROR, "cancelled"))
            ended.end(self._ns(now))

    def _count_tokens(self, told: Usage, answer: Answer | None, now: float) -> None:
        counts = {
            "gen_ai.usage.input_tokens": told.prompt_tokens,
            "gen_ai.usage.output_tokens": told.response_tokens,
        }
        known = {name: n for name, n in counts.items() if n is not None}
        if told.turn <= self._ended_turn:
            self._root.add_event("usage", {"rtc.turn": told.turn, **known})
        elif answer is not None or told.turn in self._turns:
            self._turn(told.turn, answer, now).set_attributes(known)

    def _turn(self, n: int, answer: Answer | None, now: float) -> Span:
        """The span of answer ``n``; it begins with the end of what the user asked."""
        if n not in self._turns:
            begun_at = now
            if answer is not None and answer.n == n:
                asked_at = answer.question.asked_at
                begun_at = answer.begun_at if asked_at is None else asked_at
            self._turns[n] = self._start("turn", begun_at)
            self._turns[n].set_attribute("rtc.turn", n)
        return self._turns[n]

    def _start(self, name: str, at: float, *, parent: Span | None = None) -> Span:
        context = trace.set_span_in_context(self._root if parent is None else parent)
        return tracer.start_span(name, context=context, start_time=self._ns(at))

    def _ns(self, at: float) -> int:
        return int((self._epoch_s + at) * 1e9)
