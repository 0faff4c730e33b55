"""What changes of a job's state are made of: the record under WATCH, the move between indexes, and the end that all jobs share.

For `leases` and `transitions`, which say who may change what, and when.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from app import clock, errors
from app.connection import transaction
from app.gate import OVERLOADS
from app.jobs import choices, counting, tickets
from app.jobs.record import (
    ABANDONED,
    BATCH_LINE,
    CHOICE,
    CHOICES,
    DEADLINES,
    DONE,
    LEASES,
    RETENTION,
    JobRecord,
    Status,
    interrupt_channel,
    outcome_key,
    record_key,
    request_key,
    status_key,
    stream_key,
)
from app.outcome import Outcome
from app.webhooks import announce

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from redis.client import Pipeline

_T = TypeVar("_T")

#: how long the request of an ended job is kept, seconds
REQUEST_TTL_SECONDS = 3600
#: how long the pieces of an ended job's answer are kept, for readers who are behind, seconds
STREAM_TTL_SECONDS = 60


def change_record(connection: Redis, job_id: str, change: Callable[[Pipeline, JobRecord | None], _T]) -> _T:
    """Run `change` with the record as it is; again when somebody else changed it in between."""

    def watched(pipe: Any) -> _T:
        return change(pipe, JobRecord.from_hash(pipe.hgetall(record_key(job_id))))

    return transaction(connection, record_key(job_id), watched)


def move(pipe: Pipeline, record: JobRecord, status: Status, **fields: Any) -> None:
    """Set the status and other fields, and move the job from one index to the other."""
    mapping = {"status": status, **fields}
    pipe.hset(record_key(record.id), mapping={name: str(value) for name, value in mapping.items()})
    after = replace(record, status=status, choices=fields.get("choices", record.choices))
    if record.kind != CHOICE and after.shown is not record.shown:
        for before in {record.shown, record.status}:
            pipe.zrem(status_key(before), record.id)
        pipe.zadd(status_key(after.shown), {record.id: record.created_at})
    if status is Status.QUEUED:
        pipe.zadd(DEADLINES, {record.id: record.deadline_at})
    else:
        pipe.zrem(DEADLINES, record.id)


def finish(
    connection: Redis,
    pipe: Pipeline,
    record: JobRecord,
    outcome: Outcome,
    ttl_seconds: int,
    *,
    status: Status | None = None,
    published_by: str = "",
) -> None:
    """The job as `record` has it, read under WATCH, ends so: outcome, status, RQ's state, events, counters and wake-up.

    Its choices end with it. Starts the MULTI, and puts all of it there.
    """
    if status is None:
        status = Status.COMPLETED if outcome.error is None else Status.FAILED
    made = [choice for choice in choices.read(connection, pipe, record) if choice is not None]
    announcement = announce.prepare(
        pipe, _event_type(record, status, outcome), record.id, record.callback_url, to_endpoints=record.background
    )
    pipe.multi()
    fields = {"published_by": published_by, **choices.runs(made)}
    _end(connection, pipe, record, outcome, status, ttl_seconds=ttl_seconds, **fields)
    announcement.add(pipe)
    if record.kind != CHOICE:
        counting.count(pipe, record, outcome, clock.now())
    for choice in made:
        _let_go(connection, pipe, choice)


def _end(
    connection: Redis,
    pipe: Pipeline,
    record: JobRecord,
    outcome: Outcome,
    status: Status,
    *,
    ttl_seconds: int,
    **fields: Any,
) -> None:
    now = clock.now()
    kept_until = choices.kept_until(record, status, now) if record.kind == CHOICE else now + ttl_seconds
    job = tickets.ticket(connection, record.id)
    execution = None
    if record.execution:
        execution = tickets.execution_of(connection, record.id, record.execution, record.worker)
        pipe.zrem(LEASES, f"{record.id}:{record.execution}")
    move(pipe, record, status, finished_at=now, execution="", waiting_for="", **fields)
    if record.choices or record.kind == CHOICE:
        pipe.zrem(CHOICES, record.id)
    pipe.set(outcome_key(record.id), outcome.to_json())
    # A request may be megabytes; it is kept as long as somebody might look why it ended so.
    pipe.expire(request_key(record.id), ttl_seconds if record.is_stored else min(ttl_seconds, REQUEST_TTL_SECONDS))
    pipe.expire(stream_key(record.id), min(ttl_seconds, STREAM_TTL_SECONDS))
    if record.kind != BATCH_LINE:
        pipe.zadd(RETENTION, {record.id: kept_until})
    pipe.zrem(ABANDONED, record.id)
    if status is Status.CANCELLED:
        tickets.cancel(pipe, job, execution, ttl_seconds=ttl_seconds)
    else:
        if execution is None:
            tickets.take_out(pipe, job)
        tickets.finish(pipe, job, execution, failed=_cause(outcome), ttl_seconds=ttl_seconds)
    if outcome.error is None:
        pipe.delete(OVERLOADS)
    pipe.publish(DONE, json.dumps({"id": record.id}))


def _let_go(connection: Redis, pipe: Pipeline, choice: JobRecord) -> None:
    """A choice whose parent ends: nobody needs it any more, and the turn that it may have is interrupted."""
    if choice.status.is_final:
        pipe.zadd(RETENTION, {choice.id: clock.now() + choices.SPARE_SECONDS})
        return
    outcome = Outcome(error=errors.cancelled())
    _end(connection, pipe, choice, outcome, Status.CANCELLED, ttl_seconds=choices.SPARE_SECONDS)
    if choice.execution:
        # Should this message be lost, the worker sees within a beat that its lease is gone.
        pipe.publish(interrupt_channel(choice.worker), choice.id)


def _event_type(record: JobRecord, status: Status, outcome: Outcome) -> str:
    """OpenAI's name for this end: a response may also be incomplete, or cancelled; a chat completion has failed then."""
    if record.kind == "response" and outcome.body is not None:
        return f"{record.kind}.{outcome.body.get('status', status)}"
    is_told = status is not Status.CANCELLED or record.kind == "response"
    return f"{record.kind}.{status if is_told else Status.FAILED}"


def _cause(outcome: Outcome) -> str:
    """What rq-dashboard shows of a failure: its code and status. Never its message, which may quote the request."""
    if outcome.error is None:
        return ""
    return f"{outcome.error.code or outcome.error.type} (HTTP {outcome.error.status})"
