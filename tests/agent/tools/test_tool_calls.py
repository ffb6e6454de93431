"""What becomes of tool calls, kind by kind."""

from __future__ import annotations

from typing import Any

from google.genai import types

from rtc_server.agent.live_events import ToolCalled, ToolCancelled, ToolProgressed, ToolReturned
from rtc_server.agent.tools.tool_calls import StreamEnd, ToolCalls


def call(id: str = "1", name: str = "look") -> types.FunctionCall:
    return types.FunctionCall(id=id, name=name, args={"x": 1})


def response(id: str = "1", name: str = "look", **result: Any) -> types.FunctionResponse:
    return types.FunctionResponse(id=id, name=name, response=result)


def test_tool_that_is_waited_for_is_called_and_returns() -> None:
    """The common case."""
    calls = ToolCalls()
    assert calls.called(call(), long_running=False) == ToolCalled("1", "look", {"x": 1})
    assert calls.returned(response(a=1)) == ToolReturned("1", "look", {"a": 1})
    assert calls.run_over() == []


def test_long_running_tool_says_something_and_is_not_at_its_end() -> None:
    """What it says at once is not its result."""
    calls = ToolCalls()
    called = calls.called(call(), long_running=True)
    assert called is not None
    assert called.long_running
    assert calls.returned(response(status="asked")) == ToolProgressed(
        "1", "look", {"status": "asked"}
    )
    assert calls.run_over() == []


def test_tool_of_the_background_is_marked_and_returns() -> None:
    """The model does not wait for it, and its result is one."""
    calls = ToolCalls({"look"})
    called = calls.called(call(), long_running=False)
    assert called is not None
    assert called.long_running
    assert calls.returned(response(a=1)) == ToolReturned("1", "look", {"a": 1})


def test_streaming_tool_is_told_by_its_yields_and_its_end() -> None:
    """The notice that its results are pending is not told."""
    calls = ToolCalls({"look"})
    calls.called(call(), long_running=False)
    calls.stream_began("1")
    assert calls.returned(response(status="pending")) is None
    assert calls.progressed("1", "half", now=1.0) == ToolProgressed("1", "look", {"result": "half"})
    assert calls.stream_ended("1", StreamEnd.DONE) == [ToolReturned("1", "look", {})]
    assert calls.progressed("1", "more", now=2.0) is None


def test_streaming_tool_that_fails_or_is_stopped_is_told_so() -> None:
    """What the exception says is not."""
    for how, told in (
        (StreamEnd.FAILED, ToolReturned("1", "look", {"error": "The tool look failed."})),
        (StreamEnd.CANCELLED, ToolCancelled("1", "look")),
    ):
        calls = ToolCalls({"look"})
        calls.called(call(), long_running=False)
        calls.stream_began("1")
        assert calls.stream_ended("1", how) == [told]


def test_progress_is_told_ten_times_a_second_and_the_last_before_the_end() -> None:
    """A tool that yields with every frame does not fill the data channel."""
    calls = ToolCalls({"look"})
    calls.called(call(), long_running=False)
    calls.stream_began("1")
    told = [calls.progressed("1", n, now=10.0 + n / 100) for n in range(200)]
    assert 25 <= sum(one is not None for one in told) <= 31
    ended = calls.stream_ended("1", StreamEnd.DONE)
    assert ended == [ToolProgressed("1", "look", {"result": 199}), ToolReturned("1", "look", {})]


def test_cancelled_call_is_told_once_and_its_result_is_not() -> None:
    """Nor is it for the model."""
    calls = ToolCalls()
    calls.called(call(), long_running=False)
    assert calls.cancel(["1", "unknown"]) == [ToolCancelled("1", "look")]
    assert calls.cancel(["1"]) == []
    assert calls.is_cancelled("1")
    assert not calls.is_cancelled("2")
    assert calls.returned(response(a=1)) is None


def test_call_that_was_cancelled_before_it_was_told_is_not_told() -> None:
    """Models of 2.x: ADK keeps a call back until the end of the turn."""
    calls = ToolCalls()
    assert calls.cancel(["1"]) == []
    assert calls.called(call(), long_running=False) is None
    assert calls.returned(response(a=1)) is None


def test_end_of_the_run_cancels_what_is_open() -> None:
    """No client waits for a result that cannot come."""
    calls = ToolCalls()
    calls.called(call("1"), long_running=False)
    calls.called(call("2"), long_running=True)
    calls.called(call("3", "other"), long_running=False)
    assert calls.run_over() == [ToolCancelled("1", "look"), ToolCancelled("3", "other")]
    assert calls.run_over() == []


def test_calls_that_never_return_are_forgotten_in_the_end() -> None:
    """What is remembered is bounded."""
    calls = ToolCalls()
    for n in range(1000):
        calls.called(call(str(n)), long_running=False)
        calls.cancel([f"gone {n}"])
    assert len(calls.run_over()) == 256
    assert not calls.is_cancelled("gone 1")


def test_call_whose_task_is_gone_is_told_once_and_its_id_may_come_again() -> None:
    """Unlike one that the model took back: a model of the next run may count from 1 again."""
    calls = ToolCalls()
    calls.called(call(), long_running=False)
    assert calls.abandoned("1") == ToolCancelled("1", "look")
    assert calls.abandoned("1") is None
    assert calls.run_over() == []
    assert calls.called(call(), long_running=False) == ToolCalled("1", "look", {"x": 1})


def test_a_model_may_use_the_id_of_a_cancelled_call_again() -> None:
    """As a new connection does that counts from the first."""
    calls = ToolCalls()
    for _ in range(2):
        assert calls.called(call(), long_running=False) is not None
        assert not calls.is_cancelled("1")
        assert calls.cancel(["1"]) == [ToolCancelled("1", "look")]
        assert calls.is_cancelled("1")
