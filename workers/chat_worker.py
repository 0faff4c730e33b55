"""`python -m workers.chat_worker --name NAME`: one worker process, with one Claude."""

from __future__ import annotations

import argparse
import logging
import sys

from app import logs
from app.connection import connect_blocking
from app.settings import Settings, SettingsError
from app.stack.child import die_with_parent
from workers.claude import ClaudeInvoker
from workers.claude_worker import ClaudeWorker
from workers.work_dir import work_dir

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Work until told to stop. 0 after a stop; 1, with the reason, for wrong settings."""
    parser = argparse.ArgumentParser(prog="chat_worker")
    parser.add_argument("--name", required=True)
    name = parser.parse_args(argv).name
    die_with_parent()
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.exit(str(error))
    logs.configure(settings, name)
    if settings.redis_url is None:
        sys.exit("REDIS_URL is not set: `nightshift up` and `nightshift worker` set it for their workers.")
    with (
        work_dir(settings.data_dir / "workers", name) as own_dir,
        ClaudeInvoker(settings, name=name, work_dir=own_dir) as invoker,
    ):
        log.info("[WORKER] started")
        ClaudeWorker(name, connect_blocking(settings.redis_url), settings, invoker).work()
    log.info("[WORKER] stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
