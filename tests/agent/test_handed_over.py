"""A run whose latest connection is lost does not go on with an earlier one of another agent.

ADK (2.13) catches in the flow of the agent that handed over what the flow of its successor raises,
and reconnects there if there is a handle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_response import LlmResponse
from google.genai import types

from rtc_server.agent.live_events import (
    AgentFailed,
    AgentTranscript,
    ModelAway,
    ModelTurnComplete,
)
from tests.agent.listening import until

from .conftest import ServeGemini, serve_agent
from .gemini_stand_in import Connection, gemini_stand_in

MODEL = "gemini-3.1-flash-live-preview"


def keeps_the_secret(callback_context: Any, llm_response: LlmResponse) -> LlmResponse | None:
    words = llm_response.output_transcription
    if words is None or "secret" not in (words.text or ""):
        return None
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(text="No.")]))


def says_hello(event: object) -> bool:
    return isinstance(event, AgentTranscript) and event.text == "Hello."


async def test_session_in_which_something_was_taken_back_is_not_resumed(serve: ServeGemini) -> None:
    """The model still knows it there: ADK begins anew, and so do we if that connection is lost."""
    handles: list[str | None] = []
    history: list[Any] = []

    async def script(connection: Connection) -> None:
        handles.append(connection.setup["sessionResumption"].get("handle"))
        await connection.accept()
        if len(handles) == 1:
            await connection.handle("one")
            await connection.receive("realtime_input")
            await connection.speech("The secret")
        elif len(handles) == 2:
            history.extend((await connection.receive("client_content"))["turns"])
            await connection.refuse(1011)
        else:
            await connection.speech("Hello.")

    async with (
        serve(script, after_model_callback=keeps_the_secret) as server,
        server.call("audio") as live,
    ):
        live.send_text("What is it?")
        seen = await until(live, says_hello)
    # ADK has stored nothing of the answer: the model would answer once more, and be cut off again.
    assert [one["role"] for one in history] == ["user", "model"]
    assert "cut off" in str(history[-1])
    assert handles == [None, None, None]
    assert any(isinstance(one, ModelTurnComplete) for one in seen)
    # The first connection, and that of a session begun anew, may take their time.
    patience = [one.patience_s for one in seen if isinstance(one, ModelAway)]
    assert patience[:2] == [2.5, 2.5]
    assert not any(isinstance(one, AgentFailed) and not one.retryable for one in seen)


async def test_agent_that_took_over_keeps_the_word_though_its_session_cannot_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is made anew, with the history, and not that of the agent before resumed."""
    setups: list[tuple[bool, str | None]] = []

    async def script(connection: Connection) -> None:
        setup = connection.setup
        is_expert = "the expert" in str(setup["systemInstruction"])
        setups.append((is_expert, setup["sessionResumption"].get("handle")))
        await connection.accept()
        match len(setups):
            case 1:
                await connection.handle("of the first")
                call = {"id": "1", "name": "transfer_to_agent", "args": {"agent_name": "expert"}}
                await connection.send({"toolCall": {"functionCalls": [call]}})
            case 2:
                await connection.speech("I take over.")
                await connection.receive("realtime_input")  # the history comes before
                await connection.refuse(1011)
            case _:
                await connection.speech("Hello.")

    expert = LlmAgent(
        name="expert", model=MODEL, description="Knows it.", instruction="You are the expert."
    )
    root = LlmAgent(name="root", model=MODEL, sub_agents=[expert])
    async with gemini_stand_in([script], tmp_path, monkeypatch), serve_agent(root) as server:
        async with server.call("audio") as live:
            await until(live, lambda one: isinstance(one, ModelTurnComplete) and len(setups) == 2)
            live.send_text("Hello?")
            await until(live, says_hello)
        assert isinstance(root.model, Gemini)
        await root.model.api_client.aio.aclose()
        await root.model._live_api_client.aio.aclose()
    assert setups == [(False, None), (True, None), (True, None)]
