"""Whom an exception of a live run blames: the model, this one call, or this process."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest
from google.genai.errors import APIError
from websockets.exceptions import ConnectionClosedError, InvalidMessage

from rtc_server.agent.failures import AgentStalled, ModelChanged, is_of_this_process
from rtc_server.agent.live_events import AgentFailed, AgentText, ModelTurnComplete
from rtc_server.agent.models.circuit_breaker import BreakerRules

from .conftest import FAST, agent_of, serve_agent
from .scripted_llm import ScriptedLlm, echo_text


def caused_by(cause: BaseException) -> BaseException:
    error = RuntimeError("a client's library wraps it")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        None,
        ConnectionRefusedError(),
        TimeoutError(),
        ssl.SSLCertVerificationError("no"),
        APIError(503, {}),
        ConnectionClosedError(None, None),
        InvalidMessage("no HTTP"),
        AgentStalled(),
        caused_by(OSError()),
    ],
)
def test_what_the_models_side_did_is_of_the_model(error: BaseException | None) -> None:
    assert not is_of_this_process(error)


@pytest.mark.parametrize(
    "error",
    [
        RecursionError(),
        TypeError(),
        ValueError(),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        AttributeError(),
        asyncio.CancelledError(),
        GeneratorExit(),
        ModelChanged(),
        caused_by(KeyError()),
    ],
)
def test_what_was_raised_here_is_not(error: BaseException) -> None:
    assert is_of_this_process(error)


def test_causes_that_go_in_a_circle_end() -> None:
    first, second = ValueError(), TypeError()
    first.__cause__, second.__cause__ = second, first
    assert is_of_this_process(first)


class Choosy(ScriptedLlm):
    """A model whose client cannot say what some calls ask for: it raises before it connects."""

    @contextlib.asynccontextmanager
    async def connect(self, llm_request: LlmRequest) -> AsyncIterator[BaseLlmConnection]:
        await asyncio.sleep(0)
        if llm_request.config.tools:
            self._connects += 1
            raise RecursionError
        async with super().connect(llm_request) as connection:
            yield connection


async def test_calls_that_fail_by_themselves_do_not_close_the_model_to_others() -> None:
    """Two offers with a tool that could not be sent once kept everybody out."""
    llm = Choosy(scripts=[echo_text])
    beep = [{"name": "beep", "description": "Beeps."}]
    rules = BreakerRules(first_pause_s=60.0, random=lambda: 1.0)
    async with (
        serve_agent(agent_of(llm), retry=replace(FAST, attempts=4), breaker=rules) as server,
        server.call(client_tools=beep) as first,
        server.call(client_tools=beep) as second,
    ):
        for live in (first, second):
            last = [event async for event in live.events()][-1]
            assert isinstance(last, AgentFailed)
            assert (last.code, last.retryable) == ("agent_failed", False)
        assert llm.connects == 8
        assert server.metric('rtc_agent_model_down{model="scripted"}') == 0
        async with server.call() as innocent:
            innocent.send_text("hello")
            said = ""
            async for event in innocent.events():
                assert not isinstance(event, AgentFailed)
                said += event.text if isinstance(event, AgentText) else ""
                if isinstance(event, ModelTurnComplete):
                    break
            assert said == "You said: hello"
