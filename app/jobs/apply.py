"""The one writer of what `lifecycle` decides: record, indexes, ticket, outcome, event and counters, in one MULTI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app import clock, counters, hashes, rates, spending, tally, usage
from app.connection import transaction
from app.ids import OWNER
from app.jobs import choices, removal, tickets
from app.jobs.change import Change, Found, Ticket
from app.jobs.record import (
    ABANDONED,
    ALL_JOBS,
    CHOICES,
    DEADLINES,
    DONE,
    LEASES,
    RETENTION,
    JobKind,
    JobRecord,
    Status,
    interrupt_channel,
    lease_member,
    outcome_key,
    queued_key,
    record_key,
    request_key,
    status_key,
    stream_key,
)
from app.redis_client import read
from app.scopes import family_of, parked_key, scopes_of
from app.ways import Way
from app.webhooks import announce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis
    from redis.client import Pipeline

    from app.outcome import Outcome


#: how long the request of an ended job is kept, seconds
REQUEST_TTL_SECONDS = 3600
#: how long the pieces of an ended job's answer are kept, for readers who are behind, seconds
STREAM_TTL_SECONDS = 60


def step(
    connection: Redis,
    job_id: str,
    decide: Callable[[Found], Change],
    *,
    count: int = 0,
    beside: Sequence[tuple[str, ...]] = (),
) -> Change:
    """Read the job and its choices under WATCH, and write the change that `decide`, a function of `lifecycle`, makes of them.

    Decided again if another process changed the job in between, or if the reply was lost. Raises what `decide` raises.
    `count`: how many choices to read of a job that has none so far. `beside`: commands that read what else `decide` needs, in the same
    round trip.
    """

    def change(pipe: Any) -> Change:
        known, *replies = read(pipe, ("HGETALL", record_key(job_id)), *beside)
        record = JobRecord.from_hash(known)
        made = _read_choices(connection, pipe, job_id, (record.choices or count) if record is not None else 0)
        decided = decide(Found(record, made, clock.now(), replies))
        announcement = None
        if decided.event and record is not None and (record.callback_url or record.background):
            announcement = announce.prepare(
                pipe,
                decided.event,
                job_id,
                record.callback_url,
                to_endpoints=record.background,
                owner=record.owner,
            )
        pipe.multi()
        write(connection, pipe, job_id, decided)
        if announcement is not None:
            announcement.add(pipe)
        return decided

    return transaction(connection, record_key(job_id), change)


def write(connection: Redis, pipe: Pipeline, job_id: str, change: Change) -> None:
    """Put the commands of a change on the caller's pipeline, which watches what the decision was based on."""
    if change.ticket is Ticket.NEW_FIRST:
        # A cancelled choice with that id may still be there.
        removal.forget(connection, pipe, job_id)
    # A step that moves the ticket writes the record as well, so that a late repetition of it fails at its WATCH.
    if change.after is not None and (change.after != change.before or change.ticket is not Ticket.STAYS):
        _move(pipe, change.before, change.after)
    for index in change.leaves:
        pipe.zrem(index, job_id)
    if change.lease_until is not None and change.after is not None:
        pipe.zadd(LEASES, {lease_member(job_id, change.after.execution): change.lease_until})
    if change.kept_until is not None:
        pipe.zadd(RETENTION, {job_id: change.kept_until})
    _move_ticket(connection, pipe, job_id, change)
    if change.outcome is not None and change.before is not None:
        _end(pipe, change.before, change.outcome, change)
    for one in change.choices:
        if one.after is not None:
            write(connection, pipe, one.after.id, one)


def _move(pipe: Pipeline, before: JobRecord | None, after: JobRecord) -> None:
    """Write the difference: fields, and the indexes that name the job."""
    changed, gone = hashes.difference(before, after) if before is not None else (after.to_hash(), [])
    fields: dict[Any, Any] = changed or {"status": str(after.status)}
    pipe.hset(record_key(after.id), mapping=fields)
    if gone:
        pipe.hdel(record_key(after.id), *gone)
    listed, lists = _indexes(before), _indexes(after)
    if before is not None and before.choices:
        # Older code lists a job that waits for its choices as queued.
        listed.setdefault(status_key(before.status), before.created_at)
    for index in listed.keys() - lists.keys():
        pipe.zrem(index, after.id)
    for index in lists.keys() - listed.keys():
        pipe.zadd(index, {after.id: lists[index]})
    if before is not None and before.execution and before.execution != after.execution:
        pipe.zrem(LEASES, lease_member(before.id, before.execution))


def _indexes(record: JobRecord | None) -> dict[str, float]:
    """Those that name a job in this state, and its score there."""
    if record is None:
        return {}
    found: dict[str, float] = {}
    if record.kind != JobKind.CHOICE:
        found = {ALL_JOBS: record.created_at, status_key(record.public_status): record.created_at}
        if record.owner != OWNER and record.status is Status.QUEUED and record.kind != JobKind.BATCH_LINE:
            found[queued_key(record.owner)] = record.created_at
    if record.status is Status.QUEUED:
        found[DEADLINES] = record.deadline_at
        if record.parked:
            found[parked_key(record.parked)] = record.parking_order
    if (record.choices or record.kind == JobKind.CHOICE) and not record.status.is_final:
        found[CHOICES] = record.created_at
    return found


def _move_ticket(connection: Redis, pipe: Pipeline, job_id: str, change: Change) -> None:
    before, after, job = change.before, change.after, tickets.ticket(connection, job_id)
    execution = None
    if before is not None and before.execution:
        execution = tickets.execution_of(connection, job_id, before.execution, before.worker)
    match change.ticket:
        case Ticket.NEW | Ticket.NEW_FIRST if after is not None:
            if before is not None:
                tickets.take_out(pipe, job)
            tickets.issue(
                pipe,
                connection,
                job_id,
                description=after.description,
                ttl_seconds=change.ttl_seconds,
                at_front=change.ticket is Ticket.NEW_FIRST,
                yields=after.yields,
            )
        case Ticket.STARTED if after is not None:
            tickets.start(pipe, job, after.worker, after.execution, description=after.description)
        case Ticket.FIRST | Ticket.FIRST_OF_KIND | Ticket.LAST:
            is_behind = change.ticket is Ticket.FIRST_OF_KIND and after is not None and after.yields
            tickets.requeue(pipe, job, execution, at_front=change.ticket is not Ticket.LAST, is_behind_others=is_behind)
        case Ticket.LATER:
            if execution is None:
                tickets.take_out(pipe, job)
            tickets.requeue_later(pipe, job, execution, at=change.due_at)
        case Ticket.OUT:
            tickets.take_out(pipe, job)
        case Ticket.ENDED if after is not None and after.status is Status.CANCELLED:
            tickets.cancel(pipe, job, execution, ttl_seconds=change.ttl_seconds)
        case Ticket.ENDED if change.outcome is not None:
            if execution is None:
                tickets.take_out(pipe, job)
            failed, ttl, yields = _cause(change.outcome), change.ttl_seconds, before is None or before.yields
            tickets.finish(pipe, job, execution, failed=failed, ttl_seconds=ttl, yields=yields)


def _end(pipe: Pipeline, record: JobRecord, outcome: Outcome, change: Change) -> None:
    """`record`: as it was before."""
    ttl = change.ttl_seconds
    pipe.set(outcome_key(record.id), outcome.to_json())
    # A request may be megabytes; it is kept for those who want to see why it ended like this.
    pipe.expire(request_key(record.id), ttl if record.is_stored else min(ttl, REQUEST_TTL_SECONDS))
    if record.streams:
        pipe.expire(stream_key(record.id), min(ttl, STREAM_TTL_SECONDS))
    pipe.zrem(ABANDONED, record.id)
    if outcome.error is None:
        family = family_of(record.model)
        ways = [Way(way) for way in outcome.way.split(", ")] if outcome.way else [*Way]
        pipe.delete(*(scope.overloads_key for way in ways for scope in scopes_of(way, family)))
    sums, now = counters.Sums(), clock.now()
    if not record.choices:
        # What its choices cost was counted with each of them.
        spending.count(sums, outcome, now)
    if record.kind != JobKind.CHOICE:
        used = usage.of(outcome)
        tally.count(sums, record, outcome, used, now)
        spending.count_used(sums, record.owner, used, now)
        if record.kind != JobKind.BATCH_LINE:
            rates.spend(pipe, record.owner, used)
    sums.put(pipe)
    pipe.publish(DONE, json.dumps({"id": record.id}))
    if change.interrupts:
        # Should this message be lost, the worker sees within a beat that its lease is gone.
        pipe.publish(interrupt_channel(record.worker), record.id)


def _read_choices(connection: Redis, pipe: Pipeline, job_id: str, count: int) -> list[JobRecord | None]:
    """In order, None for a missing one; watched from here on."""
    keys = [record_key(choices.id_of(job_id, number)) for number in range(count)]
    if not keys:
        return []
    pipe.watch(*keys)  # type: ignore[no-untyped-call]
    return hashes.read_all(connection, JobRecord, keys)


def _cause(outcome: Outcome) -> str:
    """What rq-dashboard shows of a failure: its code and status. Never its message, which may quote the request."""
    if outcome.error is None:
        return ""
    return f"{outcome.error.code or outcome.error.type} (HTTP {outcome.error.status})"
