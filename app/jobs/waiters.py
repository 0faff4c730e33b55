"""Who waits for a job, so that one that nobody waits for any more can be given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.jobs.record import ABANDONED

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline


class Waiters:
    """Counts, for each job, the requests that wait for it over all API processes."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def arrive(self, job_id: str, ttl_seconds: float, *, pipeline: Pipeline | None = None) -> None:
        """One more waits; the job is not abandoned (any more). With a pipeline, the commands are only put there."""
        pipe = self._connection.pipeline() if pipeline is None else pipeline
        pipe.incr(self._count(job_id))
        pipe.expire(self._count(job_id), max(1, int(ttl_seconds)) + 60)
        pipe.zrem(ABANDONED, job_id)
        if pipeline is None:
            pipe.execute()

    def leave(self, job_id: str, *, abandon_at: float | None = None) -> None:
        """One less waits. With `abandon_at` (seconds since the epoch) it hung up: was it the last, the job ends then."""
        remaining = int(self._connection.decr(self._count(job_id)))
        if remaining <= 0:
            self._connection.delete(self._count(job_id))
            if abandon_at is not None:
                self._connection.zadd(ABANDONED, {job_id: abandon_at})

    @staticmethod
    def _count(job_id: str) -> str:
        return f"nightshift:waiters:{job_id}"
