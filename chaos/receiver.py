"""A receiver of callbacks, and of messages for people, on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from chaos.ledger import Ledger


class Receiver:
    """Says 204 to everything and notes it; `with Receiver(ledger) as receiver`."""

    def __init__(self, ledger: Ledger) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.startswith("/callback"):
                    ledger.deliver(str(body["data"]["id"]), str(body["id"]))
                else:
                    ledger.hear(str(body["title"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # senders are killed in mid-sentence

    @property
    def url(self) -> str:
        """For `callback_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/callback"

    @staticmethod
    def notify_url(callback_url: str) -> str:
        """For `notify`, of the receiver that has this URL."""
        return callback_url.replace("http://", "json://").replace("/callback", "/message")

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
