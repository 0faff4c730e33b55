"""A request with several choices (`n`) is so many jobs: made once, lost never, ended with the one that the client knows."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from app import counters, errors, idempotency, usage
from app.admission import Probes
from app.batches.record import line_id
from app.connection import texts
from app.error_codes import ErrorCode
from app.gate import Closings
from app.jobs import recovery, removal, tickets, transitions
from app.jobs.change import LeaseLost, Requeue
from app.jobs.choices import SPARE_SECONDS
from app.jobs.record import (
    CHOICES,
    LEASES,
    PAYLOAD_VERSION,
    RETENTION,
    JobKind,
    JobRecord,
    Status,
    interrupt_channel,
    record_key,
    status_key,
)
from app.maintenance import Maintenance
from app.outcome import Outcome
from app.settings import Settings
from tests.engine import ScriptedEngine
from tests.fake_worker import FakeWorker, completion
from tests.integration.jobs.conftest import STAYS, new_record
from workers import run as runs
from workers import tasks
from workers.run import Interruption, Run

if TYPE_CHECKING:
    from app.jobs.change import Lease
    from app.jobs.store import Jobs
    from tests.integration.jobs.conftest import Take

SETTINGS = Settings()
PARENT = "chatcmpl-1"
OURS = [f"{PARENT}-{number}" for number in range(3)]


def split(connection: Redis, jobs: Jobs, take: Take, record: JobRecord | None = None, **settings: Any) -> JobRecord:
    """A job of three choices that a worker has taken from the queue."""
    record = record or new_record(PARENT)
    jobs.submit(record, {})
    lease, _ = take("first")
    transitions.fan_out(connection, replace(SETTINGS, **settings), lease, 3)
    return record


def queue(connection: Redis) -> list[str]:
    return tickets.queue(connection).get_job_ids()


def answer(text: str) -> Outcome:
    return Outcome(body=completion("any", text), headers={"x-nightshift-attempts": "1", "x-nightshift-cost-usd": "0.5"})


def end(connection: Redis, lease: Lease, text: str = "hello") -> None:
    transitions.publish(connection, SETTINGS, lease, answer(text))


def status(jobs: Jobs, job_id: str = PARENT) -> Status | None:
    found = jobs.get(job_id)
    return None if found is None else found.status


def error_of(jobs: Jobs, job_id: str = PARENT) -> str | None:
    outcome = jobs.outcome(job_id)
    assert outcome is not None and outcome.error is not None
    return outcome.error.code


def make_due(connection: Redis) -> None:
    """Its next look is to be taken."""
    connection.zadd("rq:scheduled:claude", {PARENT: 1.0}, xx=True)


def left(connection: Redis) -> list[str]:
    """Keys and members that name the job once everything's time has come."""
    for job_id in texts(connection.zrange(RETENTION, 0, -1)):
        removal.remove(connection, job_id)
    kept = [key for key in texts(connection.scan_iter("nightshift:*")) if not key.startswith(STAYS)]
    return kept + texts(connection.smembers(tickets.YIELDING)) + queue(connection)


def test_the_choices_take_the_jobs_place(connection: Redis, jobs: Jobs, take: Take) -> None:
    """They stand at the queue's head in their order, before what waited behind the job; it itself is in no worker's hands."""
    jobs.submit(new_record(PARENT), {})
    jobs.submit(new_record("chatcmpl-2"), {})
    lease, _ = take()
    transitions.fan_out(connection, SETTINGS, lease, 3)
    assert queue(connection) == [*OURS, "chatcmpl-2"]
    parent = jobs.get(PARENT)
    assert parent is not None
    assert (parent.status, parent.public_status, parent.attempts, parent.worker) == (
        Status.QUEUED,
        Status.IN_PROGRESS,
        0,
        "",
    )
    with pytest.raises(LeaseLost):
        transitions.fan_out(connection, SETTINGS, lease, 3)


def test_older_workers_leave_them_alone(connection: Redis, jobs: Jobs, take: Take) -> None:
    """Code that knows of no choices would ask for all of them again, or not know what to ask; what has none, it can run."""
    record = split(connection, jobs, take)
    made = [jobs.get(one) for one in (PARENT, *OURS)]
    assert (record.version, [one and one.version for one in made]) == (1, [PAYLOAD_VERSION] * 4)
    assert PAYLOAD_VERSION > 1


@pytest.mark.parametrize("job", ["ended", "gone"])
def test_a_choice_that_nobody_waits_for(connection: Redis, jobs: Jobs, take: Take, job: str) -> None:
    """Its job was ended or removed by code that knew nothing of it: it ends, too, and Claude is not asked."""
    split(connection, jobs, take)
    if job == "gone":
        removal.remove(connection, PARENT)
    else:
        connection.hset(record_key(PARENT), "status", "failed")
    lease, claimed = take()
    engine = ScriptedEngine()
    runs.begin(
        run := Run(lease, claimed, jobs, Probes(connection, Closings(None, {}), "w1"), SETTINGS, engine, connection)
    )
    tasks.run_job(claimed.id)
    runs.end()
    assert run.interruption is Interruption.CANCELLED
    assert engine.asked == []


def test_they_are_made_once(connection: Redis, jobs: Jobs, take: Take) -> None:
    """A second run of the job, whatever led to it, leaves those alone that are there."""
    split(connection, jobs, take)
    take("busy")
    transitions.requeue_ticket(connection, PARENT)
    lease, parent = take()
    assert lease.job_id == PARENT and parent.started_at is not None
    transitions.fan_out(connection, SETTINGS, lease, 3)
    assert queue(connection) == OURS[1:]
    assert status(jobs, OURS[0]) is Status.IN_PROGRESS


def test_clients_see_one_job(connection: Redis, jobs: Jobs, take: Take) -> None:
    """The lists and their numbers have the job alone, in progress; the bound of the queue knows of all."""
    split(connection, jobs, take)
    assert [one.id for one in jobs.newest()] == [PARENT]
    assert [one.id for one in jobs.newest(Status.IN_PROGRESS)] == [PARENT]
    assert list(jobs.newest(Status.QUEUED)) == []
    assert jobs.queued() == 4
    for _ in range(3):
        end(connection, take()[0])
    assert [one.id for one in jobs.newest(Status.COMPLETED)] == [PARENT]
    assert connection.zcard(status_key(Status.IN_PROGRESS)) == jobs.queued() == 0


def test_the_last_answer_ends_the_job(connection: Redis, jobs: Jobs, take: Take) -> None:
    """No worker is needed for it, the order is the choices', and it is counted as one request with the usage of all."""
    split(connection, jobs, take)
    held = [take()[0] for _ in range(3)]
    for number in (2, 0, 1):
        assert status(jobs) is Status.QUEUED
        end(connection, held[number], f"answer {number}")
    outcome = jobs.outcome(PARENT)
    assert outcome is not None and outcome.body is not None
    assert [one["message"]["content"] for one in outcome.body["choices"]] == ["answer 0", "answer 1", "answer 2"]
    assert outcome.headers["x-nightshift-cost-usd"] == "1.500000"
    found = counters.read(connection)
    assert {key: count for key, count in found.items() if key[0] in {"requests", "tokens", "cost"}} == {
        ("requests", "/v1/chat/completions", "sonnet", "completed"): 1,
        ("tokens", "input", "sonnet"): 3,
        ("tokens", "output", "sonnet"): 3,
        ("cost", "sonnet"): 1_500_000,
    }
    assert sum(count for key, count in found.items() if key[0] == "run" and key[-1] != "sum") == 1
    assert all((connection.zscore(RETENTION, one) or 0) <= time.time() + SPARE_SECONDS for one in OURS)
    assert left(connection) == []


def test_the_last_two_at_once(connection: Redis, jobs: Jobs, take: Take, redis_url: str) -> None:
    """Whichever of them sees the other, the job ends with them."""
    for number in range(30):
        split(connection, jobs, take, new_record(f"chatcmpl-{number}"))
        end(connection, take()[0])
        start = threading.Barrier(2)

        def publish(lease: Lease, start: threading.Barrier = start) -> None:
            mine = Redis.from_url(redis_url)
            start.wait()
            end(mine, lease)

        threads = [threading.Thread(target=publish, args=(take()[0],)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert status(jobs, f"chatcmpl-{number}") is Status.COMPLETED


def test_cancelled_while_a_choice_is_taken(connection: Redis, jobs: Jobs, take: Take, redis_url: str) -> None:
    """Whichever is first, nobody holds the choice afterwards."""
    for number in range(40):
        split(connection, jobs, take, new_record(f"chatcmpl-{number}"))
        ticket = FakeWorker(connection).dequeue()
        start = threading.Barrier(2)

        def claim(job: Job = ticket, start: threading.Barrier = start) -> None:
            start.wait()
            transitions.claim(Redis.from_url(redis_url), job.id, "w1", 10)

        claiming = threading.Thread(target=claim)
        claiming.start()
        start.wait()
        jobs.cancel(f"chatcmpl-{number}")
        claiming.join()
        assert status(jobs, f"chatcmpl-{number}-0") is Status.CANCELLED
        assert connection.zcard(LEASES) == 0


def test_a_worker_that_died_before_it_could_tell(
    connection: Redis, jobs: Jobs, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last choice ended, and its worker before anything else: the next look finds it, and no sooner is a worker asked."""
    split(connection, jobs, take)
    maintenance = Maintenance(connection, SETTINGS)
    for lease in [take()[0] for _ in range(3)]:
        make_due(connection)
        maintenance.run_once()
        assert (status(jobs), queue(connection)) == (Status.QUEUED, [])
        with monkeypatch.context() as dying:
            dying.setattr(transitions, "join", lambda *_: False)
            end(connection, lease)
    assert status(jobs) is Status.QUEUED
    make_due(connection)
    maintenance.run_once()
    assert status(jobs) is Status.COMPLETED


def test_what_was_answered_before_one_failed_was_paid_for(connection: Redis, jobs: Jobs, take: Take) -> None:
    split(connection, jobs, take)
    end(connection, take("w1")[0])
    transitions.publish(connection, SETTINGS, take("w1")[0], Outcome(error=errors.internal()))
    outcome = jobs.outcome(PARENT)
    assert outcome is not None and outcome.error is not None
    assert outcome.cost_usd == 0.5
    today = usage.day_of(time.time())
    (row,) = usage.read(connection, today, today)
    assert (row.used.requests, row.used.failed, row.used.cost_micros) == (1, 1, 500_000)


def test_one_that_fails_fails_the_job(connection: Redis, jobs: Jobs, take: Take) -> None:
    """With its own error; what waits never starts, what runs is interrupted and can publish nothing; nothing is left."""
    split(connection, jobs, take)
    failing, running = take("w1")[0], take("w2")[0]
    with connection.pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.subscribe(interrupt_channel("w2"))
        assert heard.get_message(timeout=60) is not None
        error = errors.invalid_request("no", code=ErrorCode.MODEL_NOT_FOUND)
        transitions.publish(connection, SETTINGS, failing, Outcome(error=error))
        message = heard.get_message(timeout=60)
    assert message is not None and message["data"] == OURS[1].encode()
    assert (status(jobs), error_of(jobs)) == (Status.FAILED, "model_not_found")
    assert [status(jobs, one) for one in OURS] == [Status.FAILED, Status.CANCELLED, Status.CANCELLED]
    with pytest.raises(LeaseLost):
        end(connection, running)
    assert left(connection) == []


@pytest.mark.parametrize("way", ["cancelled", "late", "deleted"])
def test_they_end_with_the_job(connection: Redis, jobs: Jobs, take: Take, way: str) -> None:
    """Cancelled, deleted or past its deadline: nothing of it goes on, and no key is left."""
    split(connection, jobs, take, new_record(PARENT, patience=-1 if way == "late" else 60))
    end(connection, take()[0])
    running, _ = take()
    if way == "late":
        Maintenance(connection, SETTINGS).run_once()
    elif way == "deleted":
        jobs.delete(PARENT)
    else:
        jobs.cancel(PARENT)
    assert error_of(jobs) == ("deadline_exceeded" if way == "late" else "cancelled")
    assert [status(jobs, one) for one in OURS] == [Status.COMPLETED, Status.CANCELLED, Status.CANCELLED]
    with pytest.raises(LeaseLost):
        end(connection, running)
    assert left(connection) == []


def test_a_choice_that_is_gone_is_made_again(connection: Redis, jobs: Jobs, take: Take) -> None:
    """The others have ended: a worker is asked for the job, and makes that one alone."""
    split(connection, jobs, take)
    removal.forget(connection, pipe := connection.pipeline(), OURS[1])
    pipe.execute()
    for _ in range(2):
        end(connection, take()[0])
    assert queue(connection) == [PARENT]
    transitions.fan_out(connection, SETTINGS, take()[0], 3)
    assert queue(connection) == [OURS[1]]
    end(connection, take()[0])
    assert status(jobs) is Status.COMPLETED


def test_a_worker_is_killed_after_half(connection: Redis, jobs: Jobs, take: Take) -> None:
    """Its choice alone goes back, and is not asked for by two."""
    split(connection, jobs, take)
    end(connection, take("w1")[0])
    take("dead")
    assert recovery.release_worker(connection, SETTINGS, "dead") == [OURS[1]]
    assert queue(connection) == OURS[1:]
    for _ in range(2):
        end(connection, take()[0])
    done = jobs.get(PARENT)
    assert done is not None and (done.status, done.attempts) == (Status.COMPLETED, 1)


def test_a_choice_that_kills_its_workers_fails_the_job(connection: Redis, jobs: Jobs, take: Take) -> None:
    """It is dead-lettered like any job, and that is the job's error, whoever found the dead worker."""
    split(connection, jobs, take)
    take("dead")
    recovery.release_worker(connection, replace(SETTINGS, max_worker_deaths=1), "dead")
    assert (status(jobs), error_of(jobs)) == (Status.FAILED, "worker_died")
    found = jobs.get(PARENT)
    assert found is not None and (found.attempts, found.deaths) == (0, 1)
    assert queue(connection) == []


def test_one_that_may_be_sent_once(connection: Redis, jobs: Jobs, take: Take) -> None:
    """Each choice has its own runs; a repetition of the cancelled request joins it, since it was sent."""
    once = replace(new_record(PARENT), max_sends=1)
    fence = idempotency.by_key("chat", "k", "body")
    jobs.submit(once, {"a": 1}, fence=fence)
    transitions.fan_out(connection, SETTINGS, take()[0], 3)
    lease, choice = take()
    assert choice.max_sends == 1
    transitions.note_sent(connection, lease)
    jobs.cancel(PARENT)
    assert not jobs.submit(replace(once, id="chatcmpl-2"), {"a": 1}, fence=fence).is_new


def test_a_lines_choices_let_others_pass(connection: Redis, jobs: Jobs, take: Take) -> None:
    """They stand before other lines, and behind every request that comes, as the line did; when requeued, too."""
    lines = [replace(new_record(line_id("batch_ab", number)), kind=JobKind.BATCH_LINE) for number in range(2)]
    for record in lines:
        jobs.submit(record, {})
    lease, _ = take()
    jobs.submit(new_record("chatcmpl-2"), {})
    transitions.fan_out(connection, SETTINGS, lease, 2)
    jobs.submit(new_record("chatcmpl-3"), {})
    choices = [f"{lines[0].id}-0", f"{lines[0].id}-1"]
    assert queue(connection) == ["chatcmpl-2", "chatcmpl-3", *choices, lines[1].id]
    choice = jobs.get(choices[0])
    assert choice is not None and choice.ids["batch_id"] == "batch_ab"
    ticket = Job.fetch(choices[0], connection=connection, serializer=JSONSerializer)
    assert ticket.description == f"choice {choices[0]} of batch_ab, sonnet"


def test_a_reserve_is_kept(connection: Redis, jobs: Jobs, take: Take) -> None:
    """With one, a line has one worker at a time: the next choice is made when the one before has ended."""
    kept = replace(SETTINGS, reserve=1)
    line = replace(new_record(PARENT), kind=JobKind.BATCH_LINE)
    split(connection, jobs, take, line, reserve=1)
    for number in range(3):
        assert queue(connection) == [OURS[number]]
        transitions.publish(connection, kept, take()[0], answer("x"))
        if number < 2:
            assert queue(connection) == [PARENT]
            transitions.fan_out(connection, kept, take()[0], 3)
    assert status(jobs) is Status.COMPLETED


def test_a_ticket_that_was_thrown_away(
    connection: Redis, jobs: Jobs, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emptying queue and schedule by hand loses neither a choice nor the job; what names jobs that ended or are gone goes."""
    monkeypatch.setattr(recovery, "AUDIT_SECONDS", 0.0)
    split(connection, jobs, take)
    tickets.queue(connection).empty()  # type: ignore[no-untyped-call]
    connection.delete("rq:scheduled:claude")
    jobs.submit(new_record("chatcmpl-ended"), {})
    jobs.cancel("chatcmpl-ended")
    connection.zadd(CHOICES, {"chatcmpl-ended": 1.0, "chatcmpl-gone-0": 1.0})
    Maintenance(connection, SETTINGS).run_once()
    assert sorted(queue(connection)) == [PARENT, *OURS]
    assert sorted(texts(connection.zrange(CHOICES, 0, -1))) == [PARENT, *OURS]


def test_refused_while_a_choice_waits(connection: Redis, jobs: Jobs, take: Take) -> None:
    """At a closed gate a client is sent away unless all that is left of its request runs."""
    split(connection, jobs, take)
    running = [take()[0] for _ in range(3)]
    transitions.fail_waiting(connection, SETTINGS, PARENT, errors.internal(), spares_running=True)
    assert status(jobs) is Status.QUEUED
    end(connection, running[0])
    transitions.requeue(connection, SETTINGS, running[1], Requeue("usage_limit", counts=False))
    transitions.fail_waiting(connection, SETTINGS, PARENT, errors.internal(), spares_running=True)
    assert (status(jobs), status(jobs, OURS[2])) == (Status.FAILED, Status.CANCELLED)


def test_more_than_can_be_stored(connection: Redis, jobs: Jobs, take: Take) -> None:
    """The bound of an answer is that of all its choices together."""
    split(connection, jobs, take)
    small = replace(SETTINGS, max_result_bytes=answer("x" * 1000).size() * 2)
    for _ in range(3):
        transitions.publish(connection, small, take()[0], answer("x" * 1000))
    assert (status(jobs), error_of(jobs)) == (Status.FAILED, "result_too_large")


def test_its_time_is_that_of_the_first_run(connection: Redis, jobs: Jobs, take: Take) -> None:
    """What waits for its choices has begun once, however often it is looked at."""
    split(connection, jobs, take)
    began = jobs.get(PARENT)
    time.sleep(0.01)
    transitions.requeue_ticket(connection, PARENT)
    _, again = take()
    assert began is not None and again.started_at == began.started_at
