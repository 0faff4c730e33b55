"""What there is at one moment, read for the page: never a prompt, an answer, or an error's own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.health import clocks_off
from api.openai.batch_object import batch_object
from api.overview import past
from app import clock, hashes, health, history, way_status
from app.hosts import hosts_of, shared_logins
from app.jobs.record import JobRecord, record_key
from app.login_limits import alone
from app.scopes import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.overview.past import Past
    from api.services import Services
    from app.batches.record import BatchRecord
    from app.gate import Closed, Closings
    from app.history import Ended
    from app.hosts import Host, SharedLogin
    from app.login_limits import LoginLimit
    from app.way_status import WayStatus
    from app.ways import Way
    from app.worker_status import WorkerStatus

#: batches that have not ended, and others that ended in the last hours, at most
MAX_ACTIVE, MAX_ENDED = 12, 5
#: what goes wrong now shows in these, whatever went well before, seconds
LATELY_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker's row."""

    status: WorkerStatus
    is_alive: bool
    #: what it runs
    job: JobRecord | None
    #: MiB over the last hour
    memory: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch's row."""

    record: BatchRecord
    #: of its input file
    name: str
    #: when it will be done, or was; None: nobody can tell
    done_at: float | None
    #: why no line of it is started, as `nightshift.waiting_for` of the batch object, and until when
    waiting_for: str | None = None
    waiting_until: float | None = None
    #: the same in words, for a batch that can't go on
    waiting_reason: str | None = None
    #: lines that Message Batches have
    sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that the page shows. Times are seconds since the epoch."""

    at: float
    offline: bool
    closed: Closed | None
    #: by family of models, what keeps it from every way while others go on
    closed_families: Mapping[str, Closed]
    queued: int
    #: of these, those that wait for a closed scope, out of the queue
    parked: int
    in_progress: int
    oldest_seconds: float
    #: events that could not be delivered
    undelivered: int
    #: whether a process does the batches' work, and whether Redis keeps on its disk what it should
    has_feeder: bool
    is_persisting: bool
    workers: Sequence[Worker]
    #: the machines that share this Redis, and the logins that several of them have
    hosts: Sequence[Host] = ()
    shared_logins: Sequence[SharedLogin] = ()
    #: those that have met a limit while others go on
    login_limits: Sequence[LoginLimit] = ()
    #: those of the ladder, in its order
    ways: Sequence[WayStatus]
    batches: Sequence[Batch]
    past: Past
    #: in the hours that `past` shows, and in the last minutes of them
    ended: Ended
    lately: Ended
    #: by host, how far its clock is ahead of Redis' (below 0: behind), where that is too far, seconds
    clocks_off: Mapping[str, float]


def take(services: Services, hours: Past) -> Snapshot:
    """A new one, around the hours that were read a while ago. Raises redis-py's errors when Redis is away."""
    at, now = clock.now(), health.look(services.connection)
    alive = [row for row in now.workers if row.is_alive(services.settings.lease_seconds)]
    hosts = hosts_of(alive, now.supervisors)
    return Snapshot(
        at=at,
        offline=services.settings.offline,
        closed=now.closings.holding_all(services.settings.worker_ways),
        closed_families=_closed_families(now.closings, services.settings.worker_ways),
        queued=now.queued,
        parked=sum(now.parked.values()),
        in_progress=now.in_progress,
        oldest_seconds=now.oldest_queued_seconds,
        undelivered=now.callbacks_undelivered,
        has_feeder=bool(now.feeders),
        is_persisting=now.redis.is_persisting,
        ways=way_status.read(services.connection, services.settings.ways),
        workers=_workers(services, now.workers, hours),
        hosts=hosts,
        shared_logins=shared_logins(hosts),
        login_limits=alone(now.login_limits, now.closings),
        batches=_batches(services, at),
        past=hours,
        ended=history.ended_since(services.connection, hours.since),
        lately=history.ended_since(services.connection, at - LATELY_SECONDS),
        clocks_off=clocks_off(now),
    )


def _closed_families(closings: Closings, ways: Sequence[Way]) -> dict[str, Closed]:
    if closings.holding_all(ways) is not None:
        return {}
    found = {family: closings.holding_all(ways, family) for family in FAMILIES}
    return {family: closed for family, closed in found.items() if closed is not None}


def _workers(services: Services, rows: Sequence[WorkerStatus], hours: Past) -> list[Worker]:
    jobs = hashes.read_all(services.connection, JobRecord, (record_key(row.job) for row in rows))
    return [
        Worker(
            status=row,
            is_alive=row.is_alive(services.settings.lease_seconds),
            job=job,
            memory=hours.memory.get(row.name, ()),
        )
        for row, job in zip(rows, jobs, strict=True)
    ]


def _batches(services: Services, now: float) -> list[Batch]:
    newest = services.batches.newest(limit=MAX_ACTIVE + MAX_ENDED, after=None)
    ended = [record for record in newest if (record.ended_at or 0.0) >= now - past.SPAN_SECONDS][:MAX_ENDED]
    return [
        *(_active(services, record) for record in services.batches.active()[:MAX_ACTIVE]),
        *(Batch(record=record, name=_name(services, record), done_at=record.ended_at) for record in ended),
    ]


def _active(services: Services, record: BatchRecord) -> Batch:
    told = batch_object(record, services, is_listed=True)["nightshift"]
    times = {name: told[name] for name in ("done_at", "waiting_for", "waiting_until", "waiting_reason")}
    sent = (told["parts"] or {}).get("sent", 0)
    return Batch(record=record, name=_name(services, record), sent=sent, **times)


def _name(services: Services, record: BatchRecord) -> str:
    file = services.batches.files.get(record.input_file_id)
    return file.filename if file is not None else ""
