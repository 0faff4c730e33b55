"""OpenTelemetry in a process: not there unless asked for, no hindrance when its receiver is away, and whole at the end."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from app import spans, trace_context
from app.settings import Settings
from app.trace_context import NONE, TraceContext
from tests.integration.api.running import api
from tests.otlp_receiver import receiving

ROOT = Path(__file__).parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
MODULES = (
    "api.server",
    "ops.cli.main",
    "ops.cli.up",
    "workers.chat_worker",
    "workers.callback_worker",
    "workers.tasks",
)


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "NIGHTSHIFT_"))}
    argv = [sys.executable, "-c", code]
    return subprocess.run(
        argv, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=False, timeout=180
    )


def test_nothing_is_imported_without_an_endpoint() -> None:
    """No process imports what makes and sends spans; redis and mcp import OpenTelemetry's API where it is installed."""
    done = run(
        f"import importlib, sys\nfor name in {MODULES}: importlib.import_module(name)\n"
        "from app import spans\nfrom app.settings import Settings\nfrom app.trace_context import NONE\n"
        "spans.configure(Settings.from_environment(), 'test')\n"
        "with spans.span('turn', NONE, {}) as span: assert span.context == NONE\n"
        "print([name for name in sys.modules if name.startswith(('app.otel', 'opentelemetry.exporter'))])"
    )
    assert done.stdout.strip() == "[]", done.stderr


ONE_SPAN = f"""
import logging
from app import spans
from app.settings import Settings
from app.trace_context import TraceContext
logging.basicConfig(level="INFO")
spans.configure(Settings.from_environment(), "test")
for number in range(3):
    with spans.span("turn", TraceContext("{PARENT}"), {{}}): pass
    if FLUSH: spans._tracer._provider.force_flush()
"""


def test_a_receiver_that_is_away() -> None:
    """It is told once, however often nothing can be delivered, and the process ends as it should."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    done = run(f"FLUSH = True{ONE_SPAN}", **environment)
    assert (done.returncode, done.stderr.count("[TRACING]")) == (0, 1), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_left_at_the_end_is_sent(redis_url: str) -> None:
    """A process that ends, and an API that is told to stop, send what they have not sent yet."""
    trace = secrets.token_hex(16)
    with receiving() as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        run(f"FLUSH = False{ONE_SPAN}", **environment)
        assert len(collector.spans(TRACE)) == 3
        with api(redis_url, **environment) as server:
            headers = {"Prefer": "respond-async", "traceparent": PARENT.replace(TRACE, trace)}
            assert server.chat(headers=headers).status == 202
            assert collector.spans(trace) == []
        assert [span.name for span in collector.spans(trace)] == ["accept"]


def test_an_endpoint_without_the_extra(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what to install, and everything goes on; OpenTelemetry's API may be there all the same, as mcp wants it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "app.otel", raising=False)
    with caplog.at_level(logging.WARNING):
        spans.configure(Settings(otlp_endpoint="http://127.0.0.1:4318"), "test")
    assert "-m pip install 'claude-nightshift[otel]'" in caplog.text
    with spans.span("turn", NONE, {}) as span:
        span.set({"a": 1})
        span.fail("x")


@pytest.mark.parametrize(
    ("parent", "state", "wanted"),
    [
        (PARENT, "a=1,b=2", TraceContext(PARENT, "a=1,b=2")),
        (PARENT, "a=1\r\nx-forged: 1", TraceContext(PARENT)),
        (PARENT, "a" * 513, TraceContext(PARENT)),
        (f"01-{PARENT[3:]}-more", "", TraceContext(f"01-{PARENT[3:]}-more")),
        (f"{PARENT}-more", "a=1", NONE),
        (f"ff-{PARENT[3:]}", "", NONE),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", "", NONE),
        (f"00-{TRACE}-{'0' * 16}-01", "", NONE),
        (PARENT.upper(), "", NONE),
        (f"01-{PARENT[3:]}-\n", "", NONE),
        ("", "a=1", NONE),
    ],
)
def test_what_clients_send(parent: str, state: str, wanted: TraceContext) -> None:
    """A trace as W3C writes it is carried on; anything else is no trace, and can't become another header."""
    assert trace_context.parse(parent, state) == wanted
