"""The outbox on a real Redis, and its way into RQ's queue."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from redis.exceptions import ResponseError
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from app import counters
from app.errors import ErrorReply
from app.jobs.recovery import release_worker
from app.settings import Settings
from app.webhooks import outbox
from app.webhooks.dispatch import MAX_QUEUED, dispatch_due, drop_abandoned
from app.webhooks.events import Event
from app.webhooks.outbox import DISPATCH_SECONDS, MAX_HISTORY, Attempt, Outbox, UnknownEventError
from tests.integration.webhooks.receiver import Receiver, running, status
from tests.redis_server import wait_until
from workers.callbacks.tasks import deliver_event

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

    from workers.callbacks.tasks import CallbackContext

URL = "https://hooks.example/"


def store(connection: Redis, url: str = URL, *, now: float | None = None) -> Event:
    """An event in the outbox, due at once."""
    event = Event.new("chat.completion.completed", {"id": "chatcmpl-1"}, now=now)
    with connection.pipeline() as pipe:
        outbox.add(pipe, event, url)
        pipe.execute()
    return event


def attempt(number: int, *, at: float = 1000.0, status: int | None = 500) -> Attempt:
    """An attempt that took a tenth of a second."""
    return Attempt(number, at, status, None, 0.1)


@pytest.fixture
def queue(connection: Redis) -> Queue:
    return Queue("callbacks", connection=connection, serializer=JSONSerializer)


@pytest.fixture
def box(connection: Redis) -> Outbox:
    return Outbox(connection)


def test_stored_with_the_outcome_or_not_at_all(connection: Redis) -> None:
    """`add` does nothing by itself: the event comes with the caller's MULTI, and goes with it when that fails."""
    event = Event.new("chat.completion.completed", {"id": "chatcmpl-1"})
    with connection.pipeline() as pipe:
        pipe.set("outcome", "x")
        outbox.add(pipe, event, URL)
        assert connection.keys("*") == []
        pipe.reset()  # the process died before EXEC
    assert connection.keys("*") == []
    with connection.pipeline() as pipe:
        pipe.set("outcome", "x")
        outbox.add(pipe, event, URL)
        pipe.execute()
    assert connection.exists("outcome")
    stored = Outbox(connection).get(event.id)
    assert (stored.event, stored.url, stored.status, stored.attempts) == (event, URL, "pending", 0)
    assert stored.next_attempt_at == event.created_at


def test_transaction_that_redis_refuses_stores_nothing(connection: Redis) -> None:
    """When another command of the MULTI is malformed, there is no event either."""
    with connection.pipeline() as pipe:
        outbox.add(pipe, Event.new("chat.completion.completed", {"id": "x"}), URL)
        pipe.execute_command("SET", "outcome")  # type: ignore[no-untyped-call]
        with pytest.raises(ResponseError):
            pipe.execute()
    assert connection.keys("*") == []


def test_due_again_when_nothing_happens(connection: Redis, box: Outbox) -> None:
    """An event taken by a process that dies is due again, and until then nobody else takes it."""
    event = store(connection, now=1000)
    assert box.take_due(999, 10) == []
    assert box.take_due(1000, 10) == [(event.id, 0)]
    assert box.take_due(1001, 10) == []
    assert box.take_due(1000 + DISPATCH_SECONDS, 10) == [(event.id, 0)]


def test_only_one_claims(connection: Redis, redis_url: str) -> None:
    """Of many processes at once one makes the attempt."""
    event = store(connection)
    barrier = threading.Barrier(8)

    def claim(_: int) -> bool:
        with Redis.from_url(redis_url) as own:
            barrier.wait()
            return Outbox(own).claim(event.id, 1000, lease_seconds=10) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1


def test_attempt_that_died(connection: Redis, box: Outbox) -> None:
    """An attempt whose process died is made again when its claim ends; what it says later of a failure is not heard."""
    event = store(connection, now=1000)
    first = box.claim(event.id, 1000, lease_seconds=10)
    assert first is not None
    assert first.attempt == 1
    assert box.claim(event.id, 1009, lease_seconds=10) is None
    assert box.take_due(1009, 10) == []
    assert box.take_due(1010, 10) == [(event.id, 1)]
    second = box.claim(event.id, 1011, lease_seconds=10)
    assert second is not None
    assert (second.attempt, second.body) == (2, event.body)
    assert not box.record_failure(event.id, attempt(1), next_at=None)
    assert box.record_failure(event.id, attempt(2), next_at=1020)
    assert box.get(event.id).next_attempt_at == 1020


def test_late_success_counts(connection: Redis, box: Outbox) -> None:
    """A receiver that has the event is not sent it again only because the attempt was thought dead."""
    event = store(connection, now=1000)
    box.claim(event.id, 1000, lease_seconds=10)
    box.claim(event.id, 1011, lease_seconds=10)
    assert box.record_success(event.id, attempt(1, status=200))
    assert not box.record_failure(event.id, attempt(2), next_at=1020)
    assert box.get(event.id).status == "delivered"


def test_recording_twice_changes_nothing(connection: Redis, box: Outbox) -> None:
    """The same record again, as after a lost reply of Redis, is no second attempt and no second end."""
    event = store(connection, now=1000)
    box.claim(event.id, 1000, lease_seconds=10)
    assert box.record_failure(event.id, attempt(1), next_at=1005)
    assert not box.record_failure(event.id, attempt(1), next_at=2005)
    assert box.get(event.id).next_attempt_at == 1005
    box.claim(event.id, 1005, lease_seconds=10)
    assert box.record_success(event.id, attempt(2, status=200))
    assert not box.record_success(event.id, attempt(2, status=200))
    assert len(box.get(event.id).history) == 2


def test_history_is_bounded(connection: Redis, box: Outbox) -> None:
    """However often an event is sent again, the last attempts are what is kept of them."""
    event = store(connection, now=1000)
    for number in range(1, MAX_HISTORY + 5):
        box.claim(event.id, 1000 + number, lease_seconds=10)
        box.record_failure(event.id, attempt(number), next_at=1000)
    stored = box.get(event.id)
    assert len(stored.history) == MAX_HISTORY
    assert stored.history[-1].number == stored.attempts == MAX_HISTORY + 4


def test_each_attempt_is_counted_once(connection: Redis, box: Outbox) -> None:
    """By what came of it; one that is recorded again, its first answer having been lost, is not another."""
    now = time.time()
    event = store(connection)
    box.claim(event.id, now, lease_seconds=10)
    box.record_failure(event.id, attempt(1, at=now), next_at=now)
    box.claim(event.id, now + 1, lease_seconds=10)
    for _ in range(2):
        box.record_success(event.id, attempt(2, at=now + 1, status=200))
    assert counters.read(connection) == {("callbacks", "retry"): 1, ("callbacks", "delivered"): 1}


def test_nothing_stays_for_ever(connection: Redis, box: Outbox) -> None:
    """Every key of an event that has ended has an end itself, and old ids leave the indexes."""
    now = time.time()
    for final in (True, False):
        event = store(connection)
        box.claim(event.id, now, lease_seconds=10)
        if final:
            box.record_failure(event.id, attempt(1, at=now), next_at=None)
        else:
            box.record_success(event.id, attempt(1, at=now, status=200))
    assert not connection.exists(outbox.DUE)
    assert all(connection.ttl(key) > 0 for key in connection.keys("*") if key != counters.KEY.encode())
    connection.zadd(outbox.UNDELIVERED, {"evt_old": now - 8 * 24 * 3600})
    event = store(connection)
    box.claim(event.id, now, lease_seconds=10)
    box.record_failure(event.id, attempt(1, at=now), next_at=None)
    assert connection.zscore(outbox.UNDELIVERED, "evt_old") is None


def test_pages(connection: Redis, box: Outbox) -> None:
    """Lists go on behind an id; ended events come newest first, pending ones soonest first."""
    ids = []
    for number in range(5):
        event = store(connection, now=1000 + number)
        ids.append(event.id)
    assert [stored.event.id for stored in box.page("pending", limit=3)] == ids[:3]
    assert [stored.event.id for stored in box.page("pending", limit=3, after=ids[2])] == ids[3:]
    for number, event_id in enumerate(ids):
        box.claim(event_id, 2000, lease_seconds=10)
        box.record_failure(event_id, attempt(1, at=time.time() + number), next_at=None)
    newest_first = ids[::-1]
    assert [stored.event.id for stored in box.page("undelivered", limit=2)] == newest_first[:2]
    assert [stored.event.id for stored in box.page("undelivered", after=newest_first[1])] == newest_first[2:]
    assert box.page("delivered") == []
    with pytest.raises(ErrorReply, match="no undelivered event 'evt_unknown'"):
        box.page("undelivered", after="evt_unknown")


def test_unknown_events(box: Outbox) -> None:
    """What is not there can't be looked at or sent again."""
    assert box.url("evt_unknown") is None
    for ask in (lambda: box.get("evt_unknown"), lambda: box.resend("evt_unknown", 0)):
        with pytest.raises(UnknownEventError):
            ask()


def test_resend_while_an_attempt_is_under_way(connection: Redis, box: Outbox) -> None:
    """An operator's wish does not start a second attempt beside the first."""
    event = store(connection, now=1000)
    box.claim(event.id, 1000, lease_seconds=10)
    box.resend(event.id, 1001)
    assert box.claim(event.id, 1001, lease_seconds=10) is None
    assert box.get(event.id).next_attempt_at == 1010


def test_dispatch_is_idempotent(connection: Redis, box: Outbox, queue: Queue) -> None:
    """Taken for due as often as one likes, an attempt has one job in the queue."""
    event = store(connection, now=1000)
    assert dispatch_due(connection, queue, 1000) == 1
    assert dispatch_due(connection, queue, 1000) == 0
    assert dispatch_due(connection, queue, 1001 + DISPATCH_SECONDS) == 0
    assert queue.job_ids == [f"{event.id}-1"]
    assert box.get(event.id).status == "pending"


def test_dispatch_of_a_second_attempt(connection: Redis, box: Outbox, queue: Queue) -> None:
    """The next attempt is another job, though the first one's is still there."""
    event = store(connection, now=1000)
    dispatch_due(connection, queue, 1000)
    box.claim(event.id, 1000, lease_seconds=10)
    box.record_failure(event.id, attempt(1), next_at=1001)
    assert dispatch_due(connection, queue, 1001) == 1
    assert queue.job_ids == [f"{event.id}-1", f"{event.id}-2"]


def test_dispatch_after_a_job_that_failed(connection: Redis, queue: Queue) -> None:
    """A job that failed before its attempt began does not block the event."""
    event = store(connection, now=1000)
    dispatch_due(connection, queue, 1000)
    worker = SimpleWorker([queue], connection=connection, serializer=JSONSerializer)
    worker.work(burst=True)  # no context is installed: the task raises
    assert Job.fetch(f"{event.id}-1", connection=connection, serializer=JSONSerializer).is_failed
    assert dispatch_due(connection, queue, 1001 + DISPATCH_SECONDS) == 1
    assert queue.job_ids == [f"{event.id}-1"]


def test_dispatch_after_a_process_that_died_before_its_claim(connection: Redis, queue: Queue) -> None:
    """A job that a dead process had begun does not block the event, and leaves nothing; a living one keeps its own."""
    event = store(connection, now=1000)
    dispatch_due(connection, queue, 1000)
    worker = SimpleWorker([queue], name="callbacks-1", connection=connection, serializer=JSONSerializer)
    worker.register_birth()  # type: ignore[no-untyped-call]
    taken = worker.dequeue_job_and_maintain_ttl(None)
    assert taken is not None
    worker.prepare_execution(taken[0])
    assert drop_abandoned(queue) == []
    release_worker(connection, Settings(), "callbacks-1")
    assert drop_abandoned(queue) == [f"{event.id}-1"]
    connection.delete(queue.intermediate_queue_key)
    assert dispatch_due(connection, queue, 1001 + DISPATCH_SECONDS) == 1
    assert queue.job_ids == [f"{event.id}-1"]
    assert len(queue.started_job_registry) == 0


def test_dispatch_fills_the_queue_only_so_far(connection: Redis, queue: Queue) -> None:
    """However many events are due, the queue stays short."""
    with connection.pipeline() as pipe:
        for _ in range(MAX_QUEUED + 10):
            outbox.add(pipe, Event.new("chat.completion.completed", {"id": "x"}, now=1000), URL)
        pipe.execute()
    while dispatch_due(connection, queue, 1000):
        pass
    assert queue.count == MAX_QUEUED


def test_from_the_outbox_through_rq_to_the_receiver(
    connection: Redis, queue: Queue, receiver: Receiver, context: CallbackContext
) -> None:
    """Dispatched, worked off by an RQ worker, failed once, and delivered, with no RQ job left over."""
    receiver.script = [status(500)]
    event = store(connection, receiver.url())
    worker = SimpleWorker([queue], connection=connection, serializer=JSONSerializer)

    def step() -> bool:
        dispatch_due(connection, queue, time.time())
        worker.work(burst=True)
        return context.outbox.get(event.id).status == "delivered"

    wait_until(step)
    assert len(receiver.received) == 2
    assert connection.keys("rq:job:*") == []


def test_slow_receivers_do_not_hold_up_others(connection: Redis, context: CallbackContext) -> None:
    """While one host keeps its whole share of deliveries waiting, another host gets its event at once."""
    with running() as slow, running() as quick:

        def hang(_handler: BaseHTTPRequestHandler) -> None:
            slow.over.wait(20)

        slow.script = [hang] * 50
        stuck = [store(connection, slow.url(host="localhost")) for _ in range(20)]
        event = store(connection, quick.url())
        began = time.monotonic()
        for each in [*stuck, event]:
            deliver_event(each.id)
        wait_until(lambda: context.outbox.get(event.id).status == "delivered")
        assert time.monotonic() - began < context.settings.callback_timeout_seconds
        put_off = [each for each in stuck if context.outbox.get(each.id).attempts == 0]
        assert len(put_off) == 16
        assert all((context.outbox.get(each.id).next_attempt_at or 0) > time.time() - 1 for each in put_off)
