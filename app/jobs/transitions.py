"""Each step in a job's life, as one step in Redis: what `lifecycle` decides, `apply` writes.

Above: what a run may do with its job. A worker whose lease ended, or whose job was cancelled, can change nothing:
`app.jobs.lifecycle` has the fence. Below: what happens to a job that no run holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import uuid4

from app import clock, errors, gate, hashes
from app.connection import texts, transaction
from app.jobs import apply, lifecycle, parents
from app.jobs.change import Lease, Requeue, Ticket
from app.jobs.record import LEASES, JobRecord, Status, lease_member, outcome_key, record_key, request_key
from app.openai.payload import merged
from app.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis
    from redis.client import Pipeline

    from app.errors import ErrorReply
    from app.jobs.change import Change, Found
    from app.scopes import Lot
    from app.settings import Settings


def new_execution() -> str:
    """The id of a run that is to be claimed."""
    return uuid4().hex


class Claimed(NamedTuple):
    """A run that has its job."""

    lease: Lease
    record: JobRecord
    #: the payload, JSON; None for a choice, which has its parent's
    request: bytes | None


def claim(
    connection: Redis,
    job_id: str,
    worker: str,
    lease_seconds: float,
    execution_id: str = "",
    *,
    admits: Callable[[JobRecord, bool], bool] = lambda *_: True,
) -> Claimed | None:
    """Queued to in_progress. None when there is nothing to run: cancelled, ended, taken by somebody else, gone, or not admitted.

    `admits` is asked whether a queued job may run now, given its record and whether anything is closed (`gate.read_closed` says what). It
    may be asked more than once, and changes nothing of the job.

    Safe to repeat with one `execution_id` (default: a new one). If the reply to the first try was lost, the second finds that this
    run has the job.
    """
    lease = Lease(job_id, execution_id or new_execution(), worker)
    request: bytes | None = None

    def decide(found: Found) -> Change:
        nonlocal request
        request, closed = found.beside
        record = found.record
        if record is not None and record.status is Status.QUEUED and not admits(record, bool(closed)):
            return lifecycle.unchanged(record)
        return lifecycle.claim(found, lease, lease_seconds)

    beside = (("GET", request_key(job_id)), ("EXISTS", *gate.state_keys()))
    record = apply.step(connection, job_id, decide, beside=beside).after
    return Claimed(lease, record, request) if record is not None and record.execution == lease.execution_id else None


def renew(connection: Redis, lease: Lease, lease_seconds: float) -> bool:
    """Move the lease's end; False when it is lost."""
    member = lease_member(lease.job_id, lease.execution_id)
    pipe = connection.pipeline()
    pipe.zadd(LEASES, {member: clock.now() + lease_seconds}, xx=True)
    pipe.zscore(LEASES, member)
    return pipe.execute()[1] is not None


def note_sent(connection: Redis, lease: Lease) -> None:
    """Count this run as sent to Claude, for jobs with `max_sends`. Safe to repeat.

    Raises `LeaseLost`, and `Spent` when it must not be sent.
    """
    apply.step(connection, lease.job_id, lambda found: lifecycle.note_sent(found, lease))


def publish(connection: Redis, settings: Settings, lease: Lease, outcome: Outcome) -> None:
    """In_progress to completed or failed, with the outcome and the callback's event in the same step. Safe to repeat.

    Raises `LeaseLost`.
    """
    change = apply.step(connection, lease.job_id, lambda found: lifecycle.publish(found, lease, outcome, settings))
    _join_parent(connection, settings, change)


def requeue(connection: Redis, settings: Settings, lease: Lease, how: Requeue) -> None:
    """In_progress to queued: to the queue's head, or there after a delay. Raises `LeaseLost`.

    To failed if it must not run again: it ended too many workers, its client has read a part of the answer, or it was sent to
    Claude as often as its client allows.
    """
    name = new_execution()
    change = apply.step(connection, lease.job_id, lambda found: lifecycle.requeue(found, lease, how, name, settings))
    _join_parent(connection, settings, change)


def fan_out(connection: Redis, settings: Settings, lease: Lease, count: int) -> None:
    """In_progress to queued; one job for each of its `count` answers is made. Raises `LeaseLost`."""
    name = new_execution()
    apply.step(
        connection,
        lease.job_id,
        lambda found: parents.fan_out(found, lease, count, name, settings),
        count=count,
    )
    join(connection, settings, lease.job_id)


def _join_parent(connection: Redis, settings: Settings, change: Change) -> None:
    """If this ended a choice, its parent may be able to end too."""
    after = change.after
    if after is not None and after.parent and after.status.is_final:
        join(connection, settings, after.parent)


def submit(connection: Redis, pipe: Pipeline, record: JobRecord, request: str, *, ttl_seconds: int) -> None:
    """Put the commands that put a new job into the queue on the caller's pipeline.

    The caller has checked that there is no such job, and watches a key that this step changes: submitted twice, it would run twice.
    """
    pipe.set(request_key(record.id), request)
    apply.write(connection, pipe, record.id, lifecycle.submit(record, ttl_seconds))


def fail_waiting(
    connection: Redis, settings: Settings, job_id: str, error: ErrorReply, *, spares_running: bool = False
) -> None:
    """Queued to failed, for a job that can't run any more (its deadline has passed, for example).

    `spares_running`: leave a job alone whose choices all run or have ended.
    """
    apply.step(
        connection,
        job_id,
        lambda found: lifecycle.fail_waiting(found, error, settings, spares_running=spares_running),
    )


def requeue_ticket(connection: Redis, job_id: str) -> None:
    """Put a queued job's ticket into the queue; remove the ticket of any other job."""
    apply.step(connection, job_id, lifecycle.requeue_ticket)


def park(connection: Redis, job_id: str, lot: Lot, reason: str) -> None:
    """Take a queued job, in the queue or just out of it, into the lot. Safe to repeat."""
    apply.step(connection, job_id, lambda found: lifecycle.park(found, lot, reason))


def unpark(connection: Redis, lot: Lot, count: int, *, is_first: bool = False) -> int:
    """Put the last `count` jobs of the lot back at the queue's head in their order, or the first ones; how many are left.

    The last before the others: whatever is parked still when this process dies belongs before them.
    """

    def change(pipe: Any) -> int:
        ids = texts(pipe.zrange(lot.key, 0, count - 1) if is_first else pipe.zrange(lot.key, -count, -1))
        if ids:
            pipe.watch(*map(record_key, ids))
        left = int(pipe.zcard(lot.key)) - len(ids)
        records = hashes.read_all(connection, JobRecord, map(record_key, ids))
        pipe.multi()
        for job_id, record in reversed([*zip(ids, records, strict=True)]):
            apply.write(connection, pipe, job_id, lifecycle.unpark(record, lot))
        return left

    return transaction(connection, lot.key, change)


def reissue(connection: Redis, settings: Settings, job_id: str) -> bool:
    """Issue a new ticket for a queued job whose own is missing. Whether the job is queued."""
    ttl = settings.result_ttl_seconds
    return apply.step(connection, job_id, lambda found: lifecycle.reissue(found, ttl)).ticket is Ticket.NEW


def join(connection: Redis, settings: Settings, job_id: str) -> bool:
    """Make the outcome of a job of those of its choices: all answers, or the error of the one that failed.

    No worker is needed for it, so the answer does not wait behind a closed gate. If some have not ended, the job goes on waiting; if
    some are missing, it goes to the queue's head, so that a worker makes them. False, and no change, if it waits for no choices.
    """
    has_waited = False

    def decide(found: Found) -> Change:
        nonlocal has_waited
        # An earlier try may have ended it, and lost its reply.
        has_waited = has_waited or parents.waits(found.record)
        ended = parents.joined(found)
        outcome = _merged(connection, job_id, ended, settings.max_result_bytes) if ended else None
        return parents.join(found, outcome, settings)

    apply.step(connection, job_id, decide)
    return has_waited


def _merged(connection: Redis, job_id: str, ended: Sequence[JobRecord], max_bytes: int) -> Outcome:
    texts = cast("list[bytes | None]", connection.mget([outcome_key(one.id) for one in ended]))
    outcomes = [Outcome(error=errors.internal()) if text is None else Outcome.from_json(text) for text in texts]
    outcome = merged(outcomes, job_id)
    return outcome if outcome.size() <= max_bytes else Outcome(error=errors.result_too_large(max_bytes))
