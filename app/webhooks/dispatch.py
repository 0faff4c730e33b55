"""From the outbox to the queue of the delivering processes. Called each second by whoever does the maintenance."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.executions import Execution
from rq.job import Job

from app.connection import repeated
from app.webhooks.outbox import Outbox

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

log = logging.getLogger(__name__)

#: `workers` is not imported here: the queue carries the task's name
DELIVER_TASK = "workers.callbacks.tasks.deliver_event"
#: jobs in RQ's queue at most; the others wait in the outbox, where waiting costs nothing
MAX_QUEUED = 500
#: the task starts a thread and returns; it waits for a free place at most as long as deliveries take, seconds
JOB_TIMEOUT_SECONDS = 120
_FAILURE_TTL_SECONDS = 60


def dispatch_due(connection: Redis, queue: Queue, now: float, *, limit: int = 200) -> int:
    """Enqueue what is due; how many. Harmless when repeated or done by two processes at once.

    The RQ job's id is `{event id}-{attempt}`: one job for each attempt, however often the event is taken for due (it is
    again every `DISPATCH_SECONDS`, while the queue is long or when a job was lost).
    """
    room = MAX_QUEUED - queue.count
    if room <= 0:
        return 0
    due = Outbox(connection).take_due(now, min(limit, room))
    return sum(_enqueue(queue, event_id, f"{event_id}-{attempts + 1}") for event_id, attempts in due)


def drop_abandoned(queue: Queue) -> list[str]:
    """Clear away the jobs that a process had begun when it died; their events are due again by themselves. The jobs' ids.

    A dead process is one whose key in Redis has ended. It can have died before its attempt's claim, and as long as the job
    looks started, no other of its id is enqueued.
    """
    dropped = []
    registry = queue.started_job_registry
    for job_id, execution_id in registry.get_job_and_execution_ids(cleanup=False):
        try:
            worker = Execution.fetch(execution_id, job_id, queue.connection).worker_name
        except ValueError:
            worker = ""  # it was begun so long ago that only its entry is left
        if worker and queue.connection.exists(f"rq:worker:{worker}"):
            continue
        pipe = queue.connection.pipeline()
        pipe.zrem(registry.key, f"{job_id}:{execution_id}")
        pipe.delete(f"rq:job:{job_id}", f"rq:executions:{job_id}", f"rq:execution:{job_id}:{execution_id}")
        pipe.execute()
        log.warning("[CALLBACK] %s had been begun by a process that died", job_id)
        dropped.append(job_id)
    return dropped


def _enqueue(queue: Queue, event_id: str, job_id: str) -> bool:
    for _ in range(2):
        try:
            # RQ's own script; since the job is unique, it does nothing the second time.
            repeated(
                lambda: queue.enqueue_call(
                    DELIVER_TASK,
                    args=(event_id,),
                    job_id=job_id,
                    unique=True,
                    timeout=JOB_TIMEOUT_SECONDS,
                    # Deleted when it ends: what happened is in the outbox.
                    result_ttl=0,
                    failure_ttl=_FAILURE_TTL_SECONDS,
                    description=f"deliver {event_id}",
                )
            )
        except DuplicateJobError:
            if not _remove_ended(queue, job_id):
                return False
        else:
            return True
    return False


def _remove_ended(queue: Queue, job_id: str) -> bool:
    """Clear away the job of that id if it has ended, e.g. failed before its attempt began. False: it still waits or runs."""
    try:
        job = Job.fetch(job_id, connection=queue.connection, serializer=queue.serializer)
    except NoSuchJobError:
        return True
    if job.ended_at is None:
        return False
    log.warning("[CALLBACK] %s ended without an attempt and is enqueued again", job_id)
    job.delete()
    return True
