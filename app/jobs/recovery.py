"""Requeues the jobs of dead workers; ends and removes jobs whose time has come.

Every step is idempotent and fenced: any process may run it, and two at once do no harm.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app import admission, clock, errors, worker_status
from app.connection import texts
from app.gate import Gate, read_closings
from app.jobs import removal, tickets, transitions
from app.jobs.change import Lease, LeaseLost, Reason, Requeue
from app.jobs.record import (
    ABANDONED,
    CHOICES,
    DEADLINES,
    LEASES,
    RETENTION,
    JobRecord,
    Status,
    lease_member,
    record_key,
    status_key,
)
from app.jobs.store import Jobs
from app.scopes import LOTS, SCOPES

if TYPE_CHECKING:
    from redis import Redis

    from app.scopes import Lot
    from app.settings import Settings

log = logging.getLogger(__name__)

#: between queue and worker: an id that stays there longer has lost its worker, seconds
GAP_SECONDS = 3.0
#: how often the queued jobs are compared with the queue, seconds
AUDIT_SECONDS = 30.0
_CHUNK = 500
#: how often a parked job is given to the workers to be tried, until one of them tries it; and how often all that a way is open to are,
#: should none of them be able to use that way, seconds
TRY_SECONDS = 5.0
_UNPARKED_AT_ONCE = 100


def release_worker(connection: Redis, settings: Settings, worker: str) -> list[str]:
    """The worker process is known to be dead: its jobs go back at once. The ids of the jobs."""
    released = []
    for scope in SCOPES:
        Gate(connection, scope).end_probe(worker)
    for member in texts(connection.zrange(LEASES, 0, -1)):
        job_id, _, execution_id = member.partition(":")
        record = JobRecord.from_hash(connection.hgetall(record_key(job_id)))
        if record is not None and record.worker == worker and record.execution == execution_id:
            worker_died(connection, settings, Lease(job_id, execution_id, worker), Reason.WORKER_DIED)
            released.append(job_id)
    # This marks the rest of its work as abandoned, and takes its name out of RQ's lists.
    connection.delete(f"rq:worker:{worker}")
    worker_status.remove(connection, worker)
    return released


def worker_died(connection: Redis, settings: Settings, lease: Lease, reason: Reason) -> None:
    """Requeue the job of a run that died, at the queue's head. After too many deaths it is dead-lettered: it ends as failed."""
    record = JobRecord.from_hash(connection.hgetall(record_key(lease.job_id)))
    try:
        transitions.requeue(connection, settings, lease, Requeue(reason, counts=False, died=True))
        ids = {} if record is None else record.ids
        extra = {**ids, "worker": lease.worker or None}
        log.warning("[RECOVERY] job=%s worker=%s reason=%s", lease.job_id, lease.worker, reason, extra=extra)
    except LeaseLost:
        connection.zrem(LEASES, lease_member(lease.job_id, lease.execution_id))


class Recovery:
    """Does what is due for jobs. The maintenance calls each method once a second."""

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._jobs = Jobs(connection, settings)
        #: ids seen in the gap, by the time of the first look
        self._in_gap: dict[tuple[str, str], float] = {}
        self._next_audit = 0.0

    def remove_old(self) -> None:
        """Delete jobs whose time to live has passed, and what RQ keeps too long."""
        for job_id in self._due(RETENTION):
            removal.remove(self._connection, job_id)
        for name in tickets.QUEUES:
            tickets.tidy(self._connection, name)

    def expire_leases(self) -> None:
        """Requeue the jobs of runs whose lease has ended: they have lost their worker."""
        for member in self._due(LEASES):
            job_id, _, execution_id = member.partition(":")
            worker_died(self._connection, self._settings, Lease(job_id, execution_id, ""), Reason.LEASE_ENDED)

    def close_gap(self) -> None:
        """Requeue tickets that are between queue and worker for too long: they have lost their worker."""
        now = time.monotonic()
        seen: dict[tuple[str, str], float] = {}
        for name in tickets.QUEUES:
            for job_id in tickets.intermediate(self._connection, name):
                since = seen[name, job_id] = self._in_gap.get((name, job_id), now)
                if now - since < GAP_SECONDS:
                    continue
                if name == tickets.CLAUDE_QUEUE:
                    self._requeue(job_id)
                else:
                    tickets.return_from_gap(self._connection, name, job_id)
                log.warning(
                    "[RECOVERY] ticket=%s reason=lost between queue and worker", job_id, extra={"job_id": job_id}
                )
                del seen[name, job_id]
        self._in_gap = seen

    def requeue_due(self) -> None:
        """Requeue the jobs whose delay has passed."""
        for job_id in tickets.due(self._connection, clock.now()):
            self._requeue(job_id)

    def return_parked(self) -> None:
        """What is parked goes back to the queue's head when a way is open to it; before that one at a time, to try it."""
        pipe = self._connection.pipeline(transaction=False)
        for lot in LOTS:
            pipe.zcard(lot.key)
        parked = [lot for lot, number in zip(LOTS, pipe.execute(), strict=True) if number]
        if not parked:
            return
        closings = read_closings(self._connection)
        for lot in parked:
            if admission.is_open(closings, lot):
                if self._is_time(lot, "returned"):
                    while transitions.unpark(self._connection, lot, _UNPARKED_AT_ONCE):
                        pass
            elif admission.is_due(closings, lot) and self._is_time(lot, "tried"):
                transitions.unpark(self._connection, lot, 1, is_first=True)

    def _is_time(self, lot: Lot, what: str) -> bool:
        # Should the SET be sent again, since its reply was lost, it says no: it is done a little later.
        return bool(self._connection.set(f"{lot.key}:{what}", 1, nx=True, px=int(TRY_SECONDS * 1000)))

    def _requeue(self, job_id: str) -> None:
        if not transitions.join(self._connection, self._settings, job_id):
            transitions.requeue_ticket(self._connection, job_id)

    def cancel_abandoned(self) -> None:
        """Cancel jobs whose clients hung up and did not come back within the grace."""
        for job_id in self._due(ABANDONED):
            self._jobs.cancel(job_id, errors.client_left())
            self._connection.zrem(ABANDONED, job_id)

    def fail_late(self) -> None:
        """Jobs that wait, and whose deadline has passed."""
        for job_id in self._due(DEADLINES):
            record = self._jobs.get(job_id)
            seconds = record.deadline_at - record.created_at if record else 0.0
            transitions.fail_waiting(self._connection, self._settings, job_id, errors.deadline_exceeded(seconds))

    def reissue_lost(self) -> None:
        """A queued job whose ticket is nowhere (an operator emptied the queue, say) gets a new one."""
        if time.monotonic() < self._next_audit:
            return
        self._next_audit = time.monotonic() + AUDIT_SECONDS
        before = clock.now() - AUDIT_SECONDS
        indexes = (status_key(Status.QUEUED), CHOICES)
        waiting = {id_ for key in indexes for id_ in texts(self._connection.zrangebyscore(key, 0, before))}
        if not waiting:
            return
        held = tickets.all_waiting(self._connection, tickets.CLAUDE_QUEUE)
        for job_id in waiting - held:
            if transitions.reissue(self._connection, self._settings, job_id):
                log.warning(
                    "[RECOVERY] job=%s reason=its ticket was gone from the queue", job_id, extra={"job_id": job_id}
                )

    def _due(self, key: str) -> list[str]:
        return texts(self._connection.zrangebyscore(key, 0, clock.now(), start=0, num=_CHUNK))
