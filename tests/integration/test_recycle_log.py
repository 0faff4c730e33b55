"""What becomes of a recycled process between the invoker that tells of it and Redis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app import history
from app.connection import connect
from app.webhooks.endpoints import Endpoints
from app.webhooks.events import WORKER_MEMORY
from app.webhooks.outbox import Outbox
from tests.redis_server import wait_until
from workers.engine import Recycle
from workers.recycle_log import RecycleLog

if TYPE_CHECKING:
    from redis import Redis

    from tests.redis_server import RedisForTests


def recycle(reason: str) -> Recycle:
    return Recycle(reason, 7, 1500.0, 200.0, 1, 0)


def known(connection: Redis) -> list[str]:
    return [event.reason for event in history.recycles(connection, 0, math.inf)]


def test_recycles_are_reported_once_redis_is_back(own_redis: RedisForTests) -> None:
    """Nothing is forgotten while Redis is away, and an operator who asked for it hears of those for memory."""
    connection = connect(own_redis.url, timeout_seconds=1)
    with RecycleLog(connection, "w1", {"rss": 1024.0}) as log:
        Endpoints(connection).create("mine", "https://example.com/hook", [WORKER_MEMORY])
        log.note(recycle("idle"))
        log.note(recycle("rss"))
        wait_until(lambda: known(connection) == ["idle", "rss"], "the first")
        (event,) = Outbox(connection).page("pending")
        assert event.event.type == WORKER_MEMORY
        own_redis.stop()
        log.note(recycle("turns"))
        log.note(recycle("died"))
        own_redis.start()  # empty: it keeps nothing in tests
        wait_until(lambda: known(connection) == ["turns", "died"], "the others")


def test_the_end_does_not_wait_for_ever(own_redis: RedisForTests) -> None:
    """A worker that is told to stop while Redis is away stops."""
    connection = connect(own_redis.url, timeout_seconds=1)
    with RecycleLog(connection, "w1", {}) as log:
        own_redis.stop()
        log.note(recycle("turns"))
    wait_until(lambda: not log._thread.is_alive(), "its end")
