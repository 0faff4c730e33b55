"""`python -m api.server`: the API as a process of its own, one gunicorn worker with many threads."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers import gthread
from gunicorn.workers.gthread import ThreadWorker

from api import auth
from api.app import create_app
from api.pace import PacedSocket
from api.services import EXTENSION
from app import allocator, errors, ids, logs, spans
from app.settings import Settings, SettingsError
from app.stack.child import die_with_parent, watch_parent
from app.stack.data_dir import write_private

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask

    from api.services import Services
    from api.waiting import Waiting

#: clients keep their connections; an idle one costs a descriptor, seconds
KEEPALIVE_SECONDS = 75
#: from SIGTERM to the end, whatever clients do, seconds
GRACEFUL_SECONDS = 4
#: one that leaves is asked to stop by its supervisor; a bound for when there is none, seconds
LONGEST_LEAVE_SECONDS = 24 * 3600
#: connections beside those whose requests are being answered
IDLE_CONNECTIONS = 1000
#: how often the process that serves looks whether the one above it lives, seconds
PARENT_WATCH_SECONDS = 0.5
_EXIT_USAGE = 2


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
    """gunicorn's threaded worker that sends waiting clients away when it is told to stop, and errs in OpenAI's shape."""

    def init_process(self) -> None:
        """First thing after the fork."""
        # Killed, gunicorn's arbiter leaves this process serving for seconds, and the port taken.
        watch_parent(self.ppid, PARENT_WATCH_SECONDS)
        super().init_process()

    def init_signals(self) -> None:
        """gunicorn's, and SIGUSR2."""
        super().init_signals()
        signal.signal(signal.SIGUSR2, self._leave)
        signal.siginterrupt(signal.SIGUSR2, False)

    def _leave(self, sig: int, frame: Any) -> None:
        """SIGUSR2: accept nobody any more, let those who wait have their answers, then end."""
        if (waiting := self._waiting()) is not None:
            waiting.is_leaving = True
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
        here: Services = application.extensions[EXTENSION]
        return here.waiting

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

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Its headers are read."""
        conn.parser.unreader.sock.begin_body()
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002 - gunicorn's signature
        """What is not even HTTP, or too long in its head, never reaches the application."""
        self.log.warning("[HTTP] refused: %s", type(exc).__name__)
        reply = _REFUSALS.get(type(exc).__name__) or errors.invalid_request(
            "The request is not valid HTTP/1.1.", code="invalid_http"
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
    "LimitRequestLine": errors.ErrorReply(414, "The URL is too long.", code="url_too_long"),
    "LimitRequestHeaders": errors.ErrorReply(431, "The headers are too large.", code="headers_too_large"),
}


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn ships no types
    """The process above the one that serves. SIGUSR2 makes both leave: another accepts from the same socket."""

    _leaves = False
    _stops = False

    def handle_usr2(self) -> None:
        """In place of gunicorn's own way, which would leave its successor to nobody."""
        self._leaves = True
        self.cfg.set("graceful_timeout", LONGEST_LEAVE_SECONDS)
        raise StopIteration

    def kill_workers(self, sig: int) -> None:
        """One that leaves has its worker leave."""
        leaves = self._leaves and not self._stops and sig == signal.SIGTERM
        super().kill_workers(signal.SIGUSR2 if leaves else sig)

    def signal(self, sig: int, frame: Any) -> None:
        """While it leaves, gunicorn waits in a loop of its own, and would not hear a SIGTERM."""
        if sig == signal.SIGTERM:
            self._stops = True
            if self._leaves:
                self.kill_workers(sig)
        super().signal(sig, frame)


class Log(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """What gunicorn has to say goes where all our lines go."""

    def setup(self, cfg: Any) -> None:
        """In place of handlers of its own."""
        del cfg
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)


@dataclass(frozen=True)
class Started:
    """What the supervisor that starts this process has to say. Alone it listens by itself."""

    listen_fd: int | None = None
    #: `FILE:WORD`: the word is written there as soon as requests are accepted
    begun: str = ""

    @classmethod
    def parse(cls, argv: Sequence[str] | None) -> Started:
        """From the command line."""
        parser = argparse.ArgumentParser(prog="api.server")
        parser.add_argument("--listen-fd", type=int)
        parser.add_argument("--begun", default="")
        return cls(**vars(parser.parse_args(argv)))

    def tell(self) -> None:
        """Requests are accepted. On a full disk the supervisor does not hear of it, and keeps its old process."""
        path, _, word = self.begun.rpartition(":")
        if path:
            with suppress(OSError):
                write_private(Path(path), word)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn, told everything by our settings."""

    def __init__(self, settings: Settings, started: Started) -> None:
        self._settings = settings
        self._started = started
        super().__init__()

    def run(self) -> None:
        """Until it is told to stop or to leave."""
        _Arbiter(self).run()

    def load_config(self) -> None:
        """Where gunicorn asks for its configuration."""
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        options: dict[str, Any] = {
            "bind": f"{host}:{settings.port}" if self._started.listen_fd is None else f"fd://{self._started.listen_fd}",
            "post_worker_init": lambda _: self._started.tell(),
            "worker_class": Worker,
            "workers": 1,
            "threads": settings.api_threads,
            "worker_connections": settings.api_threads + IDLE_CONNECTIONS,
            "keepalive": KEEPALIVE_SECONDS,
            "graceful_timeout": GRACEFUL_SECONDS,
            "proc_name": "nightshift-api",
            "worker_tmp_dir": _memory_directory(),
            "control_socket_disable": True,
            "limit_request_line": 8190,
            "limit_request_fields": 100,
            "limit_request_field_size": 16 * 1024,
            "forwarded_allow_ips": "",
            "accesslog": None,
            "logger_class": Log,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in the worker process, after the fork: no connection and no thread is inherited."""
        spans.configure(self._settings, "api")
        return create_app(self._settings)


def check(settings: Settings) -> None:
    """Refuse to be open to the network without keys. Raises `SettingsError`."""
    if not settings.api_keys and not auth.is_loopback(settings.host):
        raise SettingsError(
            f"The API would listen on {settings.host} without keys. Set NIGHTSHIFT_API_KEYS, or listen on 127.0.0.1."
        )
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: `nightshift up` starts a server and sets it for the API.")


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    started = Started.parse(argv)
    try:
        settings = Settings.from_environment()
        check(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(_EXIT_USAGE) from error
    logs.configure(settings, "api")
    die_with_parent()
    allocator.give_back_large_blocks()
    Server(settings, started).run()


def _memory_directory() -> str | None:
    """Where gunicorn's heartbeat file does not touch a disk."""
    place = Path("/dev/shm")  # noqa: S108 - gunicorn makes a file of a random name in it
    return str(place) if place.is_dir() and os.access(place, os.W_OK) else None


if __name__ == "__main__":
    main()
