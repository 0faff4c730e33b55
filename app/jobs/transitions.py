"""Every change of a job's state. Each function is one step in Redis: all of it happens, or nothing.

The fence: `record.execution` names the only run that may publish an outcome or put the job back. A step reads it under
WATCH and writes under MULTI, so that a worker whose lease ended, or whose job was cancelled, can change nothing.
Redis' names for what a step touches are in `record` (ours) and `tickets` (RQ's).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from app.connection import transaction
from app.jobs import tickets
from app.jobs.ending import finish, move
from app.jobs.record import (
    ABANDONED,
    ALL_JOBS,
    DEADLINES,
    LEASES,
    RETENTION,
    JobRecord,
    Status,
    outcome_key,
    record_key,
    request_key,
    status_key,
    stream_key,
)
from app.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from redis.client import Pipeline
    from rq.job import Job

    from app.errors import ErrorReply

_T = TypeVar("_T")


class LeaseLost(Exception):
    """This run may not change the job any more: its lease ended, or the job was cancelled. Its result is dropped."""


class TextSent(Exception):
    """The job can't be run again: its client may have read a piece of the answer, and would read a beginning twice."""


class Spent(Exception):
    """The job can't be run again: it was sent to Claude as often as its client allows."""


@dataclass(frozen=True)
class Lease:
    """The right to publish the outcome of one run."""

    job_id: str
    execution_id: str
    worker: str

    @property
    def member(self) -> str:
        """How `LEASES` names it."""
        return f"{self.job_id}:{self.execution_id}"


def _transaction(connection: Redis, key: str, change: Callable[[Pipeline, JobRecord | None], _T]) -> _T:
    """Run `change` with the record as it is; again when somebody else changed it in between."""

    def watched(pipe: Any) -> _T:
        return change(pipe, JobRecord.from_hash(pipe.hgetall(key)))

    return transaction(connection, key, watched)


def submit(
    connection: Redis, record: JobRecord, request: str, *, ttl_seconds: int, pipeline: Pipeline | None = None
) -> None:
    """A new job into the queue. With a pipeline, the commands are only put there (for an idempotency key, say)."""
    pipe = connection.pipeline() if pipeline is None else pipeline
    pipe.hset(record_key(record.id), mapping=record.to_hash())  # type: ignore[arg-type]
    pipe.set(request_key(record.id), request)
    pipe.zadd(ALL_JOBS, {record.id: record.created_at})
    pipe.zadd(status_key(record.status), {record.id: record.created_at})
    pipe.zadd(DEADLINES, {record.id: record.deadline_at})
    _issue(connection, pipe, record, ttl_seconds)
    if pipeline is None:
        pipe.execute()


def claim(connection: Redis, job: Job, worker: str, lease_seconds: float) -> tuple[Lease, JobRecord] | None:
    """Queued to in_progress. None when there is nothing to run: cancelled, ended, taken by somebody else, or gone."""

    def change(pipe: Pipeline, record: JobRecord | None) -> tuple[Lease, JobRecord] | None:
        pipe.multi()
        if record is None or record.status is not Status.QUEUED:
            pipe.lrem(tickets.queue(connection, job.origin).intermediate_queue_key, 0, job.id)
            return None
        now = time.time()
        execution = tickets.start(pipe, job, worker)
        lease = Lease(record.id, execution.id, worker)
        claimed = replace(
            record,
            status=Status.IN_PROGRESS,
            execution=execution.id,
            worker=worker,
            started_at=now,
            attempts=record.attempts + 1,
            waiting_for="",
        )
        move(
            pipe,
            record,
            claimed.status,
            execution=claimed.execution,
            worker=worker,
            started_at=now,
            attempts=claimed.attempts,
            waiting_for="",
        )
        tickets.describe(pipe, job, claimed.description)
        pipe.zadd(LEASES, {lease.member: now + lease_seconds})
        return lease, claimed

    return _transaction(connection, record_key(job.id), change)


def renew(connection: Redis, lease: Lease, lease_seconds: float) -> bool:
    """Move the lease's end; False when it is lost."""
    pipe = connection.pipeline()
    pipe.zadd(LEASES, {lease.member: time.time() + lease_seconds}, xx=True)
    pipe.zscore(LEASES, lease.member)
    return pipe.execute()[1] is not None


def note_sent(connection: Redis, lease: Lease) -> None:
    """From here on this run is taken to have been sent to Claude. For jobs with `max_sends`; twice is the same as once.

    Raises `LeaseLost`, and `Spent` when it must not be sent.
    """

    def change(pipe: Pipeline, record: JobRecord | None) -> None:
        held = _held(record, lease)
        pipe.multi()
        if held.sent_by == lease.execution_id:
            return
        if held.is_spent:
            raise Spent(held.id)
        pipe.hset(record_key(held.id), mapping={"sends": str(held.sends + 1), "sent_by": lease.execution_id})

    _transaction(connection, record_key(lease.job_id), change)


def publish(connection: Redis, lease: Lease, outcome: Outcome, *, ttl_seconds: int) -> None:
    """In_progress to completed or failed: the outcome, and the callback's event, in the same step.

    Doing it twice for the same run is the same as once (the reply of the first may have been lost). Raises `LeaseLost`.
    """

    def change(pipe: Pipeline, record: JobRecord | None) -> None:
        if record is not None and record.published_by == lease.execution_id:
            pipe.multi()
            return
        finish(connection, pipe, _held(record, lease), outcome, ttl_seconds, published_by=lease.execution_id)

    _transaction(connection, record_key(lease.job_id), change)


def put_back(
    connection: Redis,
    lease: Lease,
    *,
    reason: str,
    counts: bool,
    died: bool = False,
    was_sent: bool = True,
    delay_seconds: float = 0.0,
) -> JobRecord:
    """In_progress to queued: at the queue's head, or after a delay.

    `counts`: whether the run was an attempt; `died`: whether the job may have killed its worker; `was_sent`: False when it is
    known that it was not, though it was noted. Raises `LeaseLost`, and `TextSent` or `Spent` when it must not be run again;
    `recovery.put_back` is the one who knows what to do then.
    """

    def change(pipe: Pipeline, record: JobRecord | None) -> JobRecord:
        held = _held(record, lease)
        if held.streamed_by:
            raise TextSent(f"{held.id} has begun to be read")
        takes_back = not was_sent and held.sent_by == held.execution
        if held.is_spent and not takes_back:
            raise Spent(held.id)
        after = replace(
            held,
            status=Status.QUEUED,
            execution="",
            waiting_for=reason,
            attempts=held.attempts if counts else held.attempts - 1,
            deaths=held.deaths + died,
            sends=held.sends - takes_back,
        )
        pipe.multi()
        move(
            pipe,
            held,
            after.status,
            execution="",
            waiting_for=reason,
            attempts=after.attempts,
            deaths=after.deaths,
            sends=after.sends,
            sent_by="",
        )
        pipe.zrem(LEASES, lease.member)
        job = tickets.ticket(connection, held.id)
        execution = tickets.execution_of(connection, held.id, held.execution, held.worker)
        if delay_seconds > 0:
            tickets.put_back_later(pipe, job, execution, at=time.time() + delay_seconds)
        else:
            tickets.put_back(pipe, job, execution, at_front=True)
        return after

    return _transaction(connection, record_key(lease.job_id), change)


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

    return _transaction(connection, record_key(job_id), change)


def fail_waiting(connection: Redis, job_id: str, error: ErrorReply, *, ttl_seconds: int) -> bool:
    """Queued to failed, for a job that can't be run any more (its deadline passed, say). Whether it was queued."""

    def change(pipe: Pipeline, record: JobRecord | None) -> bool:
        if record is None or record.status is not Status.QUEUED:
            pipe.multi()
            pipe.zrem(DEADLINES, job_id)
            return False
        finish(connection, pipe, record, Outcome(error=error), ttl_seconds)
        return True

    return _transaction(connection, record_key(job_id), change)


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

    return _transaction(connection, record_key(job_id), change)


def reissue(connection: Redis, job_id: str, *, ttl_seconds: int) -> bool:
    """A new ticket for a queued job whose own has vanished. Whether it was needed."""

    def change(pipe: Pipeline, record: JobRecord | None) -> bool:
        pipe.multi()
        if record is None or record.status is not Status.QUEUED:
            return False
        tickets.take_out(pipe, tickets.ticket(connection, job_id))
        _issue(connection, pipe, record, ttl_seconds)
        return True

    return _transaction(connection, record_key(job_id), change)


def _issue(connection: Redis, pipe: Pipeline, record: JobRecord, ttl_seconds: int) -> None:
    tickets.issue(
        pipe,
        connection,
        record.id,
        description=record.description,
        ttl_seconds=ttl_seconds,
        yields=record.yields,
    )


def remove(connection: Redis, job_id: str) -> None:
    """Delete all that there is of a job that has ended. What names it goes last: half a removal is done again."""
    # Not in a MULTI: a Redis that is full lets nothing into one, and this is what makes room.
    pipe = connection.pipeline(transaction=False)
    _delete(pipe, job_id)
    pipe.execute()


def forget(connection: Redis, pipe: Pipeline, job_id: str) -> None:
    """Put the commands that delete a job, its ticket included, on the caller's pipeline."""
    tickets.forget(pipe, tickets.ticket(connection, job_id))
    _delete(pipe, job_id)


def _delete(pipe: Pipeline, job_id: str) -> None:
    pipe.delete(record_key(job_id), request_key(job_id), outcome_key(job_id), stream_key(job_id))
    for key in (ALL_JOBS, DEADLINES, ABANDONED, *map(status_key, Status), RETENTION):
        pipe.zrem(key, job_id)


def _held(record: JobRecord | None, lease: Lease) -> JobRecord:
    if record is None or record.execution != lease.execution_id:
        raise LeaseLost(f"{lease.job_id} is no longer this worker's")
    return record
