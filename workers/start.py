"""How each worker process begins: its name, its settings, its log, and its end with its parent."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from app import allocator, logs, spans
from app.connection import connect
from app.parent import die_with_parent
from app.settings import Settings, SettingsError

if TYPE_CHECKING:
    from redis import Redis


def start(program: str, argv: list[str] | None) -> tuple[str, Settings, Redis]:
    """The worker's name (`--name`), the settings, and its client for short commands.

    RQ has a client of its own: it waits for the queue by it, and changes its timeouts. Exits with 1 and the reason for wrong settings.
    """
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--name", required=True)
    name: str = parser.parse_args(argv).name
    die_with_parent()
    allocator.give_back_large_blocks()
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.exit(str(error))
    logs.configure(settings, name, worker=name)
    spans.configure(settings, name)
    if settings.redis_url is None:
        sys.exit("REDIS_URL is not set: `nightshift up`, `worker` and `callbacks` set it for the processes they start.")
    return name, settings, connect(settings.redis_url)
