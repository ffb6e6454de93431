"""Many failures at once are a line each, and not a hundred."""

from __future__ import annotations

import logging

import pytest

from rtc_server.agent import failure_log
from rtc_server.agent.failure_log import RareTracebacks, log_failure

log = logging.LoggerAdapter(logging.getLogger("rtc_server.tests"), {"call_id": "c"})


def raised(error: Exception) -> Exception:
    """With a traceback."""
    try:
        raise error
    except Exception as problem:
        return problem


def test_the_first_of_a_kind_in_a_minute_is_shown() -> None:
    """Code and type make the kind; what is not shown does not put the next one off."""
    rare = RareTracebacks(every_s=60.0)
    assert rare.is_due("agent_lost", OSError(), 0.0)
    assert not rare.is_due("agent_lost", OSError(), 1.0)
    assert rare.is_due("agent_lost", ValueError(), 1.0)
    assert rare.is_due("agent_failed", OSError(), 1.0)
    assert not rare.is_due("agent_lost", OSError(), 59.0)
    assert rare.is_due("agent_lost", OSError(), 60.0)


def test_kinds_are_bounded() -> None:
    """The one that was seen longest ago is forgotten."""
    rare = RareTracebacks(most_kinds=2)
    for code in ("a", "b", "a", "c"):
        rare.is_due(code, OSError(), 0.0)
    assert not rare.is_due("a", OSError(), 1.0)
    assert rare.is_due("b", OSError(), 1.0)


def test_fifty_failures_are_fifty_lines_and_one_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_log, "_tracebacks", RareTracebacks())
    caplog.set_level(logging.INFO, "rtc_server.tests")
    for _ in range(50):
        log_failure(log, "agent_unreachable", raised(ConnectionRefusedError("secret")))
    lines = caplog.text.splitlines()
    assert sum("agent_unreachable (ConnectionRefusedError)" in line for line in lines) == 50
    assert sum(line.startswith("Traceback") for line in lines) == 1


def test_debug_shows_them_all(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_log, "_tracebacks", RareTracebacks())
    caplog.set_level(logging.DEBUG, "rtc_server.tests")
    for _ in range(3):
        log_failure(log, "agent_unreachable", raised(ConnectionRefusedError()))
    assert caplog.text.count("Traceback") == 3
