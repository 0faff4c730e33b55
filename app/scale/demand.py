"""What there is to do and to do it with, as Redis knows it: the batches' lines, the requests beside them, the workers."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import clock, counters, history, window
from app.batches import eta, pace
from app.batches.leadership import has_lane
from app.batches.parts.record import parts_key, parts_of
from app.batches.record import LINE_ID, BatchStatus, lines_key
from app.gate import Cause
from app.jobs import tickets
from app.jobs.record import ENDPOINTS, JobKind
from app.openai import model_names
from app.scale.wanted import BatchNeed, Demand, Wanted, workers_wanted
from app.scopes import family_of
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from app.batches.parts.record import Parts
    from app.batches.record import BatchRecord
    from app.counters import Counts
    from app.gate import Closed
    from app.health import Health
    from app.settings import Settings

#: over how long the rate of lines is measured, seconds
RATE_SECONDS = 300.0
#: tickets that are looked at: those that are no lines are before all lines
_MOST_TICKETS = 2000
#: a batch of which fewer lines were timed goes by those of all batches
_MIN_TIMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What there should be, and what that was found from."""

    wanted: Wanted
    alive: int
    #: batches that have not ended, by status; those of them that wait for somebody or for a budget are `held`
    batches: Mapping[str, int]
    #: of these, lines that have not ended, wherever they are
    lines_left: int
    #: the nearest deadline of one that has such lines, seconds since the epoch; None: there is none
    deadline_at: float | None
    #: lines that ended lately, a minute; None: not measured yet
    lines_per_minute: float | None


def look(
    connection: Redis, settings: Settings, health: Health, counts: Counts, records: Sequence[BatchRecord]
) -> Scale:
    """At this moment. `records`: the batches that have not ended. Raises redis-py's errors when Redis is away."""
    now = clock.now()
    alive = [row for row in health.workers if row.is_alive(settings.lease_seconds)]
    queued: Any = tickets.queue(connection).get_job_ids(0, _MOST_TICKETS)
    closed = health.closings.holding_all(settings.worker_ways)
    demand = Demand(
        waiting=sum(not _is_line(one) for one in queued),
        running=sum(bool(row.job) and not _is_line(row.job) for row in alive),
        seconds_per_request=_mean(counts, [one for one in ENDPOINTS if one not in (_LINES, counters.OTHER)]),
        opens_at=_opens_at(closed),
        closed="" if closed is None else str(closed.cause),
        is_paused=closed is not None and closed.cause is Cause.PAUSED,
        batches=_Needs(connection, settings, health, _mean(counts, [_LINES]), now).of(records),
        reserve=settings.reserve,
        lines_at_once=settings.batch_in_queue,
        alive=len(alive),
    )
    states = Counter("held" if record.held else str(record.status) for record in records)
    unfinished = [record for record in records if record.ended < record.total]
    return Scale(
        wanted=workers_wanted(demand, now),
        alive=len(alive),
        batches=states,
        lines_left=sum(record.total - record.ended for record in unfinished),
        deadline_at=min((record.expires_at for record in unfinished), default=None),
        lines_per_minute=history.lines_per_minute(connection, now - RATE_SECONDS, now),
    )


class _Needs:
    """Of each batch, at one moment."""

    def __init__(
        self, connection: Redis, settings: Settings, health: Health, seconds_per_line: float | None, now: float
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._closings = health.closings
        self._led = {leader.place for leader in health.feeders}
        self._seconds_per_line = seconds_per_line
        self._now = now

    def of(self, records: Sequence[BatchRecord]) -> list[BatchNeed]:
        """Those of the batches whose lines workers may run."""
        running = [record for record in records if record.status is BatchStatus.IN_PROGRESS]
        pipe = self._connection.pipeline(transaction=False)
        for record in running:
            pipe.scard(lines_key(record.id))
            pipe.hgetall(parts_key(record.id))
        replies = iter(pipe.execute() if running else [])
        return [self._of(record, next(replies), parts_of(next(replies))) for record in running]

    def _of(self, record: BatchRecord, in_queue: int, parts: Parts) -> BatchNeed:
        hours = record.window or self._settings.batch_window
        ways = [Way(record.way)] if record.way else self._settings.worker_ways
        closed = self._closings.holding_all(ways, self._family(record))
        opens_at = max(_opens_at(closed), self._hours_open_at(record, hours))
        since = max(self._now, opens_at) if opens_at < math.inf else self._now
        return BatchNeed(
            id=record.id,
            lines=self._lines(record, in_queue, parts),
            seconds_per_line=record.seconds_per_line if record.timed >= _MIN_TIMED else self._seconds_per_line,
            due_at=record.expires_at,
            opens_at=opens_at,
            open_seconds=eta.open_seconds(hours, since, record.expires_at),
            whole_seconds=eta.open_seconds(hours, record.in_progress_at or record.created_at, record.expires_at),
            is_gated=closed is not None,
            hours=hours,
        )

    def _lines(self, record: BatchRecord, in_queue: int, parts: Parts) -> int:
        """Those that a worker may be given: none beyond the ones in the queue where none may be started."""
        is_fed = not record.held and not record.stuck and (not record.place or record.place in self._led)
        if not is_fed or self._goes_in_parts(record):
            return in_queue
        left = record.limit - record.ended - parts.lines
        affordable = record.affordable(in_queue + parts.lines) + in_queue
        return max(0, in_queue, int(min(left, affordable)))

    def _goes_in_parts(self, record: BatchRecord) -> bool:
        """Whether Message Batches take its next lines, as the feeder sees it."""
        if self._settings.step(Way.BATCHES) is None or record.way:
            return record.way == Way.BATCHES
        family = self._family(record)
        is_open = (step.way for step in self._settings.ways if self._closings.holding(step.way, family) is None)
        return next(is_open, None) is Way.BATCHES and has_lane(self._connection, record.place)

    def _hours_open_at(self, record: BatchRecord, hours: str) -> float:
        """When its lines may start for all that its window and `NIGHTSHIFT_PACE` say."""
        opens_at = pace.ahead_until(self._connection, self._settings, record) or 0.0
        if not window.is_open(hours, self._now):
            opens_at = max(opens_at, window.parse(hours).next_change(self._now))
        return opens_at

    def _family(self, record: BatchRecord) -> str:
        return family_of(model_names.resolved_or_itself(record.model, self._settings))


_LINES = JobKind.BATCH_LINE.endpoint


def states() -> tuple[str, ...]:
    """All keys that `Scale.batches` may have."""
    return (*(str(status) for status in BatchStatus if not status.is_final), "held")


def _is_line(job_id: str) -> bool:
    return job_id.startswith(LINE_ID)


def _opens_at(closed: Closed | None) -> float:
    return 0.0 if closed is None else closed.until


def _mean(counts: Counts, endpoints: Sequence[str]) -> float | None:
    """How long a run of theirs took, seconds; None: there was none."""
    found = [counters.histogram(counts, counters.RUN, endpoint) for endpoint in endpoints]
    runs, seconds = sum(buckets[-1][1] for buckets, _ in found), sum(total for _, total in found)
    return seconds / runs if runs else None
