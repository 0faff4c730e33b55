"""What a run may do with its job: claim it, keep it, publish its outcome, requeue it. Each is one step in Redis.

A worker whose lease ended, or whose job was cancelled, can change nothing: `app.jobs.lifecycle` has the fence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from app import clock
from app.jobs import apply, lifecycle, transitions
from app.jobs.change import Change, Lease, Requeue
from app.jobs.record import LEASES, JobRecord, lease_member

if TYPE_CHECKING:
    from redis import Redis

    from app.outcome import Outcome
    from app.settings import Settings


def new_execution() -> str:
    """The id of a run that is to be claimed."""
    return uuid4().hex


def claim(
    connection: Redis, job_id: str, worker: str, lease_seconds: float, execution_id: str = ""
) -> tuple[Lease, JobRecord] | None:
    """Queued to in_progress. None when there is nothing to run: cancelled, ended, taken by somebody else, or gone.

    Safe to repeat with one `execution_id` (default: a new one). If the reply to the first try was lost, the second finds that this
    run has the job.
    """
    lease = Lease(job_id, execution_id or new_execution(), worker)
    record = apply.step(connection, job_id, lambda found: lifecycle.claim(found, lease, lease_seconds)).after
    return (lease, record) if record is not None and record.execution == lease.execution_id else None


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
        lambda found: lifecycle.fan_out(found, lease, count, name, settings),
        count=count,
    )
    transitions.join(connection, settings, lease.job_id)


def _join_parent(connection: Redis, settings: Settings, change: Change) -> None:
    """If this ended a choice, its parent may be able to end too."""
    after = change.after
    if after is not None and after.parent and after.status.is_final:
        transitions.join(connection, settings, after.parent)
