"""The check of a worker's login on a real Redis: what it does to the gate that all workers share."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from app import worker_status
from app.gate import Cause, Gate
from app.jobs import tickets
from app.messages.failure import FailureKind, TurnFailed
from app.settings import Settings
from app.worker_status import WorkerState, WorkerStatus
from tests.engine import ScriptedEngine
from workers.login_check import LoginCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = TurnFailed(FailureKind.LOGIN, "invalid x-api-key", status=401)


class Worker:
    """A worker's part of it, as the worker asks before it takes a job."""

    def __init__(self, name: str, connection: Redis, failure: TurnFailed | None) -> None:
        self.claude = ScriptedEngine(login=failure)
        self.gate = Gate(connection)
        self._name = name
        settings = Settings(login_probe_seconds=0.2)
        self._check = LoginCheck(name, connection, settings, self.claude, self.gate)

    def may_take_a_job(self) -> bool:
        if not self._check.may_be_used():
            return False
        closed = self.gate.read()
        return self.gate.may_pass(self._name) and self._check.passes_gate(closed)


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def cause(connection: Redis) -> Cause | None:
    closed = Gate(connection).read()
    return None if closed is None else closed.cause


@pytest.mark.parametrize("failure", [None, TurnFailed(FailureKind.SERVER, "no network")])
def test_a_login_that_is_not_refused_is_tried_once(connection: Redis, failure: TurnFailed | None) -> None:
    """What else may be wrong shows with a request."""
    worker = Worker("a", connection, failure)
    assert [worker.may_take_a_job() for _ in range(3)] == [True] * 3
    assert worker.claude.logins_checked == 1


def test_a_login_that_is_refused_closes_the_gate_until_it_works(connection: Redis) -> None:
    """It is tried now and then, by one worker at a time, and the gate opens without any job."""
    worker = Worker("a", connection, REFUSED)
    assert not worker.may_take_a_job()
    assert not worker.may_take_a_job()
    assert (worker.claude.logins_checked, cause(connection)) == (1, Cause.LOGIN)
    worker.claude.login = None
    give_up = time.monotonic() + 120
    while not worker.may_take_a_job():
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert (worker.claude.logins_checked, cause(connection)) == (2, None)


def test_a_new_start_with_another_login_opens_the_gate_at_once(connection: Redis) -> None:
    """It does not wait for the time of the probe."""
    Gate(connection).close(Cause.LOGIN, math.inf, "the key before", probe_at=time.time() + 3600)
    assert Worker("b", connection, None).may_take_a_job()
    assert cause(connection) is None


def test_one_machines_bad_login_stops_itself_alone(connection: Redis) -> None:
    """While others serve, the gate stays open, and who probes is one whose login may work."""
    worker_status.write(connection, WorkerStatus(name="good", state=WorkerState.IDLE))
    bad = Worker("bad", connection, REFUSED)
    assert not bad.may_take_a_job()
    assert cause(connection) is None
    assert Worker("good", connection, None).may_take_a_job()


def test_what_only_a_request_meets_is_tried_by_one_request(connection: Redis) -> None:
    """An account out of credit passes the check: the gate stays shut for all but one while jobs wait, and opens when none does."""
    worker, other = Worker("a", connection, None), Worker("b", connection, None)
    assert worker.may_take_a_job()
    assert other.may_take_a_job()
    queue = tickets.queue(connection)
    connection.rpush(queue.key, "job")
    worker.gate.close(Cause.LOGIN, math.inf, "no credit", probe_at=time.time() - 1)
    assert worker.may_take_a_job()
    assert not other.may_take_a_job()
    assert cause(connection) is Cause.LOGIN
    connection.delete(queue.key)
    assert worker.may_take_a_job()
    assert cause(connection) is None
    assert other.may_take_a_job()
