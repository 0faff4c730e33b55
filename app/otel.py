"""The one module that imports OpenTelemetry, and is imported only when an endpoint is set.

The exporter reads its variables itself (`OTEL_EXPORTER_OTLP_ENDPOINT`, `_HEADERS`, `OTEL_SERVICE_NAME`, ...). Spans are sent from a
thread of their own, and dropped when they are too many or nobody takes them: no request waits for them.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import spans
from app.trace_context import TraceContext

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span as OtelSpan

log = logging.getLogger(__name__)

#: for one delivery with all its retries; the end of a process waits for the last one, seconds
_EXPORT_SECONDS = 2.0
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
}
_propagator = TraceContextTextMapPropagator()


class Tracer:
    """Records spans and sends them; what is left is sent when the process ends."""

    def __init__(self, process_name: str) -> None:
        # Its own word on each failed delivery would fill the log; `_Exporter` says it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        named = {"service.name": "nightshift", "service.instance.id": process_name}
        self._provider = TracerProvider(resource=Resource(named).merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(BatchSpanProcessor(_Exporter()))
        self._tracer = self._provider.get_tracer("nightshift")

    @contextmanager
    def span(
        self,
        name: str,
        parent: TraceContext,
        attributes: Mapping[str, Any],
        *,
        began_at: float | None,
        kind: spans.Kind,
    ) -> Iterator[spans.Span]:
        """As `spans.span`."""
        with self._tracer.start_as_current_span(
            name,
            # Without headers an empty context, never the surrounding one: it is the job that says whose child it is.
            context=_propagator.extract(parent.headers()),
            kind=_KINDS[kind],
            start_time=None if began_at is None else int(began_at * 1e9),
            # An exception's text may quote the request.
            record_exception=False,
            set_status_on_exception=False,
        ) as found:
            span = _Span(found)
            span.set(attributes)
            try:
                yield span
            except BaseException as error:
                span.fail(type(error).__name__)
                raise


class _Span(spans.Span):
    def __init__(self, span: OtelSpan) -> None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        super().__init__(TraceContext(carrier.get("traceparent", ""), carrier.get("tracestate", "")))
        self._span = span

    def set(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})

    def fail(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))


class _Exporter(SpanExporter):
    """OTLP over HTTP that logs once when its receiver is away, and once when it is back."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter(timeout=_EXPORT_SECONDS)
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """From the processor's own thread."""
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            log.warning("[TRACING] spans can't be delivered, and are dropped until they can")
        elif self._is_away and not is_away:
            log.info("[TRACING] spans are delivered again")
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        """After the last delivery."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
