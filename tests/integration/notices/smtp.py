"""A mail server on loopback that takes everything and keeps it."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage


class Mail:
    """What has come."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.port = 0


@contextlib.contextmanager
def running() -> Iterator[Mail]:
    """A server that runs for the length of the block."""
    mail = Mail()

    class Handler(socketserver.StreamRequestHandler):
        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self._say("220 here")
            while line := self.rfile.readline():
                command = line[:4].upper().strip()
                if command == b"EHLO":
                    self._say("250-here\r\n250 AUTH PLAIN LOGIN")
                elif command == b"AUTH":
                    self._say("235 yes")
                elif command == b"DATA":
                    self._say("354 go on")
                    data = b"".join(iter(self.rfile.readline, b".\r\n"))
                    mail.messages.append(message_from_bytes(data, policy=default))
                    self._say("250 taken")
                elif command == b"QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 yes")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        mail.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield mail
        server.shutdown()
