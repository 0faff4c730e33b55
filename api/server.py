"""`python -m api.server`: the API as a process of its own, one gunicorn worker with many threads."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from api.app import create_app
from api.gunicorn_parts import DrainingArbiter, Log, Worker
from app import allocator, logs, spans
from app.loopback import is_loopback
from app.parent import die_with_parent
from app.private_files import write_private
from app.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask


#: clients keep their connections; an idle one costs a descriptor, seconds
KEEPALIVE_SECONDS = 75
#: from SIGTERM to the end, whatever clients do, seconds
GRACEFUL_SECONDS = 4
#: connections beside those whose requests are being answered
IDLE_CONNECTIONS = 1000
_EXIT_USAGE = 2


@dataclass(frozen=True)
class Started:
    """What the supervisor hands to this process. Without one it opens its own socket."""

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

    def report(self) -> None:
        """Requests are accepted. On a full disk the supervisor does not hear of it, and keeps its old process."""
        path, _, word = self.begun.rpartition(":")
        if path:
            with suppress(OSError):
                write_private(Path(path), word)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn, configured by our settings alone."""

    def __init__(self, settings: Settings, started: Started) -> None:
        self._settings = settings
        self._started = started
        super().__init__()

    def run(self) -> None:
        """Until a signal to stop or to drain."""
        DrainingArbiter(self).run()

    def load_config(self) -> None:
        """Where gunicorn asks for its configuration."""
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        options: dict[str, Any] = {
            "bind": f"{host}:{settings.port}" if self._started.listen_fd is None else f"fd://{self._started.listen_fd}",
            "post_worker_init": lambda _: self._started.report(),
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
    if not settings.api_keys and not is_loopback(settings.host):
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
