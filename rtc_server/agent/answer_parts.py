"""What an answer holds beside words and sound: sources, code, pictures, files, token counts.

Plain code over the types of google-genai.  What a model or the web says here is untrusted:
it is bounded, and a URI that is not http(s) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .live_events import (
    AgentPicture,
    CodeExecuted,
    CodeWritten,
    FileLinked,
    PartRefused,
    SourcesFound,
    UsageReported,
)

if TYPE_CHECKING:
    from google.genai import types

__all__ = ["FoundSources", "code_in", "file_in", "picture_in", "usage_of"]

MAX_URI = 2048
MAX_WORDS = 300
"""Characters of a title or a query."""
MAX_SOURCES = 50
"""Sources, and queries, of one answer."""

_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/avif")


class FoundSources:
    """The sources and queries of one answer, each told once.

    Gemini sends grounding metadata when it finds something, and what it has gathered again
    at the end of the turn (``models/gemini_llm_connection.py``, ADK 2.13).
    """

    def __init__(self) -> None:
        self._queries: set[str] = set()
        self._sources: set[tuple[str, str]] = set()

    def reset(self) -> None:
        """A new answer."""
        self._queries.clear()
        self._sources.clear()

    def of_grounding(self, metadata: types.GroundingMetadata) -> SourcesFound | None:
        """What is new in ``metadata``."""
        queries = [*(metadata.web_search_queries or []), *(metadata.retrieval_queries or [])]
        return self._new(queries, map(_source_of_chunk, metadata.grounding_chunks or []))

    def of_citations(self, metadata: types.CitationMetadata) -> SourcesFound | None:
        """What is new in ``metadata``."""
        return self._new([], ((one.uri, one.title) for one in metadata.citations or []))

    def of_urls(self, metadata: types.UrlContextMetadata) -> SourcesFound | None:
        """The pages that the model has read, as far as it could."""
        return self._new(
            [],
            (
                (one.retrieved_url, None)
                for one in metadata.url_metadata or []
                if one.url_retrieval_status is None or "SUCCESS" in one.url_retrieval_status.value
            ),
        )

    def _new(
        self, queries: Iterable[str], sources: Iterable[tuple[str | None, str | None]]
    ) -> SourcesFound | None:
        new_queries = [one for query in queries if (one := self._new_query(query))]
        new_sources = [found for uri, title in sources if (found := self._new_source(uri, title))]
        if not new_queries and not new_sources:
            return None
        return SourcesFound(tuple(new_queries), tuple(new_sources))

    def _new_query(self, query: str) -> str | None:
        query = query.strip()[:MAX_WORDS]
        if not query or query in self._queries or len(self._queries) >= MAX_SOURCES:
            return None
        self._queries.add(query)
        return query

    def _new_source(self, uri: str | None, title: str | None) -> Mapping[str, str] | None:
        uri, title = web_uri(uri), (title or "").strip()[:MAX_WORDS]
        key = (uri, "" if uri else title)
        if key == ("", "") or key in self._sources or len(self._sources) >= MAX_SOURCES:
            return None
        self._sources.add(key)
        return {name: value for name, value in (("uri", uri), ("title", title)) if value}


def web_uri(uri: str | None) -> str:
    """``uri`` if it is one of the web's and not too long, else nothing."""
    if not uri or len(uri) > MAX_URI or not uri.isprintable() or " " in uri:
        return ""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    return uri if parts.scheme in ("http", "https") and parts.netloc else ""


def _source_of_chunk(chunk: types.GroundingChunk) -> tuple[str | None, str | None]:
    if chunk.web is not None:
        return chunk.web.uri, chunk.web.title or chunk.web.domain
    if chunk.maps is not None:
        return chunk.maps.uri, chunk.maps.title
    if chunk.retrieved_context is not None:
        return chunk.retrieved_context.uri, chunk.retrieved_context.title
    if chunk.image is not None:
        return chunk.image.source_uri, chunk.image.title
    return None, None


def code_in(part: types.Part) -> CodeWritten | CodeExecuted | None:
    """Code that the model had executed, or what came of it."""
    if part.executable_code is not None:
        language = part.executable_code.language
        return CodeWritten(
            None if language is None else str(language.value).lower(),
            part.executable_code.code or "",
        )
    if part.code_execution_result is not None:
        outcome = part.code_execution_result.outcome
        return CodeExecuted(
            "ok" if outcome is None else _outcome(str(outcome.value)),
            part.code_execution_result.output or "",
        )
    return None


def _outcome(value: str) -> str:
    return value.removeprefix("OUTCOME_").lower()


def picture_in(blob: types.Blob) -> AgentPicture | PartRefused | None:
    """The picture in ``blob``; a refusal where it holds something else than a picture."""
    if not blob.data:
        return None
    mime_type = (blob.mime_type or "").partition(";")[0].strip().lower()
    if mime_type in _PICTURES:
        return AgentPicture(mime_type, blob.data)
    return PartRefused(mime_type[:100] or "application/octet-stream")


def file_in(file: types.FileData) -> FileLinked | PartRefused | None:
    """A link to ``file``; what only the server's own cloud can open is refused."""
    uri = web_uri(file.file_uri)
    if uri:
        return FileLinked(uri, (file.mime_type or "")[:100] or None, file.display_name)
    if (file.file_uri or "").startswith("artifact:"):
        return None  # ADK's own, of a live recording
    return PartRefused((file.mime_type or "application/octet-stream")[:100])


def usage_of(usage: types.GenerateContentResponseUsageMetadata) -> UsageReported:
    """The token counts, those by modality too."""
    return UsageReported(
        prompt_tokens=usage.prompt_token_count,
        response_tokens=usage.candidates_token_count,
        total_tokens=usage.total_token_count,
        thoughts_tokens=usage.thoughts_token_count,
        cached_tokens=usage.cached_content_token_count,
        tool_tokens=usage.tool_use_prompt_token_count,
        prompt_details=_by_modality(usage.prompt_tokens_details),
        response_details=_by_modality(usage.candidates_tokens_details),
    )


def _by_modality(details: list[types.ModalityTokenCount] | None) -> Mapping[str, int] | None:
    counts = dict(_counts(details or []))
    return counts or None


def _counts(details: list[types.ModalityTokenCount]) -> Iterator[tuple[str, int]]:
    for one in details:
        if one.modality is not None and one.token_count is not None:
            yield str(one.modality.value).lower(), one.token_count
