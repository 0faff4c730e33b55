"""A job whose client says how often it may be sent to Claude."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from app.admission import Probes
from app.connection import connect
from app.gate import Closings
from app.jobs import recovery, transitions
from app.jobs.change import Requeue
from app.jobs.record import JobRecord, Status
from app.openai.accept import accept
from app.settings import Settings
from tests.engine import ScriptedEngine
from tests.integration.jobs.conftest import new_record
from workers import run as runs
from workers import tasks
from workers.run import Run

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.store import Jobs
    from tests.integration.jobs.conftest import Take

SETTINGS = Settings()


@pytest.fixture
def limited(jobs: Jobs) -> JobRecord:
    """A job that may be sent once."""
    record = replace(new_record(), max_sends=1)
    jobs.submit(record, {})
    return record


def test_not_again_once_it_was_sent(connection: Redis, jobs: Jobs, take: Take, limited: JobRecord) -> None:
    """Whoever would requeue it, a supervisor say, ends it as failed instead, and tells why; the client need not try."""
    lease, _ = take("dead")
    transitions.note_sent(connection, lease)
    transitions.note_sent(connection, lease)
    assert recovery.release_worker(connection, SETTINGS, "dead") == [limited.id]
    found, outcome = jobs.get(limited.id), jobs.outcome(limited.id)
    assert found is not None and (found.status, found.sends) == (Status.FAILED, 1)
    assert outcome is not None and outcome.error is not None
    assert (outcome.error.code, outcome.error.should_retry) == ("max_attempts_reached", False)
    assert "its worker died" in outcome.error.message


def test_again_when_it_was_not(connection: Redis, jobs: Jobs, take: Take, limited: JobRecord) -> None:
    """A run that ends before its turn, or whose turn could not begin, is followed by another; the next is the last."""
    take("dead")
    recovery.release_worker(connection, SETTINGS, "dead")
    second, _ = take()
    transitions.note_sent(connection, second)
    transitions.requeue(connection, SETTINGS, second, Requeue("no process", counts=False, was_sent=False))
    third, record = take()
    assert record.sends == 0
    transitions.note_sent(connection, third)
    transitions.requeue(connection, SETTINGS, third, Requeue("overloaded", counts=False))
    found = jobs.get(limited.id)
    assert found is not None and found.status is Status.FAILED


@pytest.mark.parametrize("fault", ["it is on 0 replicas", "Redis is away"])
def test_what_could_not_be_noted_was_not_sent(
    connection: Redis, jobs: Jobs, take: Take, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A run that can't note for good that it sends, sends nothing, and is no reason to give the job up."""
    monkeypatch.setattr("app.durability.WAIT_SECONDS", 0.05)
    settings = Settings(wait_replicas=1)
    accepted = accept({"model": "sonnet", "messages": [{"role": "user", "content": "Hello."}]}, settings)
    record = replace(new_record(), max_sends=1)
    jobs.submit(record, accepted.payload)
    lease, claimed = take()
    engine = ScriptedEngine()
    noting = connection if fault != "Redis is away" else connect("redis://127.0.0.1:1")
    runs.begin(Run(lease, claimed, jobs, Probes(connection, Closings(None, {}), "w1"), settings, engine, noting))
    ending = tasks.run_job(record.id)
    runs.end()
    assert isinstance(ending, Requeue)
    assert (ending.counts, ending.was_sent) == (False, False)
    assert engine.asked == []
    transitions.requeue(connection, settings, lease, Requeue("", counts=False, was_sent=ending.was_sent))
    _, again = take()
    assert (again.sends, again.attempts) == (0, 1)
