"""A real receiver of OpenTelemetry's spans, on loopback: OTLP over HTTP, decoded by OpenTelemetry's own types."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Received:
    """A span; ids in hexadecimal, times in seconds since the epoch."""

    name: str
    trace: str
    id: str
    parent: str
    began_at: float
    ended_at: float
    failed: bool
    attributes: dict[str, Any]
    #: the process that sent it
    process: str


class OtlpReceiver:
    """`url` is for `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.bodies: list[bytes] = []
        self._lock = threading.Lock()
        self._spans: list[Received] = []

    def spans(self, trace: str) -> list[Received]:
        """Those of one trace, in the order in which they began."""
        with self._lock:
            return sorted((s for s in self._spans if s.trace == trace), key=lambda s: s.began_at)

    def take(self, body: bytes) -> None:
        """What was posted."""
        found = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self.bodies.append(body)
            for resource in found.resource_spans:
                process = {one.key: one.value.string_value for one in resource.resource.attributes}[
                    "service.instance.id"
                ]
                self._spans += [_read(s, process) for scope in resource.scope_spans for s in scope.spans]


@contextmanager
def receiving() -> Iterator[OtlpReceiver]:
    """Until the end of `with`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = OtlpReceiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _read(span: Any, process: str) -> Received:
    values = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
    return Received(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        began_at=span.start_time_unix_nano / 1e9,
        ended_at=span.end_time_unix_nano / 1e9,
        failed=span.status.code == 2,
        attributes=values,
        process=process,
    )
