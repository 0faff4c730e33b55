"""OpenTelemetry's spans of a request: accept, queue, turn, deliver. `accept` is the parent of the others.

Nothing of OpenTelemetry is imported unless an endpoint is set; then `configure` is called once in each process that works.
A span has ids, names, counts and times; never a prompt, an answer or an address.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from app.jobs.record import JobRecord
    from app.settings import Settings
    from app.trace_context import TraceContext

Kind = Literal["internal", "server", "consumer", "client"]

log = logging.getLogger(__name__)

MISSING = (
    "[TRACING] OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: there will be no spans."
    " Install the extra `otel`: %s"
)


class Span:
    """A span under way; this one is of nobody who records any."""

    def __init__(self, context: TraceContext) -> None:
        #: what is below it belongs to this
        self.context = context

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Note more; what is None is left out."""

    def fail(self, reason: str) -> None:
        """It ended badly."""


class _Tracer:
    """Records nothing."""

    @contextmanager
    def span(
        self, _name: str, parent: TraceContext, _attributes: Mapping[str, Any], *, began_at: float | None, kind: Kind
    ) -> Iterator[Span]:
        del began_at, kind
        yield Span(parent)


_tracer: Any = _Tracer()


def configure(settings: Settings, process_name: str) -> None:
    """Record spans from now on, if an endpoint is set. After a fork, not before: it starts a thread."""
    global _tracer  # noqa: PLW0603 - one exporter a process, as OpenTelemetry has it
    if not settings.otlp_endpoint:
        return
    try:
        from app.otel import Tracer  # noqa: PLC0415 - imports OpenTelemetry
    except ImportError:
        from app.extras import how_to_install  # noqa: PLC0415 - seldom needed

        log.warning(MISSING, how_to_install("otel"))
        return
    _tracer = Tracer(process_name)


def span(
    name: str,
    parent: TraceContext,
    attributes: Mapping[str, Any],
    *,
    began_at: float | None = None,
    kind: Kind = "internal",
) -> AbstractContextManager[Span]:
    """A span around what is done in it. `began_at`: seconds since the epoch, if it was before. What is raised fails it."""
    found: AbstractContextManager[Span] = _tracer.span(name, parent, attributes, began_at=began_at, kind=kind)
    return found


def of_job(record: JobRecord, **more: Any) -> dict[str, Any]:
    """The attributes of all spans of a job; `more`: of this one, by the names that follow `nightshift.`."""
    found = {"job_id": record.id, "request_id": record.request_id or None, "kind": record.kind, **more}
    return {**{f"nightshift.{name}": value for name, value in found.items()}, "gen_ai.request.model": record.model}
