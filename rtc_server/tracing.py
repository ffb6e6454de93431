"""Where spans go: OpenTelemetry's SDK, and an OTLP exporter while a server runs.

Spans are made through OpenTelemetry's API everywhere, ADK's own included, and cost next to
nothing while nobody takes them.  The API has one provider in a process, set once; an agent whose
code has set one keeps it, and our exporter joins it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Status, StatusCode

from . import __version__
from .errors import ConfigurationError

__all__ = ["connecting_span", "exporting", "tracer"]

logger = logging.getLogger(__name__)

_EXPORT_TIMEOUT_S = 3.0
"""A batch that is not taken within this time, retries included, is lost."""

_FLUSH_S = 2.0
"""How long the server's end waits for what was not exported yet."""

_PATH = "/v1/traces"

tracer = trace.get_tracer("rtc_server", __version__)


class _Receivers(SpanProcessor):
    """Passes spans to the processors of the servers that run now.

    A provider's processors cannot be taken away from it, and servers come and go in tests.
    """

    def __init__(self) -> None:
        self._receivers: tuple[SpanProcessor, ...] = ()

    def add(self, receiver: SpanProcessor) -> None:
        self._receivers += (receiver,)

    def remove(self, receiver: SpanProcessor) -> None:
        self._receivers = tuple(one for one in self._receivers if one is not receiver)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for one in self._receivers:
            one.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        for one in self._receivers:
            one.on_end(span)


_receivers = _Receivers()
_joined: TracerProvider | None = None
"""The provider that tells :data:`_receivers`."""


@contextmanager
def connecting_span(model: str, attempt: int) -> Iterator[None]:
    """The span of one attempt to reach a call's model; the first of a call has a name of its own.

    Args:
        model: its name.
        attempt: counted from 1 over the call.
    """
    name = "model.connect" if attempt <= 1 else "model.reconnect"
    attributes: dict[str, str | int] = {"gen_ai.request.model": model, "rtc.attempt": attempt}
    with tracer.start_as_current_span(
        # What an exception says may hold a key.
        name,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise


@asynccontextmanager
async def exporting(
    endpoint: str | None, *, exporter: SpanExporter | None = None
) -> AsyncIterator[None]:
    """While the context lasts spans are sent to ``endpoint``; leaving it sends what is left.

    The standard ``OTEL_*`` variables of the SDK and of the exporter (headers, certificate,
    sampler, resource) hold as everywhere.

    Args:
        endpoint: of OTLP over HTTP; its root (``http://localhost:4318``) or the path of traces.
            None: nothing is exported.
        exporter: takes the spans instead of OTLP.

    Raises:
        ConfigurationError: it is no HTTP URL.
    """
    if endpoint is None and exporter is None:
        yield
        return
    if exporter is None:
        assert endpoint is not None
        # Not light to import, and most servers export nothing.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=_traces_url(endpoint), timeout=_EXPORT_TIMEOUT_S)
    receiver = BatchSpanProcessor(exporter)
    _join_provider()
    _receivers.add(receiver)
    try:
        yield
    finally:
        _receivers.remove(receiver)
        await _close(receiver, exporter)


def _traces_url(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            "--otlp-endpoint is the HTTP address of a collector: http://localhost:4318"
        )
    return endpoint if parts.path.strip("/") else endpoint.rstrip("/") + _PATH


def _join_provider() -> None:
    global _joined
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        named = Resource.create({SERVICE_NAME: "rtc-server", SERVICE_VERSION: __version__})
        # What the operator says by OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES wins.
        provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
        trace.set_tracer_provider(provider)
    if provider is not _joined:
        provider.add_span_processor(_receivers)
        _joined = provider


async def _close(receiver: BatchSpanProcessor, exporter: SpanExporter) -> None:
    """Send what is left; bounded in time, for the collector may not answer."""
    closing = asyncio.create_task(asyncio.to_thread(receiver.shutdown), name="trace-flush")
    done, _ = await asyncio.wait({closing}, timeout=_FLUSH_S)
    if not done:
        logger.warning("the collector of traces does not answer; the last spans are lost")
        exporter.shutdown()  # ends its retries
    await closing
