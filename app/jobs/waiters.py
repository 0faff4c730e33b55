"""Who waits for a job, so that one that nobody waits for any more can be given up, and a client's own retry finds it.

OpenAI's clients send no idempotency key; a retry shows as `x-stainless-retry-count` with the same key and body. The
place below (made of those) leads it to the job that its first try started.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from app.jobs.record import ABANDONED

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline


def place_of(api_key: str, body: bytes) -> str:
    """What the tries of one request have in common, as a Redis key."""
    digest = hashlib.sha256(api_key.encode() + b"\0" + body).hexdigest()
    return f"nightshift:waiting:{digest}"


class Waiters:
    """Counts, for each job, the requests that wait for it over all API processes."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def find(self, place: str) -> str | None:
        """The job that an earlier try of this request started, if it may still be joined."""
        found: Any = self._connection.get(place)
        return None if found is None else found.decode()

    def arrive(self, place: str, job_id: str, ttl_seconds: float, *, pipeline: Pipeline | None = None) -> None:
        """One more waits; the job is not abandoned (any more). With a pipeline, the commands are only put there."""
        pipe = self._connection.pipeline() if pipeline is None else pipeline
        pipe.set(place, job_id, ex=max(1, int(ttl_seconds)))
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
