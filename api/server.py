"""`python -m api.server`: the API as a process of its own, one gunicorn worker with many threads."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from api import auth
from api.app import create_app
from api.services import EXTENSION
from app import errors, ids, logs, spans
from app.settings import Settings, SettingsError
from app.stack.child import die_with_parent, watch_parent

if TYPE_CHECKING:
    from flask import Flask

#: clients keep their connections; an idle one costs a descriptor, seconds
KEEPALIVE_SECONDS = 75
#: from SIGTERM to the end, whatever clients do, seconds
GRACEFUL_SECONDS = 4
#: connections beside those whose requests are being answered
IDLE_CONNECTIONS = 1000
#: how often the process that serves looks whether the one above it lives, seconds
PARENT_WATCH_SECONDS = 0.5
_EXIT_USAGE = 2


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's threaded worker that sends waiting clients away when it is told to stop, and errs in OpenAI's shape."""

    def init_process(self) -> None:
        """First thing after the fork."""
        # Killed, gunicorn's arbiter leaves this process serving for seconds, and the port taken.
        watch_parent(self.ppid, PARENT_WATCH_SECONDS)
        super().init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: answer those who wait, then end."""
        application: Flask | None = self.app.callable
        if application is not None:
            application.extensions[EXTENSION].waiting.stop()
        super().handle_exit(sig, frame)

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


class Log(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """What gunicorn has to say goes where all our lines go."""

    def setup(self, cfg: Any) -> None:
        """In place of handlers of its own."""
        del cfg
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn, told everything by our settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Where gunicorn asks for its configuration."""
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        options: dict[str, Any] = {
            "bind": f"{host}:{settings.port}",
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


def main() -> None:
    """Serve until SIGTERM."""
    try:
        settings = Settings.from_environment()
        check(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(_EXIT_USAGE) from error
    logs.configure(settings, "api")
    die_with_parent()
    Server(settings).run()


def _memory_directory() -> str | None:
    """Where gunicorn's heartbeat file does not touch a disk."""
    place = Path("/dev/shm")  # noqa: S108 - gunicorn makes a file of a random name in it
    return str(place) if place.is_dir() and os.access(place, os.W_OK) else None


if __name__ == "__main__":
    main()
