"""What becomes of a restart between the invoker that tells of it and Redis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app import history
from app.connection import connect
from app.webhooks.endpoints import Endpoints
from app.webhooks.events import WORKER_MEMORY
from app.webhooks.outbox import Outbox
from tests.redis_server import wait_until
from workers.engine import Restart
from workers.restart_log import RestartLog

if TYPE_CHECKING:
    from redis import Redis

    from tests.redis_server import RedisForTests


def restart(reason: str) -> Restart:
    return Restart(reason, 7, 1500.0, 200.0, 1, 0)


def known(connection: Redis) -> list[str]:
    return [event.reason for event in history.restarts(connection, 0, math.inf)]


def test_restarts_are_told_once_redis_is_back(own_redis: RedisForTests) -> None:
    """Nothing is forgotten while Redis is away, and an operator who asked for it hears of those for memory."""
    connection = connect(own_redis.url, timeout_seconds=1)
    with RestartLog(connection, "w1", {"rss": 1024.0}) as log:
        Endpoints(connection).create("mine", "https://example.com/hook", [WORKER_MEMORY])
        log.note(restart("idle"))
        log.note(restart("rss"))
        wait_until(lambda: known(connection) == ["idle", "rss"], "the first")
        (event,) = Outbox(connection).page("pending")
        assert event.event.type == WORKER_MEMORY
        own_redis.stop()
        log.note(restart("turns"))
        log.note(restart("died"))
        own_redis.start()  # empty: it keeps nothing in tests
        wait_until(lambda: known(connection) == ["turns", "died"], "the others")


def test_the_end_does_not_wait_for_ever(own_redis: RedisForTests) -> None:
    """A worker that is told to stop while Redis is away stops."""
    connection = connect(own_redis.url, timeout_seconds=1)
    with RestartLog(connection, "w1", {}) as log:
        own_redis.stop()
        log.note(restart("turns"))
    wait_until(lambda: not log._thread.is_alive(), "its end")
