"""A real HTTP receiver on loopback that does what a test tells it to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chaos.until import PATIENCE_SECONDS


@dataclass(frozen=True)
class Received:
    """One request as it came in; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    """Answer with that status; `_` in a header's name stands for `-`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def raw(content: bytes) -> Answer:
    """Write those bytes and hang up."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return answer


class Receiver:
    """Answers 200, or what is next in `script`. `received` grows; `wait_for` waits until it has so many."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.script: list[Answer] = []
        #: set when the test ends: answers that wait, wait for this
        self.over = threading.Event()
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *args: Any) -> None:
                pass  # the client left in the middle, as it should in some tests

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._changed:
            self.received.append(Received(handler.path, headers, body))
            answer = self.script.pop(0) if self.script else status(200)
            self._changed.notify_all()
        answer(handler)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """Its address; other names for this machine make other hosts of it."""
        return f"http://{host}:{self.port}{path}"

    def wait_for(self, count: int, timeout: float = PATIENCE_SECONDS) -> None:
        """Until `count` requests have come in."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, timeout), len(self.received)


@contextlib.contextmanager
def running() -> Iterator[Receiver]:
    """A receiver that runs for the length of the block."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
