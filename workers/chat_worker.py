"""`python -m workers.chat_worker --name NAME`: one worker process, with one Claude."""

from __future__ import annotations

import logging
import sys

from workers.claude import CliEngine
from workers.claude_worker import ClaudeWorker
from workers.restart_log import RestartLog
from workers.start import start
from workers.work_dir import work_dir

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Work until told to stop. 0 after a stop; 1, with the reason, for wrong settings."""
    name, settings, connection = start("chat_worker", argv)
    memory_limits_mb = {"rss": settings.max_rss_mb, "rss_hard": settings.hardest_rss_mb}
    with (
        work_dir(settings.data_dir / "workers", name) as own_dir,
        RestartLog(connection, name, memory_limits_mb) as restarts,
        CliEngine(settings, name=name, work_dir=own_dir, on_restart=restarts.note) as engine,
    ):
        log.info("[WORKER] started")
        ClaudeWorker(name, connection, settings, engine).work()
    log.info("[WORKER] stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
