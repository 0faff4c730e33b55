"""Who waits for a job, so that one that nobody waits for any more can be given up.

Each waiter has a name of its own in a set, so that one who arrives or leaves twice, since a reply was lost, does so once.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from app.connection import repeated
from app.jobs.record import ABANDONED

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

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


def new_name() -> str:
    """A waiter's, which nobody else has."""
    return secrets.token_hex(8)


class Waiters:
    """Knows, for each job, the requests that wait for it over all API processes."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def arrive(self, job_id: str, name: str, ttl_seconds: float, *, pipeline: Pipeline | None = None) -> None:
        """One more waits; the job is not abandoned (any more). With a pipeline, the command is only put there."""
        keys = (_names(job_id), _count(job_id), ABANDONED)
        arguments: Any = (_ARRIVE, len(keys), *keys, job_id, name, max(1, int(ttl_seconds)) + 60)
        if pipeline is not None:
            pipeline.eval(*arguments)
        else:
            repeated(lambda: self._connection.eval(*arguments))

    def leave(self, job_id: str, name: str, *, abandon_at: float | None = None) -> None:
        """One less waits. With `abandon_at` (seconds since the epoch) it hung up: was it the last, the job ends then."""
        keys = (_names(job_id), _count(job_id), ABANDONED)
        repeated(lambda: self._connection.eval(_LEAVE, len(keys), *keys, job_id, name, str(abandon_at or "")))


def _names(job_id: str) -> str:
    return f"nightshift:waiters:{job_id}:names"


def _count(job_id: str) -> str:
    return f"nightshift:waiters:{job_id}"
