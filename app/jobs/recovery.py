"""What brings back the jobs of dead workers, and does all that is due. Run each second, by any number of processes.

Every step is idempotent and fenced, so that it does not matter who runs it, or whether two do.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app import clock, errors, supervisors, worker_status
from app.connection import AWAY, texts
from app.gate import SCOPES, Gate
from app.history import closings, sampling
from app.jobs import leases, removal, tickets, transitions
from app.jobs.change import Lease, LeaseLost, PutBack, Reason
from app.jobs.record import ABANDONED, CHOICES, DEADLINES, LEASES, RETENTION, JobRecord, Status, record_key, status_key
from app.jobs.store import Jobs
from app.webhooks import dispatch

if TYPE_CHECKING:
    from redis import Redis

    from app.settings import Settings

log = logging.getLogger(__name__)

#: between queue and worker: an id that stays there longer has lost its worker, seconds
GAP_SECONDS = 3.0
#: how often the queued jobs are compared with the queue, seconds
AUDIT_SECONDS = 30.0
_CHUNK = 500
#: written in each round, to see whether it can be
_WRITABLE = "nightshift:writable"


def release_worker(connection: Redis, settings: Settings, worker: str) -> list[str]:
    """The worker process is known to be dead: its jobs go back at once. The ids of the jobs."""
    released = []
    for scope in SCOPES:
        Gate(connection, scope).end_probe(worker)
    for member in texts(connection.zrange(LEASES, 0, -1)):
        job_id, _, execution_id = member.partition(":")
        record = JobRecord.from_hash(connection.hgetall(record_key(job_id)))
        if record is not None and record.worker == worker and record.execution == execution_id:
            give_back(connection, settings, Lease(job_id, execution_id, worker), Reason.WORKER_DIED)
            released.append(job_id)
    # What else it had begun is known by this to be nobody's, and its name leaves RQ's lists.
    connection.delete(f"rq:worker:{worker}")
    worker_status.remove(connection, worker)
    return released


def give_back(connection: Redis, settings: Settings, lease: Lease, reason: Reason) -> None:
    """A run that died: the job goes back to the queue's head, or, having died too often, is set aside as failed."""
    record = JobRecord.from_hash(connection.hgetall(record_key(lease.job_id)))
    try:
        leases.put_back(connection, settings, lease, PutBack(reason, counts=False, died=True))
        ids = {} if record is None else record.ids
        extra = {**ids, "worker": lease.worker or None}
        log.warning("[RECOVERY] job=%s worker=%s reason=%s", lease.job_id, lease.worker, reason, extra=extra)
    except LeaseLost:
        connection.zrem(LEASES, lease.member)


class Maintenance:
    """One of these per supervisor; `run_once` is called each second and never raises for Redis being away."""

    def __init__(self, connection: Redis, settings: Settings, part: str = "up") -> None:
        self._connection = connection
        self._settings = settings
        self._jobs = Jobs(connection, settings)
        self._status = supervisors.of_this_process(settings, part)
        #: how often Redis' clock had been set when leases were judged last
        self._jumps = clock.jumps()
        #: ids seen in the gap, by the time of the first look
        self._in_gap: dict[tuple[str, str], float] = {}
        self._patient_until = 0.0
        self._server_run = ""
        self._next_audit = 0.0

    def run_once(self) -> None:
        """Do all that is due; first what makes room, which a Redis that is full lets pass."""
        try:
            clock.sync(self._connection)
            self._remove_old()
            if not self._may_judge():
                return
            self._look_at_server()
            self._look_at_clock()
            if time.monotonic() >= self._patient_until:
                self._expire_leases()
                self._close_gap()
            self._retry_due()
            self._cancel_abandoned()
            self._fail_late()
            self._audit()
            self._deliver()
            self._note_history()
        except AWAY as error:
            # Workers could not beat either: they get a whole lease once Redis is back.
            self._patient_until = time.monotonic() + self._settings.lease_seconds
            log.warning("[RECOVERY] waits for Redis (%s: %s)", type(error).__name__, error)

    def _may_judge(self) -> bool:
        """Tell the others of this process. Not while its machine's clock is off and another's is right."""
        before, self._status = self._status, supervisors.announce(self._connection, self._status)
        if self._status.rests and not before.rests:
            log.error("[CLOCK] %s: others do the maintenance until it is right", self._status.rests)
        elif before.rests and not self._status.rests:
            log.warning("[CLOCK] the clock is right again, or no other is: the maintenance goes on here")
        elif self._status.is_off and not before.is_off:
            skew = clock.words(self._status.clock_skew_seconds)
            log.error("[CLOCK] this machine's clock is %s: set it by NTP", skew)
        return not self._status.rests

    def _look_at_clock(self) -> None:
        """Redis' own clock was set: leases that were written before get their time anew, and none lasts longer than that."""
        if clock.jumps() == self._jumps:
            return
        self._jumps = clock.jumps()
        seconds = self._settings.lease_seconds
        self._patient_until = time.monotonic() + seconds
        until = clock.now() + seconds
        for member in texts(self._connection.zrangebyscore(LEASES, until, "+inf")):
            self._connection.zadd(LEASES, {member: until}, xx=True, lt=True)
        log.warning("[CLOCK] Redis' clock was set: no lease is judged for %.0f s", seconds)

    def _look_at_server(self) -> None:
        run = str(self._connection.info("server")["run_id"])
        if run != self._server_run:
            if self._server_run:
                self._patient_until = time.monotonic() + self._settings.lease_seconds
            self._server_run = run
        # No beat reaches a server that takes no writes, and no lease may end for that.
        self._connection.set(_WRITABLE, 1, ex=60)

    def _expire_leases(self) -> None:
        for member in self._due(LEASES):
            job_id, _, execution_id = member.partition(":")
            give_back(self._connection, self._settings, Lease(job_id, execution_id, ""), Reason.LEASE_ENDED)

    def _close_gap(self) -> None:
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

    def _retry_due(self) -> None:
        for job_id in tickets.due(self._connection, clock.now()):
            self._requeue(job_id)

    def _requeue(self, job_id: str) -> None:
        if not transitions.join(self._connection, self._settings, job_id):
            transitions.requeue_ticket(self._connection, job_id)

    def _cancel_abandoned(self) -> None:
        for job_id in self._due(ABANDONED):
            self._jobs.cancel(job_id, errors.client_left())
            self._connection.zrem(ABANDONED, job_id)

    def _fail_late(self) -> None:
        for job_id in self._due(DEADLINES):
            record = self._jobs.get(job_id)
            seconds = record.deadline_at - record.created_at if record else 0.0
            transitions.fail_waiting(self._connection, self._settings, job_id, errors.deadline_exceeded(seconds))

    def _audit(self) -> None:
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

    def _deliver(self) -> None:
        callbacks = tickets.queue(self._connection, tickets.CALLBACK_QUEUE)
        if time.monotonic() >= self._patient_until:
            dispatch.drop_abandoned(callbacks)
        dispatch.dispatch_due(self._connection, callbacks, clock.now())

    def _note_history(self) -> None:
        if sampling.take_due(self._connection, clock.now()):
            closings.tidy(self._connection)

    def _remove_old(self) -> None:
        for job_id in self._due(RETENTION):
            removal.remove(self._connection, job_id)
        for name in tickets.QUEUES:
            tickets.tidy(self._connection, name)

    def _due(self, key: str) -> list[str]:
        return texts(self._connection.zrangebyscore(key, 0, clock.now(), start=0, num=_CHUNK))
