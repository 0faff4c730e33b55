"""A whole worker on a real Redis, with an engine that answers without any process: what becomes of each answer and failure."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.connection import connect
from app.gate import Cause, Gate
from app.jobs import tickets
from app.jobs.record import JobRecord, Status
from app.messages.failure import FailureKind, TurnFailed
from app.openai.accept import accept
from app.settings import Settings
from tests.engine import ScriptedEngine, answer
from tests.integration.jobs.conftest import new_record
from workers import run as runs
from workers.claude_worker import ClaudeWorker
from workers.engine_by_way import Engines
from workers.run import Interruption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from app.jobs.store import Jobs
    from app.messages.answer import Answer

SETTINGS = Settings()
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "n",
        "schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
    },
}


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """RQ's worker takes the process' signals; they are given back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    before = [(number, signal.getsignal(number)) for number in numbers]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def submit(jobs: Jobs, record: JobRecord | None = None, **fields: Any) -> JobRecord:
    """A job as the API accepts it."""
    record = record or new_record()
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "Hello."}], **fields}
    jobs.submit(record, accept(body, SETTINGS).payload)
    return record


def worker_with(engine: ScriptedEngine, redis_url: str, **fields: Any) -> ClaudeWorker:
    name, settings = f"w-{time.monotonic_ns()}", replace(SETTINGS, redis_url=redis_url, **fields)
    return ClaudeWorker(name, connect(redis_url), settings, Engines.holding(settings, {engine.way: engine}))


def work(redis_url: str, *turns: Answer | TurnFailed) -> ScriptedEngine:
    """A worker takes what waits in the queue, and leaves."""
    engine = ScriptedEngine(*turns)
    worker_with(engine, redis_url).work(burst=True)
    return engine


def completion(jobs: Jobs, record: JobRecord) -> dict[str, Any]:
    outcome = jobs.outcome(record.id)
    assert outcome is not None and outcome.body is not None
    return outcome.body


def error(jobs: Jobs, record: JobRecord) -> tuple[int, str | None]:
    outcome = jobs.outcome(record.id)
    assert outcome is not None and outcome.error is not None
    return outcome.error.status, outcome.error.code


def test_the_answer_is_published(redis_url: str, jobs: Jobs) -> None:
    """The client gets the engine's text, model, usage and cost, and the engine got the client's request."""
    record = submit(jobs, max_tokens=7)
    engine = work(redis_url, answer("Good night."))
    body = completion(jobs, record)
    outcome, found = jobs.outcome(record.id), jobs.get(record.id)
    assert found is not None and found.status is Status.COMPLETED
    assert (body["choices"][0]["message"]["content"], body["model"]) == ("Good night.", "claude-x")
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (3, 2)
    assert outcome is not None and outcome.headers["x-nightshift-cost-usd"] == "0.250000"
    assert [(asked.max_tokens, asked.messages[-1]["content"]) for asked in engine.asked] == [(7, "Hello.")]


def test_two_jobs_get_their_own_answers(redis_url: str, jobs: Jobs) -> None:
    """One engine, one job after the other."""
    first, second = submit(jobs), submit(jobs, new_record("chatcmpl-2"))
    work(redis_url, answer("one"), answer("two"))
    said = [completion(jobs, record)["choices"][0]["message"]["content"] for record in (first, second)]
    assert said == ["one", "two"]


def test_a_wrong_answer_is_asked_for_once_more(redis_url: str, jobs: Jobs) -> None:
    """The second question says what was wrong with the first answer; usage and cost are those of both."""
    record = submit(jobs, response_format=SCHEMA)
    engine = work(redis_url, answer('{"n": "x"}'), answer('{"n": 5}'))
    assert completion(jobs, record)["choices"][0]["message"]["content"] == '{"n": 5}'
    assert completion(jobs, record)["usage"]["prompt_tokens"] == 6
    outcome = jobs.outcome(record.id)
    assert outcome is not None and outcome.headers["x-nightshift-cost-usd"] == "0.500000"
    assert "What was wrong with it" in engine.asked[1].messages[-1]["content"][-1]["text"]


def test_a_cost_that_is_not_known_is_not_made_up(redis_url: str, jobs: Jobs) -> None:
    """An engine that knows no price gives none, and one price of two is none."""
    record = submit(jobs, response_format=SCHEMA)
    work(redis_url, answer('{"n": "x"}', cost_usd=None), answer('{"n": 5}'))
    outcome = jobs.outcome(record.id)
    assert outcome is not None and outcome.body is not None
    assert "x-nightshift-cost-usd" not in outcome.headers


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (TurnFailed(FailureKind.CALLER, "messages: too odd", status=400), (400, None)),
        (TurnFailed(FailureKind.CALLER, "no such model", status=404), (404, "model_not_found")),
        (TurnFailed(FailureKind.CALLER, "not yours", status=403), (403, "permission_denied")),
        (TurnFailed(FailureKind.DEADLINE, "late"), (504, "deadline_exceeded")),
    ],
)
def test_a_failure_that_ends_the_job(
    connection: Redis, redis_url: str, jobs: Jobs, failure: TurnFailed, expected: tuple[int, str | None]
) -> None:
    """It is an error with its own status, asked for once, and the gate stays open."""
    record = submit(jobs)
    engine = work(redis_url, failure, answer("too late"))
    assert error(jobs, record) == expected
    assert len(engine.asked) == 1
    assert Gate(connection).read() is None


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (TurnFailed(FailureKind.USAGE_LIMIT, "used up", resets_at=time.time() + 900), Cause.USAGE_LIMIT),
        (TurnFailed(FailureKind.LOGIN, "refused", status=401), Cause.LOGIN),
    ],
)
def test_a_failure_that_closes_the_gate(
    connection: Redis, redis_url: str, jobs: Jobs, failure: TurnFailed, cause: Cause
) -> None:
    """The job waits with its attempts unused, and no other is taken."""
    first, second = submit(jobs), submit(jobs, new_record("chatcmpl-2"))
    engine = ScriptedEngine(failure, answer("too early"))
    worker = worker_with(engine, redis_url)
    leaves = threading.Thread(target=stop_when_closed, args=(connection, worker))
    leaves.start()
    worker.work()
    leaves.join()
    closed = Gate(connection).read()
    assert closed is not None and closed.cause is cause
    assert len(engine.asked) == 1
    for record in (first, second):
        found = jobs.get(record.id)
        assert found is not None and (found.status, found.attempts) == (Status.QUEUED, 0)


def stop_when_closed(connection: Redis, worker: ClaudeWorker) -> None:
    give_up = time.monotonic() + 120
    while Gate(connection).read() is None and time.monotonic() < give_up:
        time.sleep(0.01)
    worker._stop_requested = True


@pytest.mark.parametrize("kind", [FailureKind.SERVER, FailureKind.STALLED])
def test_a_failure_that_is_tried_again_later(redis_url: str, jobs: Jobs, kind: FailureKind) -> None:
    """It uses up an attempt and is no outcome yet."""
    record = submit(jobs)
    engine = work(redis_url, TurnFailed(kind, "no"), answer("too early"))
    found = jobs.get(record.id)
    assert found is not None and (found.status.is_final, found.attempts) == (False, 1)
    assert jobs.outcome(record.id) is None
    assert len(engine.asked) == 1


@pytest.mark.parametrize("kind", [FailureKind.DIED, FailureKind.MEMORY, FailureKind.GARBLED])
def test_a_process_that_ended_is_followed_by_another(redis_url: str, jobs: Jobs, kind: FailureKind) -> None:
    """The job is asked again at once. The death is counted, and uses up no attempt."""
    record = submit(jobs)
    work(redis_url, TurnFailed(kind, "gone"), answer("after all"))
    assert completion(jobs, record)["choices"][0]["message"]["content"] == "after all"
    found = jobs.get(record.id)
    assert found is not None and (found.attempts, found.deaths) == (1, 1)


def test_a_cancelled_job_ends_its_question(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """The engine is interrupted, and the job is cancelled, not requeued."""
    record = submit(jobs)
    engine = ScriptedEngine()

    def cancel() -> None:
        give_up = time.monotonic() + 120
        while not engine.asked and time.monotonic() < give_up:
            time.sleep(0.01)
        assert runs.interrupt(Interruption.CANCELLED, record.id)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    worker_with(engine, redis_url).work(burst=True)
    canceller.join()
    found = jobs.get(record.id)
    assert found is not None and found.status is Status.CANCELLED
    assert tickets.queue(connection).get_job_ids() == []
