"""Traces of requests, by OpenTelemetry; besides FastAPI the only file that imports it, and itself imported only where
OTEL_EXPORTER_OTLP_ENDPOINT is set.

FastAPI makes the span of a request, the instrumentations those of Redis and asyncpg, which SQLAlchemy goes through too.
All of them put more into a span than may leave: what does is listed here.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from fastapi.telemetry import TelemetryConfig
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, TraceState, get_current_span
from opentelemetry.util.types import Attributes
from redis.asyncio import Redis

from auth_service import __version__

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 2.0
_UNTRACED = frozenset({"/health/live", "/health/ready", "/metrics"})
# Routes and statements are text of ours, the rest numbers and names out of short lists. Not there: paths, queries,
# Host, addresses, parameters, database users, and the words of exceptions (AUD-2).
_MAY_LEAVE = frozenset(
    {
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "network.protocol.version",
        "url.scheme",
        "error.type",
        "db.system",
        "db.system.name",
        "db.name",
        "db.namespace",
        "db.statement",
        "db.query.text",
        "db.redis.args_length",
        "db.redis.database_index",
        "db.redis.pipeline_length",
        "net.peer.name",
        "net.peer.port",
    }
)


class Tracing:
    """Of one app; `endpoint` is the collector's base address. Nothing is sent before `exporting`."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.sampler = _InRequests(self._provider.sampler)  # inside of the one that OTEL_TRACES_SAMPLER chose
        self.of_requests: TelemetryConfig = {
            "tracing": True,
            "tracer_provider": self._provider,
            "exclude": lambda scope: scope["path"] in _UNTRACED,
        }

    @staticmethod
    def trace_id() -> str | None:
        """Of the request at hand; None where it is not traced."""
        context = get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else None

    @asynccontextmanager
    async def exporting(self, redis: Redis) -> AsyncIterator[None]:
        """In the background, as OTEL_BSP_* say; a collector that is away costs spans, never a request."""
        exporter = _Exporter(endpoint=f"{self._endpoint}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        RedisInstrumentor.instrument_client(redis, self._provider)
        postgres = AsyncPGInstrumentor()  # type: ignore[no-untyped-call]
        postgres.instrument(tracer_provider=self._provider)
        try:
            yield
        finally:
            postgres.uninstrument()
            # The library waits 30 s for a collector that hangs; a daemon keeps nobody from leaving.
            last_spans = threading.Thread(target=self._provider.shutdown, daemon=True)
            last_spans.start()
            await asyncio.to_thread(last_spans.join, CLOSE_SECONDS)
            if last_spans.is_alive():
                log.warning("traces_lost", remedy="the collector at OTEL_EXPORTER_OTLP_ENDPOINT does not answer")


class _Exporter(OTLPSpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return super().export([_scrubbed(span) for span in spans])


class _InRequests(Sampler):
    """Leaves out what the jobs ask the stores for: several traces a second that nobody looks at."""

    def __init__(self, chosen: Sampler) -> None:
        self._chosen = chosen

    def should_sample(  # noqa: PLR0917  the library's own
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if kind is not SpanKind.SERVER and not get_current_span(parent_context).get_span_context().is_valid:
            return SamplingResult(Decision.DROP)
        return self._chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"InRequests({self._chosen.get_description()})"


def _resource() -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come first."""
    ours = Resource({SERVICE_NAME: "auth-service", SERVICE_VERSION: __version__})
    given = Resource.create()
    named = not str(given.attributes[SERVICE_NAME]).startswith("unknown_service")
    return ours.merge(given) if named else given.merge(ours)


def _scrubbed(span: ReadableSpan) -> ReadableSpan:
    attributes = {name: value for name, value in (span.attributes or {}).items() if name in _MAY_LEAVE}
    for event in span.events:
        # Of an exception the class: its words and its traceback may repeat what was sent.
        if event.attributes and "exception.type" in event.attributes:
            attributes["error.type"] = event.attributes["exception.type"]
    return ReadableSpan(
        name=span.name,
        context=_without_state(span.context),
        parent=_without_state(span.parent),
        resource=span.resource,
        attributes=attributes,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _without_state(context: SpanContext | None) -> SpanContext | None:
    """The `tracestate` header is the caller's own text."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
