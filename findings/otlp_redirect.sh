#!/usr/bin/env bash
# opentelemetry-exporter-otlp-proto-http 1.45.2, Python 3.11: a collector that answers with a redirect.
#
# Collectors behind a proxy answer so when the endpoint is named with http for https, or without the path they live under.
#
# Expected: the spans go to the place that `Location` names, or the export is a failure that is logged, as a 400 is.
#
# Seen: neither. For 301, 302, 307 and 308 `export` returns SUCCESS, nothing is sent to the other place, and nothing is logged:
# every span is lost, and all looks well. Metrics are lost in the same way.
# What works: name the collector's last address, and look for the first span there after each change.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2 \
    opentelemetry-exporter-otlp-proto-http==1.45.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

asked, said = [], []


class Collector(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked.append(self.path)
        _, status, *_ = self.path.split("/")
        self.send_response(int(status))
        if status.startswith("3"):
            self.send_header("Location", "/200/moved")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST


class Log(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


logging.getLogger().addHandler(Log(logging.INFO))
logging.getLogger().setLevel(logging.INFO)
server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"

made = InMemorySpanExporter()
tracing = TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(made))
with tracing.get_tracer("here").start_as_current_span("work"):
    pass
reader = InMemoryMetricReader()
MeterProvider([reader]).get_meter("here").create_counter("jobs").add(1)
metrics = reader.get_metrics_data()


def export(status):
    """What the exporters say of one answer, what was asked for, and what was logged."""
    asked.clear()
    said.clear()
    spans = OTLPSpanExporter(f"{url}/{status}/v1/traces").export(made.get_finished_spans())
    counts = OTLPMetricExporter(f"{url}/{status}/v1/metrics").export(metrics)
    print(status, spans.name, counts.name, asked, said)
    return spans.name, counts.name, list(asked), list(said)


assert export(200) == ("SUCCESS", "SUCCESS", ["/200/v1/traces", "/200/v1/metrics"], [])
*results, asked_for, log = export(400)
assert results == ["FAILURE", "FAILURE"] and len(log) == 2 and "400" in log[0]
for status in (301, 302, 307, 308):
    assert export(status) == ("SUCCESS", "SUCCESS", [f"/{status}/v1/traces", f"/{status}/v1/metrics"], [])
print("as described")
PYTHON
