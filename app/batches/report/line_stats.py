"""What is known of each line that has ended, beside its answer or error: for the batch's report.

One JSON array a line in the batch's own folder, some 100 bytes, in the order in which they ended. It is written and counted as the
output is: bytes beyond the counted length do not count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from app import clock
from app.batches.output import LineEnd
from app.batches.storage import counted_lines, names
from app.outcome import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.output import Ended
    from app.batches.record import BatchRecord
    from app.batches.storage import Readable
    from app.jobs.record import JobRecord


@dataclass(frozen=True, slots=True)
class LineStats:
    """One line that has ended. The fields' order is that of the file."""

    #: of the line, from 0
    number: int
    #: seconds since the epoch
    ended_at: float
    #: from its being fed into the queue until its last run began, and that run, seconds; None: it never ran
    queued_seconds: float | None
    run_seconds: float | None
    #: the last run's; empty: none, or several shared it
    worker: str
    #: runs, those in which its worker or its Claude process died included
    attempts: int
    input_tokens: int
    output_tokens: int
    #: None: nobody knows it
    cost_usd: float | None
    kind: LineEnd
    #: the error's code (or type); empty for what completed
    cause: str
    #: which way to Claude it came, or `cache`; empty: nobody was asked, or older code wrote it down
    way: str = ""
    #: what the prompt cache is known to have saved of its cost, US dollars; below 0 for what it added
    cache_saved_usd: float = 0.0


_NAMES = [one.name for one in fields(LineStats)]
_KIND = _NAMES.index("kind")


def of(number: int, line: Ended, job: JobRecord | None) -> LineStats:
    """What is known of a line; without a job for one that had none."""
    ended_at = clock.now() if job is None or job.finished_at is None else job.finished_at
    queued = ran = None
    # The last run was an attempt, or ended the job by its death.
    if job is not None and job.started_at is not None and (job.attempts or job.published_by):
        queued = _span(job.created_at, job.started_at)
        ran = _span(job.started_at, ended_at)
    return LineStats(
        number=number,
        ended_at=round(ended_at, 3),
        queued_seconds=queued,
        run_seconds=ran,
        worker="" if job is None else job.worker,
        attempts=0 if job is None else job.attempts + job.deaths,
        input_tokens=tokens(line.usage, "prompt_tokens"),
        output_tokens=tokens(line.usage, "completion_tokens"),
        cost_usd=line.cost_usd,
        kind=line.kind,
        cause=line.cause,
        way=line.way,
        cache_saved_usd=line.cache_saved_usd,
    )


def encode(stats: LineStats) -> bytes:
    """As it is written down."""
    return json.dumps([getattr(stats, name) for name in _NAMES], separators=(",", ":")).encode() + b"\n"


def read(storage: Readable, record: BatchRecord) -> Iterator[LineStats]:
    """The lines that count. Fewer when some are lost: whoever adds them up knows how many there should be."""
    for raw in counted_lines(storage, names.line_stats(record.id), record.facts_bytes):
        known = json.loads(raw)
        known[_KIND] = LineEnd(known[_KIND])
        yield LineStats(*known)


def _span(since: float, until: float) -> float:
    """Clocks of two machines may differ."""
    return round(max(0.0, until - since), 3)
