"""Workers with logins of their own on one Redis: the limit of one is no reason for the others to wait."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.connection import connect
from app.gate import LOGIN_LIMITS, Cause, Closed, Gate
from app.jobs.record import Status
from app.jobs.recovery import Recovery
from app.messages.failure import FailureKind, TurnFailed
from app.scopes import Scope
from app.settings import Settings
from app.ways import Way
from app.worker_status import WorkerState, WorkerStatus, read_all, remove, write
from chaos.until import wait_until
from tests.engine import ScriptedEngine, answer
from tests.integration.jobs.conftest import new_record
from tests.integration.jobs.test_runs import SETTINGS, signals, submit
from tests.integration.jobs.test_ways_in_order import closed, found, limit
from workers.claude_worker import ClaudeWorker
from workers.engine_by_way import Engines
from workers.own_limits import OwnLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from app.jobs.store import Jobs
    from app.messages.answer import Answer

__all__ = ["signals"]

CLI = Scope(Way.CLI)


def worker_of(redis_url: str, key: str, *turns: Answer | TurnFailed) -> ClaudeWorker:
    """On a machine with that API key, whose engine gives these answers."""
    settings = Settings(
        redis_url=redis_url, claude_environment={"ANTHROPIC_API_KEY": key}, beat_seconds=0.1, lease_seconds=5.0
    )
    engine = ScriptedEngine(*turns)
    return ClaudeWorker(f"w-{key}", connect(redis_url), settings, Engines.holding(settings, {Way.CLI: engine}))


@contextmanager
def running(worker: ClaudeWorker) -> Iterator[None]:
    """In a thread, until the block ends; by then it has to wait for something else than a job."""
    worker._install_signal_handlers = lambda: None  # type: ignore[method-assign]
    thread = threading.Thread(target=worker.work, kwargs={"burst": True})
    thread.start()
    try:
        yield
    finally:
        worker._stop_requested = True
        thread.join()


def test_by_hand_a_login_goes_on_when_it_is_told_to(connection: Redis, redis_url: str) -> None:
    """NIGHTSHIFT_RESUME=manual: not when its limit is over, though another login goes on meanwhile."""
    beside(connection, "other")
    settings = Settings(redis_url=redis_url, claude_environment={"ANTHROPIC_API_KEY": "one"}, resume="manual")
    limits = OwnLimits("w-one", settings, [Way.CLI])
    limits.refresh(connection, lambda _: True)
    assert limits.meet(connection, CLI, Closed(Cause.USAGE_LIMIT, 0.0, 1.0, 1.0, "limit"))
    assert limits.holds(Way.CLI)
    Gate(connection).resume()
    limits.refresh(connection, lambda _: True)
    assert not limits.holds(Way.CLI)


def row(connection: Redis, name: str) -> WorkerStatus | None:
    return next((one for one in read_all(connection) if one.name == name), None)


def is_limited(connection: Redis, key: str) -> bool:
    found = row(connection, f"w-{key}")
    return found is not None and found.state is WorkerState.LIMITED


def beside(connection: Redis, name: str, **fields: Any) -> None:
    """A worker on another machine that is at rest."""
    given = {"way": "cli", "ways": "cli", "login_labels": {"cli": "api_key 0b0b0b"}, **fields}
    write(connection, WorkerStatus(name=name, state=WorkerState.IDLE, **given))


def test_one_login_s_limit_leaves_the_gate_open_to_another(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """Until no other is left: then it closes, and opens for the next login that comes. No attempt is used up."""
    first = submit(jobs)
    beside(connection, "other")
    limited = worker_of(redis_url, "one", limit())
    with running(limited):
        wait_until(lambda: is_limited(connection, "one"))
        assert closed(connection) == {}
        worker_of(redis_url, "two", answer("on")).work(burst=True)
        assert found(jobs, first) == (Status.COMPLETED, 1, "cli")
        # The machine with the other login is switched off.
        remove(connection, "other")
        wait_until(lambda: closed(connection) == {CLI: Cause.USAGE_LIMIT})
        second = submit(jobs, new_record("chatcmpl-2"))
        worker_of(redis_url, "three", answer("on")).work(burst=True)
        assert found(jobs, second) == (Status.COMPLETED, 1, "cli")
        wait_until(lambda: closed(connection) == {CLI: Cause.USAGE_LIMIT})


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="older code"),
        pytest.param({"cli": "subscription"}, id="a login that can't be told from others"),
    ],
)
def test_where_a_login_is_not_known_a_limit_stops_all(
    connection: Redis, redis_url: str, jobs: Jobs, labels: dict[str, str]
) -> None:
    """It may be the same one: as before there were labels."""
    submit(jobs)
    beside(connection, "other", login_labels=labels)
    with running(worker_of(redis_url, "one", limit())):
        wait_until(lambda: closed(connection) == {CLI: Cause.USAGE_LIMIT})


def test_a_limit_of_a_model_is_its_login_s_too(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """Its worker goes on with other models; what it may not run is parked, and another machine's runs it."""
    opus = submit(jobs, replace(new_record("chatcmpl-opus"), model="opus"), model="opus")
    sonnet = submit(jobs, new_record("chatcmpl-sonnet"))
    beside(connection, "other")
    failure = TurnFailed(FailureKind.USAGE_LIMIT, "used", resets_at=time.time() + 900, limit_type="seven_day_opus")
    worker_of(redis_url, "one", failure, answer("on")).work(burst=True)
    assert found(jobs, sonnet) == (Status.COMPLETED, 1, "cli")
    assert closed(connection) == {}
    assert found(jobs, opus)[0] is Status.QUEUED
    Recovery(connection, SETTINGS).return_parked()
    worker_of(redis_url, "two", answer("on")).work(burst=True)
    assert found(jobs, opus) == (Status.COMPLETED, 1, "cli")


def test_resuming_tries_at_once(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """`nightshift resume` is for limits that were raised: those of single logins, too."""
    record = submit(jobs)
    beside(connection, "other")
    with running(worker_of(redis_url, "one", limit(), answer("on"))):
        wait_until(lambda: is_limited(connection, "one"))
        assert connection.exists(LOGIN_LIMITS)
        assert Gate(connection).resume()
        wait_until(lambda: found(jobs, record)[0] is Status.COMPLETED)
