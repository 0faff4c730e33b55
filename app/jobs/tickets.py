"""A ticket is RQ's job: our job's place in the queue, and what rq-dashboard shows. The one module that knows RQ's statuses.

Each function only puts commands on the pipeline that it is given, so that the ticket moves in the same MULTI as the
record. A ticket carries the job's id and nothing else: no prompt can be read, or run as a script, where tickets are shown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from rq import Queue
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import utcformat
from rq.worker_registration import clean_worker_registry

from app import clock
from app.connection import texts, transaction

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

#: the queue of requests to Claude; a worker listens on exactly one queue (see ARCHITECTURE.md)
CLAUDE_QUEUE = "claude"
CALLBACK_QUEUE = "callbacks"

#: the tickets that let others pass
YIELDING = "nightshift:yielding"
#: KEYS the queue, `YIELDING`; ARGV the ticket that was just put at the queue's end. Mostly no yielding one is before it; there may be
#: thousands: they are looked at in pieces.
_GO_BEFORE = """
local last, size, first = -2, 1, nil
while true do
  local others = redis.call('LRANGE', KEYS[1], last - size + 1, last)
  if #others == 0 then break end
  local yields = redis.call('SMISMEMBER', KEYS[2], unpack(others))
  local i = #others
  while i > 0 and yields[i] == 1 do
    first = others[i]
    i = i - 1
  end
  if i > 0 then break end
  last, size = last - size, math.min(2 * size, 256)
end
if first then
  redis.call('RPOP', KEYS[1])
  redis.call('LINSERT', KEYS[1], 'BEFORE', first, ARGV[1])
end
"""

#: at how many tickets a look for one begins, at each end of the queue
_NEAR = 1000
#: RQ's own lease; long, because the lease that counts is ours (`record.LEASES`) and RQ's recovery must stay out of it
RQ_LEASE_SECONDS = 30 * 24 * 3600

#: the string path of that queue's task (of the callbacks': `app.webhooks.dispatch`); a test proves that it resolves
TASK_PATH = "workers.tasks.run_job"
QUEUES = (CLAUDE_QUEUE, CALLBACK_QUEUE)


@lru_cache(maxsize=32)
def queue(connection: Redis, name: str = CLAUDE_QUEUE) -> Queue:
    """The RQ queue, JSON only. Kept, since each new one asks the server for its version when first used."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


def ticket(connection: Redis, job_id: str) -> Job:
    """The RQ job of that id without reading it: good for status and place, not for its function."""
    job = Job(job_id, connection=connection)
    # RQ examines each serializer that it is given, which takes longer than all the rest.
    job.serializer = JSONSerializer
    job.origin = CLAUDE_QUEUE
    return job


class _Registries(NamedTuple):
    """The keys of a queue's. RQ makes an object to find out each."""

    started: str
    finished: str
    failed: str
    canceled: str
    scheduled: str


@lru_cache(maxsize=32)
def _registries(home: Queue) -> _Registries:
    made = (home.started_job_registry, home.finished_job_registry, home.failed_job_registry)
    return _Registries(*(one.key for one in (*made, home.canceled_job_registry, home.scheduled_job_registry)))


class ClaudeQueue(Queue):
    """RQ's queue for a worker: a ticket that was taken from it is its id, and is not read. What is not ours is never claimed."""

    @classmethod
    def _fetch_dequeued_job(
        cls, connection: Redis, queue_key: str, job_id: str, *_: Any, **__: Any
    ) -> tuple[Job, Queue] | None:
        home = queue(connection, queue_key.removeprefix(cls.redis_queue_namespace_prefix))
        return _performable(connection, job_id), home


def _performable(connection: Redis, job_id: str) -> Job:
    """A ticket with its function, which is the same for all, and its only argument."""
    job = ticket(connection, job_id)
    job.func_name, job.instance, job.args, job.kwargs = TASK_PATH, None, (job_id,), {}
    return job


def issue(
    pipeline: Pipeline,
    connection: Redis,
    job_id: str,
    *,
    description: str,
    ttl_seconds: int,
    at_front: bool = False,
    yields: bool = False,
) -> None:
    """Enqueue a new ticket. The job's id is the task's only argument.

    One that `yields` is put at the queue's end, or, `at_front`, before all that yield; others are put before those, or at the head.
    """
    home, job = queue(connection), _performable(connection, job_id)
    job.description, job.timeout, job.result_ttl, job.failure_ttl = description, -1, ttl_seconds, ttl_seconds
    pipeline.sadd(home.redis_queues_keys, home.key)
    # Queue.enqueue_call() would start a MULTI of its own, to watch for dependencies: there are none here.
    home._prepare_for_queue(job)  # noqa: SLF001 - held by a contract test
    job.save(pipeline=pipeline)
    home.push_job_id(job_id, pipeline=pipeline, at_front=at_front and not yields)
    if at_front == yields:
        pipeline.eval(_GO_BEFORE, 2, home.key, YIELDING, job_id)
    if yields:
        pipeline.sadd(YIELDING, job_id)


def start(pipeline: Pipeline, job: Job, worker_name: str, execution_id: str, *, description: str) -> None:
    """Queued (or rather: between queue and worker) to started. `description`: what RQ's tools show, nothing of the request."""
    # `Execution.create` makes up its id: a step that is done again has to make the same one.
    execution = Execution(execution_id, job.id, job.connection, worker_name=worker_name)
    execution.save(RQ_LEASE_SECONDS, pipeline)
    ExecutionRegistry(job.id, connection=pipeline).add(execution=execution, ttl=RQ_LEASE_SECONDS, pipeline=pipeline)
    pipeline.zadd(_registries(_home(job)).started, {execution.composite_key: int(clock.now()) + RQ_LEASE_SECONDS})
    pipeline.sadd(execution.worker_executions_key, execution.composite_key)
    pipeline.expire(execution.worker_executions_key, RQ_LEASE_SECONDS + 60)
    # RQ's `prepare_for_execution`, and the description in the same command.
    began = utcformat(datetime.fromtimestamp(clock.now(), UTC))
    shown: dict[Any, Any] = {"status": JobStatus.STARTED, "worker_name": worker_name, "description": description}
    pipeline.hset(job.key, mapping=shown | {"last_heartbeat": began, "started_at": began})
    pipeline.lrem(_home(job).intermediate_queue_key, 1, job.id)


def finish(
    pipeline: Pipeline, job: Job, execution: Execution | None, *, failed: str, ttl_seconds: int, yields: bool
) -> None:
    """Started to finished, or, with a reason in `failed`, to failed."""
    _end_execution(pipeline, job, execution)
    status = JobStatus.FAILED if failed else JobStatus.FINISHED
    ended = utcformat(datetime.fromtimestamp(clock.now(), UTC))
    pipeline.hset(job.key, mapping={"status": status, "ended_at": ended})
    if failed:
        Result.create_failure(job, ttl_seconds, exc_string=failed, pipeline=pipeline)
    registries = _registries(_home(job))
    _register(pipeline, registries.failed if failed else registries.finished, job, ttl_seconds)
    if yields:
        pipeline.srem(YIELDING, job.id)


def requeue(
    pipeline: Pipeline, job: Job, execution: Execution | None, *, at_front: bool, is_behind_others: bool = False
) -> None:
    """Started, lost or scheduled to queued. `is_behind_others`: at the front, but behind all that do not let others pass."""
    _end_execution(pipeline, job, execution)
    take_out(pipeline, job)
    job.set_status(JobStatus.QUEUED, pipeline=pipeline)
    _home(job).push_job_id(job.id, pipeline=pipeline, at_front=at_front and not is_behind_others)
    if is_behind_others:
        pipeline.eval(_GO_BEFORE, 2, _home(job).key, YIELDING, job.id)


def requeue_later(pipeline: Pipeline, job: Job, execution: Execution | None, *, at: float) -> None:
    """Started to scheduled: `due` names it from the second `at` on."""
    _end_execution(pipeline, job, execution)
    job.set_status(JobStatus.SCHEDULED, pipeline=pipeline)
    pipeline.zadd(_registries(_home(job)).scheduled, {job.id: at})


def due(connection: Redis, now: float, limit: int = 1000) -> list[str]:
    """The scheduled tickets whose second has come."""
    key = queue(connection).scheduled_job_registry.key
    return texts(connection.zrangebyscore(key, 0, now, start=0, num=limit))


def cancel(pipeline: Pipeline, job: Job, execution: Execution | None, *, ttl_seconds: int) -> None:
    """Whatever it was to canceled (RQ's spelling)."""
    _end_execution(pipeline, job, execution)
    take_out(pipeline, job)
    job.set_status(JobStatus.CANCELED, pipeline=pipeline)
    _register(pipeline, _registries(_home(job)).canceled, job, ttl_seconds)
    pipeline.srem(YIELDING, job.id)


def take_out(pipeline: Pipeline, job: Job) -> None:
    """Out of the queue, of the gap between queue and worker, and of the schedule."""
    home = _home(job)
    pipeline.lrem(home.key, 0, job.id)
    pipeline.lrem(home.intermediate_queue_key, 0, job.id)
    pipeline.zrem(_registries(home).scheduled, job.id)


def forget(pipeline: Pipeline, job: Job, *, waits: bool = True) -> None:
    """Delete a ticket, whatever its state. `waits`: it may be in the queue."""
    if waits:
        take_out(pipeline, job)
    registries = _registries(_home(job))
    for key in (registries.finished, registries.failed, registries.canceled):
        pipeline.zrem(key, job.id)
    pipeline.delete(job.key, f"rq:results:{job.id}", f"rq:executions:{job.id}")
    pipeline.srem(YIELDING, job.id)


def execution_of(connection: Redis, job_id: str, execution_id: str, worker_name: str) -> Execution:
    """A handle on a registered execution, without reading it."""
    return Execution(execution_id, job_id, connection, worker_name=worker_name)


def tidy(connection: Redis, name: str) -> None:
    """Drop what has expired from RQ's registries, workers included. Not the started one: its recovery is ours."""
    found = queue(connection, name)
    # By hand: the canceled one's own cleanup does nothing.
    for registry in (found.finished_job_registry, found.failed_job_registry, found.canceled_job_registry):
        connection.zremrangebyscore(registry.key, 0, clock.now())
    clean_worker_registry(found)


def _end_execution(pipeline: Pipeline, job: Job, execution: Execution | None) -> None:
    """What RQ's `Execution.delete` does: a job has one at a time, so that its registry goes with it."""
    if execution is not None:
        pipeline.delete(execution.key, f"rq:executions:{job.id}")
        pipeline.zrem(_registries(_home(job)).started, execution.composite_key)
        if execution.worker_name:
            pipeline.srem(execution.worker_executions_key, execution.composite_key)


def intermediate(connection: Redis, name: str) -> list[str]:
    """Ids that a worker took from the queue and has not claimed yet."""
    return queue(connection, name).intermediate_queue.get_job_ids()


def return_from_gap(connection: Redis, name: str, job_id: str) -> None:
    """Back to the queue's head, in one step, for a ticket whose job has no record of ours; one that RQ has forgotten is dropped."""
    found = queue(connection, name)
    gap = found.intermediate_queue_key

    def change(pipe: Any) -> None:
        is_in_gap = pipe.lpos(gap, job_id) is not None
        # RQ's worker passes over one that it has forgotten and leaves it in the gap: it would go round for ever.
        is_known = bool(pipe.exists(f"rq:job:{job_id}"))
        pipe.multi()
        pipe.lrem(gap, 0, job_id)
        if is_in_gap and is_known:
            pipe.lpush(found.key, job_id)

    transaction(connection, gap, change)


def all_waiting(connection: Redis, name: str) -> set[str]:
    """Every ticket in the queue, in the gap and in the schedule, read in one step."""
    found = queue(connection, name)
    pipe = connection.pipeline()
    pipe.lrange(found.key, 0, -1)
    pipe.lrange(found.intermediate_queue_key, 0, -1)
    pipe.zrange(found.scheduled_job_registry.key, 0, -1)
    return {job_id for ids in pipe.execute() for job_id in texts(ids)}


def position(connection: Redis, job_id: str) -> int | None:
    """How many tickets are before it in the queue; None when it is not there.

    A queue may be long: it is looked for at both ends first, where a new one is and one that comes next.
    """
    key = queue(connection).key
    pipe = connection.pipeline(transaction=False)
    pipe.lpos(key, job_id, rank=-1, maxlen=_NEAR)
    pipe.lpos(key, job_id, maxlen=_NEAR)
    found: list[int | None] = pipe.execute()
    near = next((one for one in found if one is not None), None)
    if near is not None:
        return near
    whole: Any = connection.lpos(key, job_id)
    return None if whole is None else int(whole)


def _home(job: Job) -> Queue:
    return queue(job.connection, job.origin)


def _register(pipeline: Pipeline, registry_key: str, job: Job, ttl_seconds: int) -> None:
    pipeline.zadd(registry_key, {job.id: clock.now() + ttl_seconds})
    pipeline.expire(job.key, ttl_seconds)
