"""The door to the jobs for the API: submit, look, wait for, cancel. What changes a state is in `transitions`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import budgets, clock, errors, spending
from app.connection import repeated, transaction
from app.durability import confirm
from app.error_codes import ErrorCode
from app.jobs import apply, lifecycle, search, tickets, transitions
from app.jobs.record import (
    ABANDONED,
    ALL_JOBS,
    CHOICES,
    JobRecord,
    Status,
    outcome_key,
    queued_key,
    record_key,
    request_key,
    status_key,
)
from app.outcome import Outcome
from app.redis_client import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from redis import Redis
    from redis.client import Pipeline

    from app.budgets import Budget
    from app.errors import ErrorReply
    from app.idempotency import Fence
    from app.settings import Settings

#: how long after its deadline a request without a key finds the job of its client's earlier try, seconds
_TRIES_SECONDS = 60.0

#: how many jobs wait: those in the queue or waiting for a retry, and the choices of those that have begun
_QUEUED = (("ZCARD", status_key(Status.QUEUED)), ("ZCARD", CHOICES))

#: A job's waiters have names in a set, so that arriving or leaving twice, after a lost reply, counts once.
#: KEYS names, count, abandoned; ARGV job, name, seconds to keep them.
#: The count is for version 0.1.0, which may wait beside this one during a restart: by that, it decides who was the last
_ARRIVE = """
if redis.call('SADD', KEYS[1], ARGV[2]) == 1 then redis.call('INCR', KEYS[2]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[1])
"""
#: KEYS names, count, abandoned; ARGV job, name, when it is abandoned if nobody is left (empty: it is not).
_LEAVE = """
if redis.call('SREM', KEYS[1], ARGV[2]) == 1 then redis.call('DECR', KEYS[2]) end
if tonumber(redis.call('GET', KEYS[2]) or 0) <= 0 then
  redis.call('DEL', KEYS[1], KEYS[2])
  if ARGV[3] ~= '' then redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1]) end
end
"""


@dataclass(frozen=True)
class Submission:
    """What `submit` did: a new job, or the one that the same idempotency key made before."""

    record: JobRecord
    is_new: bool


class Jobs:
    """All that the API does with jobs. Methods raise redis-py's errors when Redis is away."""

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings

    def submit(
        self,
        record: JobRecord,
        request: dict[str, Any],
        *,
        fence: Fence | None = None,
        beside: Callable[[Pipeline, JobRecord], None] | None = None,
        max_queued: int = 0,
        budget: Sequence[Budget] = (),
    ) -> Submission:
        """Enqueue a job, or find the one that an earlier try of the request made.

        `beside` puts further commands into the same step, whichever job it is. `max_queued`: how many of its owner's may wait, 0: any
        number. `budget`: the owner's. Raises `ErrorReply`: 429 when the queue is full, or the owner's part of it, or the budget is used up,
        409 for a key that was used for another body. Raises `NotReplicatedError` when the job is enqueued, though not on as many
        replicas as it should be.
        """
        payload = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
        ttl = self._settings.result_ttl_seconds

        def change(pipe: Any) -> Submission:
            # The reply to this step may be lost: when it is decided again, the job may exist.
            now = clock.now()
            known, own, all_queued, choices, *used = read(
                pipe,
                ("HGETALL", record_key(record.id)),
                ("ZCARD", queued_key(record.owner)),
                *_QUEUED,
                *spending.readings(record.owner, budget, now),
            )
            mine = JobRecord.from_hash(known)
            if mine is not None:
                pipe.multi()
                return Submission(mine, is_new=True)
            if fence is not None and (earlier := _earlier(pipe, fence)) is not None:
                pipe.multi()
                if beside is not None:
                    beside(pipe, earlier)
                return Submission(earlier, is_new=False)
            _check_budget(record.owner, budget, used, now)
            self._check_room(own, all_queued + choices, max_queued)
            pipe.multi()
            if fence is not None:
                left = max(0.0, record.deadline_at - clock.now())
                # A key must not expire before its job: a job that still waits would be run twice.
                fence.note(pipe, record.id, left + (ttl if fence.has_key else _TRIES_SECONDS))
            transitions.submit(self._connection, pipe, record, payload, ttl_seconds=ttl)
            if beside is not None:
                beside(pipe, record)
            return Submission(record, is_new=True)

        watched = (record_key(record.id),) if fence is None else (record_key(record.id), fence.name)
        submission = transaction(self._connection, watched, change)
        confirm(self._connection, record_key(submission.record.id), self._settings.wait_replicas)
        return submission

    def _check_room(self, own: int, queued: int, max_queued: int) -> None:
        if max_queued and own >= max_queued:
            raise errors.rate_limited(
                f"{max_queued} requests of this API key wait already, as many as it may have. Try again later.",
                ErrorCode.QUEUE_FULL,
                retry_after=10,
            )
        if queued >= self._settings.max_queued:
            raise errors.rate_limited(
                f"The queue is full: {self._settings.max_queued} requests wait (NIGHTSHIFT_MAX_QUEUED). Try again later.",
                ErrorCode.QUEUE_FULL,
                retry_after=10,
            )

    def get(self, job_id: str) -> JobRecord | None:
        """The job's state, None when there is no such job (any more)."""
        return JobRecord.from_hash(self._connection.hgetall(record_key(job_id)))

    def outcome(self, job_id: str) -> Outcome | None:
        """What the job ended with; None while it has not."""
        text = self._connection.get(outcome_key(job_id))
        return None if text is None else Outcome.from_json(text)

    def request(self, job_id: str) -> dict[str, Any] | None:
        """The request as it was accepted."""
        text = self._connection.get(request_key(job_id))
        return None if text is None else json.loads(text)

    def arrive(self, job_id: str, waiter: str, ttl_seconds: float, *, pipeline: Pipeline | None = None) -> None:
        """Add a waiter; the job is not abandoned (any more). With a pipeline, only put the command on it."""
        arguments: Any = (_ARRIVE, 3, *_waiter_keys(job_id), job_id, waiter, max(1, int(ttl_seconds)) + 60)
        if pipeline is not None:
            pipeline.eval(*arguments)
        else:
            repeated(lambda: self._connection.eval(*arguments))

    def leave(self, job_id: str, waiter: str, *, abandon_at: float | None = None) -> None:
        """Remove a waiter. With `abandon_at` (seconds since the epoch) it has hung up; if it was the last, the job ends then."""
        arguments: Any = (_LEAVE, 3, *_waiter_keys(job_id), job_id, waiter, str(abandon_at or ""))
        repeated(lambda: self._connection.eval(*arguments))

    def position(self, job_id: str) -> int | None:
        """How many jobs are ahead of it in the queue; None when it is not in the queue."""
        return tickets.position(self._connection, job_id)

    def queued(self) -> int:
        """How many jobs wait, those included that wait for a retry, and the choices of those that have begun."""
        pipe: Any = self._connection.pipeline(transaction=False)
        for command in _QUEUED:
            pipe.execute_command(*command)
        return sum(pipe.execute())

    def newest(
        self,
        status: Status | None = None,
        *,
        limit: int = 20,
        after: str | None = None,
        metadata: Mapping[str, str] | None = None,
        owner: str | None = None,
    ) -> Iterator[JobRecord]:
        """Records, of one owner or of all, newest first, from the one that follows `after`. Raises `ErrorReply` (400) for an unknown `after`."""
        index = ALL_JOBS if status is None else status_key(status)
        fields = {} if owner is None else {"owner": owner}
        return search.records(self._connection, index, limit=limit, after=after, metadata=metadata, fields=fields)

    def completed(
        self,
        fields: Mapping[str, str],
        *,
        limit: int,
        after: str | None,
        newest_first: bool,
        metadata: Mapping[str, str],
    ) -> list[JobRecord]:
        """Of the completed jobs, those with these fields (as the record's hash has them). Raises as `newest` does."""
        index = status_key(Status.COMPLETED)
        return list(
            search.records(
                self._connection,
                index,
                limit=limit,
                after=after,
                newest_first=newest_first,
                metadata=metadata,
                fields=fields,
            )
        )

    def set_metadata(self, job_id: str, metadata: Mapping[str, str]) -> bool:
        """Other metadata in place of what there was. False when there is no such job (any more)."""
        found = apply.step(self._connection, job_id, lambda found: lifecycle.label(found, metadata))
        return found.after is not None

    def cancel(self, job_id: str, error: ErrorReply | None = None) -> JobRecord | None:
        """Cancel a job that has not ended, and interrupt its worker. The record afterwards; None when there is no such job."""
        return self._end(job_id, error or errors.cancelled(), Status.CANCELLED)

    def fail(self, job_id: str, error: ErrorReply) -> JobRecord | None:
        """The same, for a job that ends by no wish of its client: its deadline passed."""
        return self._end(job_id, error, Status.FAILED)

    def delete(self, job_id: str) -> None:
        """Cancel and hide a job, and remove it when those who wait for it have had time to notice."""
        self.cancel(job_id)
        apply.step(self._connection, job_id, lifecycle.hide)

    def _end(self, job_id: str, error: ErrorReply, status: Status) -> JobRecord | None:
        settings = self._settings
        return apply.step(self._connection, job_id, lambda found: lifecycle.end(found, error, status, settings)).after


def _check_budget(owner: str, budget: Sequence[Budget], used: Sequence[Sequence[bytes | None]], now: float) -> None:
    if not spending.may_be_used_up(budget, used):
        return
    if (used_up := budgets.used_up(spending.of_key(budget, used, now))) is not None:
        raise errors.insufficient_quota(owner, used_up, budgets.spell(budget))


def _waiter_keys(job_id: str) -> tuple[str, str, str]:
    return f"nightshift:waiters:{job_id}:names", f"nightshift:waiters:{job_id}", ABANDONED


def _earlier(pipe: Any, fence: Fence) -> JobRecord | None:
    """The job that an earlier try made, if it is to be joined; watched from now on, as the fence is."""
    made = fence.earlier(pipe)
    if made is None:
        return None
    pipe.watch(record_key(made))
    job = JobRecord.from_hash(pipe.hgetall(record_key(made)))
    # A cancelled job has nothing to repeat: its client had hung up, say, and is back after the grace. Without a key an
    # error is no reason not to try again, either. What must not be sent again is neither.
    over = (Status.CANCELLED,) if fence.has_key else (Status.CANCELLED, Status.FAILED)
    return None if job is None or (job.status in over and not job.is_spent) else job
