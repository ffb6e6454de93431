"""Every live option of ADK's ``RunConfig``, by each of the ways to set it, to what proves it.

The proof is the ``setup`` message, which ADK's ``Gemini`` and Google's client sent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.run_config import RunConfig
from google.adk.models.google_llm import Gemini
from google.genai import types
from pydantic.alias_generators import to_camel

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.live_run_config import LiveOptions
from rtc_server.agent.loader import LoadedAgent
from rtc_server.agent.run_config_fields import UnfitField, typed_fields
from rtc_server.errors import BadRequest, ConfigurationError
from rtc_server.metrics import Metrics
from rtc_server.settings import Settings
from tests.waiting import until

from .conftest import FAST
from .gemini_stand_in import Connection, gemini_stand_in
from .scripted_llm import ScriptedLlm

# A model of 2.x: ADK drops some options for those of 3.x.
MODEL = "gemini-2.5-flash-live-stand-in"

Setup = dict[str, Any]
SetupOf = Callable[..., Awaitable[Setup]]

KORE = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}


async def accept(connection: Connection) -> None:
    await connection.accept()


@pytest.fixture
def setup_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetupOf:
    """Places a call's live session and gives the setup message that reached the model."""

    async def place(
        modality: Any = "audio",
        *,
        settings: Settings | None = None,
        agent: Any = None,
        call: dict[str, Any] | None = None,
        model: Any = MODEL,
    ) -> Setup:
        async with gemini_stand_in([accept], tmp_path, monkeypatch) as connections:
            monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", os.environ["GOOGLE_GEMINI_BASE_URL"])
            root = LlmAgent(name="talker", model=model)
            loaded = LoadedAgent.from_object("talker", root, agent)
            metrics = Metrics()
            async with AgentRuntime(loaded, settings or Settings(), metrics, retry=FAST) as runtime:
                await runtime.sessions.open("user", "session")
                runtime.check_run_config(call)
                async with runtime.open_live_session(
                    user_id="user", session_id="session", modality=modality, run_config=call
                ):
                    setup = await _setup(connections)
                assert isinstance(root.model, Gemini)
                await root.model.api_client.aio.aclose()
                await root.model._live_api_client.aio.aclose()
        return setup

    return place


async def _setup(connections: list[Connection]) -> Setup:
    await until(lambda: bool(connections))
    return dict(_camel(connections[0].setup))


def _camel(value: Any) -> Any:
    """With names as the API has them: google-genai sends those of Python within a field."""
    if isinstance(value, dict):
        return {to_camel(name): _camel(one) for name, one in value.items()}
    return [_camel(one) for one in value] if isinstance(value, list) else value


def at(setup: Setup, path: str) -> Any:
    """What stands in the setup under ``a.b.c``; None where there is nothing."""
    found: Any = setup
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


ON = [
    (
        "speech_config",
        {
            "voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}},
            "language_code": "de-DE",
        },
        "generationConfig.speechConfig",
        {**KORE, "languageCode": "de-DE"},
    ),
    ("response_modalities", ["audio"], "generationConfig.responseModalities", ["AUDIO"]),
    (
        "input_audio_transcription",
        {"language_codes": ["de-DE"]},
        "inputAudioTranscription",
        {"languageCodes": ["de-DE"]},
    ),
    (
        "output_audio_transcription",
        {"language_codes": ["de-DE"]},
        "outputAudioTranscription",
        {"languageCodes": ["de-DE"]},
    ),
    (
        "realtime_input_config",
        {
            "automatic_activity_detection": {
                "start_of_speech_sensitivity": "START_SENSITIVITY_LOW",
                "end_of_speech_sensitivity": "end_sensitivity_high",
                "prefix_padding_ms": 20,
                "silence_duration_ms": 300,
            },
            "activity_handling": "NO_INTERRUPTION",
            "turn_coverage": "TURN_INCLUDES_ALL_INPUT",
        },
        "realtimeInputConfig",
        {
            "automaticActivityDetection": {
                "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
                "prefixPaddingMs": 20,
                "silenceDurationMs": 300,
            },
            "activityHandling": "NO_INTERRUPTION",
            "turnCoverage": "TURN_INCLUDES_ALL_INPUT",
        },
    ),
    ("enable_affective_dialog", True, "generationConfig.enableAffectiveDialog", True),
    ("proactivity", {"proactive_audio": True}, "proactivity", {"proactiveAudio": True}),
    ("session_resumption", {}, "sessionResumption", {}),
    (
        "context_window_compression",
        {"trigger_tokens": 25000, "sliding_window": {"target_tokens": 12000}},
        "contextWindowCompression",
        {"triggerTokens": 25000, "slidingWindow": {"targetTokens": 12000}},
    ),
    (
        "history_config",
        {"initial_history_in_client_content": True},
        "historyConfig",
        {"initialHistoryInClientContent": True},
    ),
    (
        "translation_config",
        {"target_language_code": "de", "echo_target_language": False},
        "generationConfig.translationConfig",
        {"targetLanguageCode": "de", "echoTargetLanguage": False},
    ),
    (
        "avatar_config",
        {
            "avatar_name": "Kai",
            "customized_avatar": {"image_mime_type": "image/png", "image_data": "AAEC"},
        },
        "avatarConfig",
        {
            "avatarName": "Kai",
            "customizedAvatar": {"imageMimeType": "image/png", "imageData": "AAEC"},
        },
    ),
]
"""Fields that the setup shows: as JSON has them, where they are to arrive, and as what."""

OFF = [
    ("input_audio_transcription", None, "inputAudioTranscription", None),
    ("output_audio_transcription", None, "outputAudioTranscription", None),
    ("session_resumption", None, "sessionResumption", None),
    (
        "realtime_input_config",
        {"automatic_activity_detection": {"disabled": True}},
        "realtimeInputConfig",
        {"automaticActivityDetection": {"disabled": True}},
    ),
]
"""The same, of what is on by default."""

WAYS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "setting": lambda fields: {"settings": Settings(run_config=fields)},
    "agent": lambda fields: {"agent": fields},
    "agent_object": lambda fields: {"agent": RunConfig.model_validate(fields)},
    "call": lambda fields: {"call": fields},
}

_setups: dict[tuple[str, str], Setup] = {}
"""One call for all fields that are set the same way: a client takes its time to be made."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", [*ON, *OFF], ids=lambda row: row[0])
async def test_option_reaches_the_setup_of_the_model_each_way(
    setup_of: SetupOf, way: str, row: tuple[str, Any, str, Any]
) -> None:
    """By ``--run-config``, by the agent as a dict or a RunConfig, and by the offer."""
    _, _, path, expected = row
    rows = ON if row in ON else OFF
    key = ("on" if rows is ON else "off", way)
    if key not in _setups:
        _setups[key] = await setup_of(**WAYS[way]({name: value for name, value, _, _ in rows}))
    assert at(_setups[key], path) == expected


async def test_explicit_vad_signal_and_transparent_resumption_reach_vertex_ai(
    setup_of: SetupOf,
) -> None:
    """The only backend that has them."""
    model = Gemini(model=MODEL, client_kwargs={"vertexai": True, "api_key": "key"})
    fields = {"explicit_vad_signal": True, "session_resumption": {"transparent": True}}
    setup = await setup_of(model=model, settings=Settings(run_config=fields))
    assert setup["explicitVadSignal"] is True
    assert setup["sessionResumption"] == {"transparent": True}


@pytest.mark.parametrize(
    "fields",
    [{"explicit_vad_signal": True}, {"session_resumption": {"transparent": False}}],
)
async def test_what_only_vertex_ai_has_is_refused_with_an_api_key(
    setup_of: SetupOf, fields: dict[str, Any]
) -> None:
    """At start or with the offer, and not in each connection of each call."""
    with pytest.raises(ConfigurationError, match=next(iter(fields))):
        await setup_of(settings=Settings(run_config=fields))
    with pytest.raises(ConfigurationError, match=next(iter(fields))):
        await setup_of(agent=fields)
    with pytest.raises(BadRequest, match=next(iter(fields))):
        await setup_of(call=fields)


async def test_layers_go_default_agent_setting_call(setup_of: SetupOf) -> None:
    """A field of a higher layer replaces that of a lower one; the others stay."""
    agent = {"enable_affective_dialog": True, "proactivity": {"proactive_audio": True}}
    settings = Settings(run_config={"enable_affective_dialog": False, "history_config": {}})
    setup = await setup_of(
        agent=agent, settings=settings, call={"history_config": None, "proactivity": None}
    )
    assert setup["generationConfig"]["enableAffectiveDialog"] is False
    assert "historyConfig" not in setup
    assert "proactivity" not in setup
    assert setup["inputAudioTranscription"] == {}


async def test_voice_and_language_change_their_part_of_the_agents_speech(setup_of: SetupOf) -> None:
    """The operator's voice leaves the agent's language alone, and the other way round."""
    agent = {"speech_config": {"language_code": "fr-FR"}}
    setup = await setup_of(agent=agent, settings=Settings(voice="Kore"))
    speech = setup["generationConfig"]["speechConfig"]
    assert speech == {**KORE, "languageCode": "fr-FR"}
    setup = await setup_of(agent=agent, settings=Settings(language="de-DE"))
    assert setup["generationConfig"]["speechConfig"] == {"languageCode": "de-DE"}


async def test_voice_takes_the_place_of_several_speakers(setup_of: SetupOf) -> None:
    """A speech has one voice, or several: the model refuses both at once."""
    speakers = [
        {"speaker": name, "voice_config": {"prebuilt_voice_config": {"voice_name": name}}}
        for name in ("Puck", "Zephyr")
    ]
    several = {"multi_speaker_voice_config": {"speaker_voice_configs": speakers}}
    setup = await setup_of(agent={"speech_config": several}, settings=Settings(voice="Kore"))
    assert setup["generationConfig"]["speechConfig"] == KORE


async def test_speech_of_a_call_replaces_the_voice_of_the_server(setup_of: SetupOf) -> None:
    """Whole, as every field does."""
    setup = await setup_of(
        settings=Settings(voice="Kore"), call={"speech_config": {"language_code": "de-DE"}}
    )
    assert setup["generationConfig"]["speechConfig"] == {"languageCode": "de-DE"}


async def test_voice_of_the_model_itself_goes_before_all(
    setup_of: SetupOf, caplog: pytest.LogCaptureFixture
) -> None:
    """ADK puts it last, so that each agent of a tree has its own; the operator is told."""
    own = types.SpeechConfig(
        voice_config=types.VoiceConfig(
            prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore")
        )
    )
    setup = await setup_of(
        model=Gemini(model=MODEL, speech_config=own), settings=Settings(voice="Puck")
    )
    assert setup["generationConfig"]["speechConfig"] == KORE
    assert "speech_config of its own" in caplog.text


async def test_text_call_asks_for_no_voice(setup_of: SetupOf) -> None:
    """Gemini takes a voice for a question for speech, and refuses."""
    setup = await setup_of("text", settings=Settings(voice="Kore"))
    assert setup["generationConfig"] == {"responseModalities": ["TEXT"]}


async def test_text_call_of_a_model_asked_to_speak_has_its_transcript(setup_of: SetupOf) -> None:
    """Which is the text of the call, whatever was switched off."""
    fields = {"response_modalities": ["AUDIO"], "output_audio_transcription": None}
    setup = await setup_of("text", call=fields)
    assert setup["generationConfig"]["responseModalities"] == ["AUDIO"]
    assert "outputAudioTranscription" in setup


async def test_labels_do_not_reach_a_live_model(setup_of: SetupOf) -> None:
    """ADK puts them into the request of text models only; when it sends them, this fails."""
    setup = await setup_of(settings=Settings(run_config={"labels": {"team": "a"}}))
    assert "team" not in str(setup)


@pytest.mark.parametrize("name", ["enable_affective_dialog", "proactivity"])
async def test_option_that_adk_drops_for_gemini_3_is_said_at_start(
    setup_of: SetupOf, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Read in ``flows/llm_flows/basic.py``; when ADK passes it on, this fails."""
    value: Any = {"proactive_audio": True} if name == "proactivity" else True
    model = "gemini-3.1-flash-live-stand-in"
    setup = await setup_of(model=model, settings=Settings(run_config={name: value}))
    assert "proactivity" not in setup
    assert "enableAffectiveDialog" not in setup["generationConfig"]
    assert name in caplog.text


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"no_such": 1}, "no_such"),
        ({"speech_config": "Kore"}, "speech_config"),
        ({"response_modalities": [1]}, "response_modalities"),
        ({"response_modalities": ["SMELL"]}, "response_modalities"),
        (
            {"realtime_input_config": {"automatic_activity_detection": {"disabled": "maybe"}}},
            "realtime_input_config.automatic_activity_detection.disabled",
        ),
        (
            {
                "realtime_input_config": {
                    "automatic_activity_detection": {"end_of_speech_sensitivity": "LOUD"}
                }
            },
            "realtime_input_config.automatic_activity_detection.end_of_speech_sensitivity",
        ),
        ({"speech_config": {"voice": "Kore"}}, "speech_config.voice"),
        ({"session_resumption": {"handle": "of-another"}}, "session_resumption.handle"),
        ({"tool_thread_pool_config": {"max_workers": 0}}, "tool_thread_pool_config.max_workers"),
        ({"custom_metadata": {"a": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}}, "custom_metadata"),
    ],
)
async def test_value_that_does_not_fit_is_named_wherever_it_was_set(
    setup_of: SetupOf, fields: dict[str, Any], path: str
) -> None:
    """The server does not start; the offer is a bad request; nothing of the value is repeated."""
    for way in ({"settings": Settings(run_config=fields)}, {"agent": fields}):
        with pytest.raises(ConfigurationError, match=path):
            await setup_of(**way)
    with pytest.raises(BadRequest, match=path) as refusal:
        await setup_of(call=fields)
    assert "of-another" not in str(refusal.value)


async def test_field_that_may_never_exist_cannot_be_allowed(setup_of: SetupOf) -> None:
    """A slip in ``--allow-run-config`` is found at start."""
    with pytest.raises(ConfigurationError, match="speach_config"):
        await setup_of(settings=Settings(allow_run_config=("speach_config",)))


@pytest.mark.parametrize(
    ("settings", "agent", "call", "expected"),
    [
        ({}, None, {}, "audio"),
        ({}, {"response_modalities": ["TEXT"]}, {}, "text"),
        ({"run_config": {"response_modalities": ["TEXT"]}}, None, {}, "text"),
        ({"modality": "audio"}, {"response_modalities": ["TEXT"]}, {}, "audio"),
        ({"modality": "audio"}, None, {"response_modalities": ["text"]}, "text"),
        ({}, {"response_modalities": ["AUDIO", "VIDEO"]}, {}, "audio"),
    ],
)
def test_modality_of_a_call_that_names_none(
    settings: dict[str, Any], agent: Any, call: dict[str, Any], expected: str
) -> None:
    """That of the offer's run config, the operator's, the agent's, or audio."""
    options = LiveOptions(Settings(**settings), agent=typed_fields(agent or {}))
    assert options.modality(call) == expected


async def test_code_execution_is_a_tool_in_the_setup(setup_of: SetupOf) -> None:
    """``support_cfc`` is no option of run_async alone."""
    setup = await setup_of(settings=Settings(run_config={"support_cfc": True}))
    assert {"codeExecution": {}} in setup["tools"]


async def test_options_that_adk_reads_outside_of_live_mode_change_nothing(
    setup_of: SetupOf,
) -> None:
    """When one of them reaches the model, this fails."""
    fields = {
        "streaming_mode": "SSE",
        "service_tier": "flex",
        "save_input_blobs_as_artifacts": True,
        "max_llm_calls": 0,
    }
    assert await setup_of(call=fields) == await setup_of()


@pytest.mark.parametrize("name", ["SSE", "sse", "Bidi", "none"])
def test_enumerations_of_adk_go_by_name_in_any_case(name: str) -> None:
    """As those of google-genai do."""
    fields = typed_fields({"streaming_mode": name})
    assert fields["streaming_mode"].name == name.upper()
    capture = typed_fields({"telemetry": {"capture_message_content": "no_content"}})["telemetry"]
    assert capture.capture_message_content.name == "NO_CONTENT"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"max_llm_calls": True}, "max_llm_calls"),
        ({"max_llm_calls": sys.maxsize}, "max_llm_calls"),
        ({"tool_thread_pool_config": {"max_workers": True}}, "max_workers"),
        (
            {"realtime_input_config": {"automaticActivityDetection": {"prefixPaddingMs": True}}},
            "prefixPaddingMs",
        ),
        ({"streaming_mode": "fast"}, "streaming_mode"),
    ],
)
def test_true_is_no_number_and_no_name_is_made_up(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(UnfitField, match=path):
        typed_fields(fields)


@pytest.mark.parametrize(
    ("modality", "asked", "words"),
    [
        ("audio", ["TEXT"], "for text"),
        (None, ["AUDIO", "TEXT"], "must be"),
        ("audio", ["IMAGE"], "must be"),
        (None, ["VIDEO"], "must be"),
        ("text", ["TEXT", "TEXT"], "must be"),
    ],
)
def test_modalities_that_no_call_can_have_are_refused_with_the_offer(
    modality: Any, asked: list[str], words: str
) -> None:
    """And not by the model, in each connection of the call."""
    options = LiveOptions(Settings())
    with pytest.raises(BadRequest, match=words):
        options.check_offer({"response_modalities": asked}, modality)


@pytest.mark.parametrize(
    ("modality", "asked"),
    [(None, ["TEXT"]), ("text", ["text"]), ("text", ["AUDIO"]), ("audio", ["AUDIO"]), ("text", [])],
)
def test_modalities_that_a_call_can_have_are_taken(modality: Any, asked: list[str]) -> None:
    """A text call of a model that speaks has its transcript."""
    LiveOptions(Settings()).check_offer({"response_modalities": asked}, modality)


def test_error_names_whose_field_does_not_work() -> None:
    """The operator looks for it in one place."""
    wrong = {"session_resumption": {"handle": "h"}}
    typed = typed_fields(wrong)
    for server, agent, words in (
        (wrong, {}, r"^The --run-config: session_resumption"),
        ({}, typed, r"^The run_config of guide: session_resumption"),
        (
            {"streaming_mode": "sse"},
            {"service_tier": "deferred"},
            r"^The --run-config with the run_config of guide: ",
        ),
    ):
        with pytest.raises(ConfigurationError, match=words):
            LiveOptions(Settings(run_config=server), agent_name="guide", agent=typed_fields(agent))


def test_code_execution_needs_gemini_models() -> None:
    """ADK raises ValueError in each run of another."""
    with pytest.raises(ConfigurationError, match="support_cfc"):
        LiveOptions(Settings(run_config={"support_cfc": True}), models=[ScriptedLlm()])
