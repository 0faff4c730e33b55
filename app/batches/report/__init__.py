"""The morning report of a batch, made of what others have written: it reads the storage and the history, and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app import clock
from app.batches.head import PRIMED_LINES, is_kept
from app.batches.lines import LineReader
from app.batches.report import conditions, examples, forecast, line_stats
from app.batches.report.build import Report, add_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from app.batches.record import BatchRecord
    from app.batches.report.forecast import Forecast
    from app.batches.storage import Readable
    from app.ways import Way

__all__ = ["Given", "Report", "of_batch"]

#: tokens that models read, and with `[1m]` behind their name
CONTEXT, LARGE_CONTEXT = 200_000, 1_000_000


@dataclass(frozen=True)
class Given:
    """What a report needs to know beside the batch."""

    #: that of the settings, for a batch that has none of its own
    batch_window: str = ""
    #: the ways that its lines may go
    ways: Sequence[Way] = ()
    #: workers that take its lines
    workers: int = 0


def of_batch(connection: Redis, storage: Readable, record: BatchRecord, given: Given) -> Report:
    """The report of a batch as it is now."""
    now = clock.now()
    around = conditions.frozen(storage, record.id) if record.status.is_final else None
    if around is None:
        around = conditions.gather(connection, record, given.batch_window, given.ways, min(now, record.ended_at or now))
    found = add_up(record, line_stats.read(storage, record), around, examples.failures(storage, record), now)
    return replace(found, forecast=_forecast(storage, record, given)) if record.tried else found


def _forecast(storage: Readable, record: BatchRecord, given: Given) -> Forecast | None:
    """None also where the input is gone."""
    # The first lines were copied, the next ones tried.
    lines = (replace(line, number=line.number - record.copied) for line in line_stats.read(storage, record))
    tried = [line for line in lines if line.number < record.tried]
    try:
        lengths = LineReader(storage, record.id).all_lengths()[record.copied :]
    except OSError:
        return None
    context_tokens = LARGE_CONTEXT if "[1m]" in record.model else CONTEXT
    in_parts = is_kept(record) and record.total - len(tried) >= PRIMED_LINES
    return forecast.of(
        tried,
        lengths,
        ways=given.ways,
        workers=given.workers,
        context_tokens=context_tokens,
        saves_in_parts=in_parts,
    )
