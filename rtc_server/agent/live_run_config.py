"""The ``RunConfig`` of a call's live runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from google.adk.agents.run_config import RunConfig
from google.adk.telemetry.context import ContentCapturingMode, TelemetryConfig
from google.genai import types
from pydantic import ValidationError

from ..errors import BadRequest

__all__ = ["live_run_config"]

_NO_CONTENT = TelemetryConfig(capture_message_content=ContentCapturingMode.NO_CONTENT)
"""ADK puts the history and tools' results into its spans unless it is told not to."""

_MODALITIES = {"audio": types.Modality.AUDIO, "text": types.Modality.TEXT}


def live_run_config(
    *,
    modality: Literal["audio", "text"],
    voice: str | None = None,
    resumable: bool = False,
    handle: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> RunConfig:
    """What ADK is asked for: transcripts of both sides, in the modality of the call.

    Args:
        modality: of the answers; ``audio`` also where a text call's model only speaks.
        voice: prebuilt voice of spoken answers; None: the model's own choice.
        resumable: the model has session resumption, without which ADK never reconnects.
        handle: the resumption handle to go on with.
        overrides: fields that the caller may set and did, in ADK's names.

    Raises:
        BadRequest: an override is not one; its field is named.
    """
    fields: dict[str, Any] = {
        "response_modalities": [_MODALITIES[modality]],
        "input_audio_transcription": types.AudioTranscriptionConfig(),
        "output_audio_transcription": types.AudioTranscriptionConfig(),
        "telemetry": _NO_CONTENT,
    }
    if voice is not None and modality == "audio":
        fields["speech_config"] = types.SpeechConfig(
            voice_config=types.VoiceConfig(
                prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=voice)
            )
        )
    if resumable:
        fields["session_resumption"] = types.SessionResumptionConfig()
    fields.update(overrides or {})
    try:
        config = RunConfig(**fields)
    except ValidationError as error:
        names = sorted({str(one["loc"][0]) for one in error.errors() if one["loc"]})
        raise BadRequest(
            "The run_config does not fit ADK's RunConfig: " + ", ".join(names)
        ) from error
    if resumable and handle and config.session_resumption is not None:
        config.session_resumption = config.session_resumption.model_copy(update={"handle": handle})
    return config
