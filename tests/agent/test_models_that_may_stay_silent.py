"""Which model may leave a turn unanswered: of that one silence is no failure, of others it is."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.google_llm import Gemini

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.loader import LoadedAgent
from rtc_server.metrics import Metrics
from rtc_server.settings import Settings

from .scripted_llm import ScriptedLlm
from .tone_cascade import TextLlm, tone_cascade

TWO, THREE = "gemini-2.5-flash-live-stand-in", "gemini-3.1-flash-live-stand-in"
PROACTIVE: dict[str, Any] = {"proactivity": {"proactive_audio": True}}
NOT: dict[str, Any] = {"proactivity": {"proactive_audio": False}}
NOTHING: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "none")


async def may_stay_silent(
    *models: BaseLlm,
    server: dict[str, Any] = NOTHING,
    agent: dict[str, Any] = NOTHING,
    call: dict[str, Any] = NOTHING,
    fallback: str | None = None,
) -> bool:
    """Of a call to an agent of the first model; those of the others are below it."""
    below: list[Any] = [
        LlmAgent(name=f"below_{n}", model=model) for n, model in enumerate(models[1:])
    ]
    root = LlmAgent(name="root", model=models[0], sub_agents=below)
    loaded = LoadedAgent.from_object("talker", root, agent)
    settings = Settings(run_config=server, fallback_model=fallback)
    async with AgentRuntime(loaded, settings, Metrics()) as runtime:
        return runtime.may_stay_silent(call)


@pytest.mark.parametrize(
    "other",
    [
        NOT,
        {"proactivity": {}},
        {"proactivity": None},
        {"enable_affective_dialog": True},
        {"input_audio_transcription": None},
        NOTHING,
    ],
    ids=str,
)
async def test_proactive_audio_alone_lets_a_model_stay_silent(other: dict[str, Any]) -> None:
    assert await may_stay_silent(Gemini(model=TWO), call=PROACTIVE)
    assert not await may_stay_silent(Gemini(model=TWO), call=other)


async def test_call_decides_before_the_server_and_the_server_before_the_agent() -> None:
    model = Gemini(model=TWO)
    assert await may_stay_silent(model, agent=PROACTIVE)
    assert not await may_stay_silent(model, agent=PROACTIVE, server=NOT)
    assert await may_stay_silent(model, server=PROACTIVE)
    assert not await may_stay_silent(model, server=PROACTIVE, call=NOT)


async def test_model_that_is_not_told_of_it_owes_its_answers() -> None:
    """ADK keeps it from Gemini 3, and a cascade does not read it."""
    three, cascade = Gemini(model=THREE), tone_cascade(TextLlm(answer=lambda _: []))
    assert not await may_stay_silent(three, call=PROACTIVE)
    assert not await may_stay_silent(cascade, call=PROACTIVE)
    assert not await may_stay_silent(three, cascade, call=PROACTIVE)
    assert await may_stay_silent(ScriptedLlm(), call=PROACTIVE)  # nothing is known of it


async def test_one_of_several_models_that_may_stay_silent_will_do() -> None:
    """That of an agent that takes over, or the fallback."""
    assert await may_stay_silent(Gemini(model=THREE), Gemini(model=TWO), call=PROACTIVE)
    assert await may_stay_silent(Gemini(model=THREE), call=PROACTIVE, fallback=TWO)
    assert not await may_stay_silent(Gemini(model=THREE), call=PROACTIVE, fallback=THREE)
