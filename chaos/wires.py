"""HTTP connections that somebody else may cut."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

from chaos.stack import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: no byte for so long is a broken connection: longer than any fault lasts, seconds
TIMEOUT_SECONDS = 120.0


class Wires:
    """All connections that are open to one port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._open: dict[int, socket.socket] = {}
        self._next = 0

    def cut(self, choice: int) -> bool:
        """Break one of them, in the midst of whatever it carries. False when there is none."""
        with self._lock:
            if not self._open:
                return False
            numbers = sorted(self._open)
            chosen = self._open[numbers[choice % len(numbers)]]
            with contextlib.suppress(OSError):
                chosen.shutdown(socket.SHUT_RDWR)
            return True

    @contextlib.contextmanager
    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the response is read inside. Raises `OSError` and `HTTPException` for a broken connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        number = -1
        try:
            connection.connect()
            with self._lock:
                number = self._next = self._next + 1
                self._open[number] = connection.sock
            connection.request(method, path, body, dict(headers))
            yield connection.getresponse()
        finally:
            with self._lock:
                self._open.pop(number, None)
            connection.close()

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply | None:
        """A request and its whole answer; None when the connection broke. `body`: bytes as they are, all else as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        try:
            with self.request(method, path, data, sent) as response:
                content = response.read()
                # A body whose end is told by the connection's end would look whole.
                if response.length not in (0, None):
                    return None
                return Reply(response.status, dict(response.headers.items()), _parsed(content))
        except (OSError, http.client.HTTPException):
            return None


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
