"""The API as it really runs: `python -m api.server` on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from chaos.stack import free_port
from chaos.until import PATIENCE_SECONDS
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Answer:
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The body's error, whose four keys are always there."""
        found: dict[str, Any] = self.json["error"]
        assert set(found) == {"message", "type", "param", "code"}
        return found


@dataclass
class RunningApi:
    """A server process."""

    port: int
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """For clients of OpenAI's."""
        return f"http://127.0.0.1:{self.port}/v1"

    def connect(self, timeout: float = PATIENCE_SECONDS) -> HTTPConnection:
        """A connection of one's own, to hold and to drop."""
        return HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = PATIENCE_SECONDS,
    ) -> Answer:
        """One request, one connection."""
        connection = self.connect(timeout)
        with contextlib.closing(connection):
            send(connection, method, path, body, headers)
            return receive(connection)

    def chat(self, content: str = "hi", headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
        """A chat completion."""
        return self.ask("POST", "/v1/chat/completions", chat_body(content, **fields), headers)

    def waiting(self) -> int:
        """How many clients wait in it."""
        return int(self.ask("GET", "/health").json["waiting"])


def chat_body(content: str = "hi", **fields: Any) -> dict[str, Any]:
    """The smallest chat request, and more."""
    return {"model": "sonnet", "messages": [{"role": "user", "content": content}], **fields}


def send(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send a request and don't wait."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})} if data is not None else dict(headers or {})
    connection.request(method, path, data, sent)


def receive(connection: HTTPConnection) -> Answer:
    """The response."""
    response = connection.getresponse()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


@contextlib.contextmanager
def api(redis_url: str, **environment: str) -> Iterator[RunningApi]:
    """A server, ended with all its processes."""
    port = free_port()
    scrubbed = {k: v for k, v in os.environ.items() if not k.startswith("NIGHTSHIFT_")}
    process = subprocess.Popen(
        [os.environ.get("NIGHTSHIFT_TEST_PYTHON", sys.executable), "-m", "api.server"],
        cwd=ROOT,
        env={
            **scrubbed,
            "REDIS_URL": redis_url,
            "NIGHTSHIFT_PORT": str(port),
            # The tests' own worker are no workers that anybody sees.
            "NIGHTSHIFT_NO_WORKER_GRACE_SECONDS": "3600",
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    running = RunningApi(port, process)
    reader = threading.Thread(target=_read, args=(running,), daemon=True)
    reader.start()
    children: list[psutil.Process] = []
    try:
        wait_until(lambda: _listens(running), "the API")
        children = psutil.Process(process.pid).children(recursive=True)
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
        reader.join(PATIENCE_SECONDS)
        if process.stderr is not None:
            process.stderr.close()
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
        for left in alive:
            left.kill()
        assert not alive


def _read(running: RunningApi) -> None:
    assert running.process.stderr is not None
    running.lines.extend(line for line in running.process.stderr)


def _listens(running: RunningApi) -> bool:
    assert running.process.poll() is None, "".join(running.lines)
    try:
        return running.ask("GET", "/health", timeout=2).status == 200
    except OSError:
        return False
