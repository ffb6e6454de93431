"""Which model owes a sign of what is said to it: only of that one silence means something."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.loader import LoadedAgent
from rtc_server.metrics import Metrics
from rtc_server.settings import Settings

from .scripted_llm import ScriptedLlm
from .tone_cascade import TextLlm, tone_cascade

GEMINI_3 = Gemini(model="gemini-3.1-flash-live-stand-in")
GEMINI = Gemini(model="gemini-2.5-flash-live-stand-in")
CASCADE = tone_cascade(TextLlm(answer=lambda _: []))
OFF = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
PROACTIVE = {"proactivity": {"proactive_audio": True}}


@pytest.mark.parametrize(
    ("model", "run_config", "owes"),
    [
        (GEMINI, {}, True),
        (GEMINI, {"input_audio_transcription": None}, True),  # its answer
        (GEMINI, OFF, False),  # it hears only while a button is held
        (GEMINI, PROACTIVE, False),
        (GEMINI, PROACTIVE | {"input_audio_transcription": None}, False),
        (CASCADE, {}, True),
        (CASCADE, OFF, True),  # which it does not read
        (CASCADE, PROACTIVE, True),  # nor that
        (GEMINI_3, PROACTIVE, True),  # which ADK keeps from it
        (ScriptedLlm(), {}, False),  # nothing is known of it
    ],
    ids=[
        "gemini",
        "without transcripts",
        "push-to-talk",
        "proactive",
        "proactive without transcripts",
        "cascade",
        "cascade with detection off",
        "proactive cascade",
        "proactive gemini 3",
        "another",
    ],
)
async def test_a_model_owes_a_sign_if_it_listens_and_may_not_stay_silent(
    model: Any, run_config: dict[str, Any], owes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "none")
    agent = LoadedAgent.from_object("talker", LlmAgent(name="talker", model=model))
    async with AgentRuntime(agent, Settings(), Metrics()) as runtime:
        assert runtime.owes_signs(run_config) is owes
