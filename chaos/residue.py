"""What is left in Redis although nothing goes on: whatever nobody will touch again is a leak, or a lost job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.batches.record import ACTIVE, WITH_URLS
from app.connection import texts
from app.jobs import tickets
from app.jobs.record import ABANDONED, CHOICES, DEADLINES, LEASES, RETENTION, JobRecord, Status, record_key, status_key
from app.notices import outbox as notices
from app.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

#: what has to be empty when nothing goes on
_EMPTY = (
    LEASES,
    ABANDONED,
    CHOICES,
    DEADLINES,
    ACTIVE,
    outbox.DUE,
    notices.DUE,
    WITH_URLS,
    outbox.UNDELIVERED,
    tickets.YIELDING,
    status_key(Status.QUEUED),
    status_key(Status.IN_PROGRESS),
    *(key for name in tickets.QUEUES for key in (f"rq:queue:{name}", f"rq:queue:{name}:intermediate")),
    *(f"rq:{registry}:{name}" for registry in ("wip", "scheduled", "deferred") for name in tickets.QUEUES),
)
#: keys that go by themselves: each must have an end
_PASSING = (
    "nightshift:waiters:",
    "nightshift:stream:",
    "nightshift:notice",
    "nightshift:idempotency:",
    "nightshift:spent:",
    "nightshift:history:samples:",
    "nightshift:history:restarts",
    "rq:executions:",
    "rq:results:",
    "rq:job:",
    "rq:worker:",
)


def unfinished(redis: Redis) -> list[str]:
    """Why it is not quiet yet, for people; empty when nothing goes on any more."""
    return [f"{key} has {count}: {sample}" for key in _EMPTY for count, sample in [_size(redis, key)] if count]


def leaks(redis: Redis) -> list[str]:
    """Keys without an owner, jobs that nobody will remove, workers that are long gone."""
    found = [
        f"{key} has no end"
        for key in texts(redis.scan_iter(count=1000))
        if key.startswith(_PASSING) and redis.ttl(key) == -1
    ]
    kept = set(texts(redis.zrange(RETENTION, 0, -1)))
    found += [f"job {job_id} is in no one's care" for job_id in records(redis) if job_id not in kept]
    for registry in ("rq:workers", *(f"rq:workers:{name}" for name in tickets.QUEUES)):
        members: Any = redis.smembers(registry)
        gone = [name for name in texts(members) if not redis.exists(name)]
        if gone:
            found.append(f"{registry} names {len(gone)} workers that are gone: {gone[:2]}")
    return found


def records(redis: Redis) -> Iterator[str]:
    """The ids of all jobs that have a record."""
    for key in texts(redis.scan_iter(match=record_key("*"), count=1000)):
        job_id = key.removeprefix(record_key(""))
        if ":" not in job_id:
            yield job_id


def record(redis: Redis, job_id: str) -> JobRecord | None:
    """A job's state."""
    data: Any = redis.hgetall(record_key(job_id))
    return JobRecord.from_hash(data)


def events(redis: Redis) -> dict[str, list[str]]:
    """The ids of the stored events by the id of what they are about."""
    found: dict[str, list[str]] = {}
    for key in (outbox.DELIVERED, outbox.DUE, outbox.UNDELIVERED):
        members: Any = redis.zrange(key, 0, -1)
        for event_id in texts(members):
            stored = outbox.Outbox(redis).get(event_id)
            found.setdefault(_subject(stored.event.body), []).append(event_id)
    return found


def _subject(body: bytes) -> str:
    return str(json.loads(body)["data"]["id"])


def _size(redis: Redis, key: str) -> tuple[int, str]:
    kind: Any = redis.type(key)
    any_redis: Any = redis
    if kind == b"none":
        return 0, ""
    if kind == b"list":
        return any_redis.llen(key), str(any_redis.lrange(key, 0, 2))
    if kind == b"set":
        return any_redis.scard(key), str(any_redis.srandmember(key, 3))
    return any_redis.zcard(key), str(any_redis.zrange(key, 0, 2))
