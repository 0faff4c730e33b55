"""`python -m workers.chat_worker --name NAME`: one worker process, with an engine for each way to Claude that it needs."""

from __future__ import annotations

import logging
import sys

from app.settings import SettingsError
from workers.claude_worker import ClaudeWorker
from workers.engine_by_way import Engines
from workers.start import start
from workers.work_dir import work_dir

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Work until told to stop. 0 after a stop; 1, with the reason, for wrong settings."""
    name, settings, connection = start("chat_worker", argv)
    try:
        with (
            work_dir(settings.data_dir / "workers", name) as own_dir,
            Engines.of_worker(settings, name, own_dir, connection) as engines,
        ):
            log.info("[WORKER] started", extra={"way": ", ".join(engines.ways)})
            ClaudeWorker(name, connection, settings, engines).work()
    except SettingsError as error:
        sys.exit(str(error))
    log.info("[WORKER] stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
