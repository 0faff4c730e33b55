"""A reply is lost, and before its client asks again others go on with what it has done."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.batches import files as batch_files
from app.batches.file_record import Purpose
from app.batches.files import FileStore
from app.batches.storage import names, open_storage
from app.connection import AWAY, connect
from app.idempotency import Fence, by_key
from app.jobs import recovery, tickets, transitions
from app.jobs.record import ABANDONED, Status
from app.settings import Settings
from app.webhooks.endpoints import EVENT_TYPES, MAX_ENDPOINTS, Endpoints
from app.webhooks.outbox import Outbox
from chaos.lossy import Kind, Loss, LossyProxy, Once, Request
from tests.integration.replies.steps import ANSWER, EXECUTION, JOB, Ground, new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis


@pytest.fixture
def settings(lossy: LossyProxy, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, redis_url=lossy.url)


@pytest.fixture
def here(connection: Redis, settings: Settings) -> Ground:
    """Around the proxy."""
    return Ground(connection, settings)


@pytest.fixture
def far(lossy: LossyProxy, settings: Settings) -> Iterator[Ground]:
    """Through the proxy."""
    with connect(lossy.url) as client:
        yield Ground(client, settings)


def lose(lossy: LossyProxy, *parts: str, meanwhile: Callable[[], Any] | None = None) -> Once:
    """The reply to the next request that has all of these."""
    lossy.plan = plan = Once(Loss(Kind.LOST_REPLY, meanwhile=meanwhile), lambda request: request.has(*parts))
    return plan


def answer(ground: Ground) -> None:
    """What a worker does."""
    claimed = transitions.claim(ground.redis, ground.dequeue().id, "w1", 60)
    assert claimed is not None
    transitions.publish(ground.redis, ground.settings, claimed[0], ANSWER)


@pytest.mark.parametrize("fence", [None, by_key("me", "key", "what was sent")])
def test_a_job_that_has_run_is_not_queued_again(
    lossy: LossyProxy, here: Ground, far: Ground, fence: Fence | None
) -> None:
    """Its submission's reply is lost, a worker is done with it at once: it is run once, though its key be none."""
    plan = lose(lossy, "EXEC", JOB, meanwhile=lambda: answer(here))
    submission = far.jobs.submit(new_record(max_sends=1), {"request": {}}, fence=fence)
    assert plan.hit is not None
    assert submission.is_new
    record = here.jobs.get(JOB)
    assert record is not None
    assert (record.status, record.attempts) == (Status.COMPLETED, 1)
    assert here.jobs.queued() == 0
    assert tickets.all_waiting(here.redis, tickets.CLAUDE_QUEUE) == set()


def test_a_claim_whose_reply_is_lost_is_this_runs_own(lossy: LossyProxy, here: Ground, far: Ground) -> None:
    """A worker that has claimed a job without hearing so runs it: no lease has to end, no death is counted."""
    here.submit()
    job = here.dequeue()
    plan = lose(lossy, "EXEC", EXECUTION)
    claimed = transitions.claim(far.redis, job.id, "w1", 60, EXECUTION)
    assert plan.hit is not None
    assert claimed is not None
    transitions.publish(far.redis, far.settings, claimed[0], ANSWER)
    record = here.jobs.get(JOB)
    assert record is not None
    assert (record.status, record.attempts, record.deaths) == (Status.COMPLETED, 1, 0)


def test_a_claim_that_fails_with_redis_away_is_known_when_it_is_back(
    lossy: LossyProxy, here: Ground, far: Ground
) -> None:
    """A worker tries its claim again with the same execution, however long that takes."""
    here.submit()
    job = here.dequeue()
    lose(lossy, "EXEC", EXECUTION, meanwhile=lambda: setattr(lossy, "plan", _everything))
    with pytest.raises(AWAY):
        transitions.claim(far.redis, job.id, "w1", 60, EXECUTION)
    lossy.plan = None
    claimed = transitions.claim(far.redis, job.id, "w1", 60, EXECUTION)
    assert claimed is not None
    assert claimed[1].attempts == 1


def test_another_workers_claim_is_not_taken_for_ones_own(lossy: LossyProxy, here: Ground, far: Ground) -> None:
    """The lease ended and another worker has the job by now: there is nothing to run."""
    here.submit()
    job = here.dequeue()

    def taken_over() -> None:
        here.redis.zadd("nightshift:leases", {f"{JOB}:{EXECUTION}": 1.0})
        recovery.Recovery(here.redis, here.settings).expire_leases()
        assert transitions.claim(here.redis, here.dequeue().id, "w2", 60) is not None

    lose(lossy, "EXEC", EXECUTION, meanwhile=taken_over)
    assert transitions.claim(far.redis, job.id, "w1", 60, EXECUTION) is None


def test_a_batch_that_has_begun_does_not_begin_again(lossy: LossyProxy, here: Ground, far: Ground) -> None:
    """Its creation's reply is lost, and its lines are in the queue by then: its counters stay."""
    plan = lose(lossy, "EXEC", "validating", meanwhile=here.feed)
    batch = far.batches.create(here.new_batch())
    assert plan.hit is not None
    assert here.batches.require(batch.id).fed == 3
    here.feed()
    assert here.jobs.queued() == 3


def test_a_line_that_has_run_is_not_fed_again(lossy: LossyProxy, here: Ground, far: Ground) -> None:
    """Lines that go back to the queue do so once: one that a worker has by then is not reset."""
    here.batch(lines=1)
    here.feed()
    batch_id = here.the_batch()
    (job_id,) = tickets.queue(here.redis).get_job_ids()
    here.jobs.delete(job_id)
    here.redis.rename(f"nightshift:batch:{batch_id}:lines", f"nightshift:batch:{batch_id}:again")
    here.redis.delete(f"nightshift:job:{job_id}", f"nightshift:job:{job_id}:outcome")
    taken = []

    def take() -> None:
        taken.append(transitions.claim(here.redis, here.dequeue().id, "w1", 60))

    plan = lose(lossy, "EXEC", "SREM", f"{batch_id}:again", meanwhile=take)
    far.feed()
    assert plan.hit is not None
    (claimed,) = taken
    assert claimed is not None
    record = here.jobs.get(job_id)
    assert record is not None
    assert (record.status, record.execution) == (Status.IN_PROGRESS, claimed[0].execution_id)


def test_a_secret_that_is_replaced_keeps_the_one_before(lossy: LossyProxy, here: Ground, far: Ground) -> None:
    """The old secret that was to sign for another day does, though the new one be stored twice."""
    endpoint_id = here.endpoint()
    before = Endpoints(here.redis).get(endpoint_id)
    plan = lose(lossy, "EXEC", "old_secret")
    after = Endpoints(far.redis).rotate(endpoint_id, keep_old=True)
    assert plan.hit is not None
    assert before is not None
    assert after is not None
    assert after.old_secret == before.secret
    assert Endpoints(here.redis).get(endpoint_id) == after


def test_the_last_endpoint_there_is_room_for(lossy: LossyProxy, here: Ground, far: Ground) -> None:
    """It is made, though it finds itself there."""
    for _ in range(MAX_ENDPOINTS - 1):
        here.endpoint()
    plan = lose(lossy, "EXEC", "whsec_")
    made = Endpoints(far.redis).create("last", "https://example.com/", EVENT_TYPES)
    assert plan.hit is not None
    assert Endpoints(here.redis).get(made.id) == made


def test_a_client_that_hangs_up_leaves_once(lossy: LossyProxy, here: Ground, far: Ground) -> None:
    """Two wait for a job and one of them leaves: the other is left, and the job goes on."""
    here.submit()
    here.jobs.arrive(JOB, "first", 60)
    here.jobs.arrive(JOB, "second", 60)
    plan = lose(lossy, ABANDONED)
    far.jobs.leave(JOB, "first", abandon_at=time.time() - 1)
    assert plan.hit is not None
    recovery.Recovery(here.redis, here.settings).cancel_abandoned()
    record = here.jobs.get(JOB)
    assert record is not None
    assert record.status is Status.QUEUED


def test_an_attempt_to_deliver_whose_claim_is_lost_is_made(lossy: LossyProxy, here: Ground, far: Ground) -> None:
    """It is the first one still, and is made now, not when its claim has ended."""
    event_id = here.event()
    plan = lose(lossy, "EVALSHA", event_id)
    claim = Outbox(far.redis).claim(event_id, 1000, lease_seconds=30)
    assert plan.hit is not None
    assert claim is not None
    assert (claim.attempt, claim.tries) == (1, 1)
    assert Outbox(here.redis).claim(event_id, 1001, lease_seconds=30) is None


def _keep(store: FileStore) -> None:
    draft = store.draft()
    draft.write(b"{}")
    store.keep(draft, filename="a", purpose=Purpose.BATCH)


@pytest.mark.parametrize(("kind", "left"), [(Kind.LOST_REPLY, 1), (Kind.LOST_REQUEST, 0)])
def test_a_file_of_which_nobody_knows_whether_it_is_known(
    lossy: LossyProxy, here: Ground, far: Ground, kind: Kind, left: int
) -> None:
    """Its bytes stay until it is sure; then they go if Redis does not know it."""
    storage = open_storage(far.settings)
    store = FileStore(far.redis, far.settings, storage)
    is_away = False

    def plan(request: Request) -> Loss | None:
        """From its step on, Redis is away."""
        nonlocal is_away
        if is_away:
            return _everything(request)
        is_away = request.has("EXEC", "nightshift:file:")
        return Loss(kind) if is_away else None

    lossy.plan = plan
    with pytest.raises(AWAY):
        _keep(store)
    lossy.plan = None
    known = here.batches.files.page(purpose=None, limit=10, after=None)
    assert len(known) == left
    assert len(list(storage.find("files/file-"))) == 1
    store.remove_old(time.time())
    assert len(list(storage.find("files/file-"))) == 1
    ((doubt, _),) = storage.find(names.DOUBT)
    long_ago = time.time() - batch_files.DOUBT_SECONDS - 1
    os.utime(far.settings.data_dir / "batches" / doubt, (long_ago, long_ago))
    store.remove_old(time.time())
    assert len(list(storage.find("files/file-"))) == left
    assert list(storage.find(names.DOUBT)) == []


def _everything(_: object) -> Loss:
    return Loss(Kind.LOST_REQUEST)


def test_a_beat_asks_again_before_its_lease_ends(lossy: LossyProxy, here: Ground) -> None:
    """A reply that never comes costs a quarter of the lease, not the lease."""
    lease = replace(here.run(), worker="w1")
    lossy.plan = plan = Once(Loss(Kind.LOST_REPLY, 60), lambda request: request.has("nightshift:leases"))
    with connect(lossy.url, timeout_seconds=6.0 / 4) as client:
        began = time.monotonic()
        assert transitions.renew(client, lease, 6.0)
        assert time.monotonic() - began < 6.0
    assert plan.hit is not None
