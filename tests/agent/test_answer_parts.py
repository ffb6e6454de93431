"""What ADK's events hold beside words and sound, as the mapper tells it."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.genai import types

from rtc_server.agent.live_event_mapper import LiveEventMapper
from rtc_server.agent.live_events import (
    AgentFailed,
    AgentPicture,
    AgentText,
    AgentThought,
    ArtifactSaved,
    CodeExecuted,
    CodeWritten,
    FileLinked,
    LiveEvent,
    ModelTurnComplete,
    PartRefused,
    SourcesFound,
    StateChanged,
    UsageReported,
    UserTranscript,
)


def event(*parts: types.Part, **fields: Any) -> Event:
    content = types.Content(role="model", parts=list(parts)) if parts else None
    return Event(author="agent", content=content, **fields)


def told(*events: Event) -> list[LiveEvent]:
    mapper = LiveEventMapper()
    return [one for each in events for one in mapper.map(each)]


def blob(data: bytes, mime_type: str) -> types.Part:
    return types.Part(inline_data=types.Blob(data=data, mime_type=mime_type))


def web(uri: str | None, title: str | None = None) -> types.GroundingChunk:
    return types.GroundingChunk(web=types.GroundingChunkWeb(uri=uri, title=title))


def grounding(*chunks: types.GroundingChunk, queries: tuple[str, ...] = ()) -> Event:
    return event(
        grounding_metadata=types.GroundingMetadata(
            grounding_chunks=list(chunks), web_search_queries=list(queries)
        )
    )


# Thoughts -----------------------------------------------------------------------


def test_thought_and_text_of_one_event_are_told_apart() -> None:
    """Pieces and their whole, each character of both once."""
    thought = types.Part(text="Hm", thought=True)
    events = told(
        event(thought, partial=True),
        event(types.Part(text="Hi"), partial=True),
        event(thought, types.Part(text="Hi you"), partial=False),
    )
    assert events == [AgentThought("Hm"), AgentText("Hi"), AgentText(" you")]


@pytest.mark.parametrize(
    "thought",
    [
        blob(bytes(4), "audio/pcm;rate=24000"),
        blob(b"jpeg", "image/jpeg"),
        blob(b"%PDF", "application/pdf"),
        types.Part(file_data=types.FileData(file_uri="https://example.com/a.mp4")),
        types.Part(executable_code=types.ExecutableCode(code="1")),
        types.Part(code_execution_result=types.CodeExecutionResult(output="1")),
    ],
    ids=["sound", "picture", "other data", "file", "code", "output"],
)
@pytest.mark.parametrize("is_beside_words", [False, True], ids=["alone", "beside words"])
def test_thought_that_is_no_text_is_neither_played_nor_told(
    thought: types.Part, is_beside_words: bool
) -> None:
    """It is not for the listener; and the model that thinks has not begun its answer."""
    mapper = LiveEventMapper(first_agent="agent")
    thought = thought.model_copy(update={"thought": True})
    beside = [types.Part(text="Hi")] if is_beside_words else []
    assert mapper.map(event(thought, *beside)) == [AgentText(part.text or "") for part in beside]
    assert mapper.is_answering is is_beside_words


# Pictures and files -----------------------------------------------------------------


def test_picture_beside_text_is_told_with_its_bytes() -> None:
    """In the order of the parts; parameters of the MIME type are left out."""
    events = told(event(types.Part(text="Look:"), blob(b"jpeg", "image/JPEG; q=1"), partial=False))
    assert events == [AgentText("Look:"), AgentPicture("image/jpeg", b"jpeg")]


def test_parts_that_a_call_cannot_carry_are_refused_once_a_kind() -> None:
    """A video, a PDF, a picture that may hold script, audio that is not PCM."""
    kinds = ["video/mp4", "application/pdf", "image/svg+xml", "audio/mpeg"]
    events = told(*(event(blob(b"x", kind)) for kind in kinds * 2))
    assert events == [PartRefused(kind) for kind in kinds]


def test_file_of_the_web_is_linked_and_one_of_a_cloud_is_refused() -> None:
    """The caller cannot open gs://, and is not to open javascript: or file:."""

    def linked(uri: str, mime_type: str) -> Event:
        file = types.FileData(file_uri=uri, mime_type=mime_type, display_name="a file")
        return event(types.Part(file_data=file))

    events = told(
        linked("https://example.com/a.pdf", "application/pdf"),
        linked("gs://bucket/a.mp4", "video/mp4"),
        linked("javascript:alert(1)", "text/html"),
        linked("artifact://app/user/session/_adk_live/a.pcm#0", "audio/pcm"),
    )
    assert events == [
        FileLinked("https://example.com/a.pdf", "application/pdf", "a file"),
        PartRefused("video/mp4"),
        PartRefused("text/html"),
    ]


# Code ---------------------------------------------------------------------------


def test_code_and_its_result_are_told() -> None:
    """With the language and the outcome in small letters."""
    code = types.ExecutableCode(code="print(6 * 7)", language=types.Language.PYTHON)
    result = types.CodeExecutionResult(outcome=types.Outcome.OUTCOME_OK, output="42\n")
    events = told(
        event(types.Part(executable_code=code)), event(types.Part(code_execution_result=result))
    )
    assert events == [CodeWritten("python", "print(6 * 7)"), CodeExecuted("ok", "42\n")]


# Sources ------------------------------------------------------------------------


def test_sources_are_told_once_an_answer() -> None:
    """Gemini sends what it has gathered again at the end of the turn."""
    first = grounding(web("https://a.example/", "A"), queries=("weather",))
    both = [web("https://a.example/", "A"), web("https://b.example/", "B")]
    end = event(
        turn_complete=True,
        grounding_metadata=types.GroundingMetadata(
            grounding_chunks=both, web_search_queries=["weather"]
        ),
    )
    assert told(first, first, end, first) == [
        SourcesFound(("weather",), ({"uri": "https://a.example/", "title": "A"},)),
        SourcesFound((), ({"uri": "https://b.example/", "title": "B"},)),
        ModelTurnComplete(),
        SourcesFound(("weather",), ({"uri": "https://a.example/", "title": "A"},)),
    ]


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
        "https://a.example/ b",
        "https://a.example/\n",
        "https://a.example/" + "x" * 3000,
        None,
    ],
)
def test_source_without_an_address_of_the_web_has_its_title_only(uri: str | None) -> None:
    """What could do harm as a link, or is too long, is left out."""
    assert told(grounding(web(uri, "A title"))) == [SourcesFound((), ({"title": "A title"},))]


def test_sources_of_an_answer_are_bounded() -> None:
    """Fifty of each, whatever the model sends."""
    chunks = [web(f"https://a.example/{n}") for n in range(200)]
    (found,) = told(grounding(*chunks, queries=tuple(f"query {n}" for n in range(200))))
    assert isinstance(found, SourcesFound)
    assert (len(found.queries), len(found.sources)) == (50, 50)


def test_sources_of_maps_and_of_retrieval_and_citations_are_told() -> None:
    """Each kind of chunk has its own fields."""
    maps = types.GroundingChunkMaps(uri="https://maps.example/1", title="Place")
    found = types.GroundingChunkRetrievedContext(uri="gs://bucket/doc", title="Doc")
    cited = types.CitationMetadata(citations=[types.Citation(uri="https://c.example/", title="C")])
    events = told(
        grounding(types.GroundingChunk(maps=maps), types.GroundingChunk(retrieved_context=found)),
        event(citation_metadata=cited),
    )
    assert events == [
        SourcesFound((), ({"uri": "https://maps.example/1", "title": "Place"}, {"title": "Doc"})),
        SourcesFound((), ({"uri": "https://c.example/", "title": "C"},)),
    ]


def test_empty_grounding_metadata_is_not_told() -> None:
    """Models of 3.x send it with the end of every turn."""
    empty = event(turn_complete=True, grounding_metadata=types.GroundingMetadata())
    assert told(empty) == [ModelTurnComplete()]


def test_pages_that_the_model_read_are_sources() -> None:
    """Those that it could not read are not."""
    status = types.UrlRetrievalStatus
    read = types.UrlMetadata(
        retrieved_url="https://a.example/",
        url_retrieval_status=status.URL_RETRIEVAL_STATUS_SUCCESS,
    )
    failed = types.UrlMetadata(
        retrieved_url="https://b.example/", url_retrieval_status=status.URL_RETRIEVAL_STATUS_ERROR
    )
    mapper = LiveEventMapper()
    metadata = types.UrlContextMetadata(url_metadata=[read, failed])
    assert mapper.urls_read(metadata) == [SourcesFound((), ({"uri": "https://a.example/"},))]
    assert mapper.urls_read(metadata) == []


# Usage, artifacts, ends -------------------------------------------------------------


def test_usage_has_all_counts() -> None:
    """Of thoughts, of the cache, of tools' results, and by modality."""
    modality = types.MediaModality
    usage = types.GenerateContentResponseUsageMetadata(
        prompt_token_count=10,
        candidates_token_count=20,
        total_token_count=37,
        thoughts_token_count=4,
        cached_content_token_count=2,
        tool_use_prompt_token_count=3,
        prompt_tokens_details=[
            types.ModalityTokenCount(modality=modality.AUDIO, token_count=8),
            types.ModalityTokenCount(modality=modality.TEXT, token_count=2),
        ],
        candidates_tokens_details=[
            types.ModalityTokenCount(modality=modality.AUDIO, token_count=20)
        ],
    )
    assert told(event(usage_metadata=usage)) == [
        UsageReported(
            10,
            20,
            37,
            thoughts_tokens=4,
            cached_tokens=2,
            tool_tokens=3,
            prompt_details={"audio": 8, "text": 2},
            response_details={"audio": 20},
        )
    ]


def test_artifacts_and_state_of_one_event_are_told() -> None:
    """A tool's result carries what the tool saved."""
    actions = EventActions(state_delta={"mood": "good"}, artifact_delta={"a.txt": 0, "b.png": 3})
    events = told(event(actions=actions))
    saved = [ArtifactSaved("a.txt", 0), ArtifactSaved("b.png", 3)]
    assert events == [StateChanged({"mood": "good"}), *saved]


def test_artifact_beside_a_lone_piece_of_audio_is_told() -> None:
    """The short way of nearly every event knows what to look for."""
    mapper = LiveEventMapper(first_agent="agent")
    speech = blob(b"\0\0", "audio/pcm;rate=24000")
    events = mapper.map(event(speech, actions=EventActions(artifact_delta={"a": 1})))
    assert events[1:] == [ArtifactSaved("a", 1)]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (types.TurnCompleteReason.RESPONSE_REJECTED, "answer_blocked"),
        (types.TurnCompleteReason.PROHIBITED_INPUT_CONTENT, "answer_blocked"),
        (types.TurnCompleteReason.MALFORMED_FUNCTION_CALL, "answer_failed"),
        (types.TurnCompleteReason.NEED_MORE_INPUT, None),
        (None, None),
    ],
)
def test_turn_that_ends_for_a_reason_is_told_as_a_failure(reason: Any, code: str | None) -> None:
    """A rejected answer ends with a word, not with silence."""
    events = told(event(turn_complete=True, turn_complete_reason=reason))
    assert [one.code for one in events if isinstance(one, AgentFailed)] == ([code] if code else [])
    assert events[-1] == ModelTurnComplete()


def test_language_of_a_transcript_is_passed_on() -> None:
    """Where the model says in which language it heard."""
    heard = types.Transcription(text="Guten Tag", finished=True, language_code="de-DE")
    one = Event(author="user", input_transcription=heard)
    assert told(one) == [UserTranscript("Guten Tag", True, "de-DE")]
