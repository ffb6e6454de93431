"""The ``RunConfig`` of a call's live runs, from the layers that have a say in it.

A field of a higher layer replaces that of a lower one, whole:

1. our defaults: transcripts of both sides, session resumption where the model has it,
2. the agent: ``run_config`` beside it,
3. the operator: ``--run-config``, and ``--voice`` and ``--language`` within its
   ``speech_config``,
4. the call: ``run_config`` of its offer.

Above them all is what the model object itself says: ADK 2.13 puts the ``speech_config`` of
a ``Gemini`` over that of the ``RunConfig`` when it connects, so that each agent of a tree
can have a voice of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from google.adk.agents.run_config import RunConfig
from google.adk.models.base_llm import BaseLlm
from google.adk.models.google_llm import Gemini
from google.adk.telemetry.context import ContentCapturingMode, TelemetryConfig
from google.genai import types
from pydantic import ValidationError

from ..call_service import Modality
from ..errors import BadRequest, ConfigurationError
from ..settings import Settings
from .adk_internals import is_told_of_proactivity
from .run_config_fields import UnfitField, typed_fields

__all__ = ["LiveOptions", "live_run_config", "vad_is_off"]

logger = logging.getLogger(__name__)


_NO_CONTENT = TelemetryConfig(capture_message_content=ContentCapturingMode.NO_CONTENT)
"""ADK puts the history and tools' results into its spans unless it is told not to."""

_MODALITIES = {"audio": types.Modality.AUDIO, "text": types.Modality.TEXT}

_UNSET: dict[str, Any] = {}

_NOT_OF_GEMINI_3 = {"enable_affective_dialog", "proactivity"}


class LiveOptions:
    """What the agent and the operator ask of every live run of an agent.

    Args:
        settings: ``run_config``, ``voice``, ``language``, ``modality`` and
            ``allow_run_config`` are of interest here.
        agent_name: for messages.
        agent: fields of the agent's own ``run_config``, of ADK's types.
        models: of the agent's tree, the first one's first.

    Raises:
        ConfigurationError: a setting does not fit; its field is named.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        agent_name: str = "agent",
        agent: Mapping[str, Any] = _UNSET,
        models: Sequence[BaseLlm] = (),
    ) -> None:
        self._settings = settings
        self._models = models
        try:
            server = typed_fields(settings.run_config)
            unknown = set(settings.allow_run_config) - set(RunConfig.model_fields)
            if unknown:
                raise ConfigurationError(
                    f"--allow-run-config: ADK's RunConfig has no {', '.join(sorted(unknown))}."
                )
            self._server = server
            self._fields = {**agent, **self._with_speech(agent, server)}
        except UnfitField as error:
            raise ConfigurationError(
                f"The --run-config does not fit ADK's RunConfig: {error.path}"
            ) from None
        for whose, fields in (
            ("The --run-config", server),
            (f"The run_config of {agent_name}", agent),
            (f"The --run-config with the run_config of {agent_name}", self._fields),
        ):
            try:
                self._check(fields)
            except BadRequest as error:
                raise ConfigurationError(f"{whose}: {error}") from None
        self._warn_of_what_is_lost(agent_name)

    def _with_speech(self, agent: Mapping[str, Any], server: Mapping[str, Any]) -> dict[str, Any]:
        """The operator's fields; ``--voice`` and ``--language`` change their part of the speech."""
        voice, language = self._settings.voice, self._settings.language
        if voice is None and language is None:
            return dict(server)
        speech = server.get("speech_config", agent.get("speech_config"))
        changed: dict[str, Any] = {}
        if voice is not None:
            prebuilt = types.PrebuiltVoiceConfig(voice_name=voice)
            changed["voice_config"] = types.VoiceConfig(prebuilt_voice_config=prebuilt)
            changed["multi_speaker_voice_config"] = None
        if language is not None:
            changed["language_code"] = language
        speech = (speech or types.SpeechConfig()).model_copy(update=changed)
        return {**server, "speech_config": speech}

    def modality(self, offered: Mapping[str, Any] = _UNSET) -> Modality:
        """The modality of a call whose offer names none."""
        asked = offered.get("response_modalities")
        if asked:
            return _modality_of(typed_fields({"response_modalities": asked})["response_modalities"])
        if self._settings.modality is not None:
            return self._settings.modality
        asked = self._fields.get("response_modalities")
        return _modality_of(asked) if asked else "audio"

    def check_offer(self, offered: Mapping[str, Any], modality: Modality | None = None) -> None:
        """Refuse what a caller may not ask for, or what cannot work.

        Args:
            modality: of the offer, where it names one.

        Raises:
            BadRequest: it does not fit; the field is named.
        """
        if not offered:
            return
        typed = _offered(offered)
        asked = typed.get("response_modalities")
        if asked:
            _check_modalities(asked, modality)
        self._check({**self._fields, **typed})

    def run_config(
        self,
        modality: Modality,
        *,
        speaks_only: bool = False,
        resumable: bool = False,
        handle: str | None = None,
        offered: Mapping[str, Any] = _UNSET,
    ) -> RunConfig:
        """What ADK is asked for.

        Args:
            modality: of the call.
            speaks_only: the model refuses to answer in text.
            resumable: the model has session resumption, without which ADK never reconnects.
            handle: the resumption handle to go on with.
            offered: fields that the caller may set and did, in ADK's names.

        Raises:
            BadRequest: ``offered`` does not fit; the field is named.
        """
        typed = _offered(offered)
        fields: dict[str, Any] = {
            "input_audio_transcription": types.AudioTranscriptionConfig(),
            "output_audio_transcription": types.AudioTranscriptionConfig(),
            "telemetry": _NO_CONTENT,
        }
        if resumable:
            fields["session_resumption"] = types.SessionResumptionConfig()
        fields.update(self._fields)
        fields.update(typed)
        asked = fields.get("response_modalities") or []
        wanted = types.Modality.AUDIO if speaks_only else _MODALITIES[modality]
        if speaks_only or (wanted not in asked and not typed.get("response_modalities")):
            asked = [wanted]
        fields["response_modalities"] = asked
        if types.Modality.AUDIO not in asked:
            fields["speech_config"] = None  # Gemini takes it for a question for speech: 1007
        elif modality == "text" and fields["output_audio_transcription"] is None:
            # The transcript is the text of a call that hears nothing.
            fields["output_audio_transcription"] = types.AudioTranscriptionConfig()
        config = _made(fields)
        if resumable and handle and config.session_resumption is not None:
            resumption = config.session_resumption.model_copy(update={"handle": handle})
            config.session_resumption = resumption
        return config

    def may_stay_silent(self, offered: Mapping[str, Any] = _UNSET) -> bool:
        """Whether the model of a call decides itself whether to answer.

        Of a tree of models one may be another one than speaks now, or the fallback: any of them
        will do.
        """
        proactivity = self.run_config("audio", offered=offered).proactivity
        if proactivity is None or not proactivity.proactive_audio:
            return False
        return not self._models or any(map(is_told_of_proactivity, self._models))

    # ------------------------------------------------------------------

    def _check(self, fields: Mapping[str, Any]) -> None:
        """Raises BadRequest where the fields cannot work, together or with these models."""
        resumption = fields.get("session_resumption")
        if resumption is not None and resumption.handle:
            raise BadRequest("session_resumption.handle is the server's own; leave it out.")
        on_vertex_alone = [
            name
            for name, value in (
                ("explicit_vad_signal", fields.get("explicit_vad_signal")),
                ("session_resumption.transparent", resumption and resumption.transparent),
            )
            if value is not None
        ]
        if on_vertex_alone and any(map(_is_developer_api, self._models)):
            raise BadRequest(
                f"{', '.join(on_vertex_alone)} needs Vertex AI; an API key does not do."
            )
        if fields.get("support_cfc") and not all(isinstance(one, Gemini) for one in self._models):
            raise BadRequest("support_cfc needs Gemini models; ADK refuses each run of another.")
        _made(dict(fields))

    def _warn_of_what_is_lost(self, agent_name: str) -> None:
        """What ADK drops on the way, or puts its own over, is said once, at start."""
        geminis = [one for one in self._models if isinstance(one, Gemini)]
        asked = {name for name, value in self._fields.items() if value is not None}
        if "speech_config" in asked and any(one.speech_config for one in geminis):
            logger.warning(
                "a model of %s has a speech_config of its own, which goes before all others",
                agent_name,
            )
        for name in sorted(asked & _NOT_OF_GEMINI_3):
            if not all(map(is_told_of_proactivity, geminis)):
                logger.warning("ADK does not pass %s on to models of Gemini 3", name)


def live_run_config(*, modality: Modality) -> RunConfig:
    """What ADK is asked for where nobody asks for anything."""
    return LiveOptions(Settings()).run_config(modality)


def vad_is_off(config: RunConfig) -> bool:
    """Whether the model waits for activity signals instead of listening for speech."""
    realtime = config.realtime_input_config
    detection = realtime.automatic_activity_detection if realtime is not None else None
    return bool(detection is not None and detection.disabled)


def _offered(fields: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return typed_fields(fields)
    except UnfitField as error:
        raise BadRequest(f"The run_config does not fit ADK's RunConfig: {error.path}") from None


def _check_modalities(asked: Sequence[types.Modality], modality: Modality | None) -> None:
    """Refuse what no call can be, before a model refuses it in each connection."""
    if list(asked) not in ([types.Modality.AUDIO], [types.Modality.TEXT]):
        raise BadRequest('"run_config.response_modalities" must be ["AUDIO"] or ["TEXT"].')
    if modality == "audio" and list(asked) == [types.Modality.TEXT]:
        raise BadRequest(
            '"run_config.response_modalities" asks for text, and "modality" for audio.'
        )


def _made(fields: dict[str, Any]) -> RunConfig:
    try:
        return RunConfig(**fields)
    except ValidationError:  # of fields that do not go together
        raise BadRequest("The fields of run_config do not go together.") from None


def _modality_of(asked: Sequence[types.Modality]) -> Modality:
    return "text" if list(asked) == [types.Modality.TEXT] else "audio"


def _is_developer_api(model: BaseLlm) -> bool:
    """Whether it is a Gemini behind an API key; makes its client where there is none yet."""
    return isinstance(model, Gemini) and not model.api_client.vertexai
