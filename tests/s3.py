"""An object store for tests: a server that speaks S3, in an environment of its own, behind a proxy that fails as asked.

`scripts/prepare.py requirements-s3.lock` makes the environment; tests that need it are skipped without it, and fail in CI.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ops.supervisor import child
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

_ENVIRONMENT = Path(__file__).parent.parent / ".venv-s3"
_SERVER = _ENVIRONMENT / "bin" / "moto_server"
#: written when all is installed, which goes on beside the tests in CI
_STAMP = _ENVIRONMENT / ".installed-requirements-s3.lock"
_CI_SECONDS = 300.0
#: of the server, on a busy machine: whoever waits longer than that holds the lock against all others
_ANSWER_SECONDS = 30.0
_EMPTY_LIST = (
    b'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Name>b</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>"
)


class Fault(StrEnum):
    """What becomes of one request."""

    UNAVAILABLE = "it is answered with 503"
    LOST_ANSWER = "it is done, and its answer is lost"
    CUT = "the connection ends in the middle of it, or of its answer"
    REFUSED = "it is answered with 403"
    FULL = "it is answered with 507"
    OLD_LIST = "a list that lags has nothing yet"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3ForTests._Proxy

    def _do(self) -> None:
        wanted = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(wanted)
        if len(body) < wanted:
            # Its client has broken it off. The server would wait for the rest for ever, and all others for the lock.
            self.close_connection = True
            return
        store = self.server.store
        fault = store.fault(self.command, self.path)
        store.requests.append((self.command, self.path))
        if fault in _STATUS:
            self._answer(_STATUS[fault], {}, b"<Error><Code>" + fault.name.encode() + b"</Code></Error>")
            return
        if fault is Fault.OLD_LIST:
            self._answer(200, {"Content-Type": "application/xml"}, _EMPTY_LIST)
            return
        if fault is Fault.CUT and self.command != "GET":
            self._hang_up()
            return
        with store.lock:  # the server replaces an object in two steps
            upstream = store.connection()
            kept = {
                name: value
                for name, value in self.headers.items()
                if not (store.drops_conditions and name.lower().startswith("if-"))
            }
            upstream.request(self.command, self.path, body, kept)
            answer = upstream.getresponse()
            data = answer.read()
            length = answer.getheader("Content-Length", "0")
            upstream.close()
        if fault is Fault.LOST_ANSWER:
            self._hang_up()
            return
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_THE_CONNECTION}
        if self.command == "HEAD":
            headers["Content-Length"] = length
        self._answer(answer.status, headers, data, is_cut=fault is Fault.CUT)

    def _answer(self, status: int, headers: dict[str, str], data: bytes, *, is_cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if is_cut else data)
        if is_cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_args: object) -> None:
        """Nothing."""


_STATUS = {Fault.UNAVAILABLE: 503, Fault.REFUSED: 403, Fault.FULL: 507}
_OF_THE_CONNECTION = ("connection", "transfer-encoding", "date", "server", "content-length")


for _method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
    setattr(_Handler, f"do_{_method}", _Handler._do)


class S3ForTests:
    """Its clients take `environment`."""

    class _Proxy(ThreadingHTTPServer):
        daemon_threads = True
        store: S3ForTests

    def __init__(self) -> None:
        #: which fault a request has, by its method and path
        self.fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
        self.requests: list[tuple[str, str]] = []
        #: whether it ignores If-Match and If-None-Match, as some stores do
        self.drops_conditions = False
        self.lock = threading.Lock()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.upstream_port = free.getsockname()[1]
        argv = [str(_SERVER), "-H", "127.0.0.1", "-p", str(self.upstream_port)]
        if sys.platform == "linux":
            argv = child.command(argv)
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._proxy = self._Proxy(("127.0.0.1", 0), _Handler)
        self._proxy.store = self
        threading.Thread(target=self._proxy.serve_forever, args=(0.05,), daemon=True).start()
        wait_until(self._answers, "an answer of the object store")

    @property
    def environment(self) -> dict[str, str]:
        """What a user sets."""
        return {
            "AWS_ENDPOINT_URL": "http://{}:{}".format(*self.address),
            "AWS_ACCESS_KEY_ID": "key-of-tests",
            "AWS_SECRET_ACCESS_KEY": "secret-of-tests",
            "AWS_REGION": "us-east-1",
        }

    def clear(self) -> None:
        """No fault, no request, and one empty bucket: `nightshift`."""
        self.heal()
        self.drops_conditions = False
        self._ask("POST", "/moto-api/reset")
        self._ask("PUT", "/nightshift")
        self.requests.clear()

    def fail(self, fault: Fault, method: str, path: str, times: int = 10**9) -> None:
        """That fault for the next requests of that method (a regular expression) whose path has a match of that one."""
        left = [times]

        def found(asked: str, of: str) -> Fault | None:
            if not left[0] or not re.fullmatch(method, asked) or not re.search(path, of):
                return None
            left[0] -= 1
            return fault

        self.fault = found

    def heal(self) -> None:
        """No fault."""
        self.fault = lambda _method, _path: None

    def put(self, path: str, data: bytes) -> None:
        """An object of somebody else's, in the bucket."""
        self._ask("PUT", f"/nightshift/{path}", data)

    def close(self) -> None:
        """End it."""
        self._proxy.shutdown()
        self._proxy.server_close()
        self._process.terminate()
        self._process.wait(10)

    def connection(self) -> http.client.HTTPConnection:
        """To the server itself, past the faults."""
        return http.client.HTTPConnection("127.0.0.1", self.upstream_port, timeout=_ANSWER_SECONDS)

    @property
    def address(self) -> tuple[str, int]:
        """Of the proxy."""
        return "127.0.0.1", self._proxy.server_address[1]

    def _ask(self, method: str, path: str, data: bytes = b"") -> int:
        connection = self.connection()
        try:
            headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request"}
            connection.request(method, path, data, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            return self._ask("GET", "/moto-api/") < 500
        except OSError:
            return False


def started() -> S3ForTests:
    """A server; the test is skipped where its environment is missing, which is a failure in CI."""
    if os.environ.get("CI") == "true":
        wait_until(_STAMP.exists, "the environment that .ci/run makes", _CI_SECONDS)
    if _STAMP.exists():
        return S3ForTests()
    pytest.skip("needs .venv-s3: scripts/prepare.py requirements-s3.lock makes it")
