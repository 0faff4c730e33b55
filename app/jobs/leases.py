"""The right to run a job: claimed, renewed, and given up with an outcome or without one. Each function is one step in Redis.

The fence: `record.execution` names the only run that may publish an outcome or put the job back. A step reads it under
WATCH and writes under MULTI, so that a worker whose lease ended, or whose job was cancelled, can change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from app import clock
from app.jobs import tickets
from app.jobs.record import LEASES, JobRecord, Status, record_key
from app.jobs.steps import change_record, finish, move

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline
    from rq.job import Job

    from app.outcome import Outcome


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


@dataclass(frozen=True)
class PutBack:
    """How a job goes back to the queue: nothing is its fault, or it may be tried again."""

    reason: str
    #: whether the run used up one of the job's attempts
    counts: bool
    #: whether the job may have killed the process that ran it; this is counted by itself, in `deaths`
    died: bool = False
    #: False: it was not sent to Claude after all, though it may have been noted
    was_sent: bool = True
    #: 0: to the queue's head, at once
    delay_seconds: float = 0.0


def new_execution() -> str:
    """The id of a run that is to be claimed."""
    return uuid4().hex


def claim(
    connection: Redis, job: Job, worker: str, lease_seconds: float, execution_id: str = ""
) -> tuple[Lease, JobRecord] | None:
    """Queued to in_progress. None when there is nothing to run: cancelled, ended, taken by somebody else, or gone.

    Doing it twice for one `execution_id` (a new one, when none is given) is the same as once: the reply of the first may have been
    lost, and who has the job is this run.
    """
    lease = Lease(job.id, execution_id or new_execution(), worker)

    def change(pipe: Pipeline, record: JobRecord | None) -> tuple[Lease, JobRecord] | None:
        pipe.multi()
        if record is not None and record.execution == lease.execution_id:
            return lease, record
        if record is None or record.status is not Status.QUEUED:
            pipe.lrem(tickets.queue(connection, job.origin).intermediate_queue_key, 0, job.id)
            return None
        now = clock.now()
        tickets.start(pipe, job, worker, lease.execution_id)
        claimed = replace(
            record,
            status=Status.IN_PROGRESS,
            execution=lease.execution_id,
            worker=worker,
            started_at=(record.choices and record.started_at) or now,
            attempts=record.attempts + 1,
            waiting_for="",
        )
        move(
            pipe,
            record,
            claimed.status,
            execution=claimed.execution,
            worker=worker,
            started_at=claimed.started_at,
            attempts=claimed.attempts,
            waiting_for="",
        )
        tickets.describe(pipe, job, claimed.description)
        pipe.zadd(LEASES, {lease.member: now + lease_seconds})
        return lease, claimed

    return change_record(connection, job.id, change)


def renew(connection: Redis, lease: Lease, lease_seconds: float) -> bool:
    """Move the lease's end; False when it is lost."""
    pipe = connection.pipeline()
    pipe.zadd(LEASES, {lease.member: clock.now() + lease_seconds}, xx=True)
    pipe.zscore(LEASES, lease.member)
    return pipe.execute()[1] is not None


def note_sent(connection: Redis, lease: Lease) -> None:
    """From here on this run is taken to have been sent to Claude. For jobs with `max_sends`; twice is the same as once.

    Raises `LeaseLost`, and `Spent` when it must not be sent.
    """

    def change(pipe: Pipeline, record: JobRecord | None) -> None:
        held = held_by(record, lease)
        pipe.multi()
        if held.sent_by == lease.execution_id:
            return
        if held.is_spent:
            raise Spent(held.id)
        pipe.hset(record_key(held.id), mapping={"sends": str(held.sends + 1), "sent_by": lease.execution_id})

    change_record(connection, lease.job_id, change)


def publish(connection: Redis, lease: Lease, outcome: Outcome, *, ttl_seconds: int) -> str:
    """In_progress to completed or failed: the outcome, and the callback's event, in the same step.

    Doing it twice for the same run is the same as once (the reply of the first may have been lost). Returns the job that this
    one is a choice of, empty for all others: it is to be settled then (`gathering.publish`). Raises `LeaseLost`.
    """

    def change(pipe: Pipeline, record: JobRecord | None) -> str:
        if record is not None and record.published_by == lease.execution_id:
            pipe.multi()
            return record.parent
        held = held_by(record, lease)
        finish(connection, pipe, held, outcome, ttl_seconds, published_by=lease.execution_id)
        return held.parent

    return change_record(connection, lease.job_id, change)


def put_back(connection: Redis, lease: Lease, how: PutBack) -> JobRecord:
    """In_progress to queued: at the queue's head, or after a delay.

    Raises `LeaseLost`, and `TextSent` or `Spent` when it must not be run again; `recovery.put_back` is the one who knows what to
    do then.
    """
    name = new_execution()

    def change(pipe: Pipeline, record: JobRecord | None) -> JobRecord:
        if record is not None and record.requeued_by == name:
            pipe.multi()
            return record
        held = held_by(record, lease)
        if held.streamed_by:
            raise TextSent(f"{held.id} has begun to be read")
        takes_back = not how.was_sent and held.sent_by == held.execution
        if held.is_spent and not takes_back:
            raise Spent(held.id)
        after = replace(
            held,
            status=Status.QUEUED,
            execution="",
            waiting_for=how.reason,
            attempts=held.attempts if how.counts else held.attempts - 1,
            delays=held.delays + (how.delay_seconds > 0 and not how.counts),
            deaths=held.deaths + how.died,
            sends=held.sends - takes_back,
            requeued_by=name,
        )
        pipe.multi()
        move(
            pipe,
            held,
            after.status,
            execution="",
            waiting_for=how.reason,
            attempts=after.attempts,
            delays=after.delays,
            deaths=after.deaths,
            sends=after.sends,
            sent_by="",
            requeued_by=name,
        )
        pipe.zrem(LEASES, lease.member)
        job = tickets.ticket(connection, held.id)
        execution = tickets.execution_of(connection, held.id, held.execution, held.worker)
        if how.delay_seconds > 0:
            tickets.put_back_later(pipe, job, execution, at=clock.now() + how.delay_seconds)
        else:
            tickets.put_back(pipe, job, execution, at_front=True)
        return after

    return change_record(connection, lease.job_id, change)


def held_by(record: JobRecord | None, lease: Lease) -> JobRecord:
    """The record, which this lease must hold. Raises `LeaseLost`."""
    if record is None or record.execution != lease.execution_id:
        raise LeaseLost(f"{lease.job_id} is no longer this worker's")
    return record
