"""Who answers a text call by a transcript: the agent's own model, and the fallback for itself."""

from __future__ import annotations

import pytest
from google.adk.models.google_llm import Gemini

from rtc_server.agent.models.agent_models import AgentModels
from rtc_server.agent.text_answers import TextAnswers

from .scripted_llm import ScriptedLlm

OWN = AgentModels((ScriptedLlm(),), "root", observed=True)
FALLBACK = AgentModels((ScriptedLlm(),), "root", observed=True, is_fallback=True)


@pytest.fixture
def answers() -> TextAnswers:
    return TextAnswers("text", own_speaks_only=False)


def test_a_model_that_refuses_text_at_first_is_asked_to_speak_once(answers: TextAnswers) -> None:
    assert not answers.speaks_only(OWN)
    assert answers.refused(OWN, 0)
    assert answers.speaks_only(OWN)
    assert not answers.speaks_only(FALLBACK)
    assert not answers.refused(OWN, 0)


def test_a_fallback_is_asked_to_speak_although_the_model_before_it_failed(
    answers: TextAnswers,
) -> None:
    """It has not failed itself."""
    answers.chosen(2)
    assert answers.refused(FALLBACK, 2)
    assert answers.speaks_only(FALLBACK)
    assert not answers.speaks_only(OWN)


def test_what_is_refused_after_other_failures_or_answers_need_not_be_text(
    answers: TextAnswers,
) -> None:
    assert not answers.refused(OWN, 1)
    answers.chosen(2)
    answers.answered(FALLBACK)
    assert not answers.refused(FALLBACK, 2)


def test_a_model_whose_name_says_that_it_speaks_is_never_asked_for_text(
    answers: TextAnswers,
) -> None:
    model = Gemini(model="gemini-2.5-flash-native-audio-preview")
    fallback = AgentModels((model,), "root", observed=True, is_fallback=True)
    assert answers.speaks_only(fallback)
    assert TextAnswers("text", own_speaks_only=True).speaks_only(OWN)


def test_nothing_of_that_holds_in_a_voice_call() -> None:
    voice = TextAnswers("audio", own_speaks_only=True)
    assert not voice.speaks_only(OWN)
    assert not voice.refused(OWN, 0)
