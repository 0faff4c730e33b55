"""What a run may do to its job, each one step in Redis: claim it, keep it, and give it up with an outcome or without one.

A worker whose lease ended, or whose job was cancelled, can change nothing (`app.jobs.lifecycle` has the fence).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from app import clock
from app.jobs import apply, lifecycle, transitions
from app.jobs.change import Change, Lease, Requeue
from app.jobs.record import LEASES, JobRecord

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

    Doing it twice for one `execution_id` (a new one, when none is given) is the same as once: the reply of the first may have been
    lost, and who has the job is this run.
    """
    lease = Lease(job_id, execution_id or new_execution(), worker)
    record = apply.step(connection, job_id, lambda found: lifecycle.claim(found, lease, lease_seconds)).after
    return (lease, record) if record is not None and record.execution == lease.execution_id else None


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
    apply.step(connection, lease.job_id, lambda found: lifecycle.note_sent(found, lease))


def publish(connection: Redis, settings: Settings, lease: Lease, outcome: Outcome) -> None:
    """In_progress to completed or failed: the outcome, and the callback's event, in the same step. Raises `LeaseLost`.

    Doing it twice for the same run is the same as once.
    """
    change = apply.step(connection, lease.job_id, lambda found: lifecycle.publish(found, lease, outcome, settings))
    _settle(connection, settings, change)


def requeue(connection: Redis, settings: Settings, lease: Lease, how: Requeue) -> None:
    """In_progress to queued: at the queue's head, or after a delay. Raises `LeaseLost`.

    It ends as failed when it must not be run again: when it has died too often, when its client has read a part of the answer, or
    when it was sent to Claude as often as its client allows.
    """
    name = new_execution()
    change = apply.step(connection, lease.job_id, lambda found: lifecycle.requeue(found, lease, how, name, settings))
    _settle(connection, settings, change)


def fan_out(connection: Redis, settings: Settings, lease: Lease, count: int) -> None:
    """In_progress to queued, while jobs of their own ask for its `count` answers. Raises `LeaseLost`."""
    name = new_execution()
    apply.step(
        connection,
        lease.job_id,
        lambda found: lifecycle.fan_out(found, lease, count, name, settings),
        count=count,
    )
    transitions.join(connection, settings, lease.job_id)


def _settle(connection: Redis, settings: Settings, change: Change) -> None:
    """The end of a choice may be that of the job that waits for it."""
    after = change.after
    if after is not None and after.parent and after.status.is_final:
        transitions.join(connection, settings, after.parent)
