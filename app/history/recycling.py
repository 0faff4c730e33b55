"""Each recycled Claude process of the last days, as its worker reported it.

`nightshift:history:restarts`: JSON by the second at which it happened. Expires KEEP_SECONDS after the last write.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from app import clock, counters
from app.connection import transaction
from app.history.sampling import KEEP_SECONDS
from app.recycle_reason import RecycleReason
from app.webhooks import announce
from app.webhooks.events import WORKER_MEMORY

if TYPE_CHECKING:
    from redis import Redis

KEY = "nightshift:history:restarts"
#: recycles that are remembered
MAX_RESTARTS = 5000


@dataclass(frozen=True, slots=True)
class RecycleEvent:
    """One Claude process replaced by another. Memory is that of the process' tree, in MiB."""

    #: seconds since the epoch
    at: float
    worker: str
    #: a `RecycleReason`; of a worker of another version it may be no known one
    reason: str
    #: turns of the process that went
    turns: int
    rss_before_mb: float
    rss_after_mb: float


def recycles(connection: Redis, since: float, until: float) -> list[RecycleEvent]:
    """The recycles in that time, the first first."""
    found: Any = connection.zrangebyscore(KEY, since, until)
    return [RecycleEvent(**json.loads(member)) for member in found]


def note(connection: Redis, event: RecycleEvent, memory_limit_mb: float | None = None) -> None:
    """Store and count it. If it was for memory, past that limit, announce it to the endpoints that asked for this. Idempotent."""
    member = json.dumps(asdict(event))
    details = {
        "worker": event.worker,
        "reason": event.reason,
        "rss_before_mb": event.rss_before_mb,
        "rss_after_mb": event.rss_after_mb,
        "limit_mb": memory_limit_mb,
    }

    def change(pipe: Any) -> None:
        is_known = pipe.zscore(KEY, member) is not None
        announcement = announce.prepare(pipe, WORKER_MEMORY, event.worker, "", details=details)
        pipe.multi()
        if is_known:
            return
        pipe.zadd(KEY, {member: event.at})
        pipe.zremrangebyscore(KEY, 0, clock.now() - KEEP_SECONDS)
        pipe.zremrangebyrank(KEY, 0, -MAX_RESTARTS - 1)
        pipe.expire(KEY, KEEP_SECONDS)
        counters.add(
            pipe, counters.RESTARTS, event.reason if event.reason in set(RecycleReason) else RecycleReason.OTHER
        )
        if memory_limit_mb is not None:
            announcement.add(pipe)

    transaction(connection, KEY, change)
