"""What maintenance brings back, ends or removes, on a real Redis."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from app.connection import connect, texts
from app.jobs import recovery, tickets, transitions
from app.jobs.change import Requeue
from app.jobs.record import LEASES, Status
from app.jobs.store import Jobs
from app.maintenance import Maintenance
from app.outcome import Outcome
from app.settings import Settings
from ops.supervisor import hooks
from tests.fake_worker import FakeWorker
from tests.integration.jobs.conftest import STAYS, Take, new_record

if TYPE_CHECKING:
    from tests.redis_server import RedisForTests

SETTINGS = Settings(lease_seconds=0.2, beat_seconds=0.1)


@pytest.fixture
def maintenance(connection: Redis) -> Maintenance:
    return Maintenance(connection, SETTINGS)


def test_a_job_whose_lease_ended_runs_again(
    connection: Redis, jobs: Jobs, take: Take, maintenance: Maintenance
) -> None:
    """A worker that beats no more loses its job to the queue's head, and the death is counted."""
    jobs.submit(new_record("chatcmpl-1"), {})
    jobs.submit(new_record("chatcmpl-2"), {})
    take(lease_seconds=-1)
    maintenance.run_once()
    found = jobs.get("chatcmpl-1")
    assert found is not None and (found.status, found.deaths) == (Status.QUEUED, 1)
    assert tickets.queue(connection).get_job_ids() == ["chatcmpl-1", "chatcmpl-2"]


def test_a_living_lease_is_left_alone(connection: Redis, jobs: Jobs, take: Take, maintenance: Maintenance) -> None:
    """A job whose worker beats is not touched."""
    jobs.submit(new_record(), {})
    take(lease_seconds=60)
    maintenance.run_once()
    assert connection.zcard(LEASES) == 1


def test_a_job_that_kills_its_workers_is_dead_lettered(
    connection: Redis, jobs: Jobs, take: Take, maintenance: Maintenance
) -> None:
    """After the third death the job has failed, with the reason, and runs no more."""
    jobs.submit(new_record(), {})
    for _ in range(3):
        take(lease_seconds=-1)
        maintenance.run_once()
    outcome = jobs.outcome("chatcmpl-1")
    assert outcome is not None and outcome.error is not None and outcome.error.code == "worker_died"
    assert "its lease ended" in outcome.error.message
    found = jobs.get("chatcmpl-1")
    assert found is not None and (found.attempts, found.deaths) == (0, 3)
    assert tickets.queue(connection).get_job_ids() == []


def test_a_dead_workers_jobs_are_released_at_once(connection: Redis, jobs: Jobs, take: Take) -> None:
    """When the supervisor sees a worker die, its job goes back without waiting for the lease; others' stay."""
    jobs.submit(new_record("chatcmpl-1"), {})
    jobs.submit(new_record("chatcmpl-2"), {})
    take("dead", lease_seconds=60)
    take("alive", lease_seconds=60)
    assert recovery.release_worker(connection, SETTINGS, "dead") == ["chatcmpl-1"]
    assert connection.zcard(LEASES) == 1


def test_a_ticket_lost_between_queue_and_worker_comes_back(
    connection: Redis, jobs: Jobs, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that died after taking a ticket and before claiming the job costs nothing but the gap's seconds."""
    monkeypatch.setattr(recovery, "GAP_SECONDS", 0.0)
    jobs.submit(new_record(), {})
    FakeWorker(connection).dequeue()
    assert tickets.queue(connection).get_job_ids() == []
    maintenance.run_once()
    assert tickets.queue(connection).get_job_ids() == ["chatcmpl-1"]
    assert tickets.intermediate(connection, tickets.CLAUDE_QUEUE) == []


def test_a_job_past_its_deadline_is_never_started(connection: Redis, jobs: Jobs, maintenance: Maintenance) -> None:
    """A queued job whose client's patience has ended fails with a deadline error and leaves the queue."""
    jobs.submit(new_record(patience=-1.0), {})
    maintenance.run_once()
    outcome = jobs.outcome("chatcmpl-1")
    assert outcome is not None and outcome.error is not None and outcome.error.code == "deadline_exceeded"
    assert tickets.queue(connection).get_job_ids() == []


def test_a_job_that_nobody_waits_for_is_cancelled_after_the_grace(
    connection: Redis, jobs: Jobs, maintenance: Maintenance
) -> None:
    """The last waiter that hangs up starts the grace; one that comes back within it keeps the job."""
    for name in ("chatcmpl-1", "chatcmpl-2"):
        jobs.submit(new_record(name), {})
        jobs.arrive(name, "first", 60)
        jobs.leave(name, "first", abandon_at=time.time() - 0.01)
    jobs.arrive("chatcmpl-2", "second", 60)
    maintenance.run_once()
    statuses = {record.id: record.status for record in jobs.newest()}
    assert statuses == {"chatcmpl-1": Status.CANCELLED, "chatcmpl-2": Status.QUEUED}


def test_a_second_waiter_keeps_the_job(connection: Redis, jobs: Jobs, maintenance: Maintenance) -> None:
    """When a retry has joined before the first connection is noticed to be gone, the job goes on."""
    jobs.submit(new_record(), {})
    jobs.arrive("chatcmpl-1", "first", 60)
    jobs.arrive("chatcmpl-1", "second", 60)
    jobs.leave("chatcmpl-1", "first", abandon_at=time.time() - 0.01)
    maintenance.run_once()
    found = jobs.get("chatcmpl-1")
    assert found is not None and found.status is Status.QUEUED


def test_a_delayed_retry_is_enqueued_when_due(
    connection: Redis, jobs: Jobs, take: Take, maintenance: Maintenance
) -> None:
    """A job that waits out a backoff is back in the queue once its second has come."""
    jobs.submit(new_record(), {})
    lease, _ = take()
    transitions.requeue(connection, SETTINGS, lease, Requeue("overloaded", counts=True, delay_seconds=0.01))
    time.sleep(0.02)
    maintenance.run_once()
    assert tickets.queue(connection).get_job_ids() == ["chatcmpl-1"]


def test_a_queued_job_whose_ticket_was_thrown_away_gets_a_new_one(
    connection: Redis, jobs: Jobs, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emptying the queue by hand does not lose an accepted job."""
    monkeypatch.setattr(recovery, "AUDIT_SECONDS", 0.0)
    jobs.submit(new_record(), {})
    tickets.queue(connection).empty()  # type: ignore[no-untyped-call]
    maintenance.run_once()
    assert tickets.queue(connection).get_job_ids() == ["chatcmpl-1"]


def test_jobs_are_removed_after_their_time(connection: Redis, take: Take) -> None:
    """An ended job whose time to live has passed leaves no key."""
    short = replace(SETTINGS, result_ttl_seconds=0)
    jobs = Jobs(connection, short)
    jobs.submit(new_record(), {"x": 1})
    lease, _ = take()
    transitions.publish(connection, short, lease, Outcome(body={}))
    Maintenance(connection, short).run_once()
    assert jobs.get("chatcmpl-1") is None
    assert [key for key in texts(connection.scan_iter("nightshift:*")) if not key.startswith(STAYS)] == []


def test_dead_workers_leave_rqs_lists(connection: Redis, maintenance: Maintenance) -> None:
    """A worker that was killed is forgotten by RQ's lists too, or they would grow with each."""
    for name in ("dead", "alive"):
        worker = SimpleWorker([tickets.queue(connection)], name=name, connection=connection, serializer=JSONSerializer)
        worker.register_birth()  # type: ignore[no-untyped-call]
    recovery.release_worker(connection, SETTINGS, "dead")
    maintenance.run_once()
    assert connection.smembers("rq:workers") == {b"rq:worker:alive"}
    assert connection.smembers("rq:workers:claude") == {b"rq:worker:alive"}


def test_a_worker_that_died_with_redis_is_released_when_redis_is_back(own_redis: RedisForTests) -> None:
    """The supervisor does not give up a dead worker's jobs because Redis is just starting again."""
    with Redis.from_url(own_redis.url) as connection:
        connection.hset("rq:worker:dead", "state", "busy")
        connection.save()
        own_redis.stop(signal.SIGKILL)
        settings = replace(SETTINGS, redis_url=own_redis.url)
        releasing = threading.Thread(target=hooks.release_worker, args=(settings, "dead"))
        releasing.start()
        time.sleep(0.3)
        own_redis.start()
        releasing.join(120)
        assert not connection.exists("rq:worker:dead")


def test_a_ticket_that_rq_has_forgotten_goes(connection: Redis) -> None:
    """The ticket of a callback that was delivered, whose worker died before RQ took it out of the gap, does not go round."""
    callbacks = tickets.queue(connection, tickets.CALLBACK_QUEUE)
    connection.lpush(callbacks.intermediate_queue_key, "evt_1-1")
    tickets.return_from_gap(connection, tickets.CALLBACK_QUEUE, "evt_1-1")
    assert tickets.all_waiting(connection, tickets.CALLBACK_QUEUE) == set()


def test_a_redis_that_is_away_for_long_is_waited_for(own_redis: RedisForTests) -> None:
    """However many rounds came to nothing, the next one with Redis does what is due."""
    connection = connect(own_redis.url)
    settings = Settings(lease_seconds=0.0)
    maintenance = Maintenance(connection, settings)
    maintenance.run_once()
    own_redis.stop()
    for _ in range(12):
        maintenance.run_once()
    own_redis.start()
    jobs = Jobs(connection, settings)
    jobs.submit(new_record(patience=-1.0), {})
    maintenance.run_once()
    found = jobs.get("chatcmpl-1")
    assert found is not None and found.status is Status.FAILED


def test_a_redis_that_was_restarted_between_two_rounds_ends_no_lease(own_redis: RedisForTests) -> None:
    """No round has seen it away, and no worker could beat meanwhile: each lease gets its full time again."""
    with connect(own_redis.url) as connection:
        settings = Settings(lease_seconds=30.0)
        maintenance, jobs = Maintenance(connection, settings), Jobs(connection, settings)
        maintenance.run_once()
        jobs.submit(new_record(), {})
        transitions.claim(connection, "chatcmpl-1", "w1", lease_seconds=-1)
        connection.save()
        own_redis.stop(signal.SIGKILL)
        own_redis.start()
        assert connection.ping()
        maintenance.run_once()
        found = jobs.get("chatcmpl-1")
        assert found is not None and found.status is Status.IN_PROGRESS
