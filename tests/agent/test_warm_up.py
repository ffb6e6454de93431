"""What the start of the server spends so that the first caller need not wait."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini

from rtc_server.settings import Settings

from .conftest import agent_of, serve_agent
from .scripted_llm import ScriptedLlm

OWN, FALLBACK = "gemini-3.1-flash-live-preview", "gemini-live-2.5-flash"


async def test_warm_up_connects_to_no_model(llm: ScriptedLlm) -> None:
    """It costs nothing but time; plugins and sessions of the agent see nothing of it."""
    async with serve_agent(agent_of(llm)) as server:
        await server.runtime.warm_up()
    assert llm.connects == 0


async def test_warm_up_makes_the_clients_of_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes 0.2 s on the event loop, where other callers would hear it."""
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    agent = LlmAgent(name="agent", model=OWN)
    async with serve_agent(agent, settings=Settings(fallback_model=FALLBACK)) as server:
        fallback = server.runtime._fallback
        assert fallback is not None
        models = [agent.model, *fallback.models]
        await server.runtime.warm_up()
        monkeypatch.delenv("GOOGLE_API_KEY")  # whoever makes a client now has none
        for model in models:
            assert isinstance(model, Gemini)
            for client in (model.api_client, model._live_api_client):
                await client.aio.aclose()
    assert [model.model for model in models if isinstance(model, Gemini)] == [OWN, FALLBACK]


async def test_warm_up_goes_on_where_a_client_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls will say so."""
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    async with serve_agent(LlmAgent(name="agent", model=OWN)) as server:
        monkeypatch.delenv("GOOGLE_API_KEY")
        await server.runtime.warm_up()
    assert f"the client of the model {OWN} cannot be made" in caplog.text


def test_first_call_after_the_warm_up_imports_nothing_more() -> None:
    """In a process of its own: in this one all has been imported."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.agent.first_call"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split() == []
