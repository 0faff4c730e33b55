"""A Redis that is there and takes no writes: full, unable to save, followed by too few. What it raises is waited for."""

from __future__ import annotations

import resource
import sys
import time
from typing import TYPE_CHECKING

import pytest

from app import errors, health, worker_status
from app.connection import AWAY, CannotSaveError, OutOfMemoryError, TooFewReplicasError, connect, transaction
from app.jobs.record import LEASES, RETENTION, record_key
from app.jobs.store import Jobs
from app.maintenance import Maintenance
from app.settings import Settings
from app.worker_status import WorkerState, WorkerStatus
from tests.integration.jobs.conftest import new_record
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from redis import Redis

    from tests.redis_server import RedisForTests


@pytest.fixture
def connection(own_redis: RedisForTests) -> Redis:
    return connect(own_redis.url)


def all_ways_raise(connection: Redis, kind: type[Exception]) -> None:
    """By itself, in a MULTI, in a watched step."""
    assert issubclass(kind, AWAY)
    with pytest.raises(kind):
        connection.set("a", 1)
    pipe = connection.pipeline()
    pipe.set("a", 1)
    with pytest.raises(kind):
        pipe.execute()

    def step(pipe: Redis) -> None:
        pipe.get("a")
        pipe.multi()  # type: ignore[attr-defined]
        pipe.set("a", 1)

    with pytest.raises(kind):
        transaction(connection, "a", step)
    assert connection.get("a") is None


def test_full(connection: Redis) -> None:
    """Out of memory is one of what is waited for."""
    connection.config_set("maxmemory", 1)
    all_ways_raise(connection, OutOfMemoryError)


def test_too_few_replicas(connection: Redis) -> None:
    """So are too few replicas."""
    connection.config_set("min-replicas-to-write", 1)
    all_ways_raise(connection, TooFewReplicasError)


def test_workers_can_be_looked_at(connection: Redis) -> None:
    """Although those that fell silent can't be forgotten meanwhile."""
    worker_status.write(connection, WorkerStatus(name="alive", state=WorkerState.IDLE))
    connection.sadd(worker_status.WORKERS, "silent")
    connection.config_set("min-replicas-to-write", 1)
    assert [row.name for row in health.look(connection).workers] == ["alive"]
    connection.config_set("min-replicas-to-write", 0)
    assert [row.name for row in health.look(connection).workers] == ["alive"]
    assert connection.smembers(worker_status.WORKERS) == {b"alive"}


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit, which Linux has")
@pytest.mark.parametrize("file", ["append-only file", "snapshot"])
def test_no_room_for_its_file(connection: Redis, file: str) -> None:
    """So is a server that can't write its files; with room again it goes on by itself."""
    if file == "snapshot":
        connection.config_set("save", "3600 1")
    else:
        connection.config_set("appendonly", "yes")
        wait_until(lambda: not connection.info("persistence")["aof_rewrite_in_progress"], "the file")
    pid = int(connection.info("server")["process_id"])
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    if file == "snapshot":
        connection.bgsave()
        wait_until(lambda: connection.info("persistence")["rdb_last_bgsave_status"] == "err", "the failure")
    else:
        wait_until(lambda: refuses(connection), "the failure")
    all_ways_raise(connection, CannotSaveError)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    if file == "snapshot":
        connection.bgsave()
    wait_until(lambda: not refuses(connection), "writes again")


def refuses(connection: Redis) -> bool:
    try:
        connection.set("probe", 1)
    except CannotSaveError:
        return True
    return False


def test_a_full_redis_is_made_room_in(connection: Redis) -> None:
    """What is old is removed from a full Redis, and no lease ends while no beat could be written."""
    settings = Settings(lease_seconds=1.0, beat_seconds=0.5)
    jobs = Jobs(connection, settings)
    maintenance = Maintenance(connection, settings)
    maintenance.run_once()
    jobs.submit(new_record("chatcmpl-old"), {})
    jobs.fail("chatcmpl-old", errors.internal())
    connection.zadd(RETENTION, {"chatcmpl-old": time.time() - 1})
    connection.config_set("maxmemory", 1)
    maintenance.run_once()
    assert not connection.exists(record_key("chatcmpl-old"))
    assert connection.zcard(RETENTION) == 0
    connection.config_set("maxmemory", 0)
    connection.zadd(LEASES, {"chatcmpl-1:e": time.time() - 1})
    maintenance.run_once()
    assert connection.zcard(LEASES) == 1

    def has_ended() -> bool:
        maintenance.run_once()
        return connection.zcard(LEASES) == 0

    wait_until(has_ended, "the end of the lease")
