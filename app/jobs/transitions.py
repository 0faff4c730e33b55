"""The changes of a job that no worker holds: it comes, it waits, it ends unrun. Each function is one step in Redis.

`end` takes it from a worker, too: see `leases` for the fence that keeps that one out afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.jobs import choices, tickets
from app.jobs.record import ALL_JOBS, CHOICES, DEADLINES, JobRecord, Status, record_key, request_key, status_key
from app.jobs.steps import change_record, finish
from app.outcome import Outcome

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

    from app.errors import ErrorReply


def submit(connection: Redis, pipe: Pipeline, record: JobRecord, request: str, *, ttl_seconds: int) -> None:
    """Put the commands that put a new job into the queue on the caller's pipeline.

    It must not be there: the caller watches something that this step changes, and has looked. Done twice, it would be run twice.
    """
    pipe.hset(record_key(record.id), mapping=record.to_hash())  # type: ignore[arg-type]
    pipe.set(request_key(record.id), request)
    pipe.zadd(ALL_JOBS, {record.id: record.created_at})
    pipe.zadd(status_key(record.status), {record.id: record.created_at})
    pipe.zadd(DEADLINES, {record.id: record.deadline_at})
    _issue(connection, pipe, record, ttl_seconds)


def end(connection: Redis, job_id: str, *, ttl_seconds: int, error: ErrorReply, status: Status) -> JobRecord | None:
    """Whatever is not final to cancelled or failed: a queued job never starts, a running one can publish nothing any more.

    Returns the record as it was before, None when there is no such job. The caller tells the worker to interrupt.
    """

    def change(pipe: Pipeline, record: JobRecord | None) -> JobRecord | None:
        if record is None or record.status.is_final:
            pipe.multi()
            return record
        finish(connection, pipe, record, Outcome(error=error), ttl_seconds, status=status)
        return record

    return change_record(connection, job_id, change)


def fail_waiting(
    connection: Redis, job_id: str, error: ErrorReply, *, ttl_seconds: int, spares_running: bool = False
) -> bool:
    """Queued to failed, for a job that can't be run any more (its deadline passed, say). Whether it was queued.

    `spares_running`: not if it waits for choices of which none waits itself.
    """
    was_queued = False

    def change(pipe: Pipeline, record: JobRecord | None) -> bool:
        nonlocal was_queued
        if record is None or record.status is not Status.QUEUED:
            pipe.multi()
            pipe.zrem(DEADLINES, job_id)
            return was_queued
        if spares_running and record.choices:
            made = choices.read(connection, pipe, record)
            if all(one is not None and one.status is not Status.QUEUED for one in made):
                pipe.multi()
                return False
        was_queued = True
        finish(connection, pipe, record, Outcome(error=error), ttl_seconds)
        return True

    return change_record(connection, job_id, change)


def requeue_ticket(connection: Redis, job_id: str, *, at_front: bool) -> bool:
    """Put a queued job's ticket (back) into the queue. False when the job is not waiting, and the ticket goes."""

    def change(pipe: Pipeline, record: JobRecord | None) -> bool:
        job = tickets.ticket(connection, job_id)
        pipe.multi()
        if record is None or record.status is not Status.QUEUED:
            tickets.take_out(pipe, job)
            return False
        pipe.hset(record_key(job_id), "waiting_for", "")
        # What lets others pass does so when it comes back, too.
        tickets.put_back(pipe, job, None, at_front=at_front and not record.yields)
        return True

    return change_record(connection, job_id, change)


def reissue(connection: Redis, job_id: str, *, ttl_seconds: int) -> bool:
    """A new ticket for a queued job whose own has vanished. Whether it was needed."""

    def change(pipe: Pipeline, record: JobRecord | None) -> bool:
        pipe.multi()
        if record is None or record.status is not Status.QUEUED:
            if record is None or record.status.is_final:
                # Older code that ended it knew nothing of that index.
                pipe.zrem(CHOICES, job_id)
            return False
        tickets.take_out(pipe, tickets.ticket(connection, job_id))
        _issue(connection, pipe, record, ttl_seconds)
        return True

    return change_record(connection, job_id, change)


def _issue(connection: Redis, pipe: Pipeline, record: JobRecord, ttl_seconds: int) -> None:
    tickets.issue(
        pipe,
        connection,
        record.id,
        description=record.description,
        ttl_seconds=ttl_seconds,
        yields=record.yields,
    )
