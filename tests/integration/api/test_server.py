"""The process itself: what is not even HTTP, sizes, settings that it refuses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.integration.api.running import ROOT, api, chat_body

if TYPE_CHECKING:
    from tests.integration.api.running import RunningApi


def raw(server: RunningApi, request: bytes) -> tuple[int, dict[str, str]]:
    """Send bytes; the status and OpenAI's error object of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"x-request-id: req_" in head
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_bad_http(server: RunningApi, request_bytes: bytes, status: int) -> None:
    """Even what is not HTTP gets OpenAI's error and a request id."""
    found, error = raw(server, request_bytes)
    assert found == status
    assert set(error) == {"message", "type", "param", "code"}


def test_body_over_the_limit(redis_url: str) -> None:
    """Too large a body is a 413 that names the setting, with and without a Content-Length."""
    with api(redis_url, NIGHTSHIFT_MAX_BODY_BYTES="1000") as server:
        answer = server.chat("a" * 2000)
        assert (answer.status, answer.error["code"]) == (413, "request_too_large")
        assert "NIGHTSHIFT_MAX_BODY_BYTES" in answer.error["message"]
        body = json.dumps(chat_body("a" * 2000)).encode()
        status, _ = raw(
            server,
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%b\r\n0\r\n\r\n"
            % (len(body), body),
        )
        assert status == 413


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"NIGHTSHIFT_HOST": "0.0.0.0", "REDIS_URL": "unix:///none"}, "NIGHTSHIFT_API_KEYS"),
        ({"NIGHTSHIFT_HOST": "::", "REDIS_URL": "unix:///none"}, "NIGHTSHIFT_API_KEYS"),
        ({}, "REDIS_URL"),
        ({"NIGHTSHIFT_PORT": "x"}, "NIGHTSHIFT_PORT"),
    ],
)
def test_refused_settings(environment: dict[str, str], named: str) -> None:
    """A start that would be wrong ends with a sentence that names the setting, and no traceback."""
    scrubbed = {k: v for k, v in os.environ.items() if not k.startswith(("NIGHTSHIFT_", "REDIS"))}
    found = subprocess.run(
        [sys.executable, "-m", "api.server"],
        cwd=ROOT,
        env={**scrubbed, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 2
    assert named in found.stderr
    assert "Traceback" not in found.stderr


def test_killed(redis_url: str) -> None:
    """Killed with -9, it leaves nothing behind, and the port is free within moments."""
    with api(redis_url) as server:
        (child,) = psutil.Process(server.process.pid).children()
        server.process.kill()
        server.process.wait(120)
        child.wait(60)
        socket.create_server(("127.0.0.1", server.port)).close()


def test_imports() -> None:
    """The API process never loads the workers or Claude's SDK."""
    code = (
        "import sys, api.server; print([m for m in sys.modules if m.split('.')[0] in ('workers', 'claude_agent_sdk')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=180, check=True
    )
    assert found.stdout.strip() == "[]"
