"""`python -m workers.chat_worker --name NAME`: one worker process, with one Claude."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING

from app.recycle_reason import RecycleReason
from app.settings import SettingsError
from app.ways import Way
from workers.claude_worker import ClaudeWorker
from workers.recycle_log import RecycleLog
from workers.start import start
from workers.work_dir import work_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from app.settings import Settings
    from workers.engine import Engine

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Work until told to stop. 0 after a stop; 1, with the reason, for wrong settings."""
    name, settings, connection = start("chat_worker", argv)
    try:
        with (
            work_dir(settings.data_dir / "workers", name) as own_dir,
            _engine(settings, name, own_dir, connection) as one,
        ):
            log.info("[WORKER] started", extra={"way": settings.way})
            ClaudeWorker(name, connection, settings, one).work()
    except SettingsError as error:
        sys.exit(str(error))
    log.info("[WORKER] stopped")
    return 0


@contextlib.contextmanager
def _engine(settings: Settings, name: str, own_dir: Path, connection: Redis) -> Iterator[Engine]:
    """That of the way in use, started. The others are not even imported: one costs more memory than all the rest of a worker."""
    if settings.way is Way.API:
        from workers.messages_api import ApiEngine  # noqa: PLC0415

        with ApiEngine(settings, name=name) as api:
            yield api
        return
    from workers.claude import CliEngine  # noqa: PLC0415

    memory_limits_mb: dict[str, float] = {
        RecycleReason.RSS: settings.max_rss_mb,
        RecycleReason.RSS_HARD: settings.hardest_rss_mb,
    }
    with (
        RecycleLog(connection, name, memory_limits_mb) as recycles,
        CliEngine(settings, name=name, work_dir=own_dir, on_recycle=recycles.note) as cli,
    ):
        yield cli


if __name__ == "__main__":
    sys.exit(main())
