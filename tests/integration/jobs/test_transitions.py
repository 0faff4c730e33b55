"""The steps of a job's life on a real Redis: each happens whole or not at all, and only by the run that holds the lease."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from app import clock, counters, errors, idempotency, spending, usage
from app.batches.record import line_id
from app.gate import OVERLOADS_FOR_A_WALL, Gate
from app.jobs import removal, tickets, transitions
from app.jobs.change import Lease, LeaseLost, Requeue
from app.jobs.record import LEASES, JobKind, Status, record_key
from app.jobs.store import Jobs
from app.outcome import Outcome
from app.settings import Settings
from tests.fake_worker import FakeWorker
from tests.integration.jobs.conftest import Take, new_record

if TYPE_CHECKING:
    from app.idempotency import Fence
    from app.jobs.record import JobRecord

SETTINGS = Settings()


FAILURE = Outcome(error=errors.internal())


def answer(text: str) -> Outcome:
    return Outcome(body={"text": text})


def test_a_job_goes_from_queued_to_completed(connection: Redis, jobs: Jobs, take: Take) -> None:
    """A job is queued, in progress and completed in turn, and its outcome is read back as published."""
    jobs.submit(new_record(), {"model": "sonnet"})
    lease, claimed = take()
    assert (claimed.status, claimed.attempts, claimed.worker) == (Status.IN_PROGRESS, 1, "w1")
    transitions.publish(connection, SETTINGS, lease, answer("hello"))
    done = jobs.get("chatcmpl-1")
    assert done is not None and done.status is Status.COMPLETED
    assert jobs.outcome("chatcmpl-1") == answer("hello")
    assert connection.zcard(LEASES) == 0
    assert tickets.intermediate(connection, tickets.CLAUDE_QUEUE) == []


def test_an_error_makes_the_job_failed_never_completed(connection: Redis, jobs: Jobs, take: Take) -> None:
    """A job whose outcome is an error is failed in our record and in RQ's registry, and in no finished one."""
    jobs.submit(new_record(), {})
    lease, _ = take()
    transitions.publish(connection, SETTINGS, lease, Outcome(error=errors.internal()))
    done = jobs.get("chatcmpl-1")
    assert done is not None and done.status is Status.FAILED
    queue = tickets.queue(connection)
    assert queue.failed_job_registry.get_job_ids() == ["chatcmpl-1"]
    assert queue.finished_job_registry.get_job_ids() == []


def test_an_answer_parts_the_overloads_before_it_from_those_after(connection: Redis, jobs: Jobs, take: Take) -> None:
    """Only those in a row make a wall; an error is no answer."""
    gate = Gate(connection)
    for name, outcome, closes in (("chatcmpl-1", answer("hello"), False), ("chatcmpl-2", FAILURE, True)):
        for run in range(OVERLOADS_FOR_A_WALL - 1):
            assert not gate.note_overload(f"before {name} {run}", "529")
        jobs.submit(new_record(name), {})
        transitions.publish(connection, SETTINGS, take()[0], outcome)
        assert gate.note_overload(f"after {name}", "529") == closes
        gate.open()


def test_the_outcome_is_published_once(connection: Redis, jobs: Jobs, take: Take) -> None:
    """A second publication by the same run changes nothing, and one by another run is refused."""
    jobs.submit(new_record(), {})
    lease, _ = take()
    transitions.publish(connection, SETTINGS, lease, answer("first"))
    transitions.publish(connection, SETTINGS, lease, answer("second"))
    with pytest.raises(LeaseLost):
        transitions.publish(connection, SETTINGS, Lease("chatcmpl-1", "other", "w2"), answer("third"))
    assert jobs.outcome("chatcmpl-1") == answer("first")


def test_a_run_whose_lease_was_taken_cannot_publish(connection: Redis, jobs: Jobs, take: Take) -> None:
    """A worker that wakes after its job went to another one can neither publish nor requeue."""
    jobs.submit(new_record(), {})
    sleeper, _ = take("sleeper")
    transitions.requeue(connection, SETTINGS, sleeper, Requeue("its lease ended", counts=False, died=True))
    second, claimed = take("second")
    assert (claimed.attempts, claimed.deaths) == (1, 1)
    with pytest.raises(LeaseLost):
        transitions.publish(connection, SETTINGS, sleeper, answer("late"))
    with pytest.raises(LeaseLost):
        transitions.requeue(connection, SETTINGS, sleeper, Requeue("late", counts=True))
    transitions.publish(connection, SETTINGS, second, answer("right"))
    assert jobs.outcome("chatcmpl-1") == answer("right")


def test_publishing_and_taking_away_race_to_one_winner(
    connection: Redis, jobs: Jobs, redis_url: str, take: Take
) -> None:
    """When a worker publishes in the moment its job is taken from it, exactly one of the two happens."""
    for number in range(60):
        name = f"chatcmpl-{number}"
        jobs.submit(new_record(name), {})
        lease, _ = take()
        won: list[str] = []
        start = threading.Barrier(2)

        def publish(lease: Lease = lease, won: list[str] = won, start: threading.Barrier = start) -> None:
            mine = Redis.from_url(redis_url)
            start.wait()
            try:
                transitions.publish(mine, SETTINGS, lease, answer("mine"))
                won.append("publish")
            except LeaseLost:
                pass

        def take_away(lease: Lease = lease, won: list[str] = won, start: threading.Barrier = start) -> None:
            mine = Redis.from_url(redis_url)
            start.wait()
            try:
                transitions.requeue(mine, SETTINGS, lease, Requeue("race", counts=True))
                won.append("requeue")
            except LeaseLost:
                pass

        threads = [threading.Thread(target=publish), threading.Thread(target=take_away)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        found = jobs.get(name)
        assert found is not None
        assert found.status is (Status.COMPLETED if won == ["publish"] else Status.QUEUED)
        assert (jobs.outcome(name) is not None) == (won == ["publish"])
        connection.flushall()


def test_a_cancelled_job_never_starts(connection: Redis, jobs: Jobs) -> None:
    """A queued job that is cancelled leaves the queue, and its ticket, had a worker just taken it, claims nothing."""
    jobs.submit(new_record("chatcmpl-1"), {})
    jobs.submit(new_record("chatcmpl-2"), {})
    ticket = FakeWorker(connection).dequeue()
    for name in ("chatcmpl-1", "chatcmpl-2"):
        after = jobs.cancel(name)
        assert after is not None and after.status is Status.CANCELLED
    assert transitions.claim(connection, ticket.id, "w1", 10) is None
    assert tickets.queue(connection).get_job_ids() == []
    assert tickets.intermediate(connection, tickets.CLAUDE_QUEUE) == []


def test_a_claim_brings_the_request(connection: Redis, jobs: Jobs) -> None:
    """What a worker needs of a job comes with its claim."""
    jobs.submit(new_record(), {"request": {"model": "sonnet"}})
    claimed = transitions.claim(connection, FakeWorker(connection).dequeue().id, "w1", 10)
    assert claimed is not None and claimed.request is not None
    assert json.loads(claimed.request) == {"request": {"model": "sonnet"}}


def test_a_job_that_is_not_admitted_stays_as_it_is(connection: Redis, jobs: Jobs) -> None:
    """Whoever takes a ticket is asked about its job's record and whether anything is closed; by a no nothing changes."""
    jobs.submit(new_record(), {})
    Gate(connection).pause()
    ticket, before, asked = FakeWorker(connection).dequeue(), jobs.get("chatcmpl-1"), []

    def admits(record: JobRecord, is_closed: bool) -> bool:
        asked.append((record.id, is_closed))
        return False

    assert transitions.claim(connection, ticket.id, "w1", 10, admits=admits) is None
    assert asked == [("chatcmpl-1", True)]
    assert jobs.get("chatcmpl-1") == before
    assert tickets.intermediate(connection, tickets.CLAUDE_QUEUE) == ["chatcmpl-1"]


def test_a_run_that_was_cancelled_publishes_nothing(connection: Redis, jobs: Jobs, take: Take) -> None:
    """What a worker answers after the cancel is dropped."""
    jobs.submit(new_record(), {})
    lease, _ = take()
    jobs.cancel("chatcmpl-1")
    with pytest.raises(LeaseLost):
        transitions.publish(connection, SETTINGS, lease, answer("too late"))
    outcome = jobs.outcome("chatcmpl-1")
    assert outcome is not None and outcome.error is not None and outcome.error.code == "cancelled"


def test_a_run_that_does_not_count_uses_no_attempt(connection: Redis, jobs: Jobs, take: Take) -> None:
    """After a usage limit the job is at the queue's head again with the attempts it had before."""
    jobs.submit(new_record("chatcmpl-1"), {})
    jobs.submit(new_record("chatcmpl-2"), {})
    lease, _ = take()
    transitions.requeue(connection, SETTINGS, lease, Requeue("usage_limit", counts=False))
    after = jobs.get("chatcmpl-1")
    assert after is not None and after.attempts == 0
    assert tickets.queue(connection).get_job_ids() == ["chatcmpl-1", "chatcmpl-2"]


def test_a_delayed_retry_waits_outside_the_queue(connection: Redis, jobs: Jobs, take: Take) -> None:
    """A job that is tried again later is scheduled, and due when its second has come."""
    jobs.submit(new_record(), {})
    lease, _ = take()
    transitions.requeue(connection, SETTINGS, lease, Requeue("overloaded", counts=True, delay_seconds=30))
    assert tickets.queue(connection).get_job_ids() == []
    assert tickets.due(connection, time.time()) == []
    assert tickets.due(connection, time.time() + 31) == ["chatcmpl-1"]
    transitions.requeue_ticket(connection, "chatcmpl-1")
    assert tickets.queue(connection).get_job_ids() == ["chatcmpl-1"]


def test_the_event_is_stored_with_the_outcome(connection: Redis, jobs: Jobs, take: Take) -> None:
    """A job with a callback has its event in the outbox in the step that publishes its outcome, and no other job has."""
    jobs.submit(new_record("chatcmpl-1", callback_url="https://example.com/hook"), {})
    jobs.submit(new_record("chatcmpl-2"), {})
    for _ in range(2):
        lease, _record = take()
        transitions.publish(connection, SETTINGS, lease, answer("x"))
    assert connection.zcard("nightshift:events:due") == 1


def test_the_same_idempotency_key_makes_one_job(connection: Redis, jobs: Jobs) -> None:
    """The same key and body give the first job; another body under the same key is a conflict."""
    fence = idempotency.by_key("chat", "k", "body")
    first = jobs.submit(new_record("chatcmpl-1"), {"a": 1}, fence=fence)
    second = jobs.submit(new_record("chatcmpl-2"), {"a": 1}, fence=fence)
    assert (first.is_new, second.is_new) == (True, False)
    assert second.record.id == "chatcmpl-1"
    with pytest.raises(errors.ErrorReply) as refused:
        jobs.submit(new_record("chatcmpl-3"), {"a": 2}, fence=replace(fence, fingerprint="another"))
    assert refused.value.status == 409
    assert tickets.queue(connection).get_job_ids() == ["chatcmpl-1"]


def test_tries_of_one_request_that_come_together_make_one_job(redis_url: str, connection: Redis) -> None:
    """Of eight retries in the same moment one makes the job, and all get it: with a key, and as a client's own retries."""
    for number, fence in enumerate(
        (idempotency.by_key("chat", "k", "body"), idempotency.by_content("chat", "body", is_retry=True))
    ):
        start = threading.Barrier(8)

        def submit(name: str, fence: Fence = fence, start: threading.Barrier = start) -> str:
            with Redis.from_url(redis_url) as mine:
                start.wait()
                return Jobs(mine, Settings()).submit(new_record(name), {}, fence=fence).record.id

        with ThreadPoolExecutor(8) as pool:
            made = set(pool.map(submit, [f"chatcmpl-{number}-{one}" for one in range(8)]))
        assert len(made) == 1
        assert len(tickets.queue(connection).get_job_ids()) == number + 1


def test_equal_requests_are_two_jobs_unless_one_is_a_retry(connection: Redis, jobs: Jobs) -> None:
    """Without a key, what was asked for twice runs twice; what a client says it repeats is joined, unless that has failed."""
    again = idempotency.by_content("chat", "body", is_retry=True)
    for name in ("chatcmpl-1", "chatcmpl-2"):
        assert jobs.submit(new_record(name), {}, fence=replace(again, is_repeatable=False)).is_new
    assert jobs.submit(new_record("chatcmpl-3"), {}, fence=again).record.id == "chatcmpl-2"
    jobs.fail("chatcmpl-2", errors.internal())
    assert jobs.submit(new_record("chatcmpl-4"), {}, fence=again).record.id == "chatcmpl-4"
    assert 0 < connection.ttl(again.name) <= 120


def test_a_full_queue_refuses(connection: Redis) -> None:
    """Beyond the bound a request is refused with advice when to come back."""
    small = Jobs(connection, Settings(max_queued=1))
    small.submit(new_record("chatcmpl-1"), {})
    with pytest.raises(errors.ErrorReply) as refused:
        small.submit(new_record("chatcmpl-2"), {})
    assert (refused.value.status, refused.value.code) == (429, "queue_full")
    assert refused.value.retry_after


def test_no_prompt_is_in_the_ticket(connection: Redis, jobs: Jobs, take: Take) -> None:
    """What rq-dashboard can show of a job holds nothing of its request."""
    jobs.submit(new_record(), {"messages": [{"role": "user", "content": "TOP-SECRET"}]})
    lease, _ = take()
    error = errors.invalid_request("about TOP-SECRET")
    transitions.publish(connection, SETTINGS, lease, Outcome(error=error))
    for key in connection.scan_iter("rq:*"):
        assert b"TOP-SECRET" not in (connection.dump(key) or b""), key


def test_a_ticket_says_which_job_it_is(connection: Redis, jobs: Jobs, take: Take) -> None:
    """Its description, which RQ's tools show, has kind, id, batch, model and attempt, and stays true in the next run."""
    line = replace(new_record(line_id("batch_ab", 7)), kind=JobKind.BATCH_LINE)
    for record in (new_record("chatcmpl-1"), line):
        jobs.submit(record, {"messages": "secret"})

    def described(job_id: str) -> str:
        return str(Job.fetch(job_id, connection=connection, serializer=JSONSerializer).description)

    assert described("chatcmpl-1") == "chat.completion chatcmpl-1, sonnet"
    assert described(line.id) == "batch.line batch_req_ab_7 of batch_ab, sonnet"
    for attempt in (1, 2):
        lease, _ = take()
        assert described("chatcmpl-1") == f"chat.completion chatcmpl-1, sonnet, attempt {attempt}"
        transitions.requeue(connection, SETTINGS, lease, Requeue("", counts=True))


def test_nothing_is_left_of_a_removed_job(connection: Redis, jobs: Jobs, take: Take) -> None:
    """After its time to live no key of ours names the job."""
    jobs.submit(new_record(), {"x": 1})
    lease, _ = take()
    transitions.publish(connection, SETTINGS, lease, answer("x"))
    removal.remove(connection, "chatcmpl-1")
    assert not connection.exists(record_key("chatcmpl-1"))
    left = {name.decode() for name in connection.scan_iter("nightshift:*")}
    today = usage.day_of(clock.now()).isoformat()
    assert left == {counters.KEY, f"{usage.PREFIX}{today}", f"{spending.PREFIX}house:{today}"}


def test_a_flexible_request_lets_others_pass(connection: Redis, jobs: Jobs, take: Take) -> None:
    """A request of the flex tier is behind those that come after it, and leaves no trace of that when it is done."""
    jobs.submit(replace(new_record("chatcmpl-1"), service_tier="flex"), {})
    jobs.submit(new_record("chatcmpl-2"), {})
    assert tickets.queue(connection).get_job_ids() == ["chatcmpl-2", "chatcmpl-1"]
    for _ in range(2):
        lease, _record = take()
        transitions.publish(connection, SETTINGS, lease, answer("x"))
    assert connection.scard(tickets.YIELDING) == 0
