"""The morning report of a batch, made of what others have written: it reads the storage and the history, and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import clock
from app.batches.report import conditions, examples, line_stats
from app.batches.report.build import Report, add_up

if TYPE_CHECKING:
    from redis import Redis

    from app.batches.record import BatchRecord
    from app.batches.storage import Readable

__all__ = ["Report", "of_batch"]


def of_batch(connection: Redis, storage: Readable, record: BatchRecord, batch_window: str) -> Report:
    """The report of a batch as it is now. `batch_window`: that of the settings, for a batch that has none of its own."""
    now = clock.now()
    around = conditions.frozen(storage, record.id) if record.status.is_final else None
    if around is None:
        around = conditions.gather(connection, record, batch_window, min(now, record.ended_at or now))
    return add_up(record, line_stats.read(storage, record), around, examples.failures(storage, record), now)
