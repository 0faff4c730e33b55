"""Machines whose clocks are wrong: processes with a shifted one beside healthy ones, on one Redis."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from app import clock, health, supervisors
from app.connection import connect
from app.jobs import transitions
from app.jobs.record import LEASES, Status, lease_member
from app.jobs.store import Jobs
from app.maintenance import Maintenance
from app.settings import Settings
from chaos.clocks import MachineClock
from tests.fake_worker import FakeWorker
from tests.integration.jobs.conftest import new_record
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from app.jobs.change import Lease

#: a supervisor's maintenance, on a machine of its own name
SUPERVISOR = """
import socket, sys, time
socket.gethostname = lambda: sys.argv[2]
from app.connection import connect
from app.maintenance import Maintenance
from app.settings import Settings
from app.parent import die_with_parent
from app.supervisors import Part

die_with_parent()
maintenance = Maintenance(connect(sys.argv[1]), Settings(lease_seconds=4.0, beat_seconds=1.0), Part.WORKER)
while True:
    maintenance.run_once()
    time.sleep(0.05)
"""
#: a worker that claims the job at the queue's head, and says so
CLAIM = """
import sys
from rq import Queue
from rq.serializers import JSONSerializer
from app.connection import connect
from app.jobs import tickets, transitions

connection = connect(sys.argv[1])
found = Queue.dequeue_any([tickets.queue(connection)], None, connection=connection, serializer=JSONSerializer)
print(transitions.claim(connection, found[0].id, "shifted", 10.0) is not None)
"""
SETTINGS = Settings(lease_seconds=4.0, beat_seconds=1.0)


@pytest.fixture
def connection(redis_url: str) -> Redis:
    return connect(redis_url)


@pytest.fixture
def wrong(tmp_path: Path) -> MachineClock:
    """The clock of another machine."""
    return MachineClock(tmp_path / "clock")


@contextlib.contextmanager
def supervisor(url: str, host: str, of: MachineClock) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", SUPERVISOR, url, host], env=_environment(of))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _environment(of: MachineClock) -> dict[str, str]:
    return {**os.environ, **of.environment(os.environ.get("PYTHONPATH", ""))}


def row(connection: Redis, host: str) -> supervisors.SupervisorStatus | None:
    return next((one for one in supervisors.read_all(connection) if one.host == host), None)


def take(connection: Redis, lease_seconds: float = 4.0) -> Lease:
    return FakeWorker(connection).claim("healthy", lease_seconds=lease_seconds)[0]


@pytest.mark.parametrize("ahead", [60.0, -60.0])
def test_a_machine_whose_clock_is_off_takes_nothing_from_healthy_workers(
    connection: Redis, redis_url: str, wrong: MachineClock, ahead: float
) -> None:
    """Its supervisor, alone on the Redis and so not at rest, leaves a lease that is renewed where it is, and takes one that ended."""
    wrong.set(ahead)
    jobs = Jobs(connection, SETTINGS)
    jobs.submit(new_record("chatcmpl-1"), {})
    lease = take(connection)
    with supervisor(redis_url, "off", wrong):
        wait_until(lambda: row(connection, "off") is not None, "the supervisor")
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            assert transitions.renew(connection, lease, 4.0)
            time.sleep(0.2)
        found = row(connection, "off")
        assert found is not None and found.clock_skew_seconds == pytest.approx(ahead, abs=0.5)
        assert not found.rests
        wait_until(lambda: (jobs.get("chatcmpl-1") or new_record()).deaths == 1, "the end of the lease")


@pytest.mark.parametrize("ahead", [60.0, -60.0])
def test_a_lease_of_a_worker_whose_clock_is_off_is_as_long_as_any(
    connection: Redis, redis_url: str, wrong: MachineClock, ahead: float
) -> None:
    """What it claims lasts ten seconds by Redis' clock, neither a minute more nor none at all."""
    wrong.set(ahead)
    Jobs(connection, SETTINGS).submit(new_record("chatcmpl-1"), {})
    argv = [sys.executable, "-c", CLAIM, redis_url]
    said = subprocess.run(argv, env=_environment(wrong), capture_output=True, text=True, timeout=180, check=True)
    assert said.stdout.strip() == "True"
    found: Any = connection.zrange(LEASES, 0, -1, withscores=True)
    ((_, ends),) = found
    assert 0.0 < ends - clock.now() <= 10.1
    Maintenance(connection, SETTINGS).run_once()
    assert connection.zcard(LEASES) == 1


def test_it_rests_while_another_machine_is_right_and_goes_on_when_its_clock_is(
    connection: Redis, redis_url: str, wrong: MachineClock
) -> None:
    """Beside a healthy supervisor it does no maintenance and says why; set right, it goes on; and when it jumps it rests again."""
    wrong.set(60.0)
    healthy = Maintenance(connection, SETTINGS)
    healthy.run_once()
    with supervisor(redis_url, "off", wrong):
        for ahead, expected in (
            (60.0, "its clock is 60.0 s ahead of Redis'"),
            (0.0, ""),
            (-30.0, "its clock is 30.0 s behind Redis'"),
        ):
            wrong.set(ahead)

            def says(expected: str = expected) -> bool:
                healthy.run_once()
                found = row(connection, "off")
                return found is not None and found.rests == expected

            wait_until(says, expected or "that it goes on")
        assert health.look(connection).skews["off"] == pytest.approx(-30.0, abs=0.5)


def test_redis_own_clock_is_set(connection: Redis) -> None:
    """After a step of Redis' clock no lease is judged for a lease's time, and none that was written before lasts longer."""
    jobs = Jobs(connection, SETTINGS)
    jobs.submit(new_record("chatcmpl-1"), {})
    maintenance = Maintenance(connection, SETTINGS)
    maintenance.run_once()
    now = clock.steady()
    clock.hear(time.time() + 60.0, now, now)
    ahead = take(connection)
    assert (connection.zscore(LEASES, lease_member(ahead.job_id, ahead.execution_id)) or 0) - time.time() > 60
    maintenance.run_once()
    left = (connection.zscore(LEASES, lease_member(ahead.job_id, ahead.execution_id)) or 0) - time.time()
    assert left <= SETTINGS.lease_seconds + 0.1
    connection.zadd(LEASES, {lease_member(ahead.job_id, ahead.execution_id): time.time() - 1})
    maintenance.run_once()
    assert (jobs.get("chatcmpl-1") or new_record()).status is Status.IN_PROGRESS
