"""gunicorn, taught what the API needs of it: clients read at a pace, errors in OpenAI's shape, and two ways to end.

SIGTERM stops: who waits is sent away. SIGUSR2 leaves: nobody is accepted any more, and who waits has the answer first.
"""

from __future__ import annotations

import json
import logging
import selectors
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers import gthread
from gunicorn.workers.gthread import ThreadWorker

from api.client_socket import PacedSocket
from api.services import EXTENSION
from app import errors, ids
from app.error_codes import ErrorCode
from app.parent import watch_parent

if TYPE_CHECKING:
    from concurrent.futures import Future

    from flask import Flask

    from api.services import Services
    from api.waiting import Waiting

#: one that leaves is asked to stop by its supervisor; a bound for when there is none, seconds
LONGEST_LEAVE_SECONDS = 24 * 3600
#: how often the process that serves looks whether the one above it lives, seconds
PARENT_WATCH_SECONDS = 0.5


class Connection(gthread.TConn):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's, read at a pace."""

    def init(self) -> None:
        """Before the first request, in a thread of its own."""
        is_new = not self.initialized
        super().init()
        if is_new:
            self.parser.unreader.sock = PacedSocket(self.sock)

    def wait_for_data(self, timeout: float) -> bool:
        """At once: a thread that waits for clients who say nothing is missing to those who ask."""
        del timeout
        return bool(super().wait_for_data(0))

    def close(self, graceful: bool = False) -> None:
        """Once: a second time fails, and gunicorn then counts two connections that have ended."""
        if self.sock.fileno() >= 0:
            super().close(graceful)


gthread.TConn = Connection


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's threaded worker that sends waiting clients away when it stops, and errs in OpenAI's shape."""

    def init_process(self) -> None:
        """First thing after the fork."""
        # Killed, gunicorn's arbiter leaves this process serving for seconds, and the port taken.
        watch_parent(self.ppid, PARENT_WATCH_SECONDS)
        super().init_process()

    def init_signals(self) -> None:
        """gunicorn's, and SIGUSR2."""
        super().init_signals()
        signal.signal(signal.SIGUSR2, self._drain)
        signal.siginterrupt(signal.SIGUSR2, False)

    def _drain(self, sig: int, frame: Any) -> None:
        """SIGUSR2: accept nobody any more, let those who wait have their answers, then end."""
        if (waiting := self._waiting()) is not None:
            waiting.is_draining = True
        self.cfg.set("graceful_timeout", LONGEST_LEAVE_SECONDS)
        super().handle_exit(sig, frame)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: send those who wait away, then end."""
        if (waiting := self._waiting()) is not None:
            waiting.stop()
        super().handle_exit(sig, frame)

    def _waiting(self) -> Waiting | None:
        application: Flask | None = self.app.callable
        if application is None:
            return None
        services: Services = application.extensions[EXTENSION]
        return services.waiting

    def handle(self, conn: Connection) -> Any:
        """The next request of a connection."""
        if conn.initialized:
            conn.parser.unreader.sock.begin()
        goes_on = super().handle(conn)
        if not goes_on:
            # Here, and not in the one thread that accepts: a client that goes on sending takes two seconds of it, and
            # sixteen of them have the arbiter kill this process.
            conn.close(graceful=True)
        return goes_on

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """It was looked at. One on which nothing had come is kept for a moment by a process that ends, too.

        gunicorn's own closes it then, though its client has just connected and is about to ask.
        """
        if self.alive or fs.cancelled() or fs.exception() is not None or fs.result() is not gthread._DEFER:  # noqa: SLF001
            super().finish_request(conn, fs)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + gthread.STOP_KEEPALIVE_LINGER
        # The first to be given up.
        self.pending_conns.appendleft(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Its headers are read."""
        conn.parser.unreader.sock.begin_body()
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002 - gunicorn's signature
        """What is not even HTTP, or too long in its head, never reaches the application."""
        self.log.warning("[HTTP] refused: %s", type(exc).__name__)
        reply = _REFUSALS.get(type(exc).__name__) or errors.invalid_request(
            "The request is not valid HTTP/1.1.", code=ErrorCode.INVALID_HTTP
        )
        body = json.dumps(reply.body()).encode()
        head = {
            **reply.headers(),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "x-request-id": ids.new_request_id(),
        }
        lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Bad Request')}"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        try:
            client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        except OSError:
            self.log.debug("the client has gone")


_REASONS = {414: "URI Too Long", 431: "Request Header Fields Too Large"}
_REFUSALS = {
    "LimitRequestLine": errors.ErrorReply(414, "The URL is too long.", code=ErrorCode.URL_TOO_LONG),
    "LimitRequestHeaders": errors.ErrorReply(431, "The headers are too large.", code=ErrorCode.HEADERS_TOO_LARGE),
}


class DrainingArbiter(Arbiter):  # type: ignore[misc]  # gunicorn ships no types
    """The process above the one that serves. SIGUSR2 makes both leave: another accepts from the same socket."""

    _is_draining = False
    _stops = False

    def handle_usr2(self) -> None:
        """In place of gunicorn's own way, which would leave its successor to nobody."""
        self._is_draining = True
        self.cfg.set("graceful_timeout", LONGEST_LEAVE_SECONDS)
        raise StopIteration

    def kill_workers(self, sig: int) -> None:
        """One that leaves has its worker leave."""
        drains = self._is_draining and not self._stops and sig == signal.SIGTERM
        super().kill_workers(signal.SIGUSR2 if drains else sig)

    def signal(self, sig: int, frame: Any) -> None:
        """While it leaves, gunicorn waits in a loop of its own, and would not hear a SIGTERM."""
        if sig == signal.SIGTERM:
            self._stops = True
            if self._is_draining:
                self.kill_workers(sig)
        super().signal(sig, frame)


class Log(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Sends gunicorn's log lines where all of ours are sent."""

    def setup(self, cfg: Any) -> None:
        """In place of handlers of its own."""
        del cfg
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)
