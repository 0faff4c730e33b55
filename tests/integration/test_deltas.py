"""The pieces of an answer between worker and API: fenced, bounded, whole."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from api.inbox import MAX_PIECES, Feed, Inbox
from api.listener import Listener
from app import errors
from app.jobs import apply, deltas, recovery, tickets, transitions
from app.jobs.change import Reason, Requeue
from app.jobs.record import JobRecord, Status, stream_key
from app.jobs.store import Jobs
from app.maintenance import Maintenance
from app.messages.answer import TextDelta
from app.settings import Settings
from tests.fake_worker import FakeWorker
from tests.redis_server import wait_until
from workers.streaming import DeltaWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.jobs.change import Lease
    from tests.redis_server import RedisForTests

SETTINGS = Settings()


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def lease(connection: Redis) -> Lease:
    """A streamed job that runs."""
    return running(connection, "chatcmpl-1")


def running(connection: Redis, job_id: str) -> Lease:
    now = time.time()
    record = JobRecord(
        id=job_id,
        kind="chat.completion",
        status=Status.QUEUED,
        model="sonnet",
        created_at=now,
        deadline_at=now + 60,
        streams=True,
    )
    Jobs(connection, SETTINGS).submit(record, {})
    return FakeWorker(connection).take()[0]


def record_of(connection: Redis, lease: Lease) -> JobRecord:
    record = Jobs(connection, SETTINGS).get(lease.job_id)
    assert record is not None
    return record


def write(connection: Redis, lease: Lease, number: int, *, keep: bool = True) -> bool:
    data = json.dumps({"delta": {"content": f"{number} "}})
    return deltas.write(connection, lease, number, data, keep=keep, expires_at=time.time() + 60)


def numbers(feed: Feed, timeout: float = 0) -> list[int]:
    return [int(piece["delta"]["content"]) for piece in feed.next(timeout)]


def test_only_the_run_that_holds_the_job_may_write(connection: Redis, lease: Lease) -> None:
    """A run that lost its job writes nothing, so that one answer is never continued by another."""
    stranger = replace(lease, execution_id="another")
    assert not write(connection, stranger, 1)
    assert record_of(connection, lease).streamed_by == ""
    assert write(connection, lease, 1)
    assert record_of(connection, lease).streamed_by == lease.execution_id
    assert [piece.number for piece in deltas.read(connection, lease.job_id, after=0, count=10)] == [1]


def test_a_piece_written_twice_is_kept_once(connection: Redis, lease: Lease) -> None:
    """The reply to a write may be lost: the same number again adds nothing."""
    assert write(connection, lease, 1)
    assert write(connection, lease, 1)
    assert len(deltas.read(connection, lease.job_id, after=0, count=10)) == 1


def test_before_the_first_piece_a_death_is_invisible(connection: Redis, lease: Lease) -> None:
    """A job that nobody has read of goes back to the queue like any other."""
    recovery.worker_died(connection, SETTINGS, lease, Reason.WORKER_DIED)
    assert record_of(connection, lease).status is Status.QUEUED


@pytest.mark.parametrize("reason", ["its worker died", "usage_limit"])
def test_after_the_first_piece_the_job_is_not_run_again(connection: Redis, lease: Lease, reason: str) -> None:
    """A second beginning would follow the first: the job fails and says why."""
    write(connection, lease, 1)
    transitions.requeue(connection, SETTINGS, lease, Requeue(reason, counts=False))
    assert record_of(connection, lease).status is Status.FAILED
    outcome = Jobs(connection, SETTINGS).outcome(lease.job_id)
    assert outcome is not None and outcome.error == errors.stream_interrupted(reason)


def test_a_piece_in_the_moment_of_the_requeue(
    connection: Redis, redis_url: str, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the step that requeues no piece gets lost: the step begins anew, and sees it."""
    written: list[bool] = []
    plain = tickets.execution_of

    def in_between(*args: Any) -> Any:
        if not written:
            with Redis.from_url(redis_url) as other:
                written.append(write(other, lease, 1))
        return plain(*args)

    monkeypatch.setattr(tickets, "execution_of", in_between)
    transitions.requeue(connection, SETTINGS, lease, Requeue("race", counts=True))
    assert written == [True]
    outcome = Jobs(connection, SETTINGS).outcome(lease.job_id)
    assert outcome is not None and outcome.error == errors.stream_interrupted("race")


def test_every_key_has_an_end(connection: Redis, lease: Lease) -> None:
    """The pieces expire by themselves, soon after the job has ended, and go with it at the latest."""
    write(connection, lease, 1)
    assert 0 < connection.ttl(stream_key(lease.job_id)) <= 61
    FakeWorker(connection).answer(lease)
    assert 0 < connection.ttl(stream_key(lease.job_id)) <= apply.STREAM_TTL_SECONDS
    assert not write(connection, lease, 2)
    connection.zadd("nightshift:jobs:retention", {lease.job_id: 1})
    Maintenance(connection, SETTINGS).run_once()
    assert not connection.exists(stream_key(lease.job_id))


def test_late_and_slow_readers_get_all_in_order(connection: Redis, redis_url: str, lease: Lease) -> None:
    """Who comes late, or reads slower than text comes, is given every piece once, from Redis where memory ends."""
    listener = Listener(connection, redis_url)
    for number in range(1, 11):
        write(connection, lease, number)
    feed = Feed(connection, lease.job_id, listener.register_reader(lease.job_id))
    found = numbers(feed)
    assert found == list(range(1, 11))
    last = 3 * MAX_PIECES
    wait_until(lambda: connection.pubsub_numsub("nightshift:deltas")[0][1] == 1, "the listener")
    for number in range(11, last + 1):
        write(connection, lease, number)
    while found[-1] < last:
        found += numbers(feed, 1)
    assert found == list(range(1, last + 1))
    listener.stop()


def test_an_inbox_is_bounded() -> None:
    """However much is told, no more than so many pieces wait in memory."""
    inbox = Inbox()
    inbox.take(0)
    for number in range(1, 10 * MAX_PIECES):
        inbox.put(deltas.Delta(number, b"x"))
        assert len(inbox._pieces) <= MAX_PIECES
    assert inbox.take(0).has_missed
    inbox.put(deltas.Delta(1, b"x" * 10_000_000))
    assert inbox.take(0).pieces == []


def test_after_a_hole_nothing_is_given(connection: Redis, lease: Lease) -> None:
    """A piece that is nowhere any more ends the pieces: the outcome has the rest, in the right order."""
    inbox = Inbox()
    feed = Feed(connection, lease.job_id, inbox)
    write(connection, lease, 1)
    assert numbers(feed) == [1]
    write(connection, lease, 2, keep=False)
    write(connection, lease, 3)
    for piece in deltas.read(connection, lease.job_id, after=2, count=1):
        inbox.put(piece)
    assert numbers(feed) == []
    assert numbers(feed) == []
    inbox.miss()
    assert numbers(feed) == []


def text_kept(connection: Redis, lease: Lease) -> str:
    pieces = deltas.read(connection, lease.job_id, after=0, count=10_000)
    return "".join(json.loads(piece.data)["delta"]["content"] for piece in pieces)


def test_the_writer_writes_what_it_is_given(connection: Redis, lease: Lease) -> None:
    """Text comes out as it came in; the first piece names the model."""
    writer = DeltaWriter(connection, lease, expires_at=time.time() + 60)
    for number in range(100):
        writer.put(TextDelta(f"{number} ", "claude-x"))
    whole = "".join(f"{number} " for number in range(100))
    wait_until(lambda: text_kept(connection, lease) == whole, "all text")
    models = [
        json.loads(piece.data).get("model") for piece in deltas.read(connection, lease.job_id, after=0, count=200)
    ]
    assert models[0] == "claude-x"
    assert set(models[1:]) <= {None}
    writer.stop()
    wait_until(lambda: not writer._thread.is_alive(), "the end of the thread")


def test_the_writer_never_waits_and_never_grows(connection: Redis, lease: Lease) -> None:
    """With a Redis that does not answer text is taken at once, up to a limit, and dropped beyond it."""
    connection.client_pause(2000, all=True)
    writer = DeltaWriter(connection, lease, expires_at=time.time() + 60)
    for _ in range(100):
        writer.put(TextDelta("x" * 100_000, "claude-x"))
        assert writer._pending_chars <= 1_200_000
    assert writer._is_stopped
    wait_until(lambda: not writer._thread.is_alive(), "the end of the thread")


def test_the_writer_outlives_a_redis_that_is_away(own_redis: RedisForTests) -> None:
    """Pieces that come while Redis is away are written when it is back."""
    with Redis.from_url(own_redis.url) as connection:
        first = running(connection, "chatcmpl-1")
        own_redis.stop()
        writer = DeltaWriter(connection, first, expires_at=time.time() + 60)
        writer.put(TextDelta("kept", "claude-x"))
        with writer._changed:  # it tries again when all is there
            own_redis.start()
            again = running(connection, "chatcmpl-1")
            writer._lease = again  # this server keeps nothing: the job is made anew
        writer.put(TextDelta(" and more", "claude-x"))
        wait_until(lambda: text_kept(connection, again) == "kept and more", "the text")
        writer.stop()
